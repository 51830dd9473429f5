/* Checking and running recipes. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "recipe/recipe_internal.h"
#include "report/report.h"

instar_status api_load(instar *session, const instar_recipe *recipe, ins_recipe **out) {
    ins_diag diag = {0};
    ins_recipe_source source = {.path = recipe->path,
                                .sets = recipe->sets,
                                .n_sets = recipe->n_sets,
                                .has_seed = recipe->has_seed,
                                .seed = recipe->seed};
    return api_end_diag(session, ins_recipe_load(&source, out, &diag), &diag);
}

instar_status api_load_keyed(instar *session, const instar_recipe *recipe, ins_recipe **out, ins_cache *cache) {
    ins_error err = {0};
    ins_recipe *loaded = NULL;
    instar_status loading = api_load(session, recipe, &loaded);
    if (loading != INSTAR_OK) return loading;
    ins_status status = session->cache_dir ? ins_cache_open(session->cache_dir, cache, &err)
                                           : INS_FAIL(&err, INS_USAGE, "the session has no cache folder");
    if (status == INS_OK) status = ins_recipe_keys(loaded, &session->log, &err);
    if (status == INS_OK)
        *out = loaded;
    else
        ins_recipe_free(loaded);
    return api_end(session, status, &err);
}

ins_status api_instance(const ins_recipe *recipe, const char *name, const ins_instance **out, ins_error *err) {
    char suggestion[160];
    *out = ins_recipe_find(recipe, name);
    if (*out) return INS_OK;
    for (int64_t i = 0; i < recipe->n_definitions; i++) {
        const ins_definition *definition = &recipe->definitions[i];
        if (strcmp(definition->name, name) != 0) continue;
        *out = &recipe->instances[definition->first_instance];
        return INS_OK; /* the first of a matrix stands for all */
    }
    INS_FAIL(err, INS_RECIPE, "the recipe has no stage '%s'%s", name,
             recipe_suggest(recipe_nearest_stage(recipe, name), suggestion));
    ins_error_at(err, (ins_pos){recipe->path, 0, 0});
    return INS_RECIPE;
}

instar_status instar_check(instar *session, const instar_recipe *recipe, instar_format format, char **text) {
    ins_recipe *loaded = NULL;
    ins_str out = {0};
    api_begin(session);
    instar_status status = api_load(session, recipe, &loaded);
    if (status != INSTAR_OK) return status;
    if (format == INSTAR_JSON) {
        ins_str_puts(&out, "{\"recipe\":");
        api_json_string(&out, loaded->name);
        ins_str_puts(&out, ",\"stages\":[");
        for (int64_t i = 0; i < loaded->n_instances; i++) {
            if (i) ins_str_putc(&out, ',');
            api_json_string(&out, loaded->instances[i].name);
        }
        ins_str_printf(&out, "],\"claims\":%lld}\n", (long long)loaded->n_claims);
    } else {
        ins_str_printf(&out, "%s: ok, %lld stages, %lld claims\n", recipe->path, (long long)loaded->n_instances,
                       (long long)loaded->n_claims);
    }
    ins_recipe_free(loaded);
    return api_give(session, &out, text);
}

instar_status instar_run_dir(instar *session, const instar_recipe *recipe, char **path) {
    ins_recipe *loaded = NULL;
    ins_str out = {0};
    api_begin(session);
    instar_status status = api_load(session, recipe, &loaded);
    if (status != INSTAR_OK) return status;
    ins_str_printf(&out, "runs/%s", loaded->name);
    ins_recipe_free(loaded);
    return api_give(session, &out, path);
}

static void put_claim_line(const ins_claim_result *r, ins_str *out) {
    char value[32], target[32], low[32], high[32];
    ins_str_printf(out, "  %-9s  %s: %s\n", r->not_run ? "not run" : ins_verdict_word(r->verdict), r->claim->id,
                   r->claim->text);
    if (!r->has_value) {
        ins_str_printf(out, "             %s\n", r->reason);
        return;
    }
    snprintf(value, sizeof value, "%.4g", r->value);
    snprintf(target, sizeof target, "%.4g", r->target);
    snprintf(low, sizeof low, "%.4g", r->low);
    snprintf(high, sizeof high, "%.4g", r->high);
    ins_str_printf(out, "             %s %s %s", value, ins_relation_word(r->claim->relation), target);
    if (r->has_interval) ins_str_printf(out, "   95 %% interval %s to %s", low, high);
    if (r->n_seeds > 1) ins_str_printf(out, "   %lld seeds", (long long)r->n_seeds);
    ins_str_putc(out, '\n');
}

