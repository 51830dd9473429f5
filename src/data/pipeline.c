/* Readers and steps make a corpus. Documents are processed one after the other, in the order of the sources, so the
 * result is a function of the inputs and the options alone. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/corpus.h"
#include "data/prose.h"
#include "data/split_hash.h"
#include "format/json.h"

#define REASONS_MAX 64
#define DOMAINS_MAX 256

typedef struct tally {
    char name[96];
    int64_t n;                                                      /* reasons */
    int64_t documents[INS_CORPUS_SPLITS], bytes[INS_CORPUS_SPLITS]; /* domains */
} tally;

typedef struct pipeline {
    const ins_pipeline_options *options;
    const ins_log *log;
    const volatile int *stop; /* may be NULL */
    const char *out_dir;
    uint64_t split_key;
    void **steps; /* states */
    ins_corpus_writer *writers[INS_CORPUS_SPLITS];
    ins_corpus_stats stats;
    tally *reasons, *domains; /* [REASONS_MAX], [DOMAINS_MAX] */
    int n_reasons, n_domains;
    ins_document doc;
    ins_str inputs; /* digests */
    uint64_t total_bytes, done_bytes;
    double started, reported;
} pipeline;

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for the data pipeline");
}

/* The tally called `name`; the last one stands for all that do not fit. */
static tally *tally_of(tally *tallies, int *n, int max, const char *name) {
    for (int i = 0; i < *n; i++) {
        if (strncmp(tallies[i].name, name, sizeof tallies[i].name - 1) == 0) return tallies + i;
    }
    if (*n == max) return tallies + max - 1;
    snprintf(tallies[*n].name, sizeof tallies[*n].name, "%s", *n == max - 1 ? "others" : name);
    return tallies + (*n)++;
}

/* Left out because the recipe asks for it, which is no loss. */
static bool is_wanted(const char *reason) {
    return strncmp(reason, "sample:", 7) == 0 || strncmp(reason, "filter:", 7) == 0;
}

static void count_out(pipeline *p, const char *reason) {
    *(is_wanted(reason) ? &p->stats.not_drawn : &p->stats.dropped) += 1;
    tally_of(p->reasons, &p->n_reasons, REASONS_MAX, reason)->n++;
}

/* ---- one document ---- */

/* Bytes of what a model would be trained on. */
static int64_t text_bytes(const ins_document *doc) {
    const ins_field *text = ins_document_get(doc, "text");
    if (text && text->n) return (int64_t)text->n;
    const ins_field *prompt = ins_document_get(doc, "prompt"), *response = ins_document_get(doc, "response");
    return response && response->n ? (int64_t)((prompt ? prompt->n : 0) + response->n) : 0;
}

/* What no corpus may hold, whatever the steps. */
static const char *unfit(const ins_document *doc) {
    for (int i = 0; i < doc->n_fields; i++) {
        const ins_field *f = doc->fields + i;
        if (!ins_utf8_valid(f->data, f->n, NULL)) return "invalid UTF-8";
        if (memchr(f->data, 0, f->n)) return "NUL byte";
    }
    return text_bytes(doc) > 0 ? NULL : "no text";
}

static int split_of(const pipeline *p, const ins_document *doc) {
    const ins_field *group = ins_document_group(doc, p->options->group_field);
    double at = ins_group_number(group, INS_HASH_SPLIT + p->split_key);
    if (at < p->options->test) return 2;
    return at < p->options->test + p->options->valid ? 1 : 0;
}

static ins_status write_document(pipeline *p, int split, ins_error *err) {
    if (!p->writers[split]) {
        char name[32], path[PATH_MAX];
        snprintf(name, sizeof name, "%s.jsonl.zst", ins_corpus_split_names[split]);
        INS_TRY(ins_path_join(p->out_dir, name, path, sizeof path, err));
        INS_TRY(ins_corpus_writer_open(path, &p->writers[split], err));
    }
    INS_TRY(ins_corpus_writer_add(p->writers[split], &p->doc, err));
    int64_t bytes = text_bytes(&p->doc);
    p->stats.documents[split]++;
    p->stats.bytes[split] += bytes;
    const ins_field *domain = ins_document_get(&p->doc, "domain");
    tally *t = tally_of(p->domains, &p->n_domains, DOMAINS_MAX, domain ? domain->data : "");
    t->documents[split]++;
    t->bytes[split] += bytes;
    return INS_OK;
}

