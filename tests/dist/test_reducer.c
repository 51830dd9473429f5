/* Sums of gradients over ranks: every element once, in the order of the ranks, whatever is final or arrives first. */
#include "dist/thread_comm.h"

#include "dist/reducer.h"

typedef struct reducer_case {
    int64_t counts[12]; /* of rows; 0 = an empty row; ended by -1 */
    bool announce;      /* rows become final one by one, in an order of their own on each rank */
    bool partly;        /* some rows are never announced */
    uint64_t seed;
} reducer_case;

static const reducer_case cases[] = {
    {{5, -1}, true, false, 1},
    {{1, 1, 1, -1}, true, false, 2},
    {{300, 17, 0, 4096, 1000, 33, -1}, true, false, 3},
    {{300, 17, 0, 4096, 1000, 33, -1}, true, true, 4},
    {{300, 17, 0, 4096, 1000, 33, -1}, false, false, 5},
    {{200000, 7, 150001, 64, 99999, -1}, true, false, 6},
    {{5 << 19, 3, 2 << 19, -1}, true, false, 7}, /* parts of whole huge pages */
};

static ins_params *make_params(const reducer_case *c) {
    ins_params *params = NULL;
    assert_ok(ins_params_new(&params, NULL));
    for (int64_t i = 0; c->counts[i] >= 0; i++) {
        char name[16];
        snprintf(name, sizeof name, "row%d", (int)i);
        assert_ok(ins_params_add(params, name, INS_TYPE(INS_DTYPE_F32, c->counts[i]), NULL, NULL));
    }
    return params;
}

/* Terms of very different size: any other order of the sum gives other bits. */
static float term(const reducer_case *c, int64_t at, int rank, int round) {
    uint64_t x = (uint64_t)at * 2654435761u + (uint64_t)rank * 97 + (uint64_t)round * 31 + c->seed;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 32;
    float scale = x & 64 ? 1000.0f : 0.001f;
    return ((float)(x & 0xffff) / 65536.0f - 0.5f) * scale;
}
static float expected_sum(const reducer_case *c, int64_t at, int size, int round) {
    float sum = term(c, at, 0, round);
    for (int rank = 1; rank < size; rank++) sum += term(c, at, rank, round);
    return sum;
}

static void fill(const reducer_case *c, const ins_params *params, float *slab, int rank, int round) {
    for (int64_t r = 0; r < params->n; r++)
        for (int64_t i = 0; i < params->rows[r].count; i++)
            slab[params->rows[r].offset + i] = term(c, params->rows[r].offset + i, rank, round);
}

/* Each row's memory is poisoned until it is announced: what leaves too early is seen. */
static void announce(const reducer_case *c, const ins_params *params, ins_reducer *r, float *slab, int rank,
                     int round) {
    ins_rng rng = ins_rng_start(ins_rng_derive(c->seed, "order", (uint64_t)(rank * 100 + round)), 0);
    bool done[12] = {false};
    for (int64_t i = 0; i < params->n; i++)
        memset(slab + params->rows[i].offset, 0x7f, (size_t)params->rows[i].count * sizeof(float));
    for (int64_t n = 0; n < params->n; n++) {
        int64_t row;
        do row = (int64_t)ins_rng_below(&rng, (uint64_t)params->n);
        while (done[row]);
        done[row] = true;
        for (int64_t i = 0; i < params->rows[row].count; i++)
            slab[params->rows[row].offset + i] = term(c, params->rows[row].offset + i, rank, round);
        if (c->announce && !(c->partly && row % 3 == 1)) ins_reducer_row(r, row);
        ins_reducer_tick(r);
    }
}

static bool owned(const ins_reducer *r, int64_t at) {
    for (int64_t i = 0; i < ins_reducer_n_parts(r); i++) {
        int64_t begin, end;
        ins_reducer_part(r, i, &begin, &end);
        if (at >= begin && at < end) return true;
    }
    return false;
}

