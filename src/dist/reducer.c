/* Sums of gradients over ranks: see reducer.h. */
#include "dist/reducer.h"

#include <string.h>

#include "base/mem.h"
#include "dist/comm_impl.h"

enum {
    ALIGN = 16,         /* elements: a cache line */
    PAGE = 1 << 19,     /* elements of a huge page: where parts end there, memory of the others' parts is not touched */
    MIN_PART = 1 << 12, /* elements: below, a message costs more than its bytes */
    MIN_BUCKETS = 8,    /* of a slab, so that something is left to overlap */
    MAX_BUCKETS = 64,
    WINDOW = 4,          /* buckets that are received at a time */
    SUM_CHUNK = 1 << 14, /* elements of one task */
};

typedef struct bucket {
    int64_t begin, end;
    int32_t n_rows;  /* that lie in it, also in part */
    int32_t pending; /* of them, not final yet */
    bool sent;
} bucket;

struct ins_reducer {
    ins_comm *comm;
    const ins_params *params;
    ins_pool *pool;
    int rank, size;
    float *grads;
    int64_t bucket_size, part_size; /* elements */
    bucket *buckets;
    int64_t n_buckets;
    float *received;               /* WINDOW * size * part_size; one's own place is not used */
    ins_request *sends, *receives; /* n_buckets * size each */
    int64_t n_posted, n_summed;    /* buckets whose receives were started, that were added up; from the last one down */
    ins_status status;
    ins_error err;
};

/* ---- the cut ---- */

static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

static int64_t choose_part(int64_t slab_count, int64_t size) {
    int64_t part = PAGE;
    if (slab_count < MIN_BUCKETS * size * PAGE) part = round_up(slab_count / (MIN_BUCKETS * size) + 1, ALIGN);
    if (slab_count > MAX_BUCKETS * size * PAGE) part = round_up(slab_count / (MAX_BUCKETS * size) + 1, PAGE);
    return part < MIN_PART ? MIN_PART : part;
}

/* Part of a bucket that a rank owns. */
static void part_of(const ins_reducer *r, int64_t index, int rank, int64_t *begin, int64_t *end) {
    const bucket *b = &r->buckets[index];
    int64_t first = b->begin + rank * r->part_size, last = first + r->part_size;
    *begin = first < b->end ? first : b->end;
    *end = last < b->end ? last : b->end;
}

static void cut(ins_reducer *r) {
    for (int64_t i = 0; i < r->n_buckets; i++) {
        bucket *b = &r->buckets[i];
        b->begin = i * r->bucket_size;
        b->end = b->begin + r->bucket_size < r->params->slab_count ? b->begin + r->bucket_size : r->params->slab_count;
    }
    for (int64_t i = 0; i < r->params->n; i++) {
        const ins_param *row = &r->params->rows[i];
        if (row->count == 0) continue;
        int64_t last = (row->offset + row->count - 1) / r->bucket_size;
        for (int64_t k = row->offset / r->bucket_size; k <= last; k++) r->buckets[k].n_rows++;
    }
}

static ins_status allocate(ins_reducer *r, ins_error *err) {
    size_t n_requests = (size_t)r->n_buckets * (size_t)r->size;
    r->buckets = ins_calloc((size_t)r->n_buckets, sizeof *r->buckets);
    r->sends = ins_calloc(n_requests, sizeof *r->sends);
    r->receives = ins_calloc(n_requests, sizeof *r->receives);
    if (!r->buckets || !r->sends || !r->receives) return INS_FAIL(err, INS_NOMEM, "no memory for a reducer");
    void *pages;
    INS_TRY(ins_pages_alloc(ins_reducer_bytes(r), true, &pages, err));
    r->received = pages;
    return INS_OK;
}

