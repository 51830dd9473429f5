/* Training speed against the machine's bound. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "kernel/isa.h"
#include "stage/bench_train.h"

static void put_json(const ins_bench_result *r, ins_str *out) {
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"tokens_per_s", r->tokens_per_s},
                   {"gflops", r->gflops},
                   {"peak_gflops", r->peak_gflops},
                   {"read_gbs", r->read_gbs},
                   {"update_gbs", r->update_gbs},
                   {"bound_ms", r->bound_ms},
                   {"ratio", r->ratio},
                   {"peak_rss_bytes", (double)r->peak_rss_bytes}};
    char processor[256], chip[320];
    api_processor(processor);
    snprintf(chip, sizeof chip, "%s (%s)", processor, ins_isa_name(ins_isa_detect()));
    ins_str_puts(out, "{\"chip\":");
    api_json_string(out, chip);
    ins_str_puts(out, ",\"ms\":{\"min\":");
    api_json_number(out, r->ms_min);
    ins_str_puts(out, ",\"median\":");
    api_json_number(out, r->ms_median);
    ins_str_puts(out, ",\"max\":");
    api_json_number(out, r->ms_max);
    ins_str_putc(out, '}');
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ins_str_printf(out, ",\"%s\":", numbers[i].name);
        api_json_number(out, numbers[i].value);
    }
    ins_str_puts(out, "}\n");
}

static void put_text(const ins_bench_result *r, ins_str *out) {
    char memory[32];
    ins_str_printf(out, "config %c, %s, %lld steps: median %.1f ms a step (min %.1f, max %.1f), %.0f tokens/s\n",
                   r->config, r->dtype == INS_DTYPE_BF16 ? "bf16" : "f32", (long long)r->steps, r->ms_median, r->ms_min,
                   r->ms_max, r->tokens_per_s);
    ins_str_printf(out, "%.1f GFLOP/s of %.1f; read %.1f GB/s, update %.1f GB/s\n", r->gflops, r->peak_gflops,
                   r->read_gbs, r->update_gbs);
    ins_str_printf(out, "bound %.1f ms, ratio %.2f; memory %s\n", r->bound_ms, r->ratio,
                   ins_human_size((double)r->peak_rss_bytes, memory));
}

instar_status instar_bench_train(instar *session, char config, const char *dtype, int64_t steps, instar_format format,
                                 char **text) {
    ins_error err = {0};
    ins_str out = {0};
    ins_bench_result result;
    bool bf16 = dtype && strcmp(dtype, "bf16") == 0;
    api_begin(session);
    ins_status status = INS_OK;
    if (config < 'A' || config > 'D') status = INS_FAIL(&err, INS_USAGE, "the configuration must be A, B, C or D");
    if (dtype && !bf16 && strcmp(dtype, "f32") != 0)
        status = INS_FAIL(&err, INS_USAGE, "the dtype must be f32 or bf16, not '%s'", dtype);
    if (status == INS_OK)
        status = ins_bench_train(config, bf16 ? INS_DTYPE_BF16 : INS_DTYPE_F32, steps > 0 ? steps : 20, session->pool,
                                 NULL, &result, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    if (format == INSTAR_JSON)
        put_json(&result, &out);
    else
        put_text(&result, &out);
    return api_give(session, &out, text);
}
