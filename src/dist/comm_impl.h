/* Inside of the dist room: what an implementation gives, and requests.
 *
 * An implementation moves bytes between two ranks: sends and receives are started, and tested until they are done.
 * Between one pair of ranks the messages of one tag arrive in the order in which they were sent. */
#ifndef INS_DIST_COMM_IMPL_H
#define INS_DIST_COMM_IMPL_H

#include "dist/comm.h"

/* A transfer under way; `handle` is the implementation's. */
typedef struct ins_request {
    void *handle; /* NULL = none, or done */
} ins_request;

typedef struct ins_comm_impl {
    const char *name;
    ins_status (*send)(ins_comm *comm, const void *data, size_t bytes, int to, int tag, ins_request *out,
                       ins_error *err);
    ins_status (*receive)(ins_comm *comm, void *data, size_t bytes, int from, int tag, ins_request *out,
                          ins_error *err);
    /* Makes progress with all transfers; *done when none of the n is under way any more. Never waits. */
    ins_status (*test)(ins_comm *comm, ins_request *requests, int64_t n, bool *done, ins_error *err);
    void (*end_all)(ins_comm *comm, int exit_code);
    void (*close)(ins_comm *comm); /* frees the communicator */
} ins_comm_impl;

struct ins_comm {
    const ins_comm_impl *impl;
    int rank, size;
    bool broken;           /* a transfer failed: the ranks can't end together in good order any more */
    int threads;           /* of this rank; 0 = not known yet */
    int neighbours;        /* ranks of this rank's machine, itself included */
    int idle_cores;        /* of this rank's machine */
    ins_request *requests; /* 2 * size, and */
    double *numbers;       /* INS_COMM_MAX_SUM * size: of the exchanges in comm.c */
};

/* Tags: those below belong to comm.c, the others to reducers. */
enum { INS_TAG_EXCHANGE = 1, INS_TAG_BROADCAST = 2, INS_TAG_PARTS = 3, INS_TAG_BUCKETS = 16 };

/* Waits until the n requests are done: looks at once, then more and more rarely, so that ranks that share a core get
 * on, and ranks that wait for minutes leave it alone. */
ins_status ins_comm_wait(ins_comm *comm, ins_request *requests, int64_t n, ins_error *err);

/* Fills in what comm.c needs, threads included (an exchange): called last by an implementation's open. */
ins_status ins_comm_ready(ins_comm *comm, ins_error *err);

#endif
