/* Speed of every op against its own bound. */
#include <stdio.h>
#include <string.h>

#include "api/api_bench.h"
#include "stage/bench_kernels.h"

static void put_row(const ins_bench_kernel *row, ins_str *out) {
    ins_str_printf(out, "{\"group\":\"%s\",\"op\":", row->in_step ? "step" : "other");
    api_json_string(out, row->op);
    ins_str_puts(out, ",\"shape\":");
    api_json_string(out, row->what);
    ins_str_printf(out, ",\"dtype\":\"%s\",\"calls\":%lld", ins_dtype_name(row->dtype), (long long)row->calls);
    api_json_field(out, "ms", row->ms);
    api_json_field(out, "bound_ms", row->bound_ms);
    api_json_field(out, "ratio", row->ms / row->bound_ms);
    api_json_field(out, "flop", row->flop);
    api_json_field(out, "bytes", row->bytes);
    ins_str_puts(out, ",\"implementation\":");
    api_json_string(out, row->impl);
    ins_str_putc(out, '}');
}

static void put_json(const ins_bench_kernels *k, const ins_bench_options *o, int threads, ins_str *out) {
    api_json_chip(out);
    ins_str_printf(out, ",\"config\":\"%c\",\"dtype\":\"%s\",\"threads\":%d", o->config, ins_dtype_name(o->dtype),
                   threads);
    api_json_field(out, "peak_gflops", k->probe.flops / 1e9);
    api_json_field(out, "peak_f32_gflops", k->peak_f32 / 1e9);
    api_json_field(out, "read_gbs", k->probe.read / 1e9);
    api_json_field(out, "update_gbs", k->probe.update / 1e9);
    ins_str_puts(out, ",\"rows\":[");
    for (int64_t i = 0; i < k->n; i++) {
        if (i) ins_str_putc(out, ',');
        put_row(&k->rows[i], out);
    }
    ins_str_puts(out, "],\"not_timed\":[");
    char name[64];
    bool first = true;
    for (const char *word = k->not_timed; *word; word += strspn(word, " ")) {
        size_t n = strcspn(word, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, word);
        if (!first) ins_str_putc(out, ',');
        api_json_string(out, name);
        first = false;
        word += n;
    }
    ins_str_puts(out, "]}\n");
}

static void put_group(const ins_bench_kernels *k, bool in_step, ins_str *out) {
    double total = 0, bound = 0;
    api_table table = api_table_new("llrrrrrl");
    static const char *const heads[] = {"op", "shape", "calls", "ms a call", "bound", "ratio", "% of all", "by"};
    for (int i = 0; i < 8; i++) api_cell(&table, "%s", heads[i]);
    for (int64_t i = 0; i < k->n; i++) {
        if (k->rows[i].in_step != in_step) continue;
        total += k->rows[i].ms * (double)k->rows[i].calls;
        bound += k->rows[i].bound_ms * (double)k->rows[i].calls;
    }
    for (int64_t i = 0; i < k->n; i++) {
        const ins_bench_kernel *row = &k->rows[i];
        if (row->in_step != in_step) continue;
        api_cell(&table, "%s", row->op);
        api_cell(&table, "%s %s", row->what, ins_dtype_name(row->dtype));
        api_cell(&table, "%lld", (long long)row->calls);
        api_cell(&table, "%.3f", row->ms);
        api_cell(&table, "%.3f", row->bound_ms);
        api_cell(&table, "%.2f", row->ms / row->bound_ms);
        api_cell(&table, "%.1f", 100 * row->ms * (double)row->calls / total);
        api_cell(&table, "%s", row->impl);
    }
    ins_str_printf(out, "\n%s: %.1f ms, the sum of the bounds is %.1f ms: %.2f\n",
                   in_step ? "Ops of the training step" : "Other ops", total, bound, total / bound);
    api_table_print(&table, out);
}

static void put_text(const ins_bench_kernels *k, const ins_bench_options *o, ins_str *out) {
    ins_str_printf(
        out, "gpt2 %c, %s: peak %.1f GFLOP/s (f32 %.1f), bandwidth %.1f GB/s for updates, %.1f GB/s for reading\n",
        o->config, ins_dtype_name(o->dtype), k->probe.flops / 1e9, k->peak_f32 / 1e9, k->probe.update / 1e9,
        k->probe.read / 1e9);
    put_group(k, true, out);
    put_group(k, false, out);
    if (k->not_timed[0]) ins_str_printf(out, "\nnot timed: %s\n", k->not_timed);
}

instar_status instar_bench_kernels(instar *session, const instar_bench_options *options, instar_format format,
                                   char **text) {
    ins_bench_kernels kernels = {0};
    ins_bench_options bench;
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    ins_status status = api_bench_options(options, &bench, &err);
    if (status == INS_OK && bench.model && strcmp(bench.model, "gpt2") != 0)
        status = INS_FAIL(&err, INS_USAGE, "kernels are timed at the shapes of gpt2, not of '%s'", bench.model);
    if (status == INS_OK && !bench.config) bench.config = 'D';
    if (status == INS_OK) status = ins_bench_kernels_run(&bench, session->pool, &kernels, &err);
    if (status == INS_OK && format == INSTAR_JSON)
        put_json(&kernels, &bench, ins_pool_threads(session->pool), &out);
    else if (status == INS_OK)
        put_text(&kernels, &bench, &out);
    ins_bench_kernels_free(&kernels);
    return status == INS_OK ? api_give(session, &out, text) : api_end(session, status, &err);
}
