#include "stage/gemm_store.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

enum { STORE_FORMAT = 1, STORE_MAX_BYTES = 16 << 20 };
static const char store_name[] = "gemm.json";

/* All that can be put; the first one that can't is the failure. */
static ins_status rows_put(const json_t *products, ins_gemm_choices *choices, int64_t *lost, ins_error *err) {
    const char *product;
    const json_t *impl;
    ins_status status = INS_OK;
    json_object_foreach((json_t *)(uintptr_t)products, product, impl) {
        bool known = false;
        ins_error why = {0};
        ins_status put = json_is_string(impl)
                             ? ins_gemm_choices_put(choices, product, json_string_value(impl), &known, &why)
                             : INS_FAIL(&why, INS_DATA, "'%.100s' has no implementation", product);
        *lost += put == INS_OK && !known;
        if (put == INS_OK || status != INS_OK) continue;
        status = put;
        if (err) *err = why;
    }
    return status;
}

static json_t *rows_json(const ins_gemm_choices *choices) {
    json_t *products = json_object();
    char product[INS_GEMM_PRODUCT_TEXT];
    bool fine = products != NULL;
    for (int64_t i = 0; fine && i < ins_gemm_choices_count(choices); i++) {
        const char *impl = ins_gemm_choices_at(choices, i, product);
        fine = json_object_set_new(products, product, json_string(impl)) == 0;
    }
    if (fine) return products;
    json_decref(products);
    return NULL;
}

json_t *ins_gemm_choices_json(const ins_gemm_choices *choices) {
    ins_str machine = {0};
    ins_gemm_machine(&machine);
    json_t *products = rows_json(choices);
    json_t *json =
        products ? json_pack("{s:s, s:o}", "machine", machine.data ? machine.data : "", "products", products) : NULL;
    ins_str_free(&machine);
    return json;
}

ins_status ins_gemm_choices_restore(const json_t *json, ins_gemm_choices *choices, int64_t *lost, bool *same,
                                    ins_error *err) {
    const char *machine = json_string_value(json_object_get(json, "machine"));
    const json_t *products = json_object_get(json, "products");
    if (!machine || !json_is_object(products))
        return INS_FAIL(err, INS_DATA, "the recorded choice of matrix products has another form");
    ins_str here = {0};
    ins_gemm_machine(&here);
    *same = here.data && strcmp(here.data, machine) == 0;
    ins_str_free(&here);
    *lost = 0;
    return rows_put(products, choices, lost, err);
}

/* ---- the file of this machine ---- */

/* {"format": 1, "machines": {"AMD EPYC ...": {product: implementation}}}; NULL with a warning when it is damaged, an
 * empty one when there is none. */
static json_t *store_read(const char *path, const ins_log *log) {
    json_t *root = NULL;
    ins_error err = {0};
    if (!ins_file_exists(path)) return json_pack("{s:i, s:{}}", "format", STORE_FORMAT, "machines");
    if (ins_json_read_file(path, STORE_MAX_BYTES, &root, &err) == INS_OK &&
        json_integer_value(json_object_get(root, "format")) == STORE_FORMAT &&
        json_is_object(json_object_get(root, "machines")))
        return root;
    ins_logf(log, INS_LOG_WARN, "%s can't be used (%s): matrix products are measured again", path,
             root ? "it has another form" : err.text);
    json_decref(root);
    return NULL;
}

static bool store_path(const char *cache_dir, char path[4200]) {
    return cache_dir && ins_path_join(cache_dir, store_name, path, 4200, NULL) == INS_OK;
}

void ins_gemm_store_load(const char *cache_dir, const ins_log *log, ins_gemm_choices *choices) {
    char path[4200];
    int64_t lost = 0;
    ins_error err = {0};
    if (!store_path(cache_dir, path)) return;
    json_t *root = store_read(path, log);
    ins_str machine = {0};
    ins_gemm_machine(&machine);
    const json_t *products = json_object_get(json_object_get(root, "machines"), machine.data ? machine.data : "");
    if (json_is_object(products) && rows_put(products, choices, &lost, &err) != INS_OK)
        ins_logf(log, INS_LOG_WARN, "%s: %s; it is measured again", path, err.text);
    ins_str_free(&machine);
    json_decref(root);
}

/* Rows that can't be read would be a warning for ever. */
static void drop_damaged(json_t *products) {
    ins_gemm_choices *reader = NULL;
    const char *product;
    json_t *impl;
    void *next;
    if (ins_gemm_choices_new(INS_GEMM_OWN, &reader, NULL) != INS_OK) return;
    json_object_foreach_safe(products, next, product, impl) {
        if (!json_is_string(impl) ||
            ins_gemm_choices_put(reader, product, json_string_value(impl), NULL, NULL) == INS_DATA)
            json_object_del(products, product);
    }
    ins_gemm_choices_free(reader);
}

/* What the file has goes before what the table has: who measured first decides, for all later stages. */
static ins_status store_merge(const char *path, const ins_log *log, const ins_gemm_choices *choices, ins_error *err) {
    json_t *root = store_read(path, log);
    if (!root) root = json_pack("{s:i, s:{}}", "format", STORE_FORMAT, "machines");
    ins_str machine = {0};
    ins_gemm_machine(&machine);
    json_t *machines = json_object_get(root, "machines"), *rows = rows_json(choices);
    const char *name = machine.data ? machine.data : "";
    json_t *products = json_object_get(machines, name);
    bool fine = rows && machines;
    if (json_is_object(products)) {
        drop_damaged(products);
        fine = fine && json_object_update_missing(products, rows) == 0;
    } else {
        fine = fine && json_object_set(machines, name, rows) == 0;
    }
    ins_status status = fine ? ins_json_write_file(path, root, true, err)
                             : INS_FAIL(err, INS_NOMEM, "no memory for the measured matrix products");
    json_decref(rows);
    json_decref(root);
    ins_str_free(&machine);
    return status;
}

void ins_gemm_store_save(const char *cache_dir, const ins_log *log, const ins_gemm_choices *choices) {
    char path[4200], lock_path[4210];
    ins_lock lock;
    ins_error err = {0};
    if (!store_path(cache_dir, path)) return;
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    ins_status status = ins_dir_make(cache_dir, &err);
    if (status == INS_OK) status = ins_lock_take(lock_path, true, &lock, &err);
    if (status == INS_OK) {
        status = store_merge(path, log, choices, &err);
        ins_lock_release(&lock);
    }
    if (status != INS_OK)
        ins_logf(log, INS_LOG_WARN, "measured matrix products are not kept for later stages: %s", err.text);
}

/* ---- for people ---- */

void ins_gemm_choices_describe(const ins_gemm_choices *choices, ins_str *out) {
    int64_t n = ins_gemm_choices_count(choices);
    char product[INS_GEMM_PRODUCT_TEXT];
    bool first = true;
    for (int64_t i = 0; i < n; i++) {
        const char *impl = ins_gemm_choices_at(choices, i, product);
        int64_t count = 0, before = 0;
        for (int64_t j = 0; j < n; j++) {
            bool same = strcmp(ins_gemm_choices_at(choices, j, product), impl) == 0;
            count += same, before += same && j < i;
        }
        if (before) continue;
        ins_str_printf(out, "%s%s %lld", first ? "" : ", ", impl, (long long)count);
        first = false;
    }
    if (n == 0) ins_str_puts(out, "none");
    ins_gemm_measured measured = ins_gemm_choices_measured(choices);
    if (measured.products)
        ins_str_printf(out, " (%lld measured in %.1f s)", (long long)measured.products, measured.seconds);
}
