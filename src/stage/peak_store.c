#include "stage/peak_store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "format/json.h"
#include "kernel/gemm_choice.h"

enum { STORE_FORMAT = 1, STORE_MAX_BYTES = 1 << 20, MAX_AGE_S = 24 * 3600 };

static bool store_path(const char *cache_dir, char path[4200]) {
    return cache_dir && ins_path_join(cache_dir, "peak.json", path, 4200, NULL) == INS_OK;
}

/* "AMD EPYC ... f32 x2 3f1c...": machine, dtype, threads, and what is different after each start of the machine. */
static void entry_name(ins_dtype dtype, int threads, ins_str *out) {
    char boot[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fgets(boot, sizeof boot, file)) boot[strcspn(boot, "\n")] = '\0';
    if (file) fclose(file);
    ins_gemm_machine(out);
    ins_str_printf(out, " %s x%d %s", ins_dtype_name(dtype), threads, boot);
}

/* NULL when there is no such file, or a damaged one: it is only a measurement. */
static json_t *store_read(const char *path) {
    json_t *root = NULL;
    if (ins_file_exists(path) && ins_json_read_file(path, STORE_MAX_BYTES, &root, NULL) == INS_OK &&
        json_integer_value(json_object_get(root, "format")) == STORE_FORMAT &&
        json_is_object(json_object_get(root, "peaks")))
        return root;
    json_decref(root);
    return NULL;
}

static bool is_old(const json_t *entry) {
    double age = difftime(time(NULL), (time_t)json_integer_value(json_object_get(entry, "time")));
    return age < 0 || age > MAX_AGE_S;
}

static double entry_flops(const json_t *entry) {
    double flops = json_number_value(json_object_get(entry, "flops"));
    return flops > 0 && flops < 1e18 && !is_old(entry) ? flops : 0;
}

double ins_peak_store_load(const char *cache_dir, ins_dtype dtype, int threads) {
    char path[4200];
    ins_str name = {0};
    if (!store_path(cache_dir, path)) return 0;
    json_t *root = store_read(path);
    entry_name(dtype, threads, &name);
    double flops = name.data ? entry_flops(json_object_get(json_object_get(root, "peaks"), name.data)) : 0;
    ins_str_free(&name);
    json_decref(root);
    return flops;
}

static ins_status store_merge(const char *path, const char *name, double flops, ins_error *err) {
    json_t *root = store_read(path);
    if (!root) root = json_pack("{s:i, s:{}}", "format", STORE_FORMAT, "peaks");
    json_t *peaks = json_object_get(root, "peaks"), *entry;
    const char *key;
    void *next;
    json_object_foreach_safe(peaks, next, key, entry) if (is_old(entry)) json_object_del(peaks, key);
    bool larger = flops > entry_flops(json_object_get(peaks, name));
    json_t *fresh = json_pack("{s:f, s:I}", "flops", flops, "time", (json_int_t)time(NULL));
    ins_status status = INS_OK;
    if (!peaks || !fresh || (larger && json_object_set(peaks, name, fresh) != 0))
        status = INS_FAIL(err, INS_NOMEM, "no memory for the measured peak");
    else if (larger)
        status = ins_json_write_file(path, root, true, err);
    json_decref(fresh);
    json_decref(root);
    return status;
}

void ins_peak_store_save(const char *cache_dir, const ins_log *log, ins_dtype dtype, int threads, double flops) {
    char path[4200], lock_path[4210];
    ins_str name = {0};
    ins_lock lock;
    ins_error err = {0};
    if (!(flops > 0) || !store_path(cache_dir, path)) return;
    entry_name(dtype, threads, &name);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    ins_status status = ins_dir_make(cache_dir, &err);
    if (status == INS_OK) status = ins_lock_take(lock_path, true, &lock, &err);
    if (status == INS_OK) {
        status = store_merge(path, name.data ? name.data : "", flops, &err);
        ins_lock_release(&lock);
    }
    ins_str_free(&name);
    if (status != INS_OK) ins_logf(log, INS_LOG_WARN, "the measured peak is not kept for later stages: %s", err.text);
}