/* A long text as several documents: "ID/0", "ID/1", ... of the group that the whole has. */
static ins_status write_parts(pipeline *p, int split, ins_field text, size_t most, ins_error *err) {
    const ins_field *id = ins_document_get(&p->doc, "id");
    const char *name = id ? id->data : NULL;
    int64_t number = 0;
    for (size_t at = 0, n; at < text.n; at += n, number++) {
        n = ins_prose_part(text.data + at, text.n - at, most);
        size_t begin = at, end = at + n; /* without the white space at the cuts */
        while (end > begin && (text.data[end - 1] == ' ' || text.data[end - 1] == '\n')) end--;
        while (begin < end && (text.data[begin] == ' ' || text.data[begin] == '\n')) begin++;
        if (begin == end) continue;
        INS_TRY(ins_document_set(&p->doc, "text", text.data + begin, end - begin, err));
        if (name) {
            const char *part = ins_arena_printf(p->doc.arena, "%s/%lld", name, (long long)number);
            if (!part) return no_memory(err);
            INS_TRY(ins_document_puts(&p->doc, "id", part, err));
        }
        INS_TRY(write_document(p, split, err));
    }
    return INS_OK;
}

/* Sample, steps, checks, split. *kept gets the bytes of its text, 0 when it was left out. */
static ins_status process(pipeline *p, const ins_reader_common *common, int64_t *kept, ins_error *err) {
    ins_document *doc = &p->doc;
    const char *reason = NULL;
    *kept = 0;
    p->stats.read++;
    if (common->share < 1) {
        const ins_field *group = ins_document_group(doc, p->options->group_field);
        if (!group || ins_group_number(group, INS_HASH_SAMPLE) >= common->share) reason = "sample: not in the share";
    }
    if (!reason && common->domain) INS_TRY(ins_document_puts(doc, "domain", common->domain, err));
    for (int64_t i = 0; i < p->options->steps.n && !reason; i++) {
        const ins_step_desc *step = (const ins_step_desc *)(const void *)p->options->steps.items[i].desc;
        ins_step_verdict verdict = INS_STEP_KEEP;
        INS_TRY(step->apply(p->steps[i], doc, &verdict, &reason, err));
        if (verdict == INS_STEP_KEEP) reason = NULL;
    }
    if (!reason) reason = unfit(doc);
    if (reason) {
        count_out(p, reason);
        return INS_OK;
    }
    *kept = text_bytes(doc);
    const ins_field *text = ins_document_get(doc, "text");
    int split = split_of(p, doc);
    bool cut = common->document_bytes > 0 && text && text->n > (size_t)common->document_bytes;
    return cut ? write_parts(p, split, *text, (size_t)common->document_bytes, err) : write_document(p, split, err);
}

/* ---- one source ---- */

static void report_progress(pipeline *p, const ins_reader_desc *reader, const void *state) {
    double now = ins_now();
    if (now - p->reported < 0.2) return;
    p->reported = now;
    uint64_t done = p->done_bytes + (reader->position ? reader->position(state) : 0);
    double seconds = now - p->started, rate = seconds > 0 ? (double)done / seconds : 0;
    char detail[64];
    snprintf(detail, sizeof detail, "%" PRId64 " documents", p->stats.read);
    ins_progress progress = {.what = "build-data",
                             .unit = "bytes",
                             .done = (double)done,
                             .total = (double)p->total_bytes,
                             .rate = rate,
                             .eta_s = rate > 0 ? ((double)p->total_bytes - (double)done) / rate : -1,
                             .detail = detail};
    ins_log_progress(p->log, &progress);
}

static bool full(const pipeline *p) {
    const ins_corpus_stats *s = &p->stats;
    int64_t documents = s->documents[0] + s->documents[1] + s->documents[2];
    int64_t bytes = s->bytes[0] + s->bytes[1] + s->bytes[2];
    return (p->options->max_documents && documents >= p->options->max_documents) ||
           (p->options->max_bytes && bytes >= p->options->max_bytes);
}

static ins_status check_stop(const pipeline *p, ins_error *err) {
    if (!p->stop || !*p->stop) return INS_OK;
    INS_FAIL(err, INS_INTERRUPTED, "stopped after %" PRId64 " documents", p->stats.read);
    ins_error_hint(err, "run the same command again: this stage starts over, finished ones are kept");
    return INS_INTERRUPTED;
}

static ins_status drain(pipeline *p, const ins_reader_desc *reader, const ins_reader_common *common, void *state,
                        ins_error *err) {
    int64_t documents = 0, bytes = 0;
    while (!full(p)) {
        if (common->max_documents && documents >= common->max_documents) break;
        if (common->max_bytes && bytes >= common->max_bytes) break;
        bool end = false;
        int64_t kept;
        INS_TRY(check_stop(p, err));
        ins_document_clear(&p->doc);
        INS_TRY(reader->next(state, &p->doc, &end, err));
        if (end) break;
        INS_TRY(process(p, common, &kept, err));
        documents += kept > 0;
        bytes += kept;
        report_progress(p, reader, state);
    }
    return INS_OK;
}

