/* Stage tokenize: corpora -> tokenizer.json and token shards.
 *
 *   tokenizer.json
 *   CORPUS/train.shard valid.shard test.shard     CORPUS = the reference, with odd characters made '_'
 *
 * Every document is stored as [eos, tokens..., eos]: the first eos predicts the first token, so bits per byte counts
 * every byte of text, and the last one teaches where texts end. Dialogues end with their own mark. Files are written
 * atomically and are pure functions of the inputs: a restarted stage keeps the shards that are there. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "data/tokens_folder.h"
#include "stage/tokenize_shard.h"
#include "stage/stage.h"

typedef struct tokenize_options {
    ins_opt_strings corpora, train_on;
    ins_opt_component tokenizer;
    const char *from, *field;
    int format;
    int64_t train_bytes;
} tokenize_options;

#define ROW(field) offsetof(tokenize_options, field)
static const ins_opt_row rows[] = {
    {.name = "corpora",
     .type = INS_OPT_STRINGS,
     .offset = ROW(corpora),
     .unit = "corpus",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "build-data stages whose corpora become token shards."},
    {.name = "tokenizer",
     .type = INS_OPT_COMPONENT,
     .offset = ROW(tokenizer),
     .def = "bpe",
     .choices = "tokenizer",
     .help = "Tokenizer to train; not used with `from`."},
    {.name = "from",
     .type = INS_OPT_STRING,
     .offset = ROW(from),
     .unit = "tokens",
     .flags = INS_OPT_INPUT,
     .help = "Another tokenize stage whose tokenizer is used as it is."},
    {.name = "train_on",
     .type = INS_OPT_STRINGS,
     .offset = ROW(train_on),
     .help = "Which of the corpora the tokenizer is trained on (their train split); all of them by default."},
    {.name = "train_bytes",
     .type = INS_OPT_SIZE,
     .offset = ROW(train_bytes),
     .def = "256M",
     .min = 1,
     .max = 1e15,
     .unit = "bytes",
     .help = "Train the tokenizer on at most this much text."},
    {.name = "format",
     .type = INS_OPT_CHOICE,
     .offset = ROW(format),
     .def = "document",
     .choices = "document chat",
     .help = "document: the text field as it is; chat: fields prompt and response as a dialogue, only the response in "
             "the loss."},
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = ROW(field),
     .def = "text",
     .help = "Field that holds a document's text."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"stage tokenize", rows, sizeof(tokenize_options)};

/* ---- text of the training corpora, one document after another ---- */
typedef struct text_source {
    const ins_stage_context *c;
    const tokenize_options *options;
    ins_corpus_reader *reader;
    ins_document doc;
    int64_t next_corpus;
    int64_t left; /* bytes of text still allowed */
    ins_status status;
    ins_error err;
} text_source;

static bool is_trained_on(const tokenize_options *o, const char *ref) {
    if (o->train_on.n == 0) return true;
    for (int64_t i = 0; i < o->train_on.n; i++) {
        if (strcmp(o->train_on.items[i], ref) == 0) return true;
    }
    return false;
}

static bool open_next(text_source *s) {
    while (s->next_corpus < s->options->corpora.n) {
        const char *ref = s->options->corpora.items[s->next_corpus++];
        if (!is_trained_on(s->options, ref)) continue;
        const char *dir = NULL;
        s->status = ins_stage_input_dir(s->c, ref, &dir, &s->err);
        if (s->status == INS_OK) s->status = ins_corpus_open(dir, "train", &s->reader, &s->err);
        return s->status == INS_OK;
    }
    return false;
}

static bool next_text(void *arg, const char **text, size_t *n) {
    text_source *s = arg;
    while (s->status == INS_OK && s->left > 0) {
        if (*s->c->stop) {
            s->status = INS_FAIL(&s->err, INS_INTERRUPTED, "interrupted while reading text for the tokenizer");
            return false;
        }
        if (!s->reader && !open_next(s)) return false;
        bool end = false;
        ins_document_clear(&s->doc);
        s->status = ins_corpus_next(s->reader, &s->doc, &end, &s->err);
        if (s->status != INS_OK) return false;
        if (end) {
            ins_corpus_close(s->reader);
            s->reader = NULL;
            continue;
        }
        const ins_field *field = ins_document_get(&s->doc, s->options->field);
        if (!field && s->options->format == 1) field = ins_document_get(&s->doc, "response");
        if (!field || field->n == 0) continue;
        s->left -= (int64_t)field->n;
        *text = field->data;
        *n = field->n;
        return true;
    }
    return false;
}

