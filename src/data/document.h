/* Documents: named byte-string fields. What readers make, steps change, and corpora store (JSON Lines). */
#ifndef INS_DATA_DOCUMENT_H
#define INS_DATA_DOCUMENT_H

#include "base/mem.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "option/component.h"

#define INS_DOC_FIELDS 32

typedef struct ins_field {
    const char *name;
    const char *data; /* NUL-terminated for convenience; may hold embedded NULs */
    size_t n;
} ins_field;

/* Strings live in the document's arena, reset before each document. Well-known fields: text, id, group, title,
 * section, domain, prompt, response, choices, answer. */
typedef struct ins_document {
    ins_arena *arena;
    ins_field fields[INS_DOC_FIELDS];
    int n_fields;
    ins_pos source; /* file and line it came from */
} ins_document;

const ins_field *ins_document_get(const ins_document *doc, const char *name); /* NULL if none */
/* Set a field to a copy of the data. */
ins_status ins_document_set(ins_document *doc, const char *name, const char *data, size_t n, ins_error *err);
ins_status ins_document_puts(ins_document *doc, const char *name, const char *text, ins_error *err);
/* Set without copying the data: it lies in the document's arena (or lives longer), with a NUL behind its n bytes. */
ins_status ins_document_take(ins_document *doc, const char *name, const char *data, size_t n, ins_error *err);
void ins_document_remove(ins_document *doc, const char *name); /* no such field: nothing happens */
void ins_document_clear(ins_document *doc);
/* What a document belongs to: the given field (default "group"), else its id, else its text, else any field; NULL when
 * it has none. Documents of one group go to one split. */
const ins_field *ins_document_group(const ins_document *doc, const char *field);

/* ---- reader: files -> documents ----
 * A reader's options begin with ins_reader_common, which the pipeline obeys for it. */
typedef struct ins_reader_common {
    const char *domain;     /* set as field "domain" on every document; NULL = none */
    double share;           /* of the groups, chosen by hash: an even sample */
    int64_t max_documents;  /* 0 = all */
    int64_t max_bytes;      /* of text; 0 = all */
    int64_t document_bytes; /* longer texts become several documents of the same group; 0 = never */
} ins_reader_common;
typedef struct ins_reader_desc {
    ins_component head; /* family "reader" */
    /* Opens all files named by the options (globs allowed, sorted). *state is freed by close, also after a failure. */
    ins_status (*open)(const void *options, const ins_log *log, void **state, ins_error *err);
    /* Next document into doc (cleared by the caller); *end when there is none. */
    ins_status (*next)(void *state, ins_document *doc, bool *end, ins_error *err);
    void (*close)(void *state);
    /* For the cache key and progress: content digest and total bytes of the inputs. */
    ins_status (*fingerprint)(const void *options, ins_str *out, uint64_t *bytes, ins_error *err);
    /* Bytes of the inputs read so far, for progress against fingerprint's total; may be NULL. */
    uint64_t (*position)(const void *state);
} ins_reader_desc;
extern const ins_family ins_family_reader;

/* ---- step: document -> documents ---- */
typedef enum ins_step_verdict { INS_STEP_KEEP, INS_STEP_DROP } ins_step_verdict;
typedef struct ins_step_desc {
    ins_component head; /* family "step" */
    ins_status (*open)(const void *options, void **state, ins_error *err);
    /* May change doc. On DROP *reason is a static string, counted by the pipeline. */
    ins_status (*apply)(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason, ins_error *err);
    void (*close)(void *state);
} ins_step_desc;
extern const ins_family ins_family_step;

/* ---- pipeline: readers and steps -> corpus files ----
 * A corpus is a folder: train.jsonl.zst, valid.jsonl.zst, test.jsonl.zst (those that are not empty), corpus.json
 * (documents and bytes per split and domain, dropped by reason, digests of the inputs). The text of a document is its
 * field text, else prompt and response; one without any is dropped.
 *
 * Where a document goes depends on its group and split_seed alone, so a group is in the same split of every corpus that
 * has the same shares. */
typedef struct ins_pipeline_options {
    ins_opt_components sources; /* family reader */
    ins_opt_components steps;   /* family step */
    double valid, test;         /* share of groups */
    const char *group_field; /* split by hash of this field (default: group, else the document's id, else its text) */
    double max_dropped;      /* share of documents dropped that fails the stage; 1 = never */
    int64_t max_documents;   /* 0 = all */
    int64_t max_bytes;       /* 0 = all: stop after this much text */
    int64_t split_seed;      /* -1 = the seed of the run */
} ins_pipeline_options;
extern const ins_opt_table ins_pipeline_table;

typedef struct ins_corpus_stats {
    int64_t documents[3], bytes[3]; /* train, valid, test */
    int64_t read, dropped;
    int64_t not_drawn; /* left out by a sample or a filter: not counted as dropped */
} ins_corpus_stats;

/* The same bytes for any pool: documents are processed in the readers' order. When *stop becomes 1 (stop may be NULL),
 * INS_INTERRUPTED after the document at hand; the folder then holds no file of the corpus, whole or half. */
ins_status ins_pipeline_run(const ins_pipeline_options *options, uint64_t seed, const char *out_dir, ins_pool *pool,
                            const ins_log *log, const volatile int *stop, ins_corpus_stats *stats, ins_error *err);
/* For the cache key: digests of all inputs, one line each; adds their sizes to *bytes. Fetches what `fetch` allows. */
ins_status ins_pipeline_fingerprint(const ins_pipeline_options *options, ins_str *out, uint64_t *bytes, ins_error *err);

/* Reading a corpus split ("train", "valid", "test") back. INS_DATA when it has none, or fewer documents than it should.
 */
typedef struct ins_corpus_reader ins_corpus_reader;
ins_status ins_corpus_open(const char *dir, const char *split, ins_corpus_reader **out, ins_error *err);
ins_status ins_corpus_next(ins_corpus_reader *r, ins_document *doc, bool *end, ins_error *err);
uint64_t ins_corpus_bytes(const ins_corpus_reader *r);    /* uncompressed text bytes, from corpus.json */
int64_t ins_corpus_documents(const ins_corpus_reader *r); /* from corpus.json */
void ins_corpus_close(ins_corpus_reader *r);

#endif
