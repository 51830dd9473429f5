/* Corpus splits: one JSON object of strings a line, in one zstd frame with a checksum. */
#include <string.h>
#include <zstd.h>

#include "data/corpus.h"

#define CORPUS_LEVEL 3
#define CORPUS_CHUNK ((size_t)1 << 18)

const char *const ins_corpus_split_names[INS_CORPUS_SPLITS] = {"train", "valid", "test"};

struct ins_corpus_writer {
    ins_writer *file;
    ZSTD_CCtx *zstd;
    ins_str lines; /* not yet compressed */
    char *out;
    size_t out_size;
};

void ins_corpus_writer_abort(ins_corpus_writer *w) {
    if (!w) return;
    if (w->file) ins_writer_abort(w->file);
    ZSTD_freeCCtx(w->zstd);
    ins_str_free(&w->lines);
    ins_free(w->out);
    ins_free(w);
}

ins_status ins_corpus_writer_open(const char *path, ins_corpus_writer **out, ins_error *err) {
    ins_corpus_writer *w = ins_calloc(1, sizeof *w);
    if (!w) return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    w->out_size = ZSTD_CStreamOutSize();
    w->out = ins_malloc(w->out_size);
    w->zstd = ZSTD_createCCtx();
    ins_status status = INS_OK;
    if (!w->out || !w->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, CORPUS_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1))) {
        status = INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    }
    if (status == INS_OK) status = ins_writer_open(path, &w->file, err);
    if (status != INS_OK) {
        ins_corpus_writer_abort(w);
        return status;
    }
    *out = w;
    return INS_OK;
}

static ins_status compress_lines(ins_corpus_writer *w, bool last, ins_error *err) {
    ZSTD_inBuffer in = {w->lines.data ? w->lines.data : "", w->lines.len, 0};
    for (size_t left = 1; left || in.pos < in.size;) {
        ZSTD_outBuffer out = {w->out, w->out_size, 0};
        left = ZSTD_compressStream2(w->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) return INS_FAIL(err, INS_NOMEM, "zstd: %s", ZSTD_getErrorName(left));
        if (out.pos) INS_TRY(ins_writer_write(w->file, w->out, out.pos, err));
        if (!last && in.pos == in.size) break;
    }
    ins_str_clear(&w->lines);
    return INS_OK;
}

ins_status ins_corpus_writer_add(ins_corpus_writer *w, const ins_document *doc, ins_error *err) {
    ins_str_putc(&w->lines, '{');
    for (int i = 0; i < doc->n_fields; i++) {
        const ins_field *f = doc->fields + i;
        ins_str_puts(&w->lines, i ? ",\"" : "\"");
        ins_str_json_escape(&w->lines, f->name, strlen(f->name));
        ins_str_puts(&w->lines, "\":\"");
        ins_str_json_escape(&w->lines, f->data, f->n);
        ins_str_putc(&w->lines, '"');
    }
    ins_str_puts(&w->lines, "}\n");
    if (w->lines.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for a document");
    return w->lines.len < CORPUS_CHUNK ? INS_OK : compress_lines(w, false, err);
}

ins_status ins_corpus_writer_commit(ins_corpus_writer *w, ins_error *err) {
    ins_status status = compress_lines(w, true, err);
    if (status == INS_OK) {
        ins_writer *file = w->file;
        w->file = NULL;
        status = ins_writer_commit(file, NULL, err);
    }
    ins_corpus_writer_abort(w);
    return status;
}
