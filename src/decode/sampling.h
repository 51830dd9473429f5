/* Inside of the decode room: choosing the next token from a row of logits. */
#ifndef INS_DECODE_SAMPLING_H
#define INS_DECODE_SAMPLING_H

#include "decode/decode.h"

typedef struct ins_candidate {
    double logit;
    int32_t id;
} ins_candidate;

/* Work memory for a vocabulary of n_vocab. */
typedef struct ins_sampler {
    int64_t n_vocab;
    ins_candidate *heap; /* [n_vocab] */
    double *weights;     /* [n_vocab] */
} ins_sampler;

ins_status ins_sampler_init(ins_sampler *s, int64_t n_vocab, ins_error *err);
void ins_sampler_clear(ins_sampler *s);

/* Draw from logits[n_vocab]. Order of the filters: repetition penalty, temperature, top_k, top_p, min_p. seen[id] != 0
 * marks ids of the prompt and of what was generated. uniform in [0, 1). *logprob is the id's log-probability under the
 * logits as they are. Ties: the smaller id first. INS_NUMERIC when a logit is not finite. */
ins_status ins_sampler_draw(ins_sampler *s, const ins_sampling *options, const float *logits, const unsigned char *seen,
                            double uniform, int32_t *id, double *logprob, ins_error *err);

/* log sum exp of a row, in double, in index order. */
double ins_log_sum_exp(const float *logits, int64_t n);

#endif
