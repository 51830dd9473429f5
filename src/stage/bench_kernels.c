/* Speed of every op against its own bound: see bench_kernels.h. */
#include "stage/bench_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/profile.h"
#include "kernel/probe_machine.h"

/* Work below which a call has no row: scalars and a few numbers, whose time is that of the call itself. */
enum { SMALL = 1 << 14 };

/* ---- rows ---- */

/* Scalars and integers say nothing that is worth a place. */
static bool is_shown(const ins_type *type) {
    return type && type->n_dims > 0 && type->dtype != INS_DTYPE_I32;
}

static void put_shapes(const ins_type *const *types, int n, ins_str *out) {
    for (int i = 0, same; i < n; i += same) {
        same = 1;
        if (!is_shown(types[i])) continue;
        while (i + same < n && types[i + same] && ins_type_same_shape(types[i], types[i + same])) same++;
        if (same > 1) ins_str_printf(out, "%d of ", same);
        for (int d = 0; d < types[i]->n_dims; d++)
            ins_str_printf(out, "%s%lld", d ? "x" : "", (long long)types[i]->dims[d]);
        ins_str_putc(out, ' ');
    }
}

/* "256x768 2304x768 > 256x2304" */
static void describe(const ins_op_sig *sig, const char *variant, ins_str *out) {
    const ins_type *outputs[INS_OP_MAX_OUT];
    for (int i = 0; i < sig->n_out; i++) outputs[i] = &sig->out[i];
    if (variant) ins_str_printf(out, "%s: ", variant);
    put_shapes(sig->in, sig->n_in, out);
    ins_str_puts(out, "> ");
    put_shapes(outputs, sig->n_out, out);
    while (out->len > 0 && out->data[out->len - 1] == ' ') out->data[--out->len] = '\0';
}

/* Ops whose speed depends on more than shapes: the function that they apply is the scope. */
static bool has_variants(const char *op) {
    return strncmp(op, "unary", 5) == 0 || strncmp(op, "gated", 5) == 0;
}

static ins_bench_kernel *find_row(ins_bench_kernels *k, bool in_step, const char *op, const char *what,
                                  ins_dtype dtype) {
    for (int64_t i = 0; i < k->n; i++) {
        ins_bench_kernel *row = &k->rows[i];
        if (row->in_step == in_step && row->dtype == dtype && strcmp(row->op, op) == 0 && strcmp(row->what, what) == 0)
            return row;
    }
    if (k->n == k->cap) {
        int64_t cap = k->cap ? 2 * k->cap : 128;
        ins_bench_kernel *grown = ins_arena_alloc(k->arena, (size_t)cap * sizeof *grown);
        if (!grown) return NULL;
        if (k->n) memcpy(grown, k->rows, (size_t)k->n * sizeof *grown);
        k->rows = grown, k->cap = cap;
    }
    char *copy = ins_arena_strdup(k->arena, what);
    if (!copy) return NULL;
    k->rows[k->n] = (ins_bench_kernel){.in_step = in_step, .op = op, .what = copy, .dtype = dtype};
    return &k->rows[k->n++];
}

/* Sums until all rows are there; finish_rows makes means of them. */
static ins_status add_call(ins_bench_kernels *k, bool in_step, const ins_exec_step_view *step, double seconds,
                           ins_error *err) {
    const ins_op_sig *sig = step->call->sig;
    ins_bench_cost cost = ins_bench_cost_of(step->call);
    if (cost.flop < SMALL && cost.bytes < SMALL) return INS_OK;
    ins_str what = {0};
    describe(sig, !in_step && has_variants(sig->op->head.name) ? step->scope : NULL, &what);
    ins_bench_kernel *row = what.oom ? NULL
                                     : find_row(k, in_step, sig->op->head.name, what.data ? what.data : "",
                                                ins_bench_call_dtype(step->call));
    ins_str_free(&what);
    if (!row) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark's rows");
    row->calls++;
    row->ms += 1e3 * seconds;
    row->flop += cost.flop;
    row->bytes += cost.bytes;
    row->impl = ins_bench_impl_of(step->call);
    return INS_OK;
}

/* ---- timing ---- */

typedef ins_status (*run_fn)(void *what, double *extra_seconds, ins_error *err);

static ins_status run_training(void *what, double *extra_seconds, ins_error *err) {
    double ms = 0;
    ins_bench_run *run = what;
    INS_TRY(ins_bench_run_step(run, &ms, err));
    *extra_seconds = run->update_seconds;
    return INS_OK;
}

static ins_status run_ops(void *what, double *extra_seconds, ins_error *err) {
    ins_bench_ops *ops = what;
    *extra_seconds = 0;
    return ins_exec_run(ops->exec, err);
}

/* Median seconds of each step over the repetitions, after a run that touches the memory. *extra: of what the run does
 * beside the graph. */
static ins_status time_steps(ins_bench_kernels *k, bool in_step, run_fn run, void *what, ins_exec *exec,
                             int64_t repetitions, double *extra, ins_error *err) {
    int64_t n = ins_exec_n_steps(exec);
    double warm, *seconds = ins_calloc((size_t)((n + 1) * repetitions), sizeof *seconds);
    if (!seconds) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark's times");
    ins_status status = run(what, &warm, err);
    ins_exec_profile(exec, true);
    for (int64_t r = 0; status == INS_OK && r < repetitions; r++) {
        status = run(what, &seconds[n * repetitions + r], err);
        for (int64_t i = 0; i < n; i++) seconds[i * repetitions + r] = ins_exec_step_at(exec, i).seconds;
    }
    for (int64_t i = 0; status == INS_OK && i < n; i++) {
        ins_exec_step_view step = ins_exec_step_at(exec, i);
        if (step.call->sig->op->flags & INS_OP_VIEW) continue;
        status = add_call(k, in_step, &step, ins_bench_spread_of(&seconds[i * repetitions], repetitions).median, err);
    }
    if (status == INS_OK) *extra = ins_bench_spread_of(&seconds[n * repetitions], repetitions).median;
    ins_free(seconds);
    return status;
}

