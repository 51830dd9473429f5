/* Decoding with a KV cache: prompt processing and one token at a time, batched rows of different lengths. */
#ifndef INS_DECODE_DECODE_H
#define INS_DECODE_DECODE_H

#include "model/model.h"
#include "text/tokenizer.h"

typedef struct ins_sampling {
    double temperature;        /* 0 = greedy */
    int64_t top_k;             /* 0 = off */
    double top_p;              /* 1 = off */
    double min_p;              /* 0 = off */
    double repetition_penalty; /* 1 = off */
    int64_t max_tokens;
    uint64_t seed;
    const int32_t *stop_ids; /* end the row when one is drawn (it is not returned) */
    int64_t n_stop;
    /* Prompt r draws from stream (seed, first_row + r): keeps draws apart when prompts go through in several calls. */
    uint64_t first_row;
    /* Only ids below it are drawn; 0 = all. Models may have more rows than their tokenizer has tokens. */
    int64_t n_ids;
} ins_sampling;
extern const ins_opt_table ins_sampling_table; /* temperature top_k top_p min_p repetition_penalty max_tokens */

typedef struct ins_generated {
    ins_ids ids;      /* without the prompt */
    double *logprobs; /* one per id, of the model's distribution before sampling filters */
    int64_t n_logprobs;
    const char *finish; /* "stop" or "length" */
} ins_generated;
void ins_generated_free(ins_generated *out);

typedef struct ins_decoder ins_decoder;
/* Holds a KV cache for n_rows rows of up to max_len tokens. model and slab are borrowed. */
ins_status ins_decoder_new(const ins_model *m, float *slab, ins_dtype compute, int64_t n_rows, int64_t max_len,
                           ins_pool *pool, ins_decoder **out, ins_error *err);
void ins_decoder_free(ins_decoder *d);
/* prompts[r] has lens[r] >= 1 ids; n_rows as given to new (or fewer). out[n] filled. A row's result does not depend on
 * the other rows. INS_USAGE for a prompt longer than max_len or an id outside the vocabulary. */
ins_status ins_decoder_generate(ins_decoder *d, const int32_t *const *prompts, const int64_t *lens, int64_t n,
                                const ins_sampling *sampling, ins_generated *out, ins_error *err);

/* ---- scoring: sums of log-probabilities of continuations, the heart of evaluation ---- */
typedef struct ins_scorer ins_scorer;
/* Rows of up to max_len tokens, scored n_rows at a time through one cached graph. */
ins_status ins_scorer_new(const ins_model *m, float *slab, ins_dtype compute, int64_t n_rows, int64_t max_len,
                          ins_pool *pool, ins_scorer **out, ins_error *err);
void ins_scorer_free(ins_scorer *s);
typedef struct ins_score_item {
    const int32_t *ids;   /* context then continuation; left-truncated to max_len keeping the end */
    int64_t n, n_context; /* the first n_context ids are not scored; >= 1 (position 0 can't be predicted) */
    double logprob;       /* out: sum over continuation, nats */
    int64_t n_greedy;     /* out: continuation tokens that were the arg max */
    int64_t n_scored;     /* out */
} ins_score_item;
/* Results do not depend on how items are batched (exactly: each row's arithmetic is independent of the others). */
ins_status ins_scorer_run(ins_scorer *s, ins_score_item *items, int64_t n, ins_error *err);

/* Full logits f32 [n, max_T, V] (rows right-padded, zeros past the end; free with ins_free) and mean next-token NLL in
 * nats (NaN where no row has two tokens); for `instar logits`. logits, max_t, loss may be NULL. */
ins_status ins_model_eval_logits(const ins_model *m, float *slab, ins_dtype compute, const int32_t *const *ids,
                                 const int64_t *lens, int64_t n, ins_pool *pool, float **logits, int64_t *max_t,
                                 double *loss, ins_error *err);

#endif