static uint64_t training_bytes(const ins_stage_context *c, const tokenize_options *o) {
    uint64_t total = 0;
    for (int64_t i = 0; i < o->corpora.n; i++) {
        ins_corpus_reader *reader = NULL;
        const char *dir = NULL;
        if (!is_trained_on(o, o->corpora.items[i])) continue;
        if (ins_stage_input_dir(c, o->corpora.items[i], &dir, NULL) != INS_OK) continue;
        if (ins_corpus_open(dir, "train", &reader, NULL) != INS_OK) continue;
        total += ins_corpus_bytes(reader);
        ins_corpus_close(reader);
    }
    return total < (uint64_t)o->train_bytes ? total : (uint64_t)o->train_bytes;
}

static ins_status train(const ins_stage_context *c, ins_tokenizer **out, ins_error *err) {
    const tokenize_options *o = c->options;
    const ins_tokenizer_desc *desc = (const ins_tokenizer_desc *)o->tokenizer.desc;
    text_source source = {.c = c, .options = o, .left = o->train_bytes, .doc.arena = ins_arena_new(0)};
    if (!source.doc.arena) return INS_FAIL(err, INS_NOMEM, "no memory to read the corpus");
    ins_text_source texts = {next_text, &source, training_bytes(c, o)};
    ins_status status = desc->train(o->tokenizer.options, &texts, c->pool, c->log, out, err);
    if (source.status != INS_OK) { /* reading failed: that is the cause */
        if (status == INS_OK) ins_tokenizer_free(*out);
        if (err) *err = source.err;
        status = source.status;
    }
    ins_corpus_close(source.reader);
    ins_arena_free(source.doc.arena);
    return status;
}

/* Another stage's file, byte for byte: stages with equal files share a tokenizer. */
static ins_status copy_tokenizer(const ins_stage_context *c, const char *ref, const char *path, ins_error *err) {
    char from[4200];
    const char *dir = NULL;
    ins_str text = {0};
    INS_TRY(ins_stage_input_dir(c, ref, &dir, err));
    INS_TRY(ins_path_join(dir, "tokenizer.json", from, sizeof from, err));
    ins_status status = ins_file_read(from, 1u << 30, &text, err);
    if (status == INS_OK) status = ins_file_write_atomic(path, text.data, text.len, err);
    ins_str_free(&text);
    return status;
}

/* The tokenizer: already saved by an earlier attempt, another stage's, or trained now. What is used is what was saved.
 */
static ins_status get_tokenizer(const ins_stage_context *c, ins_tokenizer **out, ins_error *err) {
    const tokenize_options *o = c->options;
    char path[4200];
    INS_TRY(ins_path_join(c->dir, "tokenizer.json", path, sizeof path, err));
    if (ins_file_exists(path) && ins_tokenizer_load(path, out, NULL) == INS_OK) return INS_OK;
    if (o->from) {
        INS_TRY(copy_tokenizer(c, o->from, path, err));
        return ins_tokenizer_load(path, out, err);
    }
    ins_tokenizer *tok = NULL;
    INS_TRY(train(c, &tok, err));
    ins_status status = ins_tokenizer_save(tok, path, err);
    ins_tokenizer_free(tok);
    return status == INS_OK ? ins_tokenizer_load(path, out, err) : status;
}

static ins_status encode_split(const ins_stage_context *c, const ins_tokenizer *tok, const char *ref, const char *split,
                               ins_error *err) {
    const tokenize_options *o = c->options;
    char folder[512], dir[4096], path[4200], name[640];
    const char *corpus_dir = NULL;
    INS_TRY(ins_stage_input_dir(c, ref, &corpus_dir, err));
    ins_tokens_folder(ref, folder, sizeof folder);
    INS_TRY(ins_path_join(c->dir, folder, dir, sizeof dir, err));
    INS_TRY(ins_dir_make(dir, err));
    snprintf(path, sizeof path, "%s/%s.shard", dir, split);
    ins_encode_job job = {.tokenizer = tok,
                          .pool = c->pool,
                          .log = c->log,
                          .stop = c->stop,
                          .chat = o->format == 1,
                          .field = o->field,
                          .corpus_dir = corpus_dir,
                          .split = split,
                          .stage_name = c->name,
                          .out_path = path};
    ins_encode_stats stats = {0};
    INS_TRY(ins_encode_corpus(&job, &stats, err));
    if (stats.documents == 0) return INS_OK;
    struct {
        const char *what;
        double value;
    } values[] = {{"documents", (double)stats.documents},
                  {"tokens", (double)stats.tokens},
                  {"bytes_per_token", stats.loss_tokens > 0 ? (double)stats.text_bytes / (double)stats.loss_tokens : 0},
                  {"skipped", (double)stats.skipped}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(name, sizeof name, "tokens/%s.%s.%s", ref, split, values[i].what);
        INS_TRY(c->metrics->value(c->metrics->arg, 0, stats.tokens, name, values[i].value, err));
    }
    c->result->tokens += stats.tokens;
    return INS_OK;
}

