/* train.json: see train_record.h. */
#include "stage/train_record.h"

#include <string.h>

#include "base/file.h"
#include "format/json.h"

enum { RECORD_BYTES = 1 << 20 };

/* {"machine": "...", "products": {"...": "..."}}, or nothing. */
static bool gemm_fine(const json_t *gemm) {
    const json_t *products = json_object_get(gemm, "products"), *impl;
    const char *product;
    if (!gemm) return true;
    if (!json_is_string(json_object_get(gemm, "machine")) || !json_is_object(products)) return false;
    json_object_foreach((json_t *)(uintptr_t)products, product, impl) if (!json_is_string(impl)) return false;
    return true;
}

bool ins_train_record_read(const char *stage_dir, ins_train_record *out) {
    char path[4200];
    json_t *root = NULL;
    ins_train_record r = {0};
    const char *compute = NULL;
    int64_t done = 0;
    if (ins_path_join(stage_dir, "train.json", path, sizeof path, NULL) != INS_OK || !ins_file_exists(path))
        return false;
    if (ins_json_read_file(path, RECORD_BYTES, &root, NULL) != INS_OK) return false;
    bool fine = ins_json_get_int(root, "steps", &r.steps, NULL) == INS_OK && r.steps > 0 &&
                ins_json_get_int(root, "layers", &r.layers, NULL) == INS_OK && r.layers > 0 &&
                ins_json_get_string(root, "compute", &compute, NULL) == INS_OK &&
                ins_json_get_int(root, "done", &done, NULL) == INS_OK &&
                ins_json_get_int(root, "tokens", &r.tokens, NULL) == INS_OK &&
                ins_json_get_number(root, "flop", &r.flop, NULL) == INS_OK && gemm_fine(json_object_get(root, "gemm"));
    if (fine && strcmp(compute, ins_dtype_name(INS_DTYPE_BF16)) == 0) {
        r.compute = INS_DTYPE_BF16;
    } else {
        r.compute = INS_DTYPE_F32;
        fine = fine && strcmp(compute, ins_dtype_name(INS_DTYPE_F32)) == 0;
    }
    r.done = done != 0;
    json_decref(root);
    if (fine) *out = r;
    return fine;
}

json_t *ins_train_record_gemm(const char *stage_dir) {
    char path[4200];
    json_t *root = NULL;
    if (ins_path_join(stage_dir, "train.json", path, sizeof path, NULL) != INS_OK || !ins_file_exists(path) ||
        ins_json_read_file(path, RECORD_BYTES, &root, NULL) != INS_OK)
        return NULL;
    json_t *gemm = json_incref(json_object_get(root, "gemm"));
    json_decref(root);
    return gemm;
}

ins_status ins_train_record_write(const char *stage_dir, const ins_train_record *record,
                                  const ins_gemm_choices *choices, ins_error *err) {
    char path[4200];
    INS_TRY(ins_path_join(stage_dir, "train.json", path, sizeof path, err));
    json_t *root = json_pack("{s:I, s:I, s:s, s:I, s:I, s:f}", "steps", (json_int_t)record->steps, "layers",
                             (json_int_t)record->layers, "compute", ins_dtype_name(record->compute), "done",
                             (json_int_t)record->done, "tokens", (json_int_t)record->tokens, "flop", record->flop);
    bool fine = root != NULL;
    if (fine && choices && ins_gemm_choices_closed(choices))
        fine = json_object_set_new(root, "gemm", ins_gemm_choices_json(choices)) == 0;
    ins_status status =
        fine ? ins_json_write_file(path, root, true, err) : INS_FAIL(err, INS_NOMEM, "no memory for train.json");
    json_decref(root);
    return status;
}