static ins_status read_source(pipeline *p, int64_t number, ins_error *err) {
    const ins_opt_component *source = p->options->sources.items + number;
    const ins_reader_desc *reader = (const ins_reader_desc *)(const void *)source->desc;
    void *state = NULL;
    ins_status status = reader->open(source->options, p->log, &state, err);
    if (status == INS_OK) status = drain(p, reader, source->options, state, err);
    if (status == INS_OK && reader->position) p->done_bytes += reader->position(state);
    reader->close(state);
    if (status != INS_OK && status != INS_INTERRUPTED)
        ins_error_frame(err, "source %" PRId64 ", reader '%s'", number + 1, source->desc->name);
    return status;
}

/* ---- the end: thresholds, corpus.json ---- */

static void worst_reason(const pipeline *p, bool only_dropped, char *buf, size_t size) {
    const tally *worst = NULL;
    for (int i = 0; i < p->n_reasons; i++) {
        if (only_dropped && is_wanted(p->reasons[i].name)) continue;
        if (!worst || p->reasons[i].n > worst->n) worst = p->reasons + i;
    }
    if (worst) {
        snprintf(buf, size, "most often (%" PRId64 " times): %s", worst->n, worst->name);
    } else {
        snprintf(buf, size, "the sources have no documents");
    }
}

static ins_status check_result(const pipeline *p, ins_error *err) {
    const ins_corpus_stats *s = &p->stats;
    char reason[160];
    worst_reason(p, s->dropped > 0, reason, sizeof reason);
    if (s->documents[0] == 0) {
        bool others = s->documents[1] + s->documents[2] > 0;
        INS_FAIL(err, INS_DATA, "the corpus is empty: of %" PRId64 " documents read, none is left %s", s->read,
                 others ? "for the train split" : "to train on");
        if (others) {
            ins_error_hint(err, "there are too few groups to split by: give documents a finer 'group', or valid: 0");
        } else {
            ins_error_hint(err, "%s", reason);
        }
        return INS_DATA;
    }
    int64_t counted = s->read - s->not_drawn;
    double share = counted > 0 ? (double)s->dropped / (double)counted : 0;
    if (share > p->options->max_dropped) {
        INS_FAIL(err, INS_DATA, "%" PRId64 " of %" PRId64 " documents were dropped, more than max_dropped: %g allows",
                 s->dropped, counted, p->options->max_dropped);
        ins_error_hint(err, "%s", reason);
        return INS_DATA;
    }
    if (s->dropped > 0) {
        ins_logf(p->log, INS_LOG_INFO, "dropped %" PRId64 " of %" PRId64 " documents, %s", s->dropped, counted, reason);
    }
    for (int split = 1; split < INS_CORPUS_SPLITS; split++) {
        double wanted = split == 1 ? p->options->valid : p->options->test;
        if (wanted > 0 && s->documents[split] == 0) {
            ins_logf(p->log, INS_LOG_WARN, "the %s split is empty: no group fell into its share of %g",
                     ins_corpus_split_names[split], wanted);
        }
    }
    return INS_OK;
}

static json_t *counts_json(const int64_t *documents, const int64_t *bytes) {
    json_t *splits = json_object();
    for (int split = 0; split < INS_CORPUS_SPLITS; split++) {
        if (documents[split] == 0) continue;
        json_object_set_new(
            splits, ins_corpus_split_names[split],
            json_pack("{s:I, s:I}", "documents", (json_int_t)documents[split], "bytes", (json_int_t)bytes[split]));
    }
    return splits;
}

static json_t *corpus_json(const pipeline *p) {
    json_t *reasons = json_object(), *domains = json_object();
    for (int i = 0; i < p->n_reasons; i++) {
        json_object_set_new(reasons, p->reasons[i].name, json_integer(p->reasons[i].n));
    }
    for (int i = 0; i < p->n_domains; i++) {
        json_object_set_new(domains, p->domains[i].name, counts_json(p->domains[i].documents, p->domains[i].bytes));
    }
    return json_pack("{s:i, s:o, s:I, s:I, s:I, s:o, s:o, s:s}", "format", 1, "splits",
                     counts_json(p->stats.documents, p->stats.bytes), "read", (json_int_t)p->stats.read, "dropped",
                     (json_int_t)p->stats.dropped, "not_drawn", (json_int_t)p->stats.not_drawn, "reasons", reasons,
                     "domains", domains, "inputs", p->inputs.data ? p->inputs.data : "");
}

