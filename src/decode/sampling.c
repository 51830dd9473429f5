/* Sampling: filters over a row of logits. */
#include "decode/sampling.h"

#include <math.h>
#include <string.h>

static const ins_opt_row sampling_rows[] = {
    {.name = "temperature",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(ins_sampling, temperature),
     .def = "1",
     .max = 100,
     .help = "Divides the logits; 0 takes the likeliest token."},
    {.name = "top_k",
     .type = INS_OPT_INT,
     .offset = offsetof(ins_sampling, top_k),
     .def = "0",
     .max = 1 << 24,
     .help = "Draw among the k likeliest tokens; 0 = all."},
    {.name = "top_p",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(ins_sampling, top_p),
     .def = "1",
     .max = 1,
     .flags = INS_OPT_EXCL_MIN,
     .help = "Draw among the fewest likeliest tokens that hold this much probability."},
    {.name = "min_p",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(ins_sampling, min_p),
     .def = "0",
     .max = 1,
     .help = "Leave out tokens below this share of the likeliest one's probability."},
    {.name = "repetition_penalty",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(ins_sampling, repetition_penalty),
     .def = "1",
     .max = 10,
     .flags = INS_OPT_EXCL_MIN,
     .help = "Above 1 makes tokens that were there already less likely."},
    {.name = "max_tokens",
     .type = INS_OPT_SIZE,
     .offset = offsetof(ins_sampling, max_tokens),
     .def = "128",
     .max = 1 << 24,
     .unit = "tokens",
     .help = "Most tokens that are generated."},
    {0},
};
const ins_opt_table ins_sampling_table = {"sampling", sampling_rows, sizeof(ins_sampling)};

ins_status ins_sampler_init(ins_sampler *s, int64_t n_vocab, ins_error *err) {
    *s = (ins_sampler){.n_vocab = n_vocab,
                       .heap = ins_calloc((size_t)n_vocab, sizeof *s->heap),
                       .weights = ins_calloc((size_t)n_vocab, sizeof *s->weights)};
    if (s->heap && s->weights) return INS_OK;
    ins_sampler_clear(s);
    return INS_FAIL(err, INS_NOMEM, "out of memory for sampling");
}

void ins_sampler_clear(ins_sampler *s) {
    ins_free(s->heap);
    ins_free(s->weights);
    *s = (ins_sampler){0};
}

double ins_log_sum_exp(const float *logits, int64_t n) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (logits[i] > most) most = logits[i];
    for (int64_t i = 0; i < n; i++) sum += exp((double)logits[i] - most);
    return most + log(sum);
}

static bool is_above(ins_candidate one, ins_candidate two) {
    return one.logit > two.logit || (one.logit == two.logit && one.id < two.id);
}

static void sift_down(ins_candidate *heap, int64_t n, int64_t at) {
    ins_candidate moving = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_above(heap[child + 1], heap[child])) child++;
        if (!is_above(heap[child], moving)) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Takes the largest out of a heap of n; it moves to heap[n - 1]. */
static ins_candidate pop(ins_candidate *heap, int64_t n) {
    ins_candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sift_down(heap, n - 1, 0);
    return top;
}

/* Penalised, tempered logits into the heap array; the likeliest one's place is returned. */
static ins_status prepare(ins_sampler *s, const ins_sampling *o, const float *logits, const unsigned char *seen,
                          int64_t *likeliest, ins_error *err) {
    double scale = o->temperature > 0 ? 1 / o->temperature : 1;
    int64_t best = 0;
    for (int64_t i = 0; i < s->n_vocab; i++) {
        double logit = logits[i];
        if (!isfinite(logit))
            return INS_FAIL(err, INS_NUMERIC, "the model's logit of token %lld is not finite", (long long)i);
        if (o->repetition_penalty != 1 && seen[i])
            logit = logit > 0 ? logit / o->repetition_penalty : logit * o->repetition_penalty;
        s->heap[i] = (ins_candidate){.logit = logit * scale, .id = (int32_t)i};
        if (s->heap[i].logit > s->heap[best].logit) best = i;
    }
    *likeliest = best;
    return INS_OK;
}

/* No filter: walk the vocabulary in order. */
static int32_t draw_all(ins_sampler *s, double most, double uniform) {
    double total = 0, sum = 0;
    for (int64_t i = 0; i < s->n_vocab; i++) total += s->weights[i] = exp(s->heap[i].logit - most);
    for (int64_t i = 0; i < s->n_vocab; i++) {
        sum += s->weights[i];
        if (sum > uniform * total) return (int32_t)i;
    }
    return (int32_t)(s->n_vocab - 1);
}

/* Candidates come off the heap, likeliest first, until the filters say enough. */
static int32_t draw_filtered(ins_sampler *s, const ins_sampling *o, double most, double uniform) {
    int64_t n = s->n_vocab, k = o->top_k > 0 && o->top_k < n ? o->top_k : n, kept = 0;
    for (int64_t at = n / 2 - 1; at >= 0; at--) sift_down(s->heap, n, at);
    double all = 0; /* mass that top_p speaks of: what top_k leaves */
    if (o->top_p < 1 && k == n)
        for (int64_t i = 0; i < n; i++) all += exp(s->heap[i].logit - most);
    if (o->top_p < 1 && k < n) { /* pop the k, then put them in a heap of their own */
        for (int64_t i = 0; i < k; i++) all += exp(pop(s->heap, n - i).logit - most);
        memmove(s->heap, s->heap + n - k, (size_t)k * sizeof *s->heap);
        n = k;
        for (int64_t at = n / 2 - 1; at >= 0; at--) sift_down(s->heap, n, at);
    }
    double mass = 0;
    while (kept < k) {
        ins_candidate next = s->heap[0];
        double weight = exp(next.logit - most);
        if (kept > 0 && (weight < o->min_p || (o->top_p < 1 && mass >= o->top_p * all))) break;
        pop(s->heap, n - kept);
        s->weights[kept++] = weight;
        mass += weight;
    }
    double sum = 0;
    for (int64_t i = 0; i < kept; i++) { /* the i-th popped lies at n - 1 - i */
        sum += s->weights[i];
        if (sum > uniform * mass) return s->heap[n - 1 - i].id;
    }
    return s->heap[n - kept].id;
}

ins_status ins_sampler_draw(ins_sampler *s, const ins_sampling *options, const float *logits, const unsigned char *seen,
                            double uniform, int32_t *id, double *logprob, ins_error *err) {
    int64_t likeliest = 0;
    ins_sampler part = *s; /* borrows its memory: the ids that may be drawn */
    if (options->n_ids > 0 && options->n_ids < s->n_vocab) part.n_vocab = options->n_ids;
    INS_TRY(prepare(&part, options, logits, seen, &likeliest, err));
    double most = s->heap[likeliest].logit;
    bool filtered = (options->top_k > 0 && options->top_k < part.n_vocab) || options->top_p < 1 || options->min_p > 0;
    if (options->temperature <= 0)
        *id = (int32_t)likeliest;
    else if (filtered)
        *id = draw_filtered(&part, options, most, uniform);
    else
        *id = draw_all(&part, most, uniform);
    *logprob = (double)logits[*id] - ins_log_sum_exp(logits, s->n_vocab);
    return INS_OK;
}