/* What a run did, for people: one line a stage, then the claims. */
static void put_outcome(const ins_run_outcome *outcome, ins_str *out) {
    char seconds[32], tokens[32], rate[32];
    api_table table = api_table_new("lllrrr");
    for (int64_t i = 0; i < outcome->n_rows; i++) {
        const ins_run_row *row = &outcome->rows[i];
        if (!row->ready) continue;
        api_cell(&table, "  %s", row->instance->name);
        api_cell(&table, "%s", row->instance->definition->kind->head.name);
        api_cell(&table, "%s", row->cached ? "cached" : "done");
        api_cell(&table, "%s", row->result.seconds > 0 ? ins_human_time(row->result.seconds, seconds) : "");
        api_cell(&table, "%s%s", row->result.tokens ? ins_human_count((double)row->result.tokens, tokens) : "",
                 row->result.tokens ? " tokens" : "");
        api_cell(&table, "%s%s", row->result.tokens_per_s > 0 ? ins_human_count(row->result.tokens_per_s, rate) : "",
                 row->result.tokens_per_s > 0 ? " tokens/s" : "");
    }
    ins_str_puts(out, "stages\n");
    api_table_print(&table, out);
    if (outcome->n_claims > 0) ins_str_puts(out, "claims\n");
    for (int64_t i = 0; i < outcome->n_claims; i++) put_claim_line(&outcome->claims[i], out);
}

static bool are_all_shown(const ins_run_outcome *outcome) {
    for (int64_t i = 0; i < outcome->n_claims; i++)
        if (outcome->claims[i].verdict != INS_SHOWN) return false;
    return true;
}

static ins_status run_loaded(instar *session, ins_recipe *loaded, const instar_run_options *options,
                             ins_run_outcome *outcome, char report[PATH_MAX], ins_error *err) {
    char dir[PATH_MAX];
    ins_str machine = {0};
    snprintf(dir, sizeof dir, "runs/%s", loaded->name);
    api_machine_json(session, &machine);
    ins_run_options run = {.run_dir = options->dir ? options->dir : dir,
                           .cache_dir = session->cache_dir,
                           .only = options->only,
                           .command = options->command,
                           .machine = machine.data,
                           .tensorboard = !options->no_tensorboard,
                           .pool = session->pool,
                           .log = &session->log,
                           .stop = session->settings.stop,
                           .comm = session->comm};
    ins_status status = ins_run(loaded, &run, outcome, err);
    ins_str_free(&machine);
    report[0] = '\0';
    if (!outcome->began || options->no_report) return status;
    bool failed = status != INS_OK; /* then it shows how far things went; that it can't be written is no news */
    ins_status written = ins_path_join(run.run_dir, "report.html", report, PATH_MAX, failed ? NULL : err);
    if (written == INS_OK) written = ins_report_write(run.run_dir, report, failed ? NULL : err);
    if (written != INS_OK) report[0] = '\0';
    return failed ? status : written;
}

/* A rank may be unable to read what the others read. Rank 0's own messages are kept as they are. */
static instar_status agree_on_loading(instar *session, instar_status loading) {
    ins_error err = {0};
    ins_status status = (ins_status)loading;
    if (loading != INSTAR_OK) INS_FAIL(&err, status, "%s", session->n_errors ? session->errors[0] : "it can't be read");
    bool mine = loading != INSTAR_OK;
    status = ins_comm_agree(session->comm, status, &err);
    return mine ? (instar_status)status : api_end(session, status, &err);
}

instar_status instar_run(instar *session, const instar_recipe *recipe, const instar_run_options *options,
                         instar_format format, char **text, bool *all_shown) {
    static const instar_run_options nothing = {0};
    ins_recipe *loaded = NULL;
    ins_run_outcome outcome = {0};
    ins_error err = {0};
    ins_str out = {0};
    char report[PATH_MAX];
    api_begin(session);
    *text = NULL;
    instar_status loading = agree_on_loading(session, api_load(session, recipe, &loaded));
    if (loading != INSTAR_OK) {
        ins_recipe_free(loaded);
        return loading;
    }
    ins_status status = session->cache_dir
                            ? run_loaded(session, loaded, options ? options : &nothing, &outcome, report, &err)
                            : INS_FAIL(&err, INS_USAGE, "the session has no cache folder");
    *all_shown = status == INS_OK && are_all_shown(&outcome);
    if (outcome.n_rows > 0 && format == INSTAR_JSON) {
        ins_run_outcome_to_json(&outcome, &out);
        ins_str_putc(&out, '\n');
    } else if (outcome.n_rows > 0) {
        put_outcome(&outcome, &out);
        if (report[0]) ins_str_printf(&out, "report  %s\n", report);
    }
    instar_status result = api_end(session, status, &err);
    if (outcome.n_rows > 0 && api_give(session, &out, text) != INSTAR_OK && result == INSTAR_OK) result = INSTAR_NOMEM;
    ins_run_outcome_free(&outcome);
    ins_recipe_free(loaded);
    return result;
}
