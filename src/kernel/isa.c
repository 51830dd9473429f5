/* Detection of instruction sets. The two atomics below are the room's only process-wide state: a cached fact about the
 * machine, and the limit that tests set. */
#include "kernel/isa.h"

#include <stdatomic.h>

#include "kernel/gemm_impl.h"
#include "kernel/impl.h"
#include "kernel/probe_loops.h"

#ifdef INS_KERNEL_X86
#include <cpuid.h>
#endif

enum { DOT_TURNS = 32 };
#define DOT_GAIN 1.15 /* below it the casts eat what the products gain */

static _Atomic int isa_found = -1;
static _Atomic int isa_cap = INS_ISA_AMX;
static _Atomic int dot_is_fast = -1;

#ifdef INS_KERNEL_X86
/* Does the operating system save the AMX tile state (XCR0 bits 17 and 18)? */
static bool isa_os_has_tiles(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 27))) return false;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & (3u << 17)) == (3u << 17);
}

static bool isa_has_amx(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    return (edx & (1u << 22)) && (edx & (1u << 24)) && isa_os_has_tiles();
}

static bool isa_has_avx512_bf16(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 5));
}

static ins_isa_level isa_probe(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return INS_ISA_GENERIC;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return INS_ISA_AVX2;
    if (!isa_has_avx512_bf16()) return INS_ISA_AVX512;
    return isa_has_amx() ? INS_ISA_AMX : INS_ISA_AVX512_BF16;
}
#else
static ins_isa_level isa_probe(void) {
    return INS_ISA_GENERIC;
}
#endif

ins_isa_level ins_isa_detect(void) {
    int found = atomic_load_explicit(&isa_found, memory_order_relaxed);
    if (found < 0) {
        found = (int)isa_probe();
        atomic_store_explicit(&isa_found, found, memory_order_relaxed);
    }
    int cap = atomic_load_explicit(&isa_cap, memory_order_relaxed);
    return (ins_isa_level)(found < cap ? found : cap);
}

void ins_isa_limit(ins_isa_level level) {
    atomic_store(&isa_cap, (int)level);
}

const char *ins_isa_name(ins_isa_level level) {
    static const char *const names[INS_ISA_COUNT] = {"generic", "avx2", "avx512", "avx512_bf16", "amx"};
    return (unsigned)level < INS_ISA_COUNT ? names[level] : "unknown";
}

/* A bf16 dot product does twice the work of a multiply-add where it runs at the same pace, and no more where it is
 * slower: rates lie near 1 or 2 times that of f32, so the threshold between is far from both. Other processes only
 * ever slow a loop down, so the best of many short turns of each counts; the turns alternate, so that a change of clock
 * meets both. */
static bool isa_measure_dot(void) {
    double bf16 = 0, f32 = 0;
    for (int turn = 0; turn < DOT_TURNS; turn++) {
        double rate = ins_probe_loop_rate(INS_DTYPE_F32, 0);
        if (rate > f32) f32 = rate;
        rate = ins_probe_loop_rate(INS_DTYPE_BF16, 0);
        if (rate > bf16) bf16 = rate;
    }
    return bf16 > DOT_GAIN * f32;
}

bool ins_isa_fast_dot(void) {
    if (ins_isa_detect() < INS_ISA_AVX512_BF16) return false;
    int fast = atomic_load_explicit(&dot_is_fast, memory_order_relaxed);
    if (fast < 0) {
        fast = isa_measure_dot();
        atomic_store_explicit(&dot_is_fast, fast, memory_order_relaxed);
    }
    return fast == 1;
}

bool ins_isa_has_fast_bf16(void) {
    if (ins_isa_detect() == INS_ISA_AMX && ins_gemm_onednn()) return true;
    return ins_isa_fast_dot();
}
