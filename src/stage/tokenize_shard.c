/* Documents -> ids -> shard: see tokenize_shard.h. Blocks of documents are read, encoded in parallel (each document is
 * a task of its own, so the ids do not depend on the threads), and written in order. */
#include "stage/tokenize_shard.h"

#include <stdio.h>
#include <string.h>

#include "format/json.h"

enum { BLOCK_DOCUMENTS = 512 };
#define BLOCK_BYTES ((int64_t)8 << 20)

typedef struct encode_item {
    ins_document doc;
    ins_ids ids;
    ins_str mask;
    int64_t text_bytes;
    bool skipped;
    ins_status status;
    ins_error err;
} encode_item;

typedef struct encode_block {
    const ins_encode_job *job;
    int64_t bytes_read; /* of text, as corpus.json counts it */
    encode_item *items;
    int64_t n;
    ins_token_cache **caches; /* one a thread */
    int n_caches;
} encode_block;

/* The mark that stands before and after a document; not in the loss of a dialogue. */
static ins_status push_mark(const ins_encode_job *job, encode_item *item, ins_error *err) {
    int32_t eos = ins_tokenizer_eos(job->tokenizer);
    if (eos < 0) return INS_OK;
    if (!ins_ids_push(&item->ids, eos)) return INS_FAIL(err, INS_NOMEM, "no memory for token ids");
    if (job->chat) ins_str_putc(&item->mask, 0);
    return INS_OK;
}

static ins_status encode_chat(const ins_encode_job *job, ins_token_cache *cache, encode_item *item, ins_error *err) {
    const ins_field *system = ins_document_get(&item->doc, "system");
    const ins_field *prompt = ins_document_get(&item->doc, "prompt");
    const ins_field *response = ins_document_get(&item->doc, "response");
    item->skipped = !prompt || !response || response->n == 0;
    if (item->skipped) return INS_OK;
    ins_chat_message messages[3];
    int64_t n = 0;
    if (system) messages[n++] = (ins_chat_message){"system", system->data, system->n};
    messages[n++] = (ins_chat_message){"user", prompt->data, prompt->n};
    messages[n++] = (ins_chat_message){"assistant", response->data, response->n};
    item->text_bytes = (int64_t)response->n;
    INS_TRY(push_mark(job, item, err));
    return ins_chat_encode(job->tokenizer, cache, messages, n, false, &item->ids, &item->mask, err);
}

static ins_status encode_text(const ins_encode_job *job, ins_token_cache *cache, encode_item *item, ins_error *err) {
    const ins_field *text = ins_document_get(&item->doc, job->field);
    item->skipped = !text || text->n == 0;
    if (item->skipped) return INS_OK;
    item->text_bytes = (int64_t)text->n;
    INS_TRY(push_mark(job, item, err));
    INS_TRY(ins_tokenizer_encode(job->tokenizer, cache, text->data, text->n, false, &item->ids, err));
    return push_mark(job, item, err); /* so that the model learns where texts end */
}

static void encode_task(void *arg, int64_t task, int thread) {
    encode_block *block = arg;
    encode_item *item = &block->items[task];
    ins_token_cache *cache = thread < block->n_caches ? block->caches[thread] : NULL;
    item->ids.n = 0;
    ins_str_clear(&item->mask);
    item->text_bytes = 0;
    item->status = block->job->chat ? encode_chat(block->job, cache, item, &item->err)
                                    : encode_text(block->job, cache, item, &item->err);
    if (item->status == INS_OK && item->mask.oom)
        item->status = INS_FAIL(&item->err, INS_NOMEM, "no memory for the loss mask");
}

/* The text of a document as corpora count it: field text, else prompt and response. */
static int64_t counted_bytes(const ins_document *doc) {
    const ins_field *text = ins_document_get(doc, "text");
    if (text && text->n > 0) return (int64_t)text->n;
    const ins_field *prompt = ins_document_get(doc, "prompt"), *response = ins_document_get(doc, "response");
    return (int64_t)((prompt ? prompt->n : 0) + (response ? response->n : 0));
}

