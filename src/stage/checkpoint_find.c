/* Which checkpoints of a stage are complete: see checkpoint.h for the layout. Nothing here trusts a file that the
 * manifest does not vouch for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "format/json.h"
#include "stage/checkpoint.h"

#define MANIFEST_MAX (1u << 20)

static bool step_of_name(const char *name, int64_t *step) {
    if (strncmp(name, "step-", 5) != 0 || strlen(name) < 6 || strspn(name + 5, "0123456789") != strlen(name + 5))
        return false;
    if (strlen(name) > 5 + 18) return false;
    *step = (int64_t)strtoll(name + 5, NULL, 10);
    return true;
}

static ins_status verify_file(const char *dir, const char *name, const json_t *entry, ins_error *err) {
    char path[4096];
    const char *want = NULL;
    int64_t bytes = 0;
    if (strchr(name, '/') || name[0] == '.') return INS_FAIL(err, INS_MODEL, "%s: manifest names '%s'", dir, name);
    INS_TRY(ins_json_get_string(entry, "sha256", &want, err));
    INS_TRY(ins_json_get_int(entry, "bytes", &bytes, err));
    INS_TRY(ins_path_join(dir, name, path, sizeof path, err));
    if (!ins_file_exists(path)) return INS_FAIL(err, INS_MODEL, "%s is missing", path);
    ins_digest digest;
    uint64_t size = 0;
    INS_TRY(ins_sha256_file(path, &digest, &size, err));
    if ((int64_t)size != bytes) {
        return INS_FAIL(err, INS_MODEL, "%s has %llu bytes, its manifest says %lld (truncated?)", path,
                        (unsigned long long)size, (long long)bytes);
    }
    if (strcmp(digest.hex, want) != 0)
        return INS_FAIL(err, INS_MODEL, "%s does not match its manifest's hash (damaged)", path);
    return INS_OK;
}

static ins_status read_manifest(const char *dir, int64_t want_step, json_t **out, ins_error *err) {
    char path[4096];
    json_t *manifest = NULL;
    INS_TRY(ins_path_join(dir, "manifest.json", path, sizeof path, err));
    if (!ins_file_exists(path)) return INS_FAIL(err, INS_MODEL, "%s has no manifest: it was not completed", dir);
    INS_TRY(ins_json_read_file(path, MANIFEST_MAX, &manifest, err));
    int64_t step = -1;
    ins_status status = ins_json_get_int(manifest, "step", &step, err);
    if (status == INS_OK && step != want_step) {
        status = INS_FAIL(err, INS_MODEL, "%s: manifest is of step %lld", dir, (long long)step);
    }
    if (status == INS_OK && !json_is_object(json_object_get(manifest, "files"))) {
        status = INS_FAIL(err, INS_MODEL, "%s: manifest lists no files", dir);
    }
    if (status != INS_OK) {
        json_decref(manifest);
        return status;
    }
    *out = manifest;
    return INS_OK;
}

static ins_status verify(const char *dir, int64_t step, ins_error *err) {
    json_t *manifest = NULL;
    INS_TRY(read_manifest(dir, step, &manifest, err));
    ins_status status = INS_OK;
    const char *name;
    json_t *entry;
    json_object_foreach(json_object_get(manifest, "files"), name, entry) {
        if (status == INS_OK) status = verify_file(dir, name, entry, err);
    }
    json_decref(manifest);
    return status;
}

static int compare_steps(const void *x, const void *y) {
    int64_t left = *(const int64_t *)x, right = *(const int64_t *)y;
    return left < right ? -1 : left > right;
}

static ins_status list_in(const char *stage_dir, const char *folder, int64_t **steps, int64_t *n, ins_error *err) {
    char root[4096], path[4096];
    char **names = NULL;
    int64_t n_names = 0, count = 0;
    INS_TRY(ins_path_join(stage_dir, folder, root, sizeof root, err));
    if (!ins_dir_exists(root)) {
        *steps = NULL;
        *n = 0;
        return INS_OK;
    }
    INS_TRY(ins_dir_list(root, &names, &n_names, err));
    int64_t *list = ins_malloc((size_t)(n_names + 1) * sizeof *list);
    for (int64_t i = 0; list && i < n_names; i++) {
        int64_t step;
        char inner[300];
        if (!step_of_name(names[i], &step)) continue;
        snprintf(inner, sizeof inner, "%.255s/manifest.json", names[i]);
        if (ins_path_join(root, inner, path, sizeof path, NULL) == INS_OK && ins_file_exists(path))
            list[count++] = step;
    }
    ins_names_free(names, n_names);
    if (!list) return INS_FAIL(err, INS_NOMEM, "no memory for the list of checkpoints");
    qsort(list, (size_t)count, sizeof *list, compare_steps);
    *steps = list;
    *n = count;
    return INS_OK;
}

ins_status ins_checkpoint_list(const char *stage_dir, int64_t **steps, int64_t *n, ins_error *err) {
    return list_in(stage_dir, INS_CHECKPOINTS, steps, n, err);
}

ins_status ins_checkpoint_find_in(const char *stage_dir, const char *folder, int64_t step, const ins_log *log,
                                  char *buf, size_t size, int64_t *found_step, ins_error *err) {
    int64_t *steps = NULL, n = 0;
    INS_TRY(list_in(stage_dir, folder, &steps, &n, err));
    ins_status status = INS_MODEL;
    ins_error why = {0};
    for (int64_t i = n - 1; i >= 0 && status != INS_OK; i--) {
        if (step >= 0 && steps[i] != step) continue;
        char name[64];
        snprintf(name, sizeof name, "%s/step-%09lld", folder, (long long)steps[i]);
        ins_error_clear(&why);
        status = ins_path_join(stage_dir, name, buf, size, &why);
        if (status == INS_OK) status = verify(buf, steps[i], &why);
        if (status == INS_OK && found_step) *found_step = steps[i];
        if (status != INS_OK && step < 0) {
            ins_logf(log, INS_LOG_WARN, "checkpoint of step %lld is damaged, trying the one before: %s",
                     (long long)steps[i], why.text);
        }
    }
    ins_free(steps);
    if (status == INS_OK) return INS_OK;
    if (why.text[0]) {
        if (err) *err = why;
        ins_error_hint(err, "this checkpoint is damaged: delete its folder, and the stage's, to have it made again");
        return why.status;
    }
    if (step >= 0) {
        INS_FAIL(err, INS_MODEL, "%s has no checkpoint of step %lld", stage_dir, (long long)step);
    } else {
        INS_FAIL(err, INS_MODEL, "%s has no complete checkpoint", stage_dir);
    }
    ins_error_hint(
        err, "run the train stage first; damaged checkpoints can be deleted, the stage resumes from an earlier one");
    return INS_MODEL;
}

ins_status ins_checkpoint_find(const char *stage_dir, int64_t step, const ins_log *log, char *buf, size_t size,
                               int64_t *found_step, ins_error *err) {
    return ins_checkpoint_find_in(stage_dir, INS_CHECKPOINTS, step, log, buf, size, found_step, err);
}

/* ---- retention ---- */

