/* Probe compress: bits per byte that general compressors need for the held-out text, as a yardstick for bpb.
 *
 *   compress/NAME         xz -9 (lzma preset 9 extreme) of the held-out text alone
 *   compress/NAME.primed  what the held-out text adds when it follows the training text: (size(train + held-out) -
 *                         size(train)) / held-out bytes; the fair comparison with a model that has seen the train split
 *   compress/NAME.zstd    zstd -19 of the held-out text alone
 *   compress/NAME.gzip    gzip -9 of the held-out text alone
 *
 * Sizes are those of the files that the programs would write. The text is the documents' text field, joined by
 * newlines. Needs no model. */
#include <zlib.h>
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

/* ---- compressors ---- */

typedef struct compress_job compress_job;
struct compress_job {
    ins_status (*measure)(const compress_job *job, double *size, ins_error *err);
    const ins_str *before, *text; /* text after `before`, which may be NULL; one of the two may be NULL */
    const volatile int *stop;
    const char *metric; /* NULL = an intermediate result */
    double size;
    ins_status status;
    ins_error err;
};

#ifdef INS_HAVE_LZMA
/* Bytes of `before` followed by `text` under xz -9e, in one stream. The output is counted, not kept. */
static ins_status xz_size(const compress_job *job, double *size, ins_error *err) {
    lzma_stream stream = LZMA_STREAM_INIT;
    uint8_t buffer[1 << 14];
    const ins_str *parts[2] = {job->before, job->text};
    uint64_t total = 0;
    if (lzma_easy_encoder(&stream, 9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC64) != LZMA_OK) {
        INS_FAIL(err, INS_NOMEM, "xz -9 needs about 700 MB of memory");
        ins_error_hint(err, "set prime_bytes: 0, which runs it once only");
        return INS_NOMEM;
    }
    lzma_ret code = LZMA_OK;
    bool stopped = false;
    for (int part = 0; part < 2 && code == LZMA_OK; part++) {
        lzma_action action = part == 1 ? LZMA_FINISH : LZMA_RUN;
        stream.next_in = (const uint8_t *)(parts[part] ? parts[part]->data : NULL);
        stream.avail_in = parts[part] ? parts[part]->len : 0;
        while (code == LZMA_OK && !stopped && (stream.avail_in > 0 || action == LZMA_FINISH)) {
            stream.next_out = buffer;
            stream.avail_out = sizeof buffer;
            code = lzma_code(&stream, action);
            total += sizeof buffer - stream.avail_out;
            stopped = job->stop && *job->stop;
        }
    }
    lzma_end(&stream);
    if (stopped) return INS_FAIL(err, INS_INTERRUPTED, "interrupted while compressing");
    if (code != LZMA_STREAM_END) return INS_FAIL(err, INS_BUG, "xz failed with code %d", (int)code);
    *size = (double)total;
    return INS_OK;
}
#endif

static ins_status zstd_size(const compress_job *job, double *size, ins_error *err) {
    size_t bound = ZSTD_compressBound(job->text->len);
    void *buffer = ins_malloc(bound);
    if (!buffer) return INS_FAIL(err, INS_NOMEM, "no memory to compress %zu bytes", job->text->len);
    size_t n = ZSTD_compress(buffer, bound, job->text->data, job->text->len, 19);
    ins_free(buffer);
    if (ZSTD_isError(n)) return INS_FAIL(err, INS_BUG, "zstd: %s", ZSTD_getErrorName(n));
    *size = (double)n;
    return INS_OK;
}