static ins_status read_block(encode_block *block, ins_corpus_reader *reader, bool *end, ins_error *err) {
    int64_t bytes = 0;
    block->n = 0;
    while (block->n < BLOCK_DOCUMENTS && bytes < BLOCK_BYTES && !*end) {
        ins_document *doc = &block->items[block->n].doc;
        ins_document_clear(doc);
        INS_TRY(ins_corpus_next(reader, doc, end, err));
        if (*end) break;
        bytes += counted_bytes(doc);
        block->n++;
    }
    block->bytes_read += bytes;
    return INS_OK;
}

static ins_status write_block(const encode_block *block, ins_shard_writer *writer, ins_encode_stats *stats,
                              ins_error *err) {
    for (int64_t i = 0; i < block->n; i++) {
        const encode_item *item = &block->items[i];
        if (item->status != INS_OK) {
            if (err) *err = item->err;
            return item->status;
        }
        if (item->skipped) {
            stats->skipped++;
            continue;
        }
        INS_TRY(ins_shard_writer_add(writer, item->ids.data, block->job->chat ? item->mask.data : NULL, item->ids.n,
                                     item->text_bytes, err));
        stats->documents++;
        stats->tokens += item->ids.n;
        for (int64_t k = 0; k < item->ids.n; k++) stats->loss_tokens += !block->job->chat || item->mask.data[k];
        stats->text_bytes += item->text_bytes;
    }
    return INS_OK;
}

static void show_progress(const encode_block *block, const ins_encode_stats *stats, double total, double started) {
    const ins_encode_job *job = block->job;
    double elapsed = ins_now() - started, done = (double)block->bytes_read;
    double rate = elapsed > 0 ? done / elapsed : 0;
    char detail[96];
    snprintf(detail, sizeof detail, "%s: %lld documents, %lld tokens", job->split, (long long)stats->documents,
             (long long)stats->tokens);
    ins_progress p = {.what = job->stage_name,
                      .unit = "bytes",
                      .done = done,
                      .total = total,
                      .rate = rate,
                      .eta_s = rate > 0 && total > done ? (total - done) / rate : 0,
                      .detail = detail};
    ins_log_progress(job->log, &p);
}

static ins_status encode_all(encode_block *block, ins_corpus_reader *reader, ins_shard_writer *writer,
                             ins_encode_stats *stats, ins_error *err) {
    const ins_encode_job *job = block->job;
    double started = ins_now(), total = (double)ins_corpus_bytes(reader);
    bool end = false;
    while (!end) {
        if (job->stop && *job->stop) return INS_FAIL(err, INS_INTERRUPTED, "interrupted while encoding");
        INS_TRY(read_block(block, reader, &end, err));
        ins_pool_run(job->pool, block->n, encode_task, block);
        INS_TRY(write_block(block, writer, stats, err));
        show_progress(block, stats, total, started);
    }
    return INS_OK;
}

static ins_status make_block(encode_block *block, ins_error *err) {
    block->n_caches = ins_pool_threads(block->job->pool);
    block->items = ins_calloc(BLOCK_DOCUMENTS, sizeof *block->items);
    block->caches = ins_calloc((size_t)block->n_caches, sizeof *block->caches);
    bool fine = block->items && block->caches;
    for (int i = 0; fine && i < block->n_caches; i++) {
        block->caches[i] = ins_token_cache_new(block->job->tokenizer);
        fine = block->caches[i] != NULL;
    }
    for (int i = 0; fine && i < BLOCK_DOCUMENTS; i++) {
        block->items[i].doc.arena = ins_arena_new(4096);
        fine = block->items[i].doc.arena != NULL;
    }
    return fine ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory to encode a corpus");
}

static void free_block(encode_block *block) {
    for (int i = 0; block->caches && i < block->n_caches; i++) ins_token_cache_free(block->caches[i]);
    for (int i = 0; block->items && i < BLOCK_DOCUMENTS; i++) {
        ins_arena_free(block->items[i].doc.arena);
        ins_ids_free(&block->items[i].ids);
        ins_str_free(&block->items[i].mask);
    }
    ins_free(block->caches);
    ins_free(block->items);
}

/* ---- counts beside the shard: SPLIT.json ---- */

static ins_status counts_path(const ins_encode_job *job, char *buf, size_t size, ins_error *err) {
    size_t n = strlen(job->out_path), cut = n > 6 && strcmp(job->out_path + n - 6, ".shard") == 0 ? n - 6 : n;
    int written = snprintf(buf, size, "%.*s.json", (int)cut, job->out_path);
    return written > 0 && (size_t)written < size ? INS_OK
                                                 : INS_FAIL(err, INS_USAGE, "path too long: %s", job->out_path);
}

