/* A train stage on several ranks (threads of this test): the losses of one process to rounding, the same bits each
 * time, resumed with any number of ranks; one rank's failure is everybody's. */
#include "dist/thread_comm.h"
#include "stage/checkpoint.h"
#include "stage/stage_run.h"

#include <math.h>

#define RECIPE(batch, micro, more)                                                                                     \
    "{data: [{tokens: tokens, corpus: near}], model: {preset: llama, layers: 2, width: 32, heads: 2, max_positions: "  \
    "64" more "}, context: 32, batch: " #batch ", micro_rows: " #micro ", steps: 20, lr: 0.01, precision: f32, "       \
    "ema: 0.9, clip: 0.5, spike: skip, spike_z: 3, probe_points: 4, "                                                  \
    "probes: [{kind: bpb, tokens: tokens, corpus: near, max_tokens: 512}, stats]}"

typedef struct ranks_fixture {
    run_kit kit;
} ranks_fixture;

static int setup(void **state) {
    ranks_fixture *f = calloc(1, sizeof *f);
    run_open(&f->kit, 1);
    run_make_tokens(&f->kit);
    *state = f;
    return 0;
}
static int teardown(void **state) {
    ranks_fixture *f = *state;
    run_close(&f->kit);
    free(f);
    return 0;
}

/* ---- a stage on ranks ---- */

typedef struct ranks_job {
    run_kit *kit;
    const char *name, *yaml;
    int blind; /* this rank finds no inputs; -1 = none */
    int hasty; /* this rank is asked to stop from the beginning; -1 = none */
    ins_status status[8];
    ins_error err[8];
} ranks_job;

static ins_status no_value(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)value, (void)err;
    return INS_OK;
}
static ins_status no_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text, ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)text, (void)err;
    return INS_OK;
}
static ins_status no_truncate(void *arg, int64_t step, ins_error *err) {
    (void)arg, (void)step, (void)err;
    return INS_OK;
}
static ins_status no_flush(void *arg, ins_error *err) {
    (void)arg, (void)err;
    return INS_OK;
}

static void run_rank(ins_comm *comm, void *arg) {
    ranks_job *job = arg;
    run_kit *kit = job->kit;
    int rank = ins_comm_rank(comm);
    const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, "train");
    run_kit other = {.arena = ins_arena_new(0)};
    ins_diag diag = {0};
    const void *options = run_parse(&other, stage, job->yaml, &diag);
    assert_int_equal(diag.n, 0);
    const ins_log log = {run_message, rank ? NULL : run_progress, kit}, silent = {0};
    const ins_metrics own = {kit, run_value, run_text, run_truncate, run_flush};
    const ins_metrics none = {NULL, no_value, no_text, no_truncate, no_flush};
    const volatile int stop = 1, go_on = 0;
    ins_stage_result result;
    ins_stage_context c = {.options = options,
                           .name = job->name,
                           .inputs = kit->inputs,
                           .n_inputs = rank == job->blind ? 0 : kit->n_inputs,
                           .dir = ins_arena_printf(other.arena, "%s/%s", kit->root, job->name),
                           .seed = kit->seed,
                           .pool = rank ? NULL : kit->pool,
                           .log = rank ? &silent : &log,
                           .metrics = rank ? &none : &own,
                           .stop = rank == job->hasty ? &stop
                                   : rank             ? &go_on
                                                      : &kit->stop,
                           .result = rank ? &result : &kit->result,
                           .comm = comm};
    job->status[rank] = stage->run(&c, &job->err[rank]);
    ins_arena_free(other.arena);
}

/* The records of an earlier attempt are kept, as run_stage keeps them. */
static ins_status run_on(run_kit *kit, int size, const char *name, const char *yaml) {
    ranks_job job = {.kit = kit, .name = name, .yaml = yaml, .blind = -1, .hasty = -1};
    if (!ins_dir_exists(run_dir(kit, name))) run_truncate(kit, INT64_MIN, NULL);
    assert_ok(ins_dir_make(run_dir(kit, name), NULL));
    thread_ranks(size, size == 3, run_rank, &job); /* late deliveries for one of the sizes: they take time */
    for (int rank = 0; rank < size; rank++) {
        if (job.status[rank] != job.status[0])
            fail_msg("rank %d ended with %d (%s), rank 0 with %d (%s)", rank, job.status[rank], job.err[rank].text,
                     job.status[0], job.err[0].text);
    }
    kit->err = job.err[0];
    return job.status[0];
}
static void run_on_ok(run_kit *kit, int size, const char *name, const char *yaml) {
    if (run_on(kit, size, name, yaml) == INS_OK) return;
    fail_msg("%s on %d ranks: %s", name, size, kit->err.text);
}

/* Rates are times; all other numbers agree to a relative `tolerance` (of the larger scale for what may be near 0). */
static void compare_records(const run_list *one, const run_list *other, double tolerance) {
    assert_int_equal(one->n, other->n);
    for (int64_t i = 0; i < one->n; i++) {
        const run_record *x = &one->records[i], *y = &other->records[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->step, y->step);
        assert_int_equal(x->tokens, y->tokens);
        if (strcmp(x->name, "train/loss") != 0 && strncmp(x->name, "bpb", 3) != 0) continue;
        if (!(fabs(x->value - y->value) <= tolerance * fabs(x->value)))
            fail_msg("step %d: %s is %.9g and %.9g", (int)x->step, x->name, x->value, y->value);
    }
}

static run_list run_fresh(run_kit *kit, int size, const char *name, const char *yaml) {
    run_on_ok(kit, size, name, yaml);
    assert_int_equal(kit->result.steps, 20);
    return run_take(kit);
}

