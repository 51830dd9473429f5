/* Killing and resuming stages in child processes. */
#include "recipe/verify_resume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "recipe/cache.h"
#include "recipe/run.h"

extern char **environ;

typedef struct verify {
    const ins_recipe *recipe;
    const ins_verify_options *options;
    char whole_cache[PATH_MAX], broken_cache[PATH_MAX], run_dir[PATH_MAX];
    int64_t n_draws; /* random moments drawn so far */
} verify;

/* Environment with INSTAR_CACHE replaced; NULL on OOM. Freed with ins_free (the strings are borrowed). */
static char **make_environment(char *cache_setting) {
    size_t n = 0;
    while (environ[n]) n++;
    char **copy = ins_calloc(n + 2, sizeof *copy);
    size_t kept = 0;
    for (size_t i = 0; copy && i < n; i++)
        if (strncmp(environ[i], "INSTAR_CACHE=", 13) != 0) copy[kept++] = environ[i];
    if (copy) copy[kept] = cache_setting;
    return copy;
}

/* Start `program run RECIPE --dir ... [--only STAGE]` on a cache. Its output goes to a file beside the run. */
static ins_status start_child(const verify *v, const char *cache, const char *only, pid_t *pid, ins_error *err) {
    char threads[16], setting[PATH_MAX + 16], output[PATH_MAX];
    char *args[128];
    int n = 0;
    const ins_verify_options *o = v->options;
    snprintf(threads, sizeof threads, "%d", o->threads);
    snprintf(setting, sizeof setting, "INSTAR_CACHE=%s", cache);
    INS_TRY(ins_path_join(o->work_dir, "child.log", output, sizeof output, err));
    const char *fixed[] = {o->program, "run", o->recipe_path, "--dir", v->run_dir, "--quiet", "--no-report"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) args[n++] = (char *)(uintptr_t)fixed[i];
    if (o->threads > 0) {
        args[n++] = (char *)(uintptr_t) "--threads";
        args[n++] = threads;
    }
    if (only) {
        args[n++] = (char *)(uintptr_t) "--only";
        args[n++] = (char *)(uintptr_t)only;
    }
    for (int64_t i = 0; i < o->n_sets && n < 125; i++) {
        args[n++] = (char *)(uintptr_t) "--set";
        args[n++] = (char *)(uintptr_t)o->sets[i];
    }
    args[n] = NULL;
    char **environment = make_environment(setting);
    posix_spawn_file_actions_t actions;
    if (!environment || posix_spawn_file_actions_init(&actions) != 0) {
        ins_free(environment);
        return INS_FAIL(err, INS_NOMEM, "out of memory while starting a child process");
    }
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int code = posix_spawn(pid, o->program, &actions, NULL, args, environment);
    posix_spawn_file_actions_destroy(&actions);
    ins_free(environment);
    errno = code;
    return code == 0 ? INS_OK : INS_FAIL_ERRNO(err, "'%s' can't be started", o->program);
}

/* Wait until the child ends or `seconds` are over (negative = no limit), then kill it. *done = it ended by itself. */
static ins_status wait_child(const verify *v, pid_t pid, double seconds, bool *done, ins_error *err) {
    double start = ins_now();
    int state = 0;
    bool stopped = false;
    *done = false;
    for (;;) {
        pid_t got = waitpid(pid, &state, WNOHANG);
        if (got == pid) break;
        if (got < 0 && errno != EINTR) return INS_FAIL_ERRNO(err, "a child process can't be waited for");
        stopped = v->options->stop && *v->options->stop;
        if ((seconds >= 0 && ins_now() - start >= seconds) || stopped) {
            kill(pid, SIGKILL);
            waitpid(pid, &state, 0);
            break;
        }
        usleep(500);
    }
    if (stopped) return INS_FAIL(err, INS_INTERRUPTED, "interrupted");
    if (WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL) return INS_OK;
    *done = true;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return INS_OK;
    char path[PATH_MAX];
    ins_str output = {0};
    if (ins_path_join(v->options->work_dir, "child.log", path, sizeof path, NULL) == INS_OK)
        ins_file_read(path, 1 << 20, &output, NULL);
    const char *tail = output.len > 600 ? output.data + output.len - 600 : output.data;
    INS_FAIL(err, INS_NO, "the child process failed (%s %d): %s", WIFEXITED(state) ? "exit code" : "signal",
             WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state), tail ? tail : "");
    ins_str_free(&output);
    return INS_NO;
}

