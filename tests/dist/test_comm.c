/* What ranks do together: values, order of sums, failures. (ins_pool_new: these tests have threads.) */
#include "dist/thread_comm.h"

#include <math.h>

static void check_exchanges(ins_comm *comm, void *arg) {
    (void)arg;
    int rank = ins_comm_rank(comm), size = ins_comm_size(comm);
    int64_t mine[3] = {rank, 10 * rank, 7}, all[16][3];
    for (int round = 0; round < 20; round++) {
        mine[2] = round;
        assert_ok(ins_comm_allgather(comm, mine, sizeof mine, all, NULL));
        for (int r = 0; r < size; r++) {
            assert_int_equal(all[r][0], r);
            assert_int_equal(all[r][1], 10 * r);
            assert_int_equal(all[r][2], round);
        }
        for (int root = 0; root < size; root++) {
            char text[40] = "nothing";
            if (rank == root) snprintf(text, sizeof text, "from %d in round %d", root, round);
            char expected[40];
            snprintf(expected, sizeof expected, "from %d in round %d", root, round);
            assert_ok(ins_comm_broadcast(comm, text, sizeof text, root, NULL));
            assert_string_equal(text, expected);
        }
        assert_ok(ins_comm_barrier(comm, NULL));
    }
}

static void test_exchanges(void **state) {
    (void)state;
    for (int size = 1; size <= 7; size++) {
        thread_ranks(size, false, check_exchanges, NULL);
        thread_ranks(size, true, check_exchanges, NULL);
    }
}

/* In the order of the ranks: (big + 1) - big is not big - big + 1. */
static void check_sums(ins_comm *comm, void *arg) {
    double *seen = arg;
    int rank = ins_comm_rank(comm), size = ins_comm_size(comm);
    const double terms[] = {1e17, 3.5, -1e17, 0.25, 7, -2e16, 1.0 / 3, 9};
    double expected = 0, values[2] = {terms[rank], rank};
    for (int r = 0; r < size; r++) expected += terms[r];
    assert_ok(ins_comm_sum(comm, values, 2, NULL));
    assert_true(values[0] == expected);
    assert_true(values[1] == size * (size - 1) / 2);
    if (rank == size - 1) *seen = values[0];
}

static void test_sums_have_a_fixed_order(void **state) {
    (void)state;
    for (int size = 1; size <= 8; size++) {
        double quick = 0, late = 1;
        thread_ranks(size, false, check_sums, &quick);
        thread_ranks(size, true, check_sums, &late);
        assert_true(quick == late);
    }
}

static void check_agreement(ins_comm *comm, void *arg) {
    int bad = *(int *)arg, rank = ins_comm_rank(comm), size = ins_comm_size(comm);
    ins_error err = {0};
    assert_ok(ins_comm_agree(comm, INS_OK, &err));
    assert_int_equal(err.text[0], 0);
    ins_status status = INS_OK;
    if (rank == bad) {
        status = INS_FAIL(&err, INS_DATA, "shard %d is cut short", 42);
        ins_error_hint(&err, "make it again");
        ins_error_frame(&err, "reading");
    }
    status = ins_comm_agree(comm, status, &err);
    assert_int_equal(status, INS_DATA);
    assert_int_equal(err.status, INS_DATA);
    assert_string_equal(err.text, "shard 42 is cut short");
    assert_string_equal(err.hint, "make it again");
    char text[2048];
    ins_error_format(&err, text, sizeof text);
    if (bad > 0) {
        char where[32];
        snprintf(where, sizeof where, "rank %d of %d", bad, size);
        assert_non_null(strstr(text, where));
    }
    /* two fail: the lower one is heard; no message: there is one all the same */
    ins_error again = {0};
    status = rank == bad ? INS_NUMERIC : rank > bad ? INS_IO : INS_OK;
    if (rank > bad) INS_FAIL(&again, INS_IO, "higher");
    assert_int_equal(ins_comm_agree(comm, status, &again), INS_NUMERIC);
    assert_null(strstr(again.text, "higher"));
    assert_true(again.text[0] != 0 || size == 1);
    assert_int_equal(ins_comm_agree(comm, INS_OK, NULL), INS_OK);
    assert_int_equal(ins_comm_agree(comm, rank == bad ? INS_ENV : INS_OK, NULL), INS_ENV);
}

static void test_a_failure_becomes_everybodys(void **state) {
    (void)state;
    for (int size = 1; size <= 4; size++)
        for (int bad = 0; bad < size; bad++) thread_ranks(size, false, check_agreement, &bad);
}

static void check_threads(ins_comm *comm, void *arg) {
    int *total = arg;
    int threads = ins_comm_threads(comm);
    assert_true(threads >= 1);
    assert_int_equal(ins_comm_neighbours(comm), ins_comm_size(comm));
    double sum = threads;
    assert_ok(ins_comm_sum(comm, &sum, 1, NULL));
    if (ins_comm_rank(comm) == 0) *total = (int)sum;
}

/* All ranks may use the same cores: together no more threads than cores, but at least one each. */
static void test_threads_are_a_fair_share(void **state) {
    (void)state;
    for (int size = 1; size <= 5; size++) {
        int total = 0;
        thread_ranks(size, false, check_threads, &total);
        int cores = ins_cpu_count();
        assert_true(total <= (cores > size ? cores : size));
        assert_true(total >= size);
        if (cores % size == 0) assert_int_equal(total, cores);
    }
}

static void test_one_process(void **state) {
    (void)state;
    double value = 3.25;
    char text[] = "stays";
    assert_int_equal(ins_comm_rank(NULL), 0);
    assert_int_equal(ins_comm_size(NULL), 1);
    assert_ok(ins_comm_sum(NULL, &value, 1, NULL));
    assert_true(value == 3.25);
    assert_ok(ins_comm_broadcast(NULL, text, sizeof text, 0, NULL));
    assert_string_equal(text, "stays");
    assert_ok(ins_comm_barrier(NULL, NULL));
    assert_int_equal(ins_comm_agree(NULL, INS_IO, NULL), INS_IO);
    ins_comm_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),
        cmocka_unit_test(test_sums_have_a_fixed_order),
        cmocka_unit_test(test_a_failure_becomes_everybodys),
        cmocka_unit_test(test_threads_are_a_fair_share),
        cmocka_unit_test(test_one_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