ins_status ins_reducer_new(ins_comm *comm, const ins_params *params, float *grads, ins_pool *pool, ins_reducer **out,
                           ins_error *err) {
    ins_reducer *r = ins_calloc(1, sizeof *r);
    if (!r) return INS_FAIL(err, INS_NOMEM, "no memory for a reducer");
    *r = (ins_reducer){.comm = comm,
                       .params = params,
                       .pool = pool,
                       .grads = grads,
                       .rank = ins_comm_rank(comm),
                       .size = ins_comm_size(comm)};
    r->part_size = choose_part(params->slab_count, r->size);
    r->bucket_size = r->part_size * r->size;
    r->n_buckets = (params->slab_count + r->bucket_size - 1) / r->bucket_size;
    ins_status status = allocate(r, err);
    if (status != INS_OK) {
        ins_reducer_free(r);
        return status;
    }
    cut(r);
    *out = r;
    return INS_OK;
}

void ins_reducer_free(ins_reducer *r) {
    if (!r) return;
    ins_pages_free(r->received, ins_reducer_bytes(r));
    ins_free(r->buckets);
    ins_free(r->sends);
    ins_free(r->receives);
    ins_free(r);
}

size_t ins_reducer_bytes(const ins_reducer *r) {
    return (size_t)WINDOW * (size_t)r->size * (size_t)r->part_size * sizeof(float);
}

int64_t ins_reducer_n_parts(const ins_reducer *r) {
    return r->n_buckets;
}
void ins_reducer_part(const ins_reducer *r, int64_t part, int64_t *begin, int64_t *end) {
    part_of(r, part, r->rank, begin, end);
}

/* ---- a step ---- */

static void keep(ins_reducer *r, ins_status status) {
    if (r->status == INS_OK) r->status = status;
}

static float *received_from(const ins_reducer *r, int64_t index, int rank) {
    return r->received + ((index % WINDOW) * r->size + rank) * r->part_size;
}

/* Backward passes end with the first rows of a slab, so buckets are taken from the last one down. */
static int64_t nth_bucket(const ins_reducer *r, int64_t n) {
    return r->n_buckets - 1 - n;
}

static void post_receives(ins_reducer *r) {
    while (r->n_posted < r->n_buckets && r->n_posted < r->n_summed + WINDOW && r->status == INS_OK) {
        int64_t index = nth_bucket(r, r->n_posted++), begin, end;
        part_of(r, index, r->rank, &begin, &end);
        for (int other = 0; other < r->size && end > begin; other++) {
            if (other == r->rank) continue;
            keep(r, r->comm->impl->receive(r->comm, received_from(r, index, other),
                                           (size_t)(end - begin) * sizeof(float), other, INS_TAG_BUCKETS + (int)index,
                                           &r->receives[index * r->size + other], &r->err));
        }
    }
}

static void send_bucket(ins_reducer *r, int64_t index) {
    bucket *b = &r->buckets[index];
    b->sent = true;
    for (int step = 1; step < r->size && r->status == INS_OK; step++) {
        int other = (r->rank + step) % r->size;
        int64_t begin, end;
        part_of(r, index, other, &begin, &end);
        if (end <= begin) continue;
        keep(r, r->comm->impl->send(r->comm, r->grads + begin, (size_t)(end - begin) * sizeof(float), other,
                                    INS_TAG_BUCKETS + (int)index, &r->sends[index * r->size + other], &r->err));
    }
}

typedef struct sum_job {
    const ins_reducer *r;
    int64_t index, begin;
} sum_job;

/* own = ((part of rank 0 + part of rank 1) + part of rank 2) + ... */
static void sum_range(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const sum_job *job = arg;
    const ins_reducer *r = job->r;
    float total[1024];
    for (int64_t at = begin; at < end; at += 1024) {
        int64_t n = end - at < 1024 ? end - at : 1024;
        float *own = r->grads + job->begin + at;
        for (int rank = 0; rank < r->size; rank++) {
            const float *part = rank == r->rank ? own : received_from(r, job->index, rank) + at;
            if (rank == 0)
                memcpy(total, part, (size_t)n * sizeof(float));
            else
                for (int64_t i = 0; i < n; i++) total[i] += part[i];
        }
        memcpy(own, total, (size_t)n * sizeof(float));
    }
}

