/* Reading tokenizer.json: text_load.c reads the vocabulary and the merges, text_load_parts.c the parts around them. */
#ifndef INS_TEXT_TEXT_LOAD_INTERNAL_H
#define INS_TEXT_TEXT_LOAD_INTERNAL_H

#include "format/json.h"
#include "text/text_internal.h"

typedef struct text_loader {
    ins_tokenizer *tok;
    const json_t *root, *model;
    bool byte_level;      /* tokens are written in the byte-level alphabet */
    const char **names;   /* by id: text in the file; NULL = none yet */
    unsigned char *flags; /* TEXT_TOKEN_ADDED and TEXT_TOKEN_SPECIAL by id */
    int64_t n_names;
    ins_str scratch;
    ins_error *err;
} text_loader;

/* INS_MODEL: this part of the file is of a sort that is not supported. */
ins_status text_fail_part(text_loader *loader, const char *part, const json_t *value);
/* Normaliser, pre-tokenizer, decoder, post-processor, options of the model. The post-processor comes after the tokens.
 */
ins_status text_load_parts(text_loader *loader);
ins_status text_load_template(text_loader *loader);

#endif
