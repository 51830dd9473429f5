/* Plan, why, verify-resume. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "recipe/plan.h"
#include "recipe/verify_resume.h"
#include "recipe/why.h"

/* ---- plan ---- */

/* ,"recompute":{"chosen":"none","ways":[{"name":..,"peak_bytes":..,"seconds":..},..]} */
static void ways_json(const ins_stage_plan *plan, ins_str *out) {
    if (plan->n_recompute == 0) return;
    ins_str_printf(out, ",\"recompute\":{\"chosen\":\"%s\",\"ways\":[", plan->recompute[plan->chosen].name);
    for (int i = 0; i < plan->n_recompute; i++) {
        ins_str_printf(out, "%s{\"name\":\"%s\",\"peak_bytes\":", i ? "," : "", plan->recompute[i].name);
        api_json_number(out, plan->recompute[i].peak_bytes);
        ins_str_puts(out, ",\"seconds\":");
        api_json_number(out, plan->recompute[i].seconds);
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, "]}");
}

/* "recompute of writer: none 24.5 MB 3.4 s (chosen), cheap 21 MB 3.5 s, ..." */
static void ways_text(const ins_plan_row *row, ins_str *out) {
    char bytes[32], time[32];
    const ins_stage_plan *plan = &row->plan;
    if (plan->n_recompute == 0 || row->cached) return;
    ins_str_printf(out, "recompute in %s:", row->instance->name);
    for (int i = 0; i < plan->n_recompute; i++)
        ins_str_printf(out, "%s %s%s %s, %s", i ? ";" : "", plan->recompute[i].name,
                       i == plan->chosen ? " (chosen)" : "", ins_human_size(plan->recompute[i].peak_bytes, bytes),
                       ins_human_time(plan->recompute[i].seconds, time));
    ins_str_putc(out, '\n');
}

static void plan_json(const ins_plan_row *rows, int64_t n, ins_str *out) {
    ins_str_puts(out, "{\"stages\":[");
    for (int64_t i = 0; i < n; i++) {
        const ins_plan_row *row = &rows[i];
        ins_str_puts(out, i ? ",{\"name\":" : "{\"name\":");
        api_json_string(out, row->instance->name);
        ins_str_printf(out,
                       ",\"kind\":\"%s\",\"key\":\"%s\",\"cached\":%s,\"params\":%lld,\"steps\":%lld,\"tokens\":%lld",
                       row->instance->definition->kind->head.name, row->instance->key, row->cached ? "true" : "false",
                       (long long)row->plan.params, (long long)row->plan.steps, (long long)row->plan.tokens);
        const struct {
            const char *name;
            double value;
        } numbers[] = {{"peak_bytes", row->plan.peak_bytes},
                       {"disk_bytes", row->plan.disk_bytes},
                       {"flop", row->plan.flop},
                       {"seconds", row->plan.seconds}};
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            ins_str_printf(out, ",\"%s\":", numbers[k].name);
            api_json_number(out, numbers[k].value);
        }
        ways_json(&row->plan, out);
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, "]}\n");
}

static const char *or_blank(double value, const char *text) {
    return value > 0 ? text : "";
}

static void plan_text(const ins_plan_row *rows, int64_t n, ins_str *out) {
    static const char *const heads[] = {"stage", "kind", "state", "params", "memory", "disk", "FLOP", "time"};
    char text[32];
    double seconds = 0, disk = 0;
    api_table table = api_table_new("lllrrrrr");
    for (int i = 0; i < 8; i++) api_cell(&table, "%s", heads[i]);
    for (int64_t i = 0; i < n; i++) {
        const ins_plan_row *row = &rows[i];
        api_cell(&table, "%s", row->instance->name);
        api_cell(&table, "%s", row->instance->definition->kind->head.name);
        api_cell(&table, "%s", row->cached ? "cached" : row->partial ? "begun" : "to do");
        api_cell(&table, "%s", or_blank((double)row->plan.params, ins_human_count((double)row->plan.params, text)));
        api_cell(&table, "%s", or_blank(row->plan.peak_bytes, ins_human_size(row->plan.peak_bytes, text)));
        api_cell(&table, "%s", or_blank(row->plan.disk_bytes, ins_human_size(row->plan.disk_bytes, text)));
        api_cell(&table, "%s", or_blank(row->plan.flop, ins_human_count(row->plan.flop, text)));
        api_cell(&table, "%s", or_blank(row->plan.seconds, ins_human_time(row->plan.seconds, text)));
        if (row->cached) continue;
        seconds += row->plan.seconds;
        disk += row->plan.disk_bytes;
    }
    api_table_print(&table, out);
    for (int64_t i = 0; i < n; i++) ways_text(&rows[i], out);
    ins_str_printf(out, "to do: about %s", ins_human_time(seconds, text));
    ins_str_printf(out, ", %s of disk; blank = not known before the stage's inputs are there\n",
                   ins_human_size(disk, text));
}