static void check_same_losses(run_kit *kit, const char *name, const char *yaml, int max_size) {
    run_list one = run_fresh(kit, 1, ins_arena_printf(kit->arena, "%s1", name), yaml);
    for (int size = 2; size <= max_size; size++) {
        const char *stage = ins_arena_printf(kit->arena, "%s%d", name, size);
        run_list many = run_fresh(kit, size, stage, yaml);
        compare_records(&one, &many, 1e-5);
        run_list_free(&many);
        assert_false(ins_dir_exists(run_path(kit, stage, "resume")));
    }
    run_list_free(&one);
}

static void test_same_losses(void **state) {
    ranks_fixture *f = *state;
    check_same_losses(&f->kit, "even", RECIPE(256, 8, ""), 4);
    check_same_losses(&f->kit, "odd", RECIPE(224, 2, ""), 4);   /* 7 rows: runs of unlike length, padding */
    check_same_losses(&f->kit, "scarce", RECIPE(64, 2, ""), 4); /* fewer rows than ranks */
}

/* Whole micro-batches go to ranks: then dropout, too, is that of one process. */
static void test_same_dropout(void **state) {
    ranks_fixture *f = *state;
    run_kit *kit = &f->kit;
    const char *yaml = RECIPE(256, 2, ", dropout: 0.1");
    run_list one = run_fresh(kit, 1, "drop1", yaml), two = run_fresh(kit, 2, "drop2", yaml),
             four = run_fresh(kit, 4, "drop4", yaml);
    compare_records(&one, &two, 1e-5);
    compare_records(&one, &four, 1e-5);
    run_list_free(&one);
    run_list_free(&two);
    run_list_free(&four);
}

static void test_same_bits_each_time(void **state) {
    ranks_fixture *f = *state;
    run_kit *kit = &f->kit;
    const char *yaml = RECIPE(224, 2, ", dropout: 0.1");
    run_list once = run_fresh(kit, 3, "once", yaml), again = run_fresh(kit, 3, "again", yaml);
    run_assert_same_records(&once, &again);
    run_assert_same_checkpoints(kit, "once", "again");
    run_list_free(&once);
    run_list_free(&again);
}

/* ---- going on ---- */

static void stop_at(run_kit *kit, int size, const char *name, const char *yaml, const char *metric, int64_t step) {
    kit->stop = 0;
    kit->stop_metric = metric;
    kit->stop_step = step;
    assert_int_equal(run_on(kit, size, name, yaml), INS_INTERRUPTED);
    kit->stop = 0;
    kit->stop_metric = NULL;
}

static void test_resumed_with_as_many(void **state) {
    ranks_fixture *f = *state;
    run_kit *kit = &f->kit;
    const char *yaml = RECIPE(224, 2, ", dropout: 0.1");
    run_list whole = run_fresh(kit, 3, "whole", yaml);
    stop_at(kit, 3, "stopped", yaml, "train/loss", 3);
    stop_at(kit, 3, "stopped", yaml, "bpb/near", 4); /* among the probes, which look at the optimizer's state */
    stop_at(kit, 3, "stopped", yaml, "train/loss", 12);
    run_on_ok(kit, 3, "stopped", yaml);
    run_list records = run_take(kit);
    run_assert_same_records(&whole, &records);
    run_assert_same_checkpoints(kit, "whole", "stopped");
    run_list_free(&records);
    run_list_free(&whole);
}

static void test_resumed_with_others(void **state) {
    ranks_fixture *f = *state;
    run_kit *kit = &f->kit;
    const char *yaml = RECIPE(224, 2, "");
    run_list whole = run_fresh(kit, 1, "alone", yaml);
    stop_at(kit, 2, "mixed", yaml, "train/loss", 4);
    stop_at(kit, 4, "mixed", yaml, "train/loss", 9);
    stop_at(kit, 1, "mixed", yaml, "train/loss", 13);
    run_on_ok(kit, 3, "mixed", yaml);
    run_list records = run_take(kit);
    compare_records(&whole, &records, 1e-5);
    run_list_free(&records);
    run_list_free(&whole);
}

/* ---- failures ---- */

static void fail_on(run_kit *kit, ranks_job *job, int size) {
    job->kit = kit;
    job->name = "failing";
    assert_ok(ins_dir_remove(run_dir(kit, job->name), NULL));
    assert_ok(ins_dir_make(run_dir(kit, job->name), NULL));
    thread_ranks(size, false, run_rank, job);
    for (int rank = 0; rank < size; rank++) {
        assert_int_not_equal(job->status[rank], INS_OK);
        assert_int_equal(job->status[rank], job->status[0]);
        assert_string_equal(job->err[rank].text, job->err[0].text);
    }
}

static void test_failures_are_everybodys(void **state) {
    ranks_fixture *f = *state;
    run_kit *kit = &f->kit;
    ranks_job blind = {.yaml = RECIPE(256, 8, ""), .blind = 2, .hasty = -1};
    fail_on(kit, &blind, 3);
    assert_non_null(strstr(blind.err[0].frames[blind.err[0].n_frames - 1], "rank 2 of 3"));
    ranks_job hasty = {.yaml = RECIPE(256, 8, ""), .blind = -1, .hasty = 1};
    fail_on(kit, &hasty, 2);
    assert_int_equal(hasty.status[0], INS_INTERRUPTED);
    ranks_job wild = {.yaml = "{data: [{tokens: tokens, corpus: near}], " RUN_MODEL
                              ", context: 32, batch: 256, steps: 20, lr: 1e6, clip: 0, probe_points: 2}",
                      .blind = -1,
                      .hasty = -1};
    fail_on(kit, &wild, 2);
    assert_int_equal(wild.status[0], INS_NUMERIC);
    assert_non_null(strstr(wild.err[0].text, "not finite"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_losses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_dropout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_bits_each_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumed_with_as_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumed_with_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_everybodys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
