/* What this build has of libraries for matrix products, and what machine a measurement holds for. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernel/gemm_choice.h"
#include "kernel/isa.h"
#include "kernel/openblas/openblas_api.h"
#ifdef INS_KERNEL_ONEDNN
#include "kernel/onednn/dnnl_api.h"
#endif
#ifdef INS_KERNEL_X86
#include <cpuid.h>
#endif

enum { GEMM_VERSION = 2 }; /* counts up when the speed of our own kernels changes: then measurements are made again */

void ins_gemm_libraries_find(ins_gemm_library out[INS_GEMM_LIBRARIES]) {
    bool tiles = ins_isa_detect() == INS_ISA_AMX;
    out[0] = (ins_gemm_library){
        .name = "oneDNN",
        .loss = tiles ? "bf16 products do not use this processor's AMX tiles, and gemm: measured has fewer candidates"
                      : "gemm: measured has fewer candidates"};
    out[1] =
        (ins_gemm_library){.name = "OpenBLAS", .loss = "gemm: measured has one candidate less in f32", .built = true};
#ifdef INS_KERNEL_ONEDNN
    out[0].built = true;
    if (ins_isa_detect() >= INS_ISA_AVX2 && ins_dnnl_available()) {
        out[0].found = true;
        ins_dnnl_version(out[0].version);
    }
#endif
    if (ins_openblas_available()) {
        out[1].found = true;
        ins_openblas_version(out[1].version);
    }
}

#ifdef INS_KERNEL_X86
/* "AMD EPYC family 25 model 17": virtual machines shorten the name to what many chips share. */
static void processor_put(ins_str *out) {
    union {
        unsigned words[12];
        char text[49];
    } brand = {.text = ""};
    unsigned eax = 0, ebx, ecx, edx;
    unsigned *word = brand.words;
    for (unsigned leaf = 0x80000002; leaf <= 0x80000004; leaf++, word += 4)
        if (!__get_cpuid(leaf, &word[0], &word[1], &word[2], &word[3])) break;
    brand.text[48] = '\0';
    const char *name = brand.text + strspn(brand.text, " ");
    size_t n = strlen(name);
    while (n > 0 && name[n - 1] == ' ') n--;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) eax = 0;
    unsigned family = (eax >> 8 & 15) + (eax >> 20 & 255), model = (eax >> 4 & 15) | (eax >> 12 & 0xf0);
    ins_str_printf(out, "%.*s family %u model %u", (int)n, name, family, model);
}
#else
static void processor_put(ins_str *out) {
    struct utsname system;
    ins_str_puts(out, uname(&system) == 0 ? system.machine : "unknown");
}
#endif

void ins_gemm_machine(ins_str *out) {
    ins_gemm_library libraries[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(libraries);
    processor_put(out);
    ins_str_printf(out, ", %s", ins_isa_name(ins_isa_detect()));
    for (int i = 0; i < INS_GEMM_LIBRARIES; i++)
        ins_str_printf(out, ", %s %s", libraries[i].name, libraries[i].found ? libraries[i].version : "none");
    ins_str_printf(out, ", kernels %d", GEMM_VERSION);
}
