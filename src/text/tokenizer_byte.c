/* Bytes as tokens: id = byte, then the special tokens. Nothing is learnt. */
#include <string.h>

#include "text/text_internal.h"

typedef struct byte_options {
    ins_opt_strings special;
} byte_options;

static const ins_opt_row rows[] = {
    {.name = "special",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(byte_options, special),
     .def = "<|endoftext|> <|im_start|> <|im_end|> <|pad|>",
     .help = "Special tokens; the first has id 256."},
    {0},
};
static const ins_opt_table table = {.title = "a byte tokenizer", .rows = rows, .size = sizeof(byte_options)};

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const byte_options *o = options;
    (void)pos;
    text_check_special(&o->special, diag);
}

static ins_status fill(ins_tokenizer *tok, const byte_options *o, ins_error *err) {
    for (unsigned i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;
        INS_TRY(text_add_token(tok, &byte, 1, 0, err));
    }
    INS_TRY(text_add_specials(tok, &o->special, err));
    return text_finish(tok, err);
}

static ins_status train(const void *options, ins_text_source *source, ins_pool *pool, const ins_log *log,
                        ins_tokenizer **out, ins_error *err) {
    (void)source;
    (void)pool;
    (void)log;
    ins_tokenizer *tok = NULL;
    INS_TRY(text_new("byte", &tok, err));
    ins_status status = fill(tok, options, err);
    if (status != INS_OK) {
        ins_tokenizer_free(tok);
        return status;
    }
    *out = tok;
    return INS_OK;
}

const ins_tokenizer_desc ins_tokenizer_byte = {
    .head = {.family = "tokenizer",
             .name = "byte",
             .summary = "Every byte is a token; nothing is learnt and any bytes round-trip.",
             .version = 1,
             .options = &table,
             .check = check},
    .train = train,
};
