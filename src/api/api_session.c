/* Sessions: threads, callbacks, messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"

/* The public statuses are the library's own. */
#define SAME(code) _Static_assert((int)INSTAR_##code == (int)INS_##code, "statuses differ")
SAME(OK);
SAME(NO);
SAME(USAGE);
SAME(RECIPE);
SAME(DATA);
SAME(MODEL);
SAME(IO);
SAME(NOMEM);
SAME(ENV);
SAME(NUMERIC);
SAME(BUG);
SAME(INTERRUPTED);
_Static_assert((int)INSTAR_ERROR == (int)INS_LOG_ERROR && (int)INSTAR_DEBUG == (int)INS_LOG_DEBUG, "levels differ");

int instar_exit_code(instar_status status) {
    return ins_status_exit_code((ins_status)status);
}

const char *instar_version(void) {
    return INS_VERSION;
}

static void pass_message(void *arg, ins_log_level level, const char *text) {
    const instar *session = arg;
    if (session->settings.message) session->settings.message(session->settings.arg, (instar_level)level, text);
}

static void pass_progress(void *arg, const ins_progress *p) {
    const instar *session = arg;
    instar_progress out = {.what = p->what,
                           .unit = p->unit,
                           .done = p->done,
                           .total = p->total,
                           .rate = p->rate,
                           .eta_s = p->eta_s,
                           .detail = p->detail};
    if (session->settings.progress) session->settings.progress(session->settings.arg, &out);
}

/* Ranks first: how many threads are fair depends on them. */
static ins_status open_workers(instar *session, ins_error *err) {
    int threads = session->settings.threads;
    if (session->settings.ranks > 1) {
        INS_TRY(ins_comm_open_mpi(session->settings.ranks, &session->comm, err));
        if (threads == 0) threads = ins_comm_threads(session->comm);
        if (ins_comm_idle_cores(session->comm) > 0)
            ins_logf(
                &session->log, INS_LOG_WARN,
                "the launcher binds the ranks and leaves cores of this machine idle (%d); mpirun --bind-to none, or "
                "--map-by socket:pe=N with N cores a rank, uses them",
                ins_comm_idle_cores(session->comm));
    }
    return ins_comm_agree(session->comm, ins_pool_new(threads, &session->pool, err), err);
}

instar_status instar_open(const instar_settings *settings, instar **out) {
    instar *session = ins_calloc(1, sizeof *session);
    *out = session;
    if (!session) return INSTAR_NOMEM;
    session->settings = *settings;
    session->log = (ins_log){.message = pass_message, .progress = pass_progress, .arg = session};
    ins_error err = {0};
    ins_status status = INS_OK;
    if (settings->cache_dir && !(session->cache_dir = ins_strdup(settings->cache_dir)))
        status = INS_FAIL(&err, INS_NOMEM, "out of memory while opening a session");
    session->settings.cache_dir = session->cache_dir;
    if (status == INS_OK && settings->threads < 0)
        status = INS_FAIL(&err, INS_USAGE, "the number of threads can't be negative");
    if (settings->ranks > 1 && settings->rank > 0) session->settings.message = NULL, session->settings.progress = NULL;
    if (status == INS_OK) status = open_workers(session, &err);
    return api_end(session, status, &err);
}

void instar_close(instar *session) {
    if (!session) return;
    api_begin(session);
    ins_free(session->errors);
    ins_pool_free(session->pool);
    ins_comm_close(session->comm);
    ins_free(session->cache_dir);
    ins_free(session);
}

void api_begin(instar *session) {
    for (int64_t i = 0; i < session->n_errors; i++) ins_free(session->errors[i]);
    session->n_errors = 0;
}

static void add_message(instar *session, const ins_error *err) {
    size_t size = ins_error_format(err, NULL, 0) + 1;
    char *text = ins_malloc(size);
    if (text) ins_error_format(err, text, size);
    if (text && session->n_errors == session->cap_errors) {
        int64_t cap = session->cap_errors ? session->cap_errors * 2 : 8;
        char **grown = ins_realloc(session->errors, (size_t)cap * sizeof *grown);
        if (!grown) {
            ins_free(text);
            return;
        }
        session->errors = grown;
        session->cap_errors = cap;
    }
    if (text) session->errors[session->n_errors++] = text;
}

instar_status api_end(instar *session, ins_status status, const ins_error *err) {
    bool question = status == INS_NO && !err->text[0]; /* a plain "no" needs no message */
    if (status != INS_OK && !question) add_message(session, err);
    return (instar_status)status;
}

instar_status api_end_diag(instar *session, ins_status status, ins_diag *diag) {
    for (int64_t i = 0; i < diag->n; i++) add_message(session, &diag->items[i]);
    if (diag->n_dropped > 0) {
        ins_error err = {0};
        INS_FAIL(&err, INS_RECIPE, "and %lld more problems", (long long)diag->n_dropped);
        add_message(session, &err);
    }
    ins_diag_free(diag);
    return (instar_status)status;
}

instar_status api_give(instar *session, ins_str *text, char **out) {
    ins_error err = {0};
    if (!text->oom && !text->data) ins_str_puts(text, "");
    if (text->oom || !text->data) {
        ins_str_free(text);
        return api_end(session, INS_FAIL(&err, INS_NOMEM, "out of memory while making a text"), &err);
    }
    *out = text->data;
    *text = (ins_str){0};
    return INSTAR_OK;
}

/* One message for a launch: rank 0 has it, whoever failed. */
int64_t instar_error_count(const instar *session) {
    return session->settings.rank > 0 ? 0 : session->n_errors;
}

const char *instar_error_text(const instar *session, int64_t i) {
    return i >= 0 && i < instar_error_count(session) ? session->errors[i] : NULL;
}

void instar_free(void *text) {
    ins_free(text);
}
