/* What ranks do together, on top of messages between two of them: see comm.h. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "dist/comm_impl.h"

int ins_comm_rank(const ins_comm *comm) {
    return comm ? comm->rank : 0;
}
int ins_comm_size(const ins_comm *comm) {
    return comm ? comm->size : 1;
}

void ins_comm_close(ins_comm *comm) {
    if (!comm) return;
    ins_free(comm->requests);
    ins_free(comm->numbers);
    comm->requests = NULL;
    comm->numbers = NULL;
    comm->impl->close(comm);
}

void ins_comm_abort(ins_comm *comm, int exit_code) {
    if (comm) comm->impl->end_all(comm, exit_code);
}

/* ---- waiting ---- */

enum { LOOKS_AT_ONCE = 200 };
#define YIELD_SECONDS 0.02
#define SLEEP_SECONDS 0.5 /* after this the naps are long */

static void nap(double waited) {
    struct timespec time = {.tv_nsec = waited < SLEEP_SECONDS ? 100000 : 5000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

ins_status ins_comm_wait(ins_comm *comm, ins_request *requests, int64_t n, ins_error *err) {
    bool done = false;
    for (int i = 0; i < LOOKS_AT_ONCE && !done; i++) INS_TRY(comm->impl->test(comm, requests, n, &done, err));
    double started = done ? 0 : ins_now();
    while (!done) {
        double waited = ins_now() - started;
        if (waited < YIELD_SECONDS) {
            sched_yield();
        } else {
            nap(waited);
        }
        INS_TRY(comm->impl->test(comm, requests, n, &done, err));
    }
    return INS_OK;
}

/* ---- exchanges ---- */

ins_status ins_comm_allgather(ins_comm *comm, const void *mine, size_t bytes, void *all, ins_error *err) {
    int rank = ins_comm_rank(comm), size = ins_comm_size(comm);
    memmove((char *)all + (size_t)rank * bytes, mine, bytes);
    if (size == 1) return INS_OK;
    memset(comm->requests, 0, 2 * (size_t)size * sizeof *comm->requests);
    for (int other = 0; other < size; other++) {
        if (other == rank) continue;
        INS_TRY(comm->impl->receive(comm, (char *)all + (size_t)other * bytes, bytes, other, INS_TAG_EXCHANGE,
                                    &comm->requests[other], err));
    }
    for (int step = 1; step < size; step++) { /* each begins with another receiver */
        int other = (rank + step) % size;
        INS_TRY(comm->impl->send(comm, (char *)all + (size_t)rank * bytes, bytes, other, INS_TAG_EXCHANGE,
                                 &comm->requests[size + other], err));
    }
    return ins_comm_wait(comm, comm->requests, 2 * (int64_t)size, err);
}

ins_status ins_comm_barrier(ins_comm *comm, ins_error *err) {
    double nothing[1] = {0};
    return ins_comm_sum(comm, nothing, 1, err);
}

/* A binomial tree: in round k the ranks below 2^k (counted from the root) send to those 2^k further on. */
static ins_status broadcast_piece(ins_comm *comm, void *data, size_t bytes, int root, ins_error *err) {
    int size = comm->size;
    int place = (comm->rank - root + size) % size; /* distance from the root */
    int64_t n = 0;
    memset(comm->requests, 0, 2 * (size_t)size * sizeof *comm->requests);
    for (int span = 1; span < size; span *= 2) {
        if (place >= span && place < 2 * span) {
            int from = (place - span + root) % size;
            INS_TRY(comm->impl->receive(comm, data, bytes, from, INS_TAG_BROADCAST, &comm->requests[0], err));
            INS_TRY(ins_comm_wait(comm, comm->requests, 1, err));
        } else if (place < span && place + span < size) {
            int to = (place + span + root) % size;
            INS_TRY(comm->impl->send(comm, data, bytes, to, INS_TAG_BROADCAST, &comm->requests[n++], err));
        }
    }
    return ins_comm_wait(comm, comm->requests, n, err);
}

ins_status ins_comm_broadcast(ins_comm *comm, void *data, size_t bytes, int root, ins_error *err) {
    const size_t piece = (size_t)1 << 28; /* implementations count bytes in an int */
    if (ins_comm_size(comm) == 1) return INS_OK;
    for (size_t at = 0; at < bytes; at += piece)
        INS_TRY(broadcast_piece(comm, (char *)data + at, bytes - at < piece ? bytes - at : piece, root, err));
    return INS_OK;
}

ins_status ins_comm_sum(ins_comm *comm, double *values, int n, ins_error *err) {
    int size = ins_comm_size(comm);
    if (size == 1) return INS_OK;
    if (n < 1 || n > INS_COMM_MAX_SUM) return INS_FAIL(err, INS_BUG, "a sum of %d numbers over ranks", n);
    size_t bytes = (size_t)n * sizeof *values;
    double sums[INS_COMM_MAX_SUM];
    INS_TRY(ins_comm_allgather(comm, values, bytes, comm->numbers, err));
    memcpy(sums, comm->numbers, bytes);
    for (int rank = 1; rank < size; rank++)
        for (int i = 0; i < n; i++) sums[i] += comm->numbers[rank * n + i];
    memcpy(values, sums, bytes);
    return INS_OK;
}

/* ---- failures ---- */

/* The message of rank `failed`; its pointers mean nothing here. */
static ins_status share_error(ins_comm *comm, int failed, ins_status status, ins_error *err) {
    ins_error shared = {0}, lost = {0};
    if (comm->rank == failed && err) shared = *err;
    if (ins_comm_broadcast(comm, &shared, sizeof shared, failed, &lost) != INS_OK) {
        if (err) *err = lost;
        return lost.status;
    }
    if (!err) return status;
    if (comm->rank != failed) {
        shared.src_file = "another rank";
        *err = shared;
    }
    if (!err->text[0]) INS_FAIL(err, status, "rank %d of %d failed", failed, comm->size);
    if (failed != 0) ins_error_frame(err, "rank %d of %d", failed, comm->size);
    return status;
}

ins_status ins_comm_agree(ins_comm *comm, ins_status status, ins_error *err) {
    int size = ins_comm_size(comm);
    double mine = (double)status;
    if (size == 1) return status;
    ins_error lost = {0};
    if (ins_comm_allgather(comm, &mine, sizeof mine, comm->numbers, &lost) != INS_OK) {
        if (status != INS_OK) return status; /* its own message says more */
        if (err) *err = lost;
        return lost.status;
    }
    for (int rank = 0; rank < size; rank++)
        if ((ins_status)comm->numbers[rank] != INS_OK)
            return share_error(comm, rank, (ins_status)comm->numbers[rank], err);
    return INS_OK;
}
