/* Probe compress: bits per byte that general compressors need for the held-out text, as a yardstick for bpb.
 *
 *   compress/NAME         xz -9 (lzma preset 9 extreme) of the held-out text alone
 *   compress/NAME.primed  what the held-out text adds when it follows the training text: (size(train + held-out) -
 *                         size(train)) / held-out bytes; the fair comparison with a model that has seen the train split
 *   compress/NAME.zstd    zstd -19 of the held-out text alone
 *
 * The text is the documents' text field, joined by newlines. Needs no model. */
#include <math.h>
#include <string.h>
#include <zstd.h>
#ifdef INS_HAVE_LZMA
#include <lzma.h>
#endif

#include "data/document.h"
#include "probe/probe_common.h"

typedef struct compress_options {
    const char *name, *corpus, *split, *field;
    int64_t prime_bytes;
} compress_options;

#define ROW(field) offsetof(compress_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: compress/NAME; the corpus by default."},
    {.name = "corpus",
     .type = INS_OPT_STRING,
     .offset = ROW(corpus),
     .unit = "corpus",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "build-data stage whose held-out text is compressed."},
    {.name = "split", .type = INS_OPT_STRING, .offset = ROW(split), .def = "valid", .help = "valid or test."},
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = ROW(field),
     .def = "text",
     .help = "Field that holds a document's text."},
    {.name = "prime_bytes",
     .type = INS_OPT_SIZE,
     .offset = ROW(prime_bytes),
     .def = "16M",
     .min = 0,
     .max = 1e12,
     .unit = "bytes",
     .help = "How much of the training text may come first for .primed; 0 leaves .primed out."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe compress", rows, sizeof(compress_options)};

/* Text of a split, documents joined by newlines, at most max_bytes (0 = all). */
static ins_status read_split(const ins_probe_context *c, const char *split, int64_t max_bytes, ins_str *out,
                             ins_error *err) {
    const compress_options *o = c->options;
    const ins_stage_input *input = NULL;
    ins_corpus_reader *reader = NULL;
    ins_document doc = {.arena = ins_arena_new(0)};
    if (!doc.arena) return INS_FAIL(err, INS_NOMEM, "no memory to read the corpus");
    ins_status status = ins_probe_input(c, o->corpus, &input, err);
    if (status == INS_OK) status = ins_corpus_open(input->dir, split, &reader, err);
    for (bool end = false; status == INS_OK && (max_bytes == 0 || (int64_t)out->len < max_bytes);) {
        ins_document_clear(&doc);
        status = ins_corpus_next(reader, &doc, &end, err);
        if (status != INS_OK || end) break;
        const ins_field *field = ins_document_get(&doc, o->field);
        if (!field) continue;
        ins_str_append(out, field->data, field->n);
        ins_str_putc(out, '\n');
    }
    ins_corpus_close(reader);
    ins_arena_free(doc.arena);
    if (status == INS_OK && out->oom) status = INS_FAIL(err, INS_NOMEM, "no memory for the text of %s", o->corpus);
    return status;
}

#ifdef INS_HAVE_LZMA
/* Bytes of x followed by y under xz -9e, in one stream. The output is counted, not kept. */
static ins_status xz_size(const ins_str *x, const ins_str *y, double *size, ins_error *err) {
    lzma_stream stream = LZMA_STREAM_INIT;
    uint8_t buffer[1 << 16];
    const ins_str *parts[2] = {x, y};
    uint64_t total = 0;
    if (lzma_easy_encoder(&stream, 9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC64) != LZMA_OK) {
        return INS_FAIL(err, INS_NOMEM, "xz -9 needs about 700 MB of memory");
    }
    lzma_ret code = LZMA_OK;
    for (int part = 0; part < 2 && code == LZMA_OK; part++) {
        lzma_action action = part == 1 ? LZMA_FINISH : LZMA_RUN;
        stream.next_in = (const uint8_t *)(parts[part] ? parts[part]->data : NULL);
        stream.avail_in = parts[part] ? parts[part]->len : 0;
        while (code == LZMA_OK && (stream.avail_in > 0 || action == LZMA_FINISH)) {
            stream.next_out = buffer;
            stream.avail_out = sizeof buffer;
            code = lzma_code(&stream, action);
            total += sizeof buffer - stream.avail_out;
        }
    }
    lzma_end(&stream);
    if (code != LZMA_STREAM_END) return INS_FAIL(err, INS_BUG, "xz failed with code %d", (int)code);
    *size = (double)total;
    return INS_OK;
}

static ins_status measure_xz(const ins_probe_context *c, const ins_str *text, const char *name,
                             const ins_probe_state *at, const ins_metrics *m, ins_error *err) {
    const compress_options *o = c->options;
    double alone = 0, before = 0, both = 0;
    INS_TRY(xz_size(NULL, text, &alone, err));
    INS_TRY(ins_probe_value(m, at, "compress", name, NULL, 8 * alone / (double)text->len, err));
    if (o->prime_bytes == 0) return INS_OK;
    ins_str train = {0};
    ins_status status = read_split(c, "train", o->prime_bytes, &train, err);
    if (status == INS_OK) status = xz_size(&train, NULL, &before, err);
    if (status == INS_OK) status = xz_size(&train, text, &both, err);
    ins_str_free(&train);
    INS_TRY(status);
    return ins_probe_value(m, at, "compress", name, "primed", 8 * (both - before) / (double)text->len, err);
}
#endif

static ins_status measure_zstd(const ins_str *text, const char *name, const ins_probe_state *at, const ins_metrics *m,
                               ins_error *err) {
    size_t bound = ZSTD_compressBound(text->len);
    void *buffer = ins_malloc(bound);
    if (!buffer) return INS_FAIL(err, INS_NOMEM, "no memory to compress %zu bytes", text->len);
    size_t size = ZSTD_compress(buffer, bound, text->data, text->len, 19);
    ins_free(buffer);
    if (ZSTD_isError(size)) return INS_FAIL(err, INS_BUG, "zstd: %s", ZSTD_getErrorName(size));
    return ins_probe_value(m, at, "compress", name, "zstd", 8 * (double)size / (double)text->len, err);
}

static ins_status compress_open(const ins_probe_context *c, void **state, ins_error *err) {
    (void)c;
    (void)err;
    *state = NULL;
    return INS_OK;
}

static ins_status compress_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                               ins_error *err) {
    const compress_options *o = c->options;
    const char *name = o->name ? o->name : o->corpus;
    ins_str text = {0};
    (void)state;
    ins_status status = read_split(c, o->split, 0, &text, err);
    if (status == INS_OK && text.len == 0) {
        status =
            INS_FAIL(err, INS_DATA, "the %s split of '%s' has no text in field '%s'", o->split, o->corpus, o->field);
    }
#ifdef INS_HAVE_LZMA
    if (status == INS_OK) status = measure_xz(c, &text, name, at, m, err);
#else
    if (status == INS_OK) ins_logf(c->log, INS_LOG_WARN, "built without liblzma: xz is not measured");
#endif
    if (status == INS_OK) status = measure_zstd(&text, name, at, m, err);
    ins_str_free(&text);
    return status;
}

static void compress_close(void *state) {
    (void)state;
}

const ins_probe ins_probe_compress = {
    .head = {.family = "probe",
             .name = "compress",
             .summary = "Bits per byte that xz -9 and zstd -19 need for held-out text: the yardstick for bpb.",
             .version = 1,
             .options = &table},
    .unit = "bits/byte",
    .better = "lower",
    .open = compress_open,
    .run = compress_run,
    .close = compress_close,
};
