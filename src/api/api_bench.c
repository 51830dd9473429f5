/* Training speed against the machine's bound. */
#include <stdio.h>
#include <string.h>

#include "api/api_bench.h"
#include "kernel/isa.h"
#include "model/model.h"

void api_json_field(ins_str *out, const char *name, double value) {
    ins_str_printf(out, ",\"%s\":", name);
    api_json_number(out, value);
}

void api_json_spread(ins_str *out, const char *name, const ins_bench_spread *spread) {
    ins_str_printf(out, ",\"%s\":{\"min\":", name);
    api_json_number(out, spread->min);
    ins_str_puts(out, ",\"median\":");
    api_json_number(out, spread->median);
    ins_str_puts(out, ",\"max\":");
    api_json_number(out, spread->max);
    ins_str_putc(out, '}');
}

void api_json_chip(ins_str *out) {
    char processor[256], chip[320];
    api_processor(processor);
    snprintf(chip, sizeof chip, "%s (%s)", processor, ins_isa_name(ins_isa_detect()));
    ins_str_puts(out, "{\"chip\":");
    api_json_string(out, chip);
}

static ins_status read_dtype(const char *text, ins_dtype *dtype, ins_error *err) {
    static const char *const names[] = {"auto", "f32", "bf16"};
    static const ins_precision kinds[] = {INS_PRECISION_AUTO, INS_PRECISION_F32, INS_PRECISION_BF16};
    char why[160];
    for (int i = 0; i < 3; i++)
        if (strcmp(text ? text : "f32", names[i]) == 0) return ins_precision_choose(kinds[i], dtype, why, err);
    return INS_FAIL(err, INS_USAGE, "the dtype must be f32, bf16 or auto, not '%s'", text);
}

static ins_status read_config(const char *text, char *config, ins_error *err) {
    *config = text ? text[0] : 0;
    if (!text || (text[0] >= 'A' && text[0] <= 'D' && !text[1])) return INS_OK;
    return INS_FAIL(err, INS_USAGE, "the configuration must be A, B, C or D, not '%s'", text);
}

/* Index of the word in INS_GEMM_POLICIES. */
static ins_status read_gemm(const char *text, ins_gemm_policy *gemm, ins_error *err) {
    int index = 0;
    if (!text) return INS_OK;
    for (const char *word = INS_GEMM_POLICIES; *word; index++) {
        size_t n = strcspn(word, " ");
        if (strlen(text) == n && memcmp(word, text, n) == 0) {
            *gemm = (ins_gemm_policy)index;
            return INS_OK;
        }
        word += n + strspn(word + n, " ");
    }
    return INS_FAIL(err, INS_USAGE, "products are made by one of %s, not by '%s'", INS_GEMM_POLICIES, text);
}

static ins_status read_recompute(const char *text, ins_recompute *recompute, ins_error *err) {
    static const char *const names[INS_RECOMPUTES] = {"none", "cheap", "layers"};
    for (int i = 0; i < INS_RECOMPUTES; i++) {
        if (text && strcmp(text, names[i]) != 0) continue;
        *recompute = (ins_recompute)i;
        return INS_OK;
    }
    return INS_FAIL(err, INS_USAGE, "recompute is none, cheap or layers, not '%s'", text);
}

ins_status api_bench_options(const instar_bench_options *given, ins_bench_options *out, ins_error *err) {
    static const instar_bench_options nothing = {0};
    *out = (ins_bench_options){0};
    if (!given) given = &nothing;
    out->model = given->model, out->steps = given->steps, out->rounds = given->rounds;
    INS_TRY(read_config(given->config, &out->config, err));
    INS_TRY(read_gemm(given->gemm, &out->gemm, err));
    INS_TRY(read_recompute(given->recompute, &out->recompute, err));
    return read_dtype(given->dtype, &out->dtype, err);
}

