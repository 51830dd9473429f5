/* Ranks that are threads of the test: the messages of comm_impl.h through shared memory. Deliveries can be made late
 * and in another order, so that a result that depends on what arrives first would show. */
#ifndef INS_TESTS_DIST_THREAD_COMM_H
#define INS_TESTS_DIST_THREAD_COMM_H

#include "base/testing.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "dist/comm_impl.h"

typedef struct thread_message {
    int from, to, tag;
    const void *data; /* of the sender, until it is delivered */
    void *into;       /* of the receiver */
    size_t bytes;
    bool is_send, done;
    struct thread_message *partner, *next;
} thread_message;

/* What all ranks share. */
typedef struct thread_world {
    pthread_mutex_t lock;
    thread_message *first, **last; /* in the order in which they were started */
    int size;
    bool late; /* deliver at random moments */
    ins_rng rng;
    int fail_rank; /* this rank's transfers fail from `fail_after` calls on; -1 = none */
    int fail_after;
} thread_world;

typedef struct thread_comm {
    ins_comm comm;
    thread_world *world;
} thread_comm;

static inline thread_world *thread_world_of(ins_comm *comm) {
    return ((thread_comm *)comm)->world;
}

static inline ins_status thread_post(ins_comm *comm, thread_message message, ins_request *out, ins_error *err) {
    thread_world *world = thread_world_of(comm);
    pthread_mutex_lock(&world->lock);
    bool fails = comm->rank == world->fail_rank && world->fail_after-- <= 0;
    thread_message *m = fails ? NULL : malloc(sizeof *m);
    if (m) {
        *m = message;
        *world->last = m;
        world->last = &m->next;
        out->handle = m;
    }
    pthread_mutex_unlock(&world->lock);
    return fails ? INS_FAIL(err, INS_ENV, "the connection is lost") : INS_OK;
}
static inline ins_status thread_send(ins_comm *comm, const void *data, size_t bytes, int to, int tag, ins_request *out,
                                     ins_error *err) {
    return thread_post(
        comm, (thread_message){.from = comm->rank, .to = to, .tag = tag, .data = data, .bytes = bytes, .is_send = true},
        out, err);
}
static inline ins_status thread_receive(ins_comm *comm, void *data, size_t bytes, int from, int tag, ins_request *out,
                                        ins_error *err) {
    return thread_post(comm, (thread_message){.from = from, .to = comm->rank, .tag = tag, .into = data, .bytes = bytes},
                       out, err);
}

/* The oldest send that nobody has received yet, for a receive that nothing was delivered to. */
static inline thread_message *thread_match(thread_world *world, const thread_message *receive) {
    for (thread_message *m = world->first; m; m = m->next)
        if (m->is_send && !m->done && m->from == receive->from && m->to == receive->to && m->tag == receive->tag)
            return m;
    return NULL;
}

static inline void thread_deliver(thread_world *world, thread_message *receive) {
    /* the oldest receive of this pair and tag goes first */
    for (thread_message *m = world->first; m != receive; m = m->next)
        if (!m->is_send && !m->done && m->from == receive->from && m->to == receive->to && m->tag == receive->tag)
            return;
    thread_message *send = thread_match(world, receive);
    if (!send || (world->late && ins_rng_below(&world->rng, 4) != 0)) return;
    assert_int_equal(send->bytes, receive->bytes);
    memcpy(receive->into, send->data, send->bytes);
    send->done = receive->done = true;
}

static inline void thread_remove(thread_world *world, thread_message *m) {
    thread_message **at = &world->first;
    while (*at != m) at = &(*at)->next;
    *at = m->next;
    if (world->last == &m->next) world->last = at;
    free(m);
}

static inline ins_status thread_test(ins_comm *comm, ins_request *requests, int64_t n, bool *done, ins_error *err) {
    thread_world *world = thread_world_of(comm);
    (void)err;
    *done = true;
    pthread_mutex_lock(&world->lock);
    for (int64_t i = 0; i < n; i++) {
        thread_message *m = requests[i].handle;
        if (!m) continue;
        if (!m->is_send && !m->done) thread_deliver(world, m);
        if (m->done) {
            thread_remove(world, m);
            requests[i].handle = NULL;
        } else {
            *done = false;
        }
    }
    pthread_mutex_unlock(&world->lock);
    return INS_OK;
}

static inline void thread_abort(ins_comm *comm, int exit_code) {
    (void)comm;
    fail_msg("abort with %d", exit_code);
}
static inline void thread_close(ins_comm *comm) {
    ins_free(comm);
}

static const ins_comm_impl thread_impl = {.name = "threads",
                                          .send = thread_send,
                                          .receive = thread_receive,
                                          .test = thread_test,
                                          .end_all = thread_abort,
                                          .close = thread_close};

typedef void (*thread_rank_fn)(ins_comm *comm, void *arg);
typedef struct thread_start {
    thread_world *world;
    int rank;
    thread_rank_fn fn;
    void *arg;
} thread_start;

static inline void *thread_main(void *arg) {
    const thread_start *start = arg;
    thread_comm *c = ins_calloc(1, sizeof *c);
    c->comm = (ins_comm){.impl = &thread_impl, .rank = start->rank, .size = start->world->size};
    c->world = start->world;
    assert_ok(ins_comm_ready(&c->comm, NULL));
    start->fn(&c->comm, start->arg);
    ins_comm_close(&c->comm);
    return NULL;
}

/* Run fn on `size` ranks; 1 means a NULL communicator. Checks inside of fn must not jump out of a thread: a failed one
 * ends the process, which fails the test as well. */
static inline void thread_ranks_in(thread_world *world, int size, thread_rank_fn fn, void *arg) {
    pthread_t threads[16];
    thread_start starts[16];
    if (size == 1) {
        fn(NULL, arg);
        return;
    }
    world->size = size;
    world->last = &world->first;
    pthread_mutex_init(&world->lock, NULL);
    for (int i = 0; i < size; i++) {
        starts[i] = (thread_start){world, i, fn, arg};
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &starts[i]), 0);
    }
    for (int i = 0; i < size; i++) pthread_join(threads[i], NULL);
    for (thread_message *m = world->first, *next; m; m = next) { /* of ranks that gave up */
        next = m->next;
        free(m);
    }
    pthread_mutex_destroy(&world->lock);
}
static inline void thread_ranks(int size, bool late, thread_rank_fn fn, void *arg) {
    thread_world world = {
        .late = late, .rng = ins_rng_start(ins_rng_derive(1, "late", (uint64_t)size), 0), .fail_rank = -1};
    thread_ranks_in(&world, size, fn, arg);
}

#endif