static ins_status run(const ins_stage_context *c, ins_error *err) {
    const tokenize_options *o = c->options;
    static const char *const splits[] = {"train", "valid", "test"};
    ins_tokenizer *tok = NULL;
    INS_TRY(ins_metrics_start(c, err));
    INS_TRY(get_tokenizer(c, &tok, err));
    ins_status status =
        c->metrics->value(c->metrics->arg, 0, 0, "tokens/vocab", (double)ins_tokenizer_vocab_size(tok), err);
    for (int64_t i = 0; i < o->corpora.n && status == INS_OK; i++) {
        for (int s = 0; s < 3 && status == INS_OK; s++)
            status = encode_split(c, tok, o->corpora.items[i], splits[s], err);
    }
    ins_tokenizer_free(tok);
    return status == INS_OK ? c->metrics->flush(c->metrics->arg, err) : status;
}

/* Two references that differ only in odd characters would share a folder. */
static void check_folders(const tokenize_options *o, ins_pos pos, ins_diag *diag) {
    for (int64_t i = 0; i < o->corpora.n; i++) {
        char mine[512], other[512];
        ins_tokens_folder(o->corpora.items[i], mine, sizeof mine);
        for (int64_t j = 0; j < i; j++) {
            ins_tokens_folder(o->corpora.items[j], other, sizeof other);
            if (strcmp(mine, other) != 0) continue;
            ins_diag_add(diag, INS_RECIPE, o->corpora.pos ? o->corpora.pos[i] : pos, NULL,
                         "corpora: '%s' and '%s' would be kept in one folder", o->corpora.items[j],
                         o->corpora.items[i]);
        }
    }
}

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const tokenize_options *o = options;
    check_folders(o, pos, diag);
    if (o->from && o->train_on.n > 0) {
        ins_diag_add(diag, INS_RECIPE, o->train_on.pos ? o->train_on.pos[0] : pos, "remove one of them",
                     "`from` takes a tokenizer over as it is: train_on has no meaning");
    }
    for (int64_t i = 0; i < o->train_on.n; i++) {
        bool known = false;
        for (int64_t j = 0; j < o->corpora.n; j++)
            known = known || strcmp(o->train_on.items[i], o->corpora.items[j]) == 0;
        if (known) continue;
        const char *near = ins_nearest_name(o->train_on.items[i], o->corpora.items, o->corpora.n);
        ins_diag_add(diag, INS_RECIPE, o->train_on.pos ? o->train_on.pos[i] : pos, near,
                     "train_on: '%s' is not one of this stage's corpora%s%s%s", o->train_on.items[i],
                     near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
}

/* From the sizes of the corpora that are there: about 3 bytes a token, 2 bytes an id; some MB/s to learn and to encode.
 */
static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const tokenize_options *o = c->options;
    double bytes = 0;
    (void)err;
    *out = (ins_stage_plan){0};
    for (int64_t i = 0; i < o->corpora.n; i++) {
        ins_corpus_reader *reader = NULL;
        const ins_stage_input *input = ins_stage_input_find(c, o->corpora.items[i]);
        if (!input || !input->dir) return INS_OK;
        if (ins_corpus_open(input->dir, "train", &reader, NULL) != INS_OK) continue;
        bytes += (double)ins_corpus_bytes(reader);
        ins_corpus_close(reader);
    }
    double learnt = o->from ? 0 : (double)training_bytes(c, o);
    *out = (ins_stage_plan){.tokens = (int64_t)(bytes / 3),
                            .disk_bytes = bytes / 3 * 2,
                            .peak_bytes = 64e6 + learnt,
                            .seconds = bytes / 20e6 + learnt / 5e6};
    return INS_OK;
}

const ins_stage ins_stage_tokenize = {
    .head = {.family = "stage",
             .name = "tokenize",
             .summary = "Train (or take over) a tokenizer and turn corpora into memory-mapped token shards.",
             .version = 3,
             .options = &table,
             .check = check},
    .output = "tokens",
    .inputs = "corpus tokens",
    .plan = plan,
    .run = run,
};