instar_status instar_plan(instar *session, const instar_recipe *recipe, instar_format format, char **text) {
    ins_recipe *loaded = NULL;
    ins_cache cache;
    ins_error err = {0};
    ins_str out = {0};
    ins_plan_row *rows = NULL;
    api_begin(session);
    instar_status loading = api_load_keyed(session, recipe, &loaded, &cache);
    if (loading != INSTAR_OK) return loading;
    ins_status status = ins_plan_recipe(loaded, &cache, session->pool, &session->log, loaded->arena, &rows, &err);
    if (status == INS_OK && format == INSTAR_JSON) plan_json(rows, loaded->n_instances, &out);
    if (status == INS_OK && format != INSTAR_JSON) plan_text(rows, loaded->n_instances, &out);
    ins_recipe_free(loaded);
    return status == INS_OK ? api_give(session, &out, text) : api_end(session, status, &err);
}

/* ---- why ---- */

static void why_json(const ins_why *why, ins_str *out) {
    ins_str_puts(out, "{\"stage\":");
    api_json_string(out, why->instance->name);
    ins_str_printf(out, ",\"key\":\"%s\",\"cached\":%s,\"begun\":%s,\"made\":", why->instance->key,
                   why->cached ? "true" : "false", why->partial ? "true" : "false");
    api_json_string(out, why->made);
    ins_str_puts(out, ",\"compared_with\":");
    api_json_string(out, why->other_key);
    ins_str_puts(out, ",\"changes\":[");
    for (int64_t i = 0; i < why->n_changes; i++) {
        const ins_why_change *change = &why->changes[i];
        const char *const values[] = {change->what, change->path, change->before, change->after};
        static const char *const names[] = {"what", "path", "before", "after"};
        for (int k = 0; k < 4; k++) {
            ins_str_printf(out, "%s\"%s\":", k ? "," : i ? ",{" : "{", names[k]);
            api_json_string(out, values[k]);
        }
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, "]}\n");
}

static void why_text(const ins_why *why, const char *recipe_path, ins_str *out) {
    if (why->cached) {
        ins_str_printf(out, "%s is cached: made %s, key %.12s\n", why->instance->name, why->made ? why->made : "?",
                       why->instance->key);
        return;
    }
    ins_str_printf(out, "%s is not cached, key %.12s", why->instance->name, why->instance->key);
    ins_str_puts(out, why->partial ? "; it was begun and will go on from its last checkpoint\n" : "\n");
    if (!why->other_key) {
        ins_str_printf(out, "no stage of the kind %s was finished before\n",
                       why->instance->definition->kind->head.name);
        return;
    }
    ins_str_printf(out, "against %.12s (%s, made %s) these are different:\n", why->other_key,
                   why->other_name ? why->other_name : "?", why->other_made ? why->other_made : "?");
    api_table table = api_table_new("llll");
    for (int64_t i = 0; i < why->n_changes; i++) {
        const ins_why_change *change = &why->changes[i];
        api_cell(&table, "  %s", change->what);
        api_cell(&table, "%s", change->path);
        api_cell(&table, "%.200s ->", change->before ? change->before : "(absent)");
        api_cell(&table, "%.200s", change->after ? change->after : "(absent)");
    }
    api_table_print(&table, out);
    for (int64_t i = 0; i < why->n_changes; i++)
        if (strcmp(why->changes[i].what, "input") == 0)
            ins_str_printf(out, "for the input: instar why %s '%s'\n", recipe_path, why->changes[i].path);
    if (why->n_changes == 0) ins_str_puts(out, "  nothing: its entry in the cache is gone or was moved aside\n");
}