static ins_status remove_leftovers(const char *root, ins_error *err) {
    char **names = NULL, path[4096];
    int64_t n = 0;
    INS_TRY(ins_dir_list(root, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        size_t len = strlen(names[i]);
        if (len < 4 || strcmp(names[i] + len - 4, ".tmp") != 0) continue;
        status = ins_path_join(root, names[i], path, sizeof path, err);
        if (status == INS_OK) status = ins_dir_remove(path, err);
    }
    ins_names_free(names, n);
    return status;
}

ins_status ins_checkpoint_prune(const char *stage_dir, const char *folder, int64_t keep, ins_error *err) {
    char root[4096], dir[4096];
    int64_t *steps = NULL, n = 0;
    INS_TRY(ins_path_join(stage_dir, folder, root, sizeof root, err));
    if (!ins_dir_exists(root)) return INS_OK;
    if (keep == 0) return ins_dir_remove(root, err);
    INS_TRY(remove_leftovers(root, err));
    INS_TRY(list_in(stage_dir, folder, &steps, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n - keep && status == INS_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "step-%09lld", (long long)steps[i]);
        status = ins_path_join(root, name, dir, sizeof dir, err);
        if (status == INS_OK) status = ins_dir_remove(dir, err);
    }
    ins_free(steps);
    return status;
}
