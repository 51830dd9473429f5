/* What this machine is and has: instar_doctor, and the note about it in run.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <libfyaml.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <zlib.h>
#include <zstd.h>

#include "api/api_internal.h"
#include "base/mem.h"
#include "kernel/gemm_choice.h"
#include "kernel/isa.h"
#include "kernel/probe_machine.h"

/* First "key : value" line of a /proc file. */
static void proc_value(const char *path, const char *key, char *value, size_t size) {
    char line[512];
    FILE *file = fopen(path, "re");
    value[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *colon = strchr(line, ':');
        if (!colon) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(value, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    if (file) fclose(file);
}

static double memory_bytes(const char *key) {
    char value[64];
    proc_value("/proc/meminfo", key, value, sizeof value);
    return strtod(value, NULL) * 1024;
}

void api_processor(char name[256]) {
    proc_value("/proc/cpuinfo", "model name", name, 256);
    if (!name[0]) snprintf(name, 256, "unknown");
}

void api_machine_json(const instar *session, ins_str *out) {
    char processor[256];
    struct utsname system;
    api_processor(processor);
    if (uname(&system) != 0) memset(&system, 0, sizeof system);
    ins_str_puts(out, "{\"processor\":");
    api_json_string(out, processor);
    ins_str_printf(out, ",\"isa\":\"%s\",\"cores\":%d,\"threads\":%d,\"memory_bytes\":", ins_isa_name(ins_isa_detect()),
                   ins_cpu_count(), ins_pool_threads(session->pool));
    api_json_number(out, memory_bytes("MemTotal"));
    ins_str_puts(out, ",\"system\":");
    api_json_string(out, system.sysname);
    ins_str_puts(out, ",\"kernel\":");
    api_json_string(out, system.release);
    ins_str_putc(out, '}');
}

/* Is a program on the usual path? The library reads no environment, so the standard folders are looked into. */
static bool has_program(const char *name) {
    static const char *const folders[] = {"/usr/local/bin",  "/usr/bin",  "/bin",
                                          "/usr/local/sbin", "/usr/sbin", "/sbin"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0) return true;
    }
    return false;
}

typedef struct findings {
    bool cache_ok, cache_damaged;
    char cache_note[300];
    double free_bytes;
    double flops_f32, flops_bf16, read_rate, update_rate;
    int64_t entries, damaged;
} findings;

static void look_at_cache(instar *session, bool verify, findings *f) {
    ins_cache cache;
    ins_error err = {0};
    char **keys = NULL;
    struct statvfs disk;
    if (!session->cache_dir) {
        snprintf(f->cache_note, sizeof f->cache_note, "no cache folder was given");
        return;
    }
    f->cache_ok = ins_cache_open(session->cache_dir, &cache, &err) == INS_OK;
    if (!f->cache_ok) {
        snprintf(f->cache_note, sizeof f->cache_note, "%.290s", err.text);
        return;
    }
    if (statvfs(cache.root, &disk) == 0) f->free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (ins_cache_keys(&cache, &keys, &f->entries, &err) != INS_OK) return;
    for (int64_t i = 0; i < f->entries && verify; i++) {
        bool ok = true;
        char reason[256];
        if (session->settings.stop && *session->settings.stop) break;
        if (ins_cache_verify(&cache, keys[i], UINT64_MAX, &ok, reason, &err) == INS_OK && ok) continue;
        f->damaged++;
        ins_logf(&session->log, INS_LOG_WARN, "cache entry %.12s: %s", keys[i], ok ? err.text : reason);
    }
    ins_names_free(keys, f->entries);
}

static void measure(instar *session, findings *f) {
    f->flops_f32 = ins_probe_flops(INS_DTYPE_F32, session->pool);
    f->flops_bf16 = ins_probe_flops(INS_DTYPE_BF16, session->pool);
    f->read_rate = ins_probe_read_bandwidth(session->pool);
    f->update_rate = ins_probe_update_bandwidth(session->pool);
}

static const char *const tools[][2] = {
    {"apt-get", "fetches packages for the readers of Debian data"},
    {"dpkg-deb", "unpacks them"},
    {"mandoc", "formats man pages for the reader 'man'"},
    {"xz", "the probe 'compress' compares with it"},
};
#define N_TOOLS ((int)(sizeof tools / sizeof tools[0]))

typedef struct library {
    const char *name, *version;
} library;

/* Versions of what is linked, as the libraries themselves tell. */
static int list_libraries(library out[8]) {
    int n = 0;
    out[n++] = (library){"SQLite", sqlite3_libversion()};
    out[n++] = (library){"jansson", jansson_version_str()};
    out[n++] = (library){"libfyaml", fy_library_version()};
    out[n++] = (library){"OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)};
    out[n++] = (library){"zlib", zlibVersion()};
    out[n++] = (library){"zstd", ZSTD_versionString()};
    return n;
}

/* Libraries that may make matrix products; none is needed. */
static void gemm_libraries_json(ins_str *out) {
    ins_gemm_library gemm[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(gemm);
    ins_str_puts(out, ",\"gemm_libraries\":[");
    for (int i = 0; i < INS_GEMM_LIBRARIES; i++) {
        ins_str_printf(out, "%s{\"name\":\"%s\",\"built_in\":%s,\"found\":%s,\"version\":", i ? "," : "", gemm[i].name,
                       gemm[i].built ? "true" : "false", gemm[i].found ? "true" : "false");
        api_json_string(out, gemm[i].found ? gemm[i].version : NULL);
        ins_str_puts(out, ",\"without_it\":");
        api_json_string(out, gemm[i].loss);
        ins_str_putc(out, '}');
    }
    ins_str_putc(out, ']');
}

static void gemm_libraries_text(ins_str *out) {
    ins_gemm_library gemm[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(gemm);
    for (int i = 0; i < INS_GEMM_LIBRARIES; i++) {
        if (gemm[i].found)
            ins_str_printf(out, "%-12s found (%s, for matrix products)\n", gemm[i].name, gemm[i].version);
        else
            ins_str_printf(out, "%-12s %s (optional: without it, %s)\n", gemm[i].name,
                           gemm[i].built ? "not found" : "not built in", gemm[i].loss);
    }
}

static void doctor_json(const instar *session, const findings *f, bool speed, ins_str *out) {
    ins_str_printf(out, "{\"version\":\"%s\",\"machine\":", INS_VERSION);
    api_machine_json(session, out);
    if (speed) {
        const struct {
            const char *name;
            double value;
        } rates[] = {{"flops_f32", f->flops_f32},
                     {"flops_bf16", f->flops_bf16},
                     {"read_bytes_per_s", f->read_rate},
                     {"update_bytes_per_s", f->update_rate}};
        ins_str_puts(out, ",\"measured\":{");
        for (int i = 0; i < 4; i++) {
            ins_str_printf(out, "%s\"%s\":", i ? "," : "", rates[i].name);
            api_json_number(out, rates[i].value);
        }
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, ",\"cache\":{\"path\":");
    api_json_string(out, session->cache_dir);
    ins_str_printf(out, ",\"ok\":%s,\"entries\":%lld,\"damaged\":%lld,\"free_bytes\":", f->cache_ok ? "true" : "false",
                   (long long)f->entries, (long long)f->damaged);
    api_json_number(out, f->free_bytes);
    ins_str_puts(out, "},\"tools\":{");
    for (int i = 0; i < N_TOOLS; i++)
        ins_str_printf(out, "%s\"%s\":%s", i ? "," : "", tools[i][0], has_program(tools[i][0]) ? "true" : "false");
    library libraries[8];
    int n = list_libraries(libraries);
    ins_str_puts(out, "},\"libraries\":{");
    for (int i = 0; i < n; i++) {
        ins_str_printf(out, "%s\"%s\":", i ? "," : "", libraries[i].name);
        api_json_string(out, libraries[i].version);
    }
    ins_str_putc(out, '}');
    gemm_libraries_json(out);
    ins_str_puts(out, "}\n");
}

static void doctor_text(const instar *session, const findings *f, bool speed, ins_str *out) {
    char processor[256], text[32];
    proc_value("/proc/cpuinfo", "model name", processor, sizeof processor);
    ins_str_printf(out, "instar       %s\nprocessor    %s, %s\n", INS_VERSION, processor[0] ? processor : "unknown",
                   ins_isa_name(ins_isa_detect()));
    ins_str_printf(out, "threads      %d of %d cores\n", ins_pool_threads(session->pool), ins_cpu_count());
    ins_str_printf(out, "memory       %s", ins_human_size(memory_bytes("MemTotal"), text));
    ins_str_printf(out, ", %s available\n", ins_human_size(memory_bytes("MemAvailable"), text));
    if (speed) {
        ins_str_printf(out, "arithmetic   %sFLOP/s f32", ins_human_count(f->flops_f32, text));
        ins_str_printf(out, ", %sFLOP/s bf16 (%s)\n", ins_human_count(f->flops_bf16, text),
                       ins_isa_has_fast_bf16() ? "used: it is faster here" : "not used: no faster here");
        ins_str_printf(out, "bandwidth    %s/s read", ins_human_size(f->read_rate, text));
        ins_str_printf(out, ", %s/s for optimizer updates\n", ins_human_size(f->update_rate, text));
    }
    ins_str_printf(out, "cache        %s: ", session->cache_dir ? session->cache_dir : "none");
    if (f->cache_ok)
        ins_str_printf(out, "%lld entries, %s free", (long long)f->entries, ins_human_size(f->free_bytes, text));
    else
        ins_str_puts(out, f->cache_note);
    if (f->damaged) ins_str_printf(out, ", %lld DAMAGED", (long long)f->damaged);
    ins_str_putc(out, '\n');
    for (int i = 0; i < N_TOOLS; i++)
        ins_str_printf(out, "%-12s %s (%s)\n", tools[i][0], has_program(tools[i][0]) ? "found" : "MISSING",
                       tools[i][1]);
    gemm_libraries_text(out);
    library libraries[8];
    int n = list_libraries(libraries);
    ins_str_puts(out, "libraries   ");
    for (int i = 0; i < n; i++) ins_str_printf(out, "%s %s %s", i ? "," : "", libraries[i].name, libraries[i].version);
    ins_str_putc(out, '\n');
}

instar_status instar_doctor(instar *session, const instar_doctor_options *options, instar_format format, char **text) {
    static const instar_doctor_options nothing = {0};
    const instar_doctor_options *o = options ? options : &nothing;
    findings f = {0};
    ins_str out = {0};
    api_begin(session);
    look_at_cache(session, o->verify_cache, &f);
    if (!o->no_speed) measure(session, &f);
    if (format == INSTAR_JSON)
        doctor_json(session, &f, !o->no_speed, &out);
    else
        doctor_text(session, &f, !o->no_speed, &out);
    instar_status status = api_give(session, &out, text);
    return status != INSTAR_OK ? status : f.cache_ok && f.damaged == 0 ? INSTAR_OK : INSTAR_NO;
}