static ins_status write_counts(const ins_encode_job *job, const ins_encode_stats *stats, ins_error *err) {
    char path[4300];
    INS_TRY(counts_path(job, path, sizeof path, err));
    json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:I}", "documents", (json_int_t)stats->documents, "tokens",
                             (json_int_t)stats->tokens, "loss_tokens", (json_int_t)stats->loss_tokens, "text_bytes",
                             (json_int_t)stats->text_bytes, "skipped", (json_int_t)stats->skipped);
    if (!root) return INS_FAIL(err, INS_NOMEM, "no memory for counts");
    ins_status status = ins_json_write_file(path, root, true, err);
    json_decref(root);
    return status;
}

static bool read_counts(const ins_encode_job *job, ins_encode_stats *stats) {
    char path[4300];
    json_t *root = NULL;
    ins_encode_stats s = {0};
    if (counts_path(job, path, sizeof path, NULL) != INS_OK || !ins_file_exists(path)) return false;
    if (ins_json_read_file(path, 1u << 16, &root, NULL) != INS_OK) return false;
    bool fine = ins_json_get_int(root, "documents", &s.documents, NULL) == INS_OK &&
                ins_json_get_int(root, "tokens", &s.tokens, NULL) == INS_OK &&
                ins_json_get_int(root, "loss_tokens", &s.loss_tokens, NULL) == INS_OK &&
                ins_json_get_int(root, "text_bytes", &s.text_bytes, NULL) == INS_OK &&
                ins_json_get_int(root, "skipped", &s.skipped, NULL) == INS_OK;
    json_decref(root);
    if (fine) *stats = s;
    return fine;
}

/* A shard left by an earlier attempt at the same stage, whole and with its counts (which were written before it). */
static bool keep_existing(const ins_encode_job *job, ins_encode_stats *stats) {
    ins_shard shard;
    ins_encode_stats counts;
    if (!ins_file_exists(job->out_path) || !read_counts(job, &counts)) return false;
    if (ins_shard_open(job->out_path, ins_tokenizer_vocab_size(job->tokenizer), job->pool, &shard, NULL) != INS_OK)
        return false;
    bool same = shard.n_documents == counts.documents && shard.n_tokens == counts.tokens &&
                shard.text_bytes == counts.text_bytes;
    ins_shard_close(&shard);
    if (same) *stats = counts;
    return same;
}

static bool has_split(const ins_encode_job *job) {
    char path[4300];
    snprintf(path, sizeof path, "%s/%s.jsonl.zst", job->corpus_dir, job->split);
    return ins_file_exists(path);
}

ins_status ins_encode_corpus(const ins_encode_job *job, ins_encode_stats *stats, ins_error *err) {
    bool is_train = strcmp(job->split, "train") == 0;
    if (!has_split(job) && !is_train) return INS_OK;
    if (keep_existing(job, stats)) return INS_OK;
    ins_corpus_reader *reader = NULL;
    ins_shard_writer *writer = NULL;
    encode_block block = {.job = job};
    INS_TRY(ins_corpus_open(job->corpus_dir, job->split, &reader, err));
    ins_status status = make_block(&block, err);
    if (status == INS_OK)
        status = ins_shard_writer_open(job->out_path, ins_tokenizer_vocab_size(job->tokenizer), &writer, err);
    if (status == INS_OK) status = encode_all(&block, reader, writer, stats, err);
    if (status == INS_OK && stats->documents == 0 && is_train) {
        status = INS_FAIL(err, INS_DATA, "%s: no document of the %s split has %s", job->corpus_dir, job->split,
                          job->chat ? "the fields prompt and response" : job->field);
        ins_error_hint(err, job->chat
                                ? "build the corpus with a reader of questions and answers, or use format: document"
                                : "set `field` to the field that holds the text");
    }
    if (status == INS_OK && stats->documents > 0) status = write_counts(job, stats, err);
    if (status == INS_OK && stats->documents > 0) {
        status = ins_shard_writer_commit(writer, err);
    } else {
        ins_shard_writer_abort(writer);
    }
    free_block(&block);
    ins_corpus_close(reader);
    return status;
}