static ins_status gzip_size(const compress_job *job, double *size, ins_error *err) {
    enum { GZIP_FRAME = 16 + MAX_WBITS, MEM_LEVEL = 8 };
    z_stream stream = {0};
    unsigned char buffer[1 << 14];
    size_t left = job->text->len;
    const char *at = job->text->data;
    if (deflateInit2(&stream, 9, Z_DEFLATED, GZIP_FRAME, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return INS_FAIL(err, INS_NOMEM, "no memory for gzip");
    int code = Z_OK;
    double total = 0;
    while (code == Z_OK) {
        if (stream.avail_in == 0 && left > 0) {
            stream.next_in = (unsigned char *)(uintptr_t)at;
            stream.avail_in = left < (1u << 30) ? (unsigned)left : 1u << 30;
            at += stream.avail_in;
            left -= stream.avail_in;
        }
        stream.next_out = buffer;
        stream.avail_out = sizeof buffer;
        code = deflate(&stream, left > 0 ? Z_NO_FLUSH : Z_FINISH);
        total += (double)(sizeof buffer - stream.avail_out);
    }
    deflateEnd(&stream);
    if (code != Z_STREAM_END) return INS_FAIL(err, INS_BUG, "gzip failed with code %d", code);
    *size = total;
    return INS_OK;
}

static void run_job(void *arg, int64_t task, int thread) {
    compress_job *job = (compress_job *)arg + task;
    (void)thread;
    job->status = job->measure(job, &job->size, &job->err);
}

/* ---- probe ---- */

enum { MAX_JOBS = 5 };

/* The longest first: they run side by side. xz of the training text is the first, that of both texts the second. */
static int plan_jobs(const ins_probe_context *c, const ins_str *train, const ins_str *text,
                     compress_job jobs[MAX_JOBS]) {
    int n = 0;
#ifdef INS_HAVE_LZMA
    if (train->len > 0) {
        jobs[n++] = (compress_job){.measure = xz_size, .before = train, .stop = c->stop};
        jobs[n++] = (compress_job){.measure = xz_size, .before = train, .text = text, .stop = c->stop};
    }
    jobs[n++] = (compress_job){.measure = xz_size, .text = text, .stop = c->stop, .metric = ""};
#else
    (void)train;
    ins_logf(c->log, INS_LOG_WARN, "built without liblzma: xz is not measured");
#endif
    jobs[n++] = (compress_job){.measure = zstd_size, .text = text, .stop = c->stop, .metric = "zstd"};
    jobs[n++] = (compress_job){.measure = gzip_size, .text = text, .stop = c->stop, .metric = "gzip"};
    return n;
}

static ins_status measure(const ins_probe_context *c, const ins_str *train, const ins_str *text,
                          const ins_probe_state *at, const ins_metrics *m, ins_error *err) {
    const compress_options *o = c->options;
    const char *name = o->name ? o->name : o->corpus;
    double bytes = (double)text->len;
    compress_job *jobs = ins_calloc(MAX_JOBS, sizeof *jobs);
    if (!jobs) return INS_FAIL(err, INS_NOMEM, "no memory to compress");
    int n = plan_jobs(c, train, text, jobs);
    ins_pool_run(c->pool, n, run_job, jobs);
    ins_status status = INS_OK;
    for (int i = 0; i < n && status == INS_OK; i++) {
        status = jobs[i].status;
        if (status != INS_OK && err) *err = jobs[i].err;
        if (status != INS_OK || !jobs[i].metric) continue;
        status = ins_probe_value(m, at, "compress", name, jobs[i].metric[0] ? jobs[i].metric : NULL,
                                 8 * jobs[i].size / bytes, err);
    }
    bool primed = n > 1 && !jobs[0].metric && !jobs[1].metric;
    if (status == INS_OK && primed) {
        double added = jobs[1].size - jobs[0].size;
        status = ins_probe_value(m, at, "compress", name, "primed", 8 * added / bytes, err);
    }
    ins_free(jobs);
    return status;
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
    ins_str text = {0}, train = {0};
    (void)state;
    ins_status status = read_split(c, o->split, 0, &text, err);
    if (status == INS_OK && text.len == 0) {
        status =
            INS_FAIL(err, INS_DATA, "the %s split of '%s' has no text in field '%s'", o->split, o->corpus, o->field);
        ins_error_hint(err, "set `field` to the field that holds the text, or choose another split");
    }
    if (status == INS_OK && o->prime_bytes > 0) status = read_split(c, "train", o->prime_bytes, &train, err);
    if (status == INS_OK) status = measure(c, &train, &text, at, m, err);
    ins_str_free(&text);
    ins_str_free(&train);
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
