/* Characters as tokens: ids 0..255 are the bytes (the fallback for what was not seen), then the special tokens, then
 * the characters of the training text in order of code points. Any bytes round-trip.
 */
#include <string.h>

#include "text/text_internal.h"

#define N_CODE_POINTS ((size_t)0x110000)

typedef struct char_options {
    int64_t min_frequency;
    ins_opt_strings special;
} char_options;

static const ins_opt_row rows[] = {
    {.name = "min_frequency",
     .type = INS_OPT_INT,
     .offset = offsetof(char_options, min_frequency),
     .def = "1",
     .min = 1,
     .max = 1e9,
     .help = "Rarer characters are written as their bytes."},
    {.name = "special",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(char_options, special),
     .def = "<|endoftext|> <|im_start|> <|im_end|> <|pad|>",
     .help = "Special tokens; the first has id 256."},
    {0},
};
static const ins_opt_table table = {.title = "a character tokenizer", .rows = rows, .size = sizeof(char_options)};

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const char_options *o = options;
    (void)pos;
    text_check_special(&o->special, diag);
}

static void count(ins_text_source *source, const ins_log *log, int64_t *counts) {
    const char *text;
    size_t n;
    uint64_t done = 0, shown = 0;
    while (source->next(source->arg, &text, &n)) {
        for (size_t at = 0; at < n;) {
            uint32_t cp;
            int length = ins_utf8_decode((const unsigned char *)text + at, n - at, &cp);
            if (length) counts[cp]++;
            at += length ? (size_t)length : 1;
        }
        done += n;
        if (done - shown < (uint64_t)16 << 20) continue;
        shown = done;
        ins_progress state = {.what = "count characters",
                              .unit = "bytes",
                              .done = (double)done,
                              .total = (double)source->total_bytes,
                              .eta_s = -1};
        ins_log_progress(log, &state);
    }
}

static ins_status fill(ins_tokenizer *tok, const char_options *o, const int64_t *counts, ins_error *err) {
    for (unsigned i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;
        INS_TRY(text_add_token(tok, &byte, 1, TEXT_TOKEN_BYTE, err));
    }
    for (int64_t i = 0; i < o->special.n; i++) {
        INS_TRY(text_add_token(tok, o->special.items[i], strlen(o->special.items[i]), TEXT_TOKEN_ADDED, err));
        text_mark_added(tok, (int32_t)tok->n_tokens - 1, true);
    }
    int64_t n = 0;
    for (uint32_t cp = 1; cp < N_CODE_POINTS; cp++) { /* NUL stays a byte: JSON readers refuse it in a name */
        char text[4];
        if (counts[cp] < o->min_frequency) continue;
        INS_TRY(text_add_token(tok, text, (size_t)ins_utf8_encode(cp, text), 0, err));
        n++;
    }
    if (n == 0) {
        INS_FAIL(err, INS_DATA, "there is no character that occurs %lld times to make a token of",
                 (long long)o->min_frequency);
        ins_error_hint(err, "check that the corpus of this stage has documents, or lower min_frequency");
        return INS_DATA;
    }
    return text_finish(tok, err);
}

static ins_status train(const void *options, ins_text_source *source, ins_pool *pool, const ins_log *log,
                        ins_tokenizer **out, ins_error *err) {
    (void)pool;
    int64_t *counts = ins_calloc(N_CODE_POINTS, sizeof *counts);
    if (!counts) return text_no_memory(err);
    ins_tokenizer *tok = NULL;
    ins_status status = text_new("char", &tok, err);
    if (status == INS_OK) {
        count(source, log, counts);
        status = fill(tok, options, counts, err);
    }
    ins_free(counts);
    if (status != INS_OK) {
        ins_tokenizer_free(tok);
        return status;
    }
    *out = tok;
    return INS_OK;
}

const ins_tokenizer_desc ins_tokenizer_char = {
    .head = {.family = "tokenizer",
             .name = "char",
             .summary = "Every character seen in training is a token; others are written as bytes.",
             .version = 1,
             .options = &table,
             .check = check},
    .train = train,
};