static ins_status run_to_end(const verify *v, const char *cache, const char *only, double *seconds, ins_error *err) {
    pid_t pid = 0;
    bool done = false;
    double start = ins_now();
    INS_TRY(start_child(v, cache, only, &pid, err));
    INS_TRY(wait_child(v, pid, -1, &done, err));
    if (seconds) *seconds = ins_now() - start;
    return done ? INS_OK : INS_FAIL(err, INS_ENV, "the child process was killed");
}

/* Copies a folder with hard links: entries are never changed once they are complete. */
static ins_status link_tree(const char *from, const char *to, ins_error *err) {
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_make(to, err));
    INS_TRY(ins_dir_list(from, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        char source[PATH_MAX], target[PATH_MAX], value[PATH_MAX];
        struct stat info;
        status = ins_path_join(from, names[i], source, sizeof source, err);
        if (status == INS_OK) status = ins_path_join(to, names[i], target, sizeof target, err);
        if (status != INS_OK) break;
        if (lstat(source, &info) != 0) {
            status = INS_FAIL_ERRNO(err, "'%s' can't be read", source);
        } else if (S_ISDIR(info.st_mode)) {
            status = link_tree(source, target, err);
        } else if (S_ISLNK(info.st_mode)) {
            ssize_t len = readlink(source, value, sizeof value - 1);
            if (len >= 0) value[len] = '\0';
            if (len < 0 || symlink(value, target) != 0) status = INS_FAIL_ERRNO(err, "'%s' can't be copied", source);
        } else if (link(source, target) != 0) {
            status = INS_FAIL_ERRNO(err, "'%s' can't be linked", source);
        }
    }
    ins_names_free(names, n);
    return status;
}

/* A cache with everything but one stage's entry. */
static ins_status prepare_broken(verify *v, const ins_instance *instance, ins_error *err) {
    ins_cache cache;
    char entry[PATH_MAX];
    INS_TRY(ins_dir_remove(v->broken_cache, err));
    INS_TRY(link_tree(v->whole_cache, v->broken_cache, err));
    INS_TRY(ins_cache_open(v->broken_cache, &cache, err));
    INS_TRY(ins_cache_path(&cache, instance->key, false, entry, err));
    return ins_dir_remove(entry, err);
}

static bool is_compared(const json_t *file) {
    const char *path = json_string_value(json_object_get(file, "path"));
    return path && strcmp(ins_path_base(path), "perf.jsonl") != 0;
}

static json_t *find_file(const json_t *files, const char *path) {
    size_t i;
    json_t *file;
    json_array_foreach(files, i, file) {
        const char *other = json_string_value(json_object_get(file, "path"));
        if (other && strcmp(other, path) == 0) return file;
    }
    return NULL;
}

/* First difference between two lists of files, seen from `one`. */
static bool lists_fit(const json_t *one, const json_t *other, char difference[256]) {
    size_t i;
    json_t *file;
    json_array_foreach(one, i, file) {
        const char *path = json_string_value(json_object_get(file, "path"));
        if (!is_compared(file)) continue;
        json_t *twin = find_file(other, path);
        if (twin && json_equal(twin, file)) continue;
        snprintf(difference, 256, "'%.200s' %s", path, twin ? "has other bytes" : "is only in one of them");
        return false;
    }
    return true;
}

/* Compare the entry of the broken cache with the whole one's, by the hashes in their manifests. */
static ins_status compare_entries(const verify *v, ins_verify_row *row, ins_error *err) {
    ins_cache whole, broken;
    json_t *want = NULL, *got = NULL;
    INS_TRY(ins_cache_open(v->whole_cache, &whole, err));
    INS_TRY(ins_cache_open(v->broken_cache, &broken, err));
    INS_TRY(ins_cache_manifest(&whole, row->instance->key, &want, err));
    ins_status status = ins_cache_manifest(&broken, row->instance->key, &got, err);
    if (status == INS_OK) {
        json_t *want_files = json_object_get(want, "files"), *got_files = json_object_get(got, "files");
        bool fits =
            lists_fit(want_files, got_files, row->difference) && lists_fit(got_files, want_files, row->difference);
        row->equal = row->equal && fits;
        row->completions++;
    }
    json_decref(want);
    json_decref(got);
    return status;
}