static void sum_bucket(ins_reducer *r, int64_t index) {
    int64_t begin, end;
    part_of(r, index, r->rank, &begin, &end);
    sum_job job = {.r = r, .index = index, .begin = begin};
    ins_pool_run_range(r->pool, end - begin, SUM_CHUNK, sum_range, &job);
    r->n_summed++;
}

void ins_reducer_begin(ins_reducer *r) {
    r->status = INS_OK;
    r->n_posted = r->n_summed = 0;
    for (int64_t i = 0; i < r->n_buckets; i++) {
        r->buckets[i].pending = r->buckets[i].n_rows;
        r->buckets[i].sent = false;
    }
    post_receives(r);
}

void ins_reducer_row(ins_reducer *r, int64_t row) {
    const ins_param *p = &r->params->rows[row];
    if (p->count == 0) return;
    int64_t last = (p->offset + p->count - 1) / r->bucket_size;
    for (int64_t k = p->offset / r->bucket_size; k <= last; k++)
        if (--r->buckets[k].pending == 0 && !r->buckets[k].sent) send_bucket(r, k);
}

void ins_reducer_tick(ins_reducer *r) {
    while (r->n_summed < r->n_buckets && r->status == INS_OK) {
        int64_t index = nth_bucket(r, r->n_summed);
        bool done = false;
        keep(r, r->comm->impl->test(r->comm, r->receives + index * r->size, r->size, &done, &r->err));
        if (!done || !r->buckets[index].sent || r->status != INS_OK) return;
        sum_bucket(r, index);
        post_receives(r);
    }
}

ins_status ins_reducer_finish(ins_reducer *r, ins_error *err) {
    for (int64_t n = 0; n < r->n_buckets && r->status == INS_OK; n++)
        if (!r->buckets[nth_bucket(r, n)].sent) send_bucket(r, nth_bucket(r, n));
    while (r->n_summed < r->n_buckets && r->status == INS_OK) {
        int64_t index = nth_bucket(r, r->n_summed);
        keep(r, ins_comm_wait(r->comm, r->receives + index * r->size, r->size, &r->err));
        if (r->status != INS_OK) break;
        sum_bucket(r, index);
        post_receives(r);
    }
    if (r->status == INS_OK) keep(r, ins_comm_wait(r->comm, r->sends, r->n_buckets * r->size, &r->err));
    if (r->status != INS_OK && err) *err = r->err;
    return r->status;
}

/* ---- parts of a slab ---- */

/* Parts of `from` (all ranks: < 0) to `to` (all ranks: < 0). */
static ins_status move_parts(ins_reducer *r, float *slab, int to, ins_error *err) {
    for (int64_t n = 0; n < r->n_buckets * r->size; n++) {
        int64_t index = n / r->size, begin, end;
        int other = (int)(n % r->size);
        if (other == r->rank) continue;
        part_of(r, index, other, &begin, &end);
        if (end > begin && (to < 0 || to == r->rank))
            INS_TRY(r->comm->impl->receive(r->comm, slab + begin, (size_t)(end - begin) * sizeof(float), other,
                                           INS_TAG_PARTS, &r->receives[n], err));
        part_of(r, index, r->rank, &begin, &end);
        if (end > begin && (to < 0 || to == other))
            INS_TRY(r->comm->impl->send(r->comm, slab + begin, (size_t)(end - begin) * sizeof(float), other,
                                        INS_TAG_PARTS, &r->sends[n], err));
    }
    INS_TRY(ins_comm_wait(r->comm, r->receives, r->n_buckets * r->size, err));
    return ins_comm_wait(r->comm, r->sends, r->n_buckets * r->size, err);
}

ins_status ins_reducer_gather(ins_reducer *r, float *slab, ins_error *err) {
    return move_parts(r, slab, -1, err);
}
ins_status ins_reducer_collect(ins_reducer *r, float *slab, int root, ins_error *err) {
    return move_parts(r, slab, root, err);
}
