/* The run's folder: lock, store, links, run.json, claims.json, recipe.lock.yaml. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "recipe/run_internal.h"

static ins_status take_lock(run_state *run, ins_error *err) {
    char path[PATH_MAX];
    INS_TRY(ins_path_join(run->run_dir, ".lock", path, sizeof path, err));
    run->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (run->lock_fd < 0) return INS_FAIL_ERRNO(err, "'%s' can't be opened", path);
    if (flock(run->lock_fd, LOCK_EX | LOCK_NB) == 0) return INS_OK;
    INS_FAIL(err, INS_ENV, "another process runs in '%s'", run->run_dir);
    ins_error_hint(err, "wait for it, or give this run another folder with --dir");
    return INS_ENV;
}

static bool is_of_recipe(const ins_recipe *recipe, const char *folder) {
    for (int64_t i = 0; i < recipe->n_instances; i++)
        if (strcmp(recipe->instances[i].folder, folder) == 0) return true;
    return false;
}

/* Links to stages that the recipe does not have any more. Only links are removed: what else is there is the user's. */
static ins_status drop_stale(const run_state *run, ins_error *err) {
    char dir[PATH_MAX], path[PATH_MAX], **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_path_join(run->run_dir, "stages", dir, sizeof dir, err));
    INS_TRY(ins_dir_make(dir, err));
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    for (int64_t i = 0; i < n; i++) {
        struct stat info;
        if (is_of_recipe(run->recipe, names[i]) || ins_path_join(dir, names[i], path, sizeof path, NULL) != INS_OK)
            continue;
        if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) unlink(path);
    }
    ins_names_free(names, n);
    return INS_OK;
}

static ins_status write_lock_file(const run_state *run, ins_error *err) {
    char path[PATH_MAX];
    ins_str text = {0};
    INS_TRY(ins_path_join(run->run_dir, "recipe.lock.yaml", path, sizeof path, err));
    ins_status status = ins_recipe_lock_text(run->recipe, &text, err);
    if (status == INS_OK) status = ins_file_write_atomic(path, text.data, text.len, err);
    ins_str_free(&text);
    return status;
}

ins_status run_folder_open(run_state *run, ins_error *err) {
    char path[PATH_MAX], seed[32];
    INS_TRY(ins_dir_make(run->options->run_dir, err));
    if (!realpath(run->options->run_dir, run->run_dir))
        return INS_FAIL_ERRNO(err, "'%s' can't be used", run->options->run_dir);
    INS_TRY(take_lock(run, err));
    INS_TRY(ins_path_join(run->run_dir, "metrics.db", path, sizeof path, err));
    INS_TRY(ins_store_open(path, false, &run->store, err));
    INS_TRY(ins_store_set_recipe(run->store, run->recipe, err));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)run->recipe->seed);
    INS_TRY(ins_store_info(run->store, "recipe", run->recipe->name, err));
    INS_TRY(ins_store_info(run->store, "summary", run->recipe->summary ? run->recipe->summary : "", err));
    INS_TRY(ins_store_info(run->store, "seed", seed, err));
    INS_TRY(ins_store_info(run->store, "instar", INS_VERSION, err));
    INS_TRY(ins_dir_sweep(run->run_dir, NULL, err));
    INS_TRY(drop_stale(run, err));
    return write_lock_file(run, err);
}

void run_folder_close(run_state *run) {
    ins_store_close(run->store);
    if (run->lock_fd >= 0) close(run->lock_fd);
}

/* The link is replaced in one step. */
ins_status run_link(const run_state *run, const ins_instance *instance, const char *target, ins_error *err) {
    char path[PATH_MAX], fresh[PATH_MAX], now[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/stages/%s", run->run_dir, instance->folder);
    int m = snprintf(fresh, sizeof fresh, "%s/stages/.new-%ld", run->run_dir, (long)getpid());
    if (n <= 0 || n >= PATH_MAX || m <= 0 || m >= PATH_MAX)
        return INS_FAIL(err, INS_ENV, "the path of the run is too long: %s", run->run_dir);
    ssize_t len = readlink(path, now, sizeof now - 1);
    if (len > 0 && (size_t)len == strlen(target) && memcmp(now, target, (size_t)len) == 0) return INS_OK;
    unlink(fresh);
    if (symlink(target, fresh) != 0) return INS_FAIL_ERRNO(err, "the link '%s' can't be made", path);
    if (rename(fresh, path) == 0) return INS_OK;
    INS_FAIL_ERRNO(err, "the link '%s' can't be made", path);
    unlink(fresh);
    return INS_IO;
}

ins_status run_tensorboard_dir(const run_state *run, const ins_instance *instance, char path[PATH_MAX],
                               ins_error *err) {
    int n = snprintf(path, PATH_MAX, "%s/tensorboard/%s", run->run_dir, instance->folder);
    return n > 0 && n < PATH_MAX ? INS_OK : INS_FAIL(err, INS_ENV, "the path of the run is too long: %s", run->run_dir);
}

static void time_text(double wall, char text[32]) {
    time_t seconds = (time_t)wall;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

ins_status run_write_json(const run_state *run, const char *state, ins_error *err) {
    char path[PATH_MAX], started[32], now[32];
    bool over = strcmp(state, "running") != 0;
    INS_TRY(ins_path_join(run->run_dir, "run.json", path, sizeof path, err));
    time_text(run->wall_started, started);
    time_text((double)time(NULL), now);
    json_t *value =
        json_pack("{ss ss ss sI ss ss ss* ss* sf si si}", "recipe", run->recipe->name, "path", run->recipe->path,
                  "state", state, "seed", (json_int_t)run->recipe->seed, "instar", INS_VERSION, "started", started,
                  "finished", over ? now : NULL, "command", run->options->command, "seconds", ins_now() - run->started,
                  "threads", ins_pool_threads(run->options->pool), "ranks", ins_comm_size(run->options->comm));
    if (!value) return INS_FAIL(err, INS_NOMEM, "out of memory while writing run.json");
    json_t *machine = run->options->machine ? json_loads(run->options->machine, 0, NULL) : NULL;
    if (machine) json_object_set_new(value, "machine", machine);
    ins_status status = ins_json_write_file(path, value, true, err);
    json_decref(value);
    return status;
}

ins_status run_write_claims(const run_state *run, ins_error *err) {
    char path[PATH_MAX];
    ins_str text = {0};
    INS_TRY(ins_path_join(run->run_dir, "claims.json", path, sizeof path, err));
    ins_claims_to_json(run->outcome->claims, run->outcome->n_claims, &text);
    ins_str_putc(&text, '\n');
    ins_status status = text.oom ? INS_FAIL(err, INS_NOMEM, "out of memory while writing claims.json")
                                 : ins_file_write_atomic(path, text.data, text.len, err);
    ins_str_free(&text);
    return status;
}