/* ---- everything ---- */

static ins_status add_update(ins_bench_kernels *k, const ins_bench_run *run, double seconds, ins_error *err) {
    double n_params = (double)ins_model_params(run->model)->n_elements;
    char what[64], count[32];
    snprintf(what, sizeof what, "%s parameters", ins_human_count(n_params, count));
    ins_bench_kernel *row = find_row(k, true, run->optimizer.desc->name, what, INS_DTYPE_F32);
    if (!row) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark's rows");
    row->calls = 1;
    row->ms = 1e3 * seconds;
    row->bytes = (run->weights_bf16 ? 30 : 28) * n_params;
    row->flop = 12 * n_params;
    row->impl = ins_bench_kernel_impl("optim", INS_DTYPE_F32);
    return INS_OK;
}

static ins_status time_training(ins_bench_kernels *k, const ins_bench_setup *setup, int64_t repetitions, int64_t *width,
                                ins_error *err) {
    ins_bench_run run;
    double update = 0;
    ins_status status = ins_bench_run_new(setup, &run, err);
    if (status == INS_OK)
        status = time_steps(k, true, run_training, &run, ins_train_graph_exec(run.graph), repetitions, &update, err);
    if (status == INS_OK) status = add_update(k, &run, update, err);
    if (status == INS_OK) *width = ins_model_get_options(run.model)->width;
    ins_bench_run_free(&run);
    return status;
}

static ins_status time_ops(ins_bench_kernels *k, const ins_bench_setup *setup, int64_t repetitions, int64_t width,
                           ins_error *err) {
    ins_bench_ops ops;
    double nothing = 0;
    ins_status status = ins_bench_ops_new(setup, width, &ops, err);
    if (status == INS_OK) status = time_steps(k, false, run_ops, &ops, ops.exec, repetitions, &nothing, err);
    ins_bench_ops_free(&ops);
    return status;
}

static int slowest_first(const void *x, const void *y) {
    const ins_bench_kernel *left = x, *right = y;
    double left_ms = left->ms * (double)left->calls, right_ms = right->ms * (double)right->calls;
    if (left->in_step != right->in_step) return left->in_step ? -1 : 1;
    return left_ms > right_ms ? -1 : left_ms < right_ms;
}

static void finish_rows(ins_bench_kernels *k) {
    for (int64_t i = 0; i < k->n; i++) {
        ins_bench_kernel *row = &k->rows[i];
        double calls = (double)row->calls;
        row->ms /= calls, row->flop /= calls, row->bytes /= calls;
        double peak = row->dtype == INS_DTYPE_BF16 ? k->probe.flops : k->peak_f32;
        row->bound_ms = 1e3 * (row->flop / peak + row->bytes / k->probe.update);
    }
    qsort(k->rows, (size_t)k->n, sizeof *k->rows, slowest_first);
}

static ins_status list_not_timed(ins_bench_kernels *k, ins_error *err) {
    ins_str missing = {0};
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = (const ins_op *)ins_family_op.items[i];
        bool timed = (op->flags & INS_OP_VIEW) != 0;
        for (int64_t j = 0; j < k->n && !timed; j++) timed = strcmp(k->rows[j].op, op->head.name) == 0;
        if (!timed) ins_str_printf(&missing, "%s%s", missing.len ? " " : "", op->head.name);
    }
    k->not_timed = missing.oom ? NULL : ins_arena_strdup(k->arena, missing.data ? missing.data : "");
    ins_str_free(&missing);
    return k->not_timed ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the benchmark's rows");
}

ins_status ins_bench_kernels_run(const ins_bench_options *options, ins_pool *pool, ins_bench_kernels *out,
                                 ins_error *err) {
    ins_bench_setup setup = {.dtype = options->dtype, .gemm = options->gemm, .pool = pool};
    ins_dtype dtype = options->dtype;
    int64_t width = 0, repetitions = options->steps ? options->steps : 5;
    *out = (ins_bench_kernels){.arena = ins_arena_new(0)};
    if (!out->arena) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    if (repetitions < 1 || repetitions > 1000)
        return INS_FAIL(err, INS_USAGE, "kernels are timed 1 to 1000 times, not %lld", (long long)repetitions);
    INS_TRY(ins_bench_shape_find(options->model, options->config, &setup.shape, err));
    ins_bench_probe before = ins_bench_probe_now(dtype, pool);
    double peak_f32 = ins_probe_flops(INS_DTYPE_F32, pool);
    INS_TRY(time_training(out, &setup, repetitions, &width, err));
    INS_TRY(time_ops(out, &setup, repetitions, width, err));
    ins_bench_probe after = ins_bench_probe_now(dtype, pool);
    out->peak_f32 = (peak_f32 + ins_probe_flops(INS_DTYPE_F32, pool)) / 2;
    out->probe = (ins_bench_probe){(before.flops + after.flops) / 2, (before.read + after.read) / 2,
                                   (before.update + after.update) / 2};
    finish_rows(out);
    return list_not_timed(out, err);
}

void ins_bench_kernels_free(ins_bench_kernels *kernels) {
    ins_arena_free(kernels->arena);
    *kernels = (ins_bench_kernels){0};
}
