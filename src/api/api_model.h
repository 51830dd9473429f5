/* A model loaded for a call of the public interface. */
#ifndef INS_API_API_MODEL_H
#define INS_API_API_MODEL_H

#include "api/api_internal.h"
#include "decode/decode.h"

typedef struct api_model {
    char dir[PATH_MAX];
    ins_model *model;
    float *weights;
    ins_tokenizer *tokenizer; /* NULL when there is none and none was needed */
} api_model;

/* close runs whatever happened. */
ins_status api_model_open(instar *session, const char *name, bool need_tokenizer, api_model *m, ins_error *err);
void api_model_close(api_model *m);

/* JSON list of ids, each below vocab (0 = unchecked). */
/* The JSON of --ids; what is none is an error of usage. *out is a new reference. */
ins_status api_ids_json(const char *text, json_t **out, ins_error *err);
ins_status api_parse_ids(const json_t *list, int64_t vocab, ins_ids *out, ins_error *err);

#endif