static ins_status verify_stage(verify *v, ins_verify_row *row, ins_error *err) {
    const char *name = row->instance->name;
    INS_TRY(prepare_broken(v, row->instance, err));
    INS_TRY(
        run_to_end(v, v->broken_cache, name, &row->seconds, err)); /* how long it takes, and: does it repeat at all? */
    INS_TRY(compare_entries(v, row, err));
    if (row->equal) INS_TRY(prepare_broken(v, row->instance, err));
    while (row->kills < v->options->kills && row->equal) {
        ins_rng rng = ins_rng_start(ins_rng_derive(v->options->seed, "verify-resume", 0), (uint64_t)v->n_draws++);
        double moment = ins_rng_uniform(&rng) * row->seconds;
        pid_t pid = 0;
        bool done = false;
        INS_TRY(start_child(v, v->broken_cache, name, &pid, err));
        INS_TRY(wait_child(v, pid, moment, &done, err));
        row->kills += !done;
        ins_progress p = {
            .what = name, .unit = "kills", .done = (double)row->kills, .total = (double)v->options->kills, .eta_s = -1};
        ins_log_progress(v->options->log, &p);
        if (!done) continue;
        INS_TRY(compare_entries(v, row, err));
        if (row->equal) INS_TRY(prepare_broken(v, row->instance, err));
    }
    if (!row->equal) return INS_OK;
    INS_TRY(run_to_end(v, v->broken_cache, name, NULL, err));
    return compare_entries(v, row, err);
}

static bool is_chosen(const ins_recipe *recipe, const ins_verify_options *options, int64_t at) {
    const ins_instance *instance = &recipe->instances[at];
    if (options->stage)
        return strcmp(instance->name, options->stage) == 0 || strcmp(instance->definition->name, options->stage) == 0;
    for (int64_t i = 0; i < at; i++)
        if (recipe->instances[i].definition->kind == instance->definition->kind) return false;
    return true;
}

static ins_status verify_all(verify *v, ins_verify_row *rows, int64_t n, ins_error *err) {
    INS_TRY(ins_path_join(v->options->work_dir, "whole", v->whole_cache, sizeof v->whole_cache, err));
    INS_TRY(ins_path_join(v->options->work_dir, "broken", v->broken_cache, sizeof v->broken_cache, err));
    INS_TRY(ins_path_join(v->options->work_dir, "run", v->run_dir, sizeof v->run_dir, err));
    ins_logf(v->options->log, INS_LOG_INFO, "unbroken run");
    INS_TRY(run_to_end(v, v->whole_cache, v->options->stage, NULL, err));
    for (int64_t i = 0; i < n; i++) {
        ins_logf(v->options->log, INS_LOG_INFO, "killing and resuming %s (%s)", rows[i].instance->name,
                 rows[i].instance->definition->kind->head.name);
        ins_status status = verify_stage(v, &rows[i], err);
        if (status != INS_OK) ins_error_frame(err, "stage %s", rows[i].instance->name);
        INS_TRY(status);
        if (!rows[i].equal) return INS_OK;
    }
    return INS_OK;
}

/* The folder is removed in the end, so nothing of anybody else may be in it. */
static ins_status claim_folder(const char *dir, ins_error *err) {
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_make(dir, err));
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_names_free(names, n);
    if (n == 0) return INS_OK;
    INS_FAIL(err, INS_USAGE, "the folder to work in, '%s', is not empty", dir);
    ins_error_hint(err, "it is removed in the end: give one that is not there yet");
    return INS_USAGE;
}

ins_status ins_verify_resume(const ins_recipe *recipe, const ins_verify_options *options, ins_arena *arena,
                             ins_verify_row **rows, int64_t *n, ins_error *err) {
    verify *v = ins_arena_alloc(arena, sizeof *v);
    ins_verify_row *list = ins_arena_alloc(arena, (size_t)(recipe->n_instances + 1) * sizeof *list);
    bool *known = ins_arena_alloc(arena, (size_t)recipe->n_instances + 1);
    int64_t count = 0;
    if (!v || !list || !known) return INS_FAIL(err, INS_NOMEM, "out of memory while starting to verify");
    INS_TRY(ins_run_select(recipe, options->stage, known, err));
    *v = (verify){.recipe = recipe, .options = options};
    for (int64_t i = 0; i < recipe->n_instances; i++)
        if (is_chosen(recipe, options, i))
            list[count++] = (ins_verify_row){.instance = &recipe->instances[i], .equal = true};
    INS_TRY(claim_folder(options->work_dir, err));
    ins_status status = verify_all(v, list, count, err);
    bool equal = true;
    for (int64_t i = 0; i < count; i++) equal = equal && list[i].equal;
    if (equal) { /* else both are left to be looked at */
        ins_status removed = ins_dir_remove(options->work_dir, NULL);
        (void)removed;
    } else {
        ins_logf(options->log, INS_LOG_WARN, "the two caches are kept: %s/whole and %s/broken", options->work_dir,
                 options->work_dir);
    }
    *rows = list;
    *n = count;
    return status;
}
