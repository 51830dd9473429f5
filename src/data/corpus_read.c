/* Reading a corpus split. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/corpus.h"
#include "format/json.h"
#include "format/lines.h"

#define CORPUS_JSON_MAX ((uint64_t)64 << 20)
#define CORPUS_LINE_MAX ((size_t)1 << 30)

struct ins_corpus_reader {
    char path[PATH_MAX];
    ins_stream *stream;
    int64_t documents, bytes; /* what corpus.json says */
    int64_t read;
};

void ins_corpus_close(ins_corpus_reader *r) {
    if (!r) return;
    if (r->stream) ins_stream_close(r->stream);
    ins_free(r);
}

/* Counts of the split. */
static ins_status read_counts(ins_corpus_reader *r, const char *dir, const char *split, ins_error *err) {
    char path[PATH_MAX];
    json_t *root = NULL;
    INS_TRY(ins_path_join(dir, "corpus.json", path, sizeof path, err));
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_DATA, "'%s' is no corpus: it has no corpus.json", dir);
        ins_error_hint(err, "a corpus is what a build-data stage leaves");
        return INS_DATA;
    }
    INS_TRY(ins_json_read_file(path, CORPUS_JSON_MAX, &root, err));
    const json_t *counts = json_object_get(json_object_get(root, "splits"), split);
    ins_status status = INS_OK;
    if (!json_is_object(counts)) {
        status = INS_FAIL(err, INS_DATA, "corpus '%s' has no split '%s'", dir, split);
        ins_error_hint(
            err, "give '%s' a share of the groups where the corpus is built; a share of few groups may be none", split);
    }
    if (status == INS_OK) status = ins_json_get_int(counts, "documents", &r->documents, err);
    if (status == INS_OK) status = ins_json_get_int(counts, "bytes", &r->bytes, err);
    json_decref(root);
    return status;
}

ins_status ins_corpus_open(const char *dir, const char *split, ins_corpus_reader **out, ins_error *err) {
    ins_corpus_reader *r = ins_calloc(1, sizeof *r);
    if (!r) return INS_FAIL(err, INS_NOMEM, "out of memory while opening corpus '%s'", dir);
    char name[64];
    snprintf(name, sizeof name, "%.40s.jsonl.zst", split);
    ins_status status = read_counts(r, dir, split, err);
    if (status == INS_OK) status = ins_path_join(dir, name, r->path, sizeof r->path, err);
    if (status == INS_OK) status = ins_stream_open(r->path, &r->stream, err);
    if (status != INS_OK) {
        ins_corpus_close(r);
        return status;
    }
    *out = r;
    return INS_OK;
}

static ins_status damaged(const ins_corpus_reader *r, const char *what, ins_error *err) {
    INS_FAIL(err, INS_DATA, "%s", what);
    ins_error_at(err, (ins_pos){r->path, (int)ins_stream_line_number(r->stream), 0});
    ins_error_hint(err, "the corpus is damaged: run the stage that built it again");
    return INS_DATA;
}

ins_status ins_corpus_next(ins_corpus_reader *r, ins_document *doc, bool *end, ins_error *err) {
    const char *line;
    size_t n;
    INS_TRY(ins_stream_line(r->stream, CORPUS_LINE_MAX, &line, &n, end, err));
    if (*end) {
        return r->read == r->documents ? INS_OK : damaged(r, "the split has not as many documents as it should", err);
    }
    doc->source = (ins_pos){r->path, (int)ins_stream_line_number(r->stream), 0};
    json_t *object = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    ins_status status = json_is_object(object) ? INS_OK : damaged(r, "this line is no document", err);
    for (void *at = json_object_iter(object); at && status == INS_OK; at = json_object_iter_next(object, at)) {
        const json_t *value = json_object_iter_value(at);
        if (!json_is_string(value)) {
            status = damaged(r, "a field of this document is no text", err);
            break;
        }
        status =
            ins_document_set(doc, json_object_iter_key(at), json_string_value(value), json_string_length(value), err);
    }
    json_decref(object);
    if (status == INS_OK) r->read++;
    return status;
}

uint64_t ins_corpus_bytes(const ins_corpus_reader *r) {
    return (uint64_t)r->bytes;
}

int64_t ins_corpus_documents(const ins_corpus_reader *r) {
    return r->documents;
}