instar_status instar_why(instar *session, const instar_recipe *recipe, const char *run_dir, const char *stage,
                         instar_format format, char **text) {
    ins_recipe *loaded = NULL;
    ins_cache cache;
    ins_error err = {0};
    ins_str out = {0};
    ins_why why;
    const ins_instance *instance = NULL;
    char dir[PATH_MAX];
    api_begin(session);
    instar_status loading = api_load_keyed(session, recipe, &loaded, &cache);
    if (loading != INSTAR_OK) return loading;
    snprintf(dir, sizeof dir, "runs/%s", loaded->name);
    ins_status status = api_instance(loaded, stage, &instance, &err);
    if (status == INS_OK)
        status = ins_why_stage(loaded, instance, &cache, run_dir ? run_dir : dir, loaded->arena, &why, &err);
    if (status == INS_OK && format == INSTAR_JSON) why_json(&why, &out);
    if (status == INS_OK && format != INSTAR_JSON) why_text(&why, recipe->path, &out);
    ins_recipe_free(loaded);
    return status == INS_OK ? api_give(session, &out, text) : api_end(session, status, &err);
}

/* ---- verify-resume ---- */

static void verify_result(const ins_verify_row *rows, int64_t n, instar_format format, bool *equal, ins_str *out) {
    int64_t kills = 0;
    *equal = true;
    for (int64_t i = 0; i < n; i++) {
        kills += rows[i].kills;
        *equal = *equal && rows[i].equal;
    }
    if (format == INSTAR_JSON) ins_str_printf(out, "{\"kills\":%lld,\"stages\":[", (long long)kills);
    for (int64_t i = 0; i < n; i++) {
        const char *kind = rows[i].instance->definition->kind->head.name;
        if (format != INSTAR_JSON) {
            ins_str_printf(out, "%s  %s (%s)  %lld kills, %lld completions%s%s\n",
                           rows[i].equal ? "equal" : "DIFFERENT", rows[i].instance->name, kind,
                           (long long)rows[i].kills, (long long)rows[i].completions, rows[i].equal ? "" : ": ",
                           rows[i].difference);
            continue;
        }
        ins_str_puts(out, i ? ",{\"name\":" : "{\"name\":");
        api_json_string(out, rows[i].instance->name);
        ins_str_printf(out, ",\"kind\":\"%s\",\"kills\":%lld,\"completions\":%lld,\"equal\":%s,\"difference\":", kind,
                       (long long)rows[i].kills, (long long)rows[i].completions, rows[i].equal ? "true" : "false");
        api_json_string(out, rows[i].equal ? NULL : rows[i].difference);
        ins_str_putc(out, '}');
    }
    if (format == INSTAR_JSON) ins_str_printf(out, "],\"equal\":%s}\n", *equal ? "true" : "false");
}

instar_status instar_verify_resume(instar *session, const instar_recipe *recipe, const instar_verify_options *options,
                                   instar_format format, char **text) {
    ins_recipe *loaded = NULL;
    ins_error err = {0};
    ins_str out = {0};
    ins_verify_row *rows = NULL;
    int64_t n = 0;
    bool equal = false;
    api_begin(session);
    instar_status loading = api_load(session, recipe, &loaded);
    if (loading != INSTAR_OK) return loading;
    ins_verify_options verify = {.program = options->program,
                                 .recipe_path = recipe->path,
                                 .sets = recipe->sets,
                                 .n_sets = recipe->n_sets,
                                 .work_dir = options->work_dir,
                                 .stage = options->stage,
                                 .kills = options->kills > 0 ? options->kills : 5,
                                 .threads = session->settings.threads,
                                 .seed = options->seed,
                                 .log = &session->log,
                                 .stop = session->settings.stop};
    ins_status status = ins_recipe_keys(loaded, &session->log, &err);
    if (status == INS_OK) status = ins_verify_resume(loaded, &verify, loaded->arena, &rows, &n, &err);
    if (status == INS_OK) verify_result(rows, n, format, &equal, &out);
    ins_recipe_free(loaded);
    if (status != INS_OK) return api_end(session, status, &err);
    instar_status given = api_give(session, &out, text);
    return given != INSTAR_OK ? given : equal ? INSTAR_OK : INSTAR_NO;
}