static void put_json(const ins_bench_result *r, ins_str *out) {
    const ins_bench_spread ms = {r->ms_min, r->ms_median, r->ms_max}, ratios = {r->ratio_min, r->ratio, r->ratio_max};
    char config[2] = {r->config, 0};
    api_json_chip(out);
    api_json_spread(out, "ms", &ms);
    api_json_field(out, "tokens_per_s", r->tokens_per_s);
    api_json_field(out, "gflops", r->gflops);
    api_json_field(out, "peak_gflops", r->peak_gflops.median);
    api_json_field(out, "read_gbs", r->read_gbs.median);
    api_json_field(out, "update_gbs", r->update_gbs.median);
    api_json_field(out, "bound_ms", r->bound_ms);
    api_json_field(out, "ratio", r->ratio);
    api_json_field(out, "peak_rss_bytes", (double)r->peak_rss_bytes);
    ins_str_puts(out, ",\"model\":");
    api_json_string(out, r->model);
    ins_str_puts(out, ",\"config\":");
    api_json_string(out, r->config ? config : NULL);
    ins_str_printf(out, ",\"dtype\":\"%s\",\"threads\":%d,\"ranks\":%d", ins_dtype_name(r->dtype), r->threads,
                   r->ranks);
    api_json_field(out, "steps", (double)r->steps);
    api_json_field(out, "tokens", (double)r->work.tokens);
    api_json_field(out, "parameters", (double)r->work.n_params);
    api_json_field(out, "gflop", r->work.flop / 1e9);
    api_json_field(out, "bytes", r->work.bytes);
    api_json_field(out, "update_ms", r->update_ms);
    api_json_field(out, "first_ms", r->first_step_ms);
    api_json_field(out, "arena_bytes", (double)r->arena_bytes);
    api_json_field(out, "steady_allocations", (double)r->steady_allocs);
    api_json_field(out, "steady_page_faults", (double)r->steady_faults);
    api_json_spread(out, "ratios", &ratios);
    ins_str_printf(out, ",\"probes\":{\"steady\":%s", r->unsteady ? "false" : "true");
    api_json_spread(out, "peak_gflops", &r->peak_gflops);
    api_json_spread(out, "read_gbs", &r->read_gbs);
    api_json_spread(out, "update_gbs", &r->update_gbs);
    ins_str_puts(out, "},\"rounds\":[");
    for (int64_t i = 0; i < r->n_rounds; i++) {
        ins_str_printf(out, "%s{\"ms\":", i ? "," : "");
        api_json_number(out, r->rounds[i].ms);
        api_json_field(out, "bound_ms", r->rounds[i].bound_ms);
        api_json_field(out, "ratio", r->rounds[i].ratio);
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, "]}\n");
}

static void put_text(const ins_bench_result *r, ins_str *out) {
    char memory[32], arena[32], params[32];
    ins_str_printf(out, "%s", r->model);
    if (r->config) ins_str_printf(out, " %c", r->config);
    ins_str_printf(out, ", %s, %s parameters, %lld tokens a step; %lld steps in %lld rounds\n",
                   ins_dtype_name(r->dtype), ins_human_count((double)r->work.n_params, params),
                   (long long)r->work.tokens, (long long)r->steps, (long long)r->n_rounds);
    if (r->ranks > 1) ins_str_printf(out, "shared by %d ranks with %d threads in all\n", r->ranks, r->threads);
    ins_str_printf(out, "step      %8.1f ms (%.1f to %.1f; the update %.1f), %.0f tokens/s, %.1f GFLOP/s\n",
                   r->ms_median, r->ms_min, r->ms_max, r->update_ms, r->tokens_per_s, r->gflops);
    ins_str_printf(out, "bound     %8.1f ms = %.1f GFLOP at the peak + %.2f GB at the bandwidth\n", r->bound_ms,
                   r->work.flop / 1e9, r->work.bytes / 1e9);
    ins_str_printf(out, "ratio     %8.2f (%.2f to %.2f by round)\n", r->ratio, r->ratio_min, r->ratio_max);
    ins_str_printf(out, "peak      %8.1f GFLOP/s (%.1f to %.1f)\n", r->peak_gflops.median, r->peak_gflops.min,
                   r->peak_gflops.max);
    ins_str_printf(out, "bandwidth %8.1f GB/s for updates (%.1f to %.1f), %.1f GB/s for reading\n",
                   r->update_gbs.median, r->update_gbs.min, r->update_gbs.max, r->read_gbs.median);
    ins_str_printf(out,
                   "memory    %s at most, %s of it activations; %llu allocations and %llu page faults while timed\n",
                   ins_human_size((double)r->peak_rss_bytes, memory), ins_human_size((double)r->arena_bytes, arena),
                   (unsigned long long)r->steady_allocs, (unsigned long long)r->steady_faults);
}

instar_status instar_bench_train(instar *session, const instar_bench_options *options, instar_format format,
                                 char **text) {
    ins_bench_options bench;
    ins_bench_result result;
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    ins_status status = api_bench_options(options, &bench, &err);
    status = ins_comm_agree(session->comm, status, &err);
    if (status == INS_OK) /* auto may have been decided in another way elsewhere */
        status = ins_comm_broadcast(session->comm, &bench.dtype, sizeof bench.dtype, 0, &err);
    if (status == INS_OK) status = ins_bench_train(&bench, session->pool, session->comm, NULL, &result, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    if (result.unsteady)
        ins_logf(&session->log, INS_LOG_WARN,
                 "the machine changed its speed: by its probes the bound moved by more than %.0f %% (peak %.1f to %.1f "
                 "GFLOP/s, "
                 "bandwidth %.1f to %.1f GB/s); trust the ratio, not the times",
                 100 * INS_BENCH_UNSTEADY, result.peak_gflops.min, result.peak_gflops.max, result.update_gbs.min,
                 result.update_gbs.max);
    if (format == INSTAR_JSON)
        put_json(&result, &out);
    else
        put_text(&result, &out);
    if (ins_comm_rank(session->comm) > 0) ins_str_free(&out); /* one result for all */
    return api_give(session, &out, text);
}
