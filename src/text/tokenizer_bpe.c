/* Byte-level byte pair encoding.
 *
 * Ids are given as Hugging Face's trainer gives them: special tokens first, then the 256 bytes in the order of their
 * printable symbols (GPT-2's order: "!" first, the space at 220th place), then one token per merge.
 */
#include <string.h>

#include "text/bpe_train.h"

typedef struct bpe_options {
    int64_t vocab, min_frequency, max_token_bytes;
    int split;
    ins_opt_strings special;
} bpe_options;

static const ins_opt_row rows[] = {
    {.name = "vocab",
     .type = INS_OPT_SIZE,
     .offset = offsetof(bpe_options, vocab),
     .def = "8192",
     .min = 257,
     .max = 1e6,
     .unit = "tokens",
     .help = "Size of the vocabulary, special tokens and the 256 bytes included.",
     .aliases = "vocab_size"},
    {.name = "split",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(bpe_options, split),
     .def = "gpt2",
     .choices = "gpt2 llama3 none",
     .help =
         "How text is cut into the pieces that no token crosses: as GPT-2 does, as Llama 3 does (numbers in groups of "
         "three digits), or not at all (slow on long documents)."},
    {.name = "min_frequency",
     .type = INS_OPT_INT,
     .offset = offsetof(bpe_options, min_frequency),
     .def = "2",
     .min = 1,
     .max = 1e9,
     .help = "A pair of tokens becomes one token only if it occurs this often."},
    {.name = "max_token_bytes",
     .type = INS_OPT_INT,
     .offset = offsetof(bpe_options, max_token_bytes),
     .def = "64",
     .min = 2,
     .max = 4096,
     .unit = "bytes",
     .help = "No token gets longer than this."},
    {.name = "special",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(bpe_options, special),
     .def = "<|endoftext|> <|im_start|> <|im_end|> <|pad|>",
     .help =
         "Special tokens, in the order of their ids. <|endoftext|> ends a document, <|im_start|> and <|im_end|> frame "
         "a chat message, <|pad|> fills up batches."},
    {0},
};
static const ins_opt_table table = {.title = "a byte-level BPE tokenizer", .rows = rows, .size = sizeof(bpe_options)};

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const bpe_options *o = options;
    text_check_special(&o->special, diag);
    if (o->vocab < o->special.n + 256)
        ins_diag_add(diag, INS_RECIPE, pos, "raise vocab or list fewer special tokens",
                     "vocab: %lld has no room for 256 bytes and %lld special tokens", (long long)o->vocab,
                     (long long)o->special.n);
}

static ins_status start(const bpe_options *o, ins_tokenizer **out, ins_error *err) {
    static const text_split_kind splits[] = {TEXT_SPLIT_GPT2, TEXT_SPLIT_LLAMA3, TEXT_SPLIT_NONE};
    ins_tokenizer *tok = NULL;
    INS_TRY(text_new("bpe", &tok, err));
    *out = tok;
    tok->split = splits[o->split];
    INS_TRY(text_add_specials(tok, &o->special, err));
    for (unsigned i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)text_byte_at(i);
        INS_TRY(text_add_token(tok, &byte, 1, 0, err));
    }
    return INS_OK;
}

static ins_status fail_empty(ins_error *err) {
    INS_FAIL(err, INS_DATA, "there is no text to train the tokenizer on");
    ins_error_hint(err, "check that the corpus of this stage has documents and that no step filters all of them out");
    return INS_DATA;
}

static ins_status train(const void *options, ins_text_source *source, ins_pool *pool, const ins_log *log,
                        ins_tokenizer **out, ins_error *err) {
    const bpe_options *o = options;
    ins_tokenizer *tok = NULL;
    bpe_words words = {0};
    bpe_goal goal = {.vocab = o->vocab, .min_frequency = o->min_frequency, .max_token_bytes = o->max_token_bytes};
    ins_status status = start(o, &tok, err);
    if (status == INS_OK) status = bpe_count_words(tok->split, source, pool, log, &words, err);
    if (status == INS_OK && words.n == 0) status = fail_empty(err);
    if (status == INS_OK) status = bpe_learn(tok, &words, &goal, log, err);
    if (status == INS_OK) status = text_finish(tok, err);
    bpe_words_free(&words);
    if (status != INS_OK) {
        ins_tokenizer_free(tok);
        return status;
    }
    *out = tok;
    return INS_OK;
}

const ins_tokenizer_desc ins_tokenizer_bpe = {
    .head = {.family = "tokenizer",
             .name = "bpe",
             .summary = "Byte-level byte pair encoding: frequent pairs of bytes become tokens, any bytes round-trip.",
             .paper = "Neural Machine Translation of Rare Words with Subword Units (Sennrich, Haddow and Birch, 2016)",
             .version = 1,
             .options = &table,
             .check = check},
    .train = train,
};