/* Splits first, corpus.json last: a folder with a corpus.json is whole. */
static ins_status finish(pipeline *p, ins_error *err) {
    char path[PATH_MAX];
    INS_TRY(check_result(p, err));
    for (int split = 0; split < INS_CORPUS_SPLITS; split++) {
        if (!p->writers[split]) continue;
        ins_corpus_writer *w = p->writers[split];
        p->writers[split] = NULL;
        INS_TRY(ins_corpus_writer_commit(w, err));
    }
    INS_TRY(ins_path_join(p->out_dir, "corpus.json", path, sizeof path, err));
    json_t *root = corpus_json(p);
    if (!root) return no_memory(err);
    ins_status status = ins_json_write_file(path, root, true, err);
    json_decref(root);
    return status;
}

/* ---- running it ---- */

static ins_status open_steps(pipeline *p, ins_error *err) {
    p->steps = ins_calloc((size_t)p->options->steps.n + 1, sizeof *p->steps);
    if (!p->steps) return no_memory(err);
    for (int64_t i = 0; i < p->options->steps.n; i++) {
        const ins_opt_component *item = p->options->steps.items + i;
        INS_TRY(((const ins_step_desc *)(const void *)item->desc)->open(item->options, &p->steps[i], err));
    }
    return INS_OK;
}

/* Leftovers of an earlier run in the same folder. */
static ins_status clear_folder(const pipeline *p, ins_error *err) {
    static const char *const names[] = {"corpus.json", "train.jsonl.zst", "valid.jsonl.zst", "test.jsonl.zst"};
    INS_TRY(ins_dir_make(p->out_dir, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        INS_TRY(ins_path_join(p->out_dir, names[i], path, sizeof path, err));
        if (ins_file_exists(path) && remove(path) != 0) return INS_FAIL_ERRNO(err, "cannot remove '%s'", path);
    }
    return INS_OK;
}

static ins_status source_fingerprint(const ins_opt_component *source, ins_str *out, uint64_t *bytes, ins_error *err) {
    const ins_reader_desc *reader = (const ins_reader_desc *)(const void *)source->desc;
    ins_str_printf(out, "reader %s %d\n", source->desc->name, source->desc->version);
    return reader->fingerprint ? reader->fingerprint(source->options, out, bytes, err) : INS_OK;
}

ins_status ins_pipeline_fingerprint(const ins_pipeline_options *options, ins_str *out, uint64_t *bytes,
                                    ins_error *err) {
    for (int64_t i = 0; i < options->sources.n; i++) {
        ins_status status = source_fingerprint(options->sources.items + i, out, bytes, err);
        if (status == INS_OK) continue;
        ins_error_frame(err, "source %" PRId64 ", reader '%s'", i + 1, options->sources.items[i].desc->name);
        return status;
    }
    return out->oom ? no_memory(err) : INS_OK;
}

static ins_status run(pipeline *p, ins_error *err) {
    INS_TRY(clear_folder(p, err));
    INS_TRY(open_steps(p, err));
    INS_TRY(ins_pipeline_fingerprint(p->options, &p->inputs, &p->total_bytes, err));
    for (int64_t i = 0; i < p->options->sources.n && !full(p); i++) INS_TRY(read_source(p, i, err));
    INS_TRY(check_stop(p, err)); /* from here on it is done in moments */
    return finish(p, err);
}

static void pipeline_free(pipeline *p) {
    for (int64_t i = 0; p->steps && i < p->options->steps.n; i++) {
        if (p->steps[i]) ((const ins_step_desc *)(const void *)p->options->steps.items[i].desc)->close(p->steps[i]);
    }
    for (int split = 0; split < INS_CORPUS_SPLITS; split++) ins_corpus_writer_abort(p->writers[split]);
    ins_free(p->steps);
    ins_free(p->reasons);
    ins_free(p->domains);
    ins_str_free(&p->inputs);
    ins_arena_free(p->doc.arena);
}

ins_status ins_pipeline_run(const ins_pipeline_options *options, uint64_t seed, const char *out_dir, ins_pool *pool,
                            const ins_log *log, const volatile int *stop, ins_corpus_stats *stats, ins_error *err) {
    (void)pool;
    pipeline p = {.options = options, .log = log, .stop = stop, .out_dir = out_dir, .started = ins_now()};
    p.split_key = options->split_seed < 0 ? seed : (uint64_t)options->split_seed;
    p.doc.arena = ins_arena_new(0);
    p.reasons = ins_calloc(REASONS_MAX, sizeof *p.reasons);
    p.domains = ins_calloc(DOMAINS_MAX, sizeof *p.domains);
    ins_status status = p.doc.arena && p.reasons && p.domains ? run(&p, err) : no_memory(err);
    if (status == INS_OK && stats) *stats = p.stats;
    pipeline_free(&p);
    return status;
}