static void check_steps(ins_comm *comm, void *arg) {
    const reducer_case *c = arg;
    int rank = ins_comm_rank(comm), size = ins_comm_size(comm);
    ins_params *params = make_params(c);
    float *grads = NULL, *slab = NULL;
    ins_reducer *r = NULL;
    assert_ok(ins_slab_new(params, &grads, NULL));
    assert_ok(ins_slab_new(params, &slab, NULL));
    assert_ok(ins_reducer_new(comm, params, grads, NULL, &r, NULL));
    for (int round = 0; round < 3; round++) {
        ins_reducer_begin(r);
        announce(c, params, r, grads, rank, round);
        assert_ok(ins_reducer_finish(r, NULL));
        int64_t n_owned = 0, step = params->slab_count > 100000 ? 97 : 1;
        for (int64_t i = 0; i < ins_reducer_n_parts(r); i++) {
            int64_t begin, end;
            ins_reducer_part(r, i, &begin, &end);
            n_owned += end - begin;
        }
        double total = (double)n_owned;
        assert_ok(ins_comm_sum(comm, &total, 1, NULL));
        assert_true(total == (double)params->slab_count); /* each element has one owner */
        /* the owners' sums come to everybody, and to one rank */
        memset(slab, 0, (size_t)params->slab_count * sizeof(float));
        memcpy(slab, grads, (size_t)params->slab_count * sizeof(float));
        if (round == 1) assert_ok(ins_reducer_collect(r, slab, size - 1, NULL));
        if (round != 1) assert_ok(ins_reducer_gather(r, slab, NULL));
        for (int64_t k = 0; k < params->n; k++) {
            for (int64_t i = 0; i < params->rows[k].count; i += step) {
                int64_t at = params->rows[k].offset + i;
                float sum = expected_sum(c, at, size, round);
                if (owned(r, at) && memcmp(&grads[at], &sum, sizeof sum) != 0)
                    fail_msg("rank %d of %d: element %lld is %g, not %g", rank, size, (long long)at, (double)grads[at],
                             (double)sum);
                if ((round != 1 || rank == size - 1) && memcmp(&slab[at], &sum, sizeof sum) != 0)
                    fail_msg("rank %d of %d: gathered element %lld", rank, size, (long long)at);
            }
        }
    }
    ins_reducer_free(r);
    ins_slab_free(params, grads);
    ins_slab_free(params, slab);
    ins_params_free(params);
}

static void test_every_element_in_the_order_of_the_ranks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool big = cases[i].counts[0] > 1000000;
        for (int size = 2; size <= (big ? 3 : 5); size++)
            for (int late = 0; late < 2; late++) thread_ranks(size, late, check_steps, (void *)(uintptr_t)&cases[i]);
    }
}

/* A rank's connection breaks in the middle: it is told, and does not wait. */
static void check_broken(ins_comm *comm, void *arg) {
    ins_params *params = make_params(&cases[2]);
    float *grads = NULL;
    ins_reducer *r = NULL;
    ins_error err = {0};
    bool *seen = arg;
    assert_ok(ins_slab_new(params, &grads, NULL));
    assert_ok(ins_reducer_new(comm, params, grads, NULL, &r, NULL));
    if (ins_comm_rank(comm) == 1) {
        thread_world_of(comm)->fail_after = 1;
        thread_world_of(comm)->fail_rank = 1;
        ins_reducer_begin(r);
        fill(&cases[2], params, grads, 1, 0);
        for (int64_t i = 0; i < params->n; i++) ins_reducer_row(r, i);
        assert_int_equal(ins_reducer_finish(r, &err), INS_ENV);
        assert_string_equal(err.text, "the connection is lost");
        *seen = true;
    }
    ins_reducer_free(r);
    ins_slab_free(params, grads);
    ins_params_free(params);
}

static void test_a_broken_connection_is_told(void **state) {
    (void)state;
    bool seen = false;
    thread_world world = {.rng = ins_rng_start(ins_rng_derive(1, "late", 0), 0), .fail_rank = -1};
    thread_ranks_in(&world, 2, check_broken, &seen);
    assert_true(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_element_in_the_order_of_the_ranks),
        cmocka_unit_test(test_a_broken_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
