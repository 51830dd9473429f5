/* Looking at corpora and token shards. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"
#include "data/document.h"
#include "data/shard.h"

static const char *const splits[] = {"train", "valid", "test"};

static bool has_file(const char *dir, const char *name) {
    char path[PATH_MAX];
    return ins_path_join(dir, name, path, sizeof path, NULL) == INS_OK && ins_file_exists(path);
}

/* ---- stats ---- */

typedef struct stats_out {
    instar_format format;
    api_table table;
    ins_str *out;
    bool any;
} stats_out;

static void put_corpus_split(stats_out *s, const char *split, int64_t documents, uint64_t bytes) {
    char text[32];
    if (s->format == INSTAR_JSON) {
        ins_str_printf(s->out, "%s{\"split\":\"%s\",\"documents\":%lld,\"bytes\":%llu}", s->any ? "," : "", split,
                       (long long)documents, (unsigned long long)bytes);
    } else {
        api_cell(&s->table, "%s", split);
        api_cell(&s->table, "%lld documents", (long long)documents);
        api_cell(&s->table, "%s", ins_human_size((double)bytes, text));
        api_cell(&s->table, "%s", "");
    }
    s->any = true;
}

static void put_shard(stats_out *s, const char *name, const ins_shard *shard) {
    char text[32];
    int64_t n_loss = ins_shard_loss_tokens(shard);
    double ratio = n_loss > 0 ? (double)shard->text_bytes / (double)n_loss : 0;
    if (s->format == INSTAR_JSON) {
        ins_str_puts(s->out, s->any ? ",{\"shard\":" : "{\"shard\":");
        api_json_string(s->out, name);
        ins_str_printf(s->out, ",\"documents\":%lld,\"tokens\":%lld,\"bytes\":%lld,\"vocab\":%lld,\"bytes_per_token\":",
                       (long long)shard->n_documents, (long long)shard->n_tokens, (long long)shard->text_bytes,
                       (long long)shard->vocab_size);
        api_json_number(s->out, ratio);
        ins_str_printf(s->out, ",\"loss_mask\":%s}", shard->mask ? "true" : "false");
    } else {
        api_cell(&s->table, "%s", name);
        api_cell(&s->table, "%lld documents", (long long)shard->n_documents);
        api_cell(&s->table, "%s tokens", ins_human_count((double)shard->n_tokens, text));
        api_cell(&s->table, "%.2f bytes a token%s", ratio, shard->mask ? ", loss mask" : "");
    }
    s->any = true;
}

static ins_status corpus_stats(stats_out *s, const char *dir, ins_error *err) {
    for (int i = 0; i < 3; i++) {
        char name[64];
        ins_corpus_reader *reader = NULL;
        snprintf(name, sizeof name, "%s.jsonl.zst", splits[i]);
        if (!has_file(dir, name)) continue;
        INS_TRY(ins_corpus_open(dir, splits[i], &reader, err));
        put_corpus_split(s, splits[i], ins_corpus_documents(reader), ins_corpus_bytes(reader));
        ins_corpus_close(reader);
    }
    return INS_OK;
}

static ins_status one_shard(stats_out *s, const char *path, const char *name, ins_pool *pool, ins_error *err) {
    ins_shard shard;
    INS_TRY(ins_shard_open(path, INT32_MAX, pool, &shard, err));
    put_shard(s, name, &shard);
    ins_shard_close(&shard);
    return INS_OK;
}

/* A tokenize stage's folder: CORPUS/SPLIT.shard. */
static ins_status shard_stats(stats_out *s, const char *dir, ins_pool *pool, ins_error *err) {
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 3 && status == INS_OK; k++) {
            char path[PATH_MAX], name[600];
            snprintf(name, sizeof name, "%.500s/%s.shard", names[i], splits[k]);
            if (ins_path_join(dir, name, path, sizeof path, NULL) == INS_OK && ins_file_exists(path))
                status = one_shard(s, path, name, pool, err);
        }
    ins_names_free(names, n);
    return status;
}

static ins_status stats(instar *session, const char *name, stats_out *s, ins_error *err) {
    char path[PATH_MAX];
    INS_TRY(api_resolve(name, false, &session->log, path, err));
    if (!ins_dir_exists(path)) return one_shard(s, path, ins_path_base(path), session->pool, err);
    if (has_file(path, "corpus.json")) return corpus_stats(s, path, err);
    INS_TRY(shard_stats(s, path, session->pool, err));
    if (s->any) return INS_OK;
    INS_FAIL(err, INS_DATA, "'%s' holds neither a corpus nor token shards", name);
    ins_error_hint(err, "give what a build-data or tokenize stage left, such as RUN:STAGE");
    return INS_DATA;
}

instar_status instar_data_stats(instar *session, const char *path, instar_format format, char **text) {
    ins_error err = {0};
    ins_str out = {0};
    stats_out s = {.format = format, .table = api_table_new("lrrl"), .out = &out};
    api_begin(session);
    if (format == INSTAR_JSON) ins_str_putc(&out, '[');
    ins_status status = stats(session, path, &s, &err);
    if (format == INSTAR_JSON) ins_str_puts(&out, "]\n");
    api_table_print(&s.table, &out);
    if (status == INS_OK) return api_give(session, &out, text);
    ins_str_free(&out);
    return api_end(session, status, &err);
}

/* ---- head ---- */

static void put_document(const ins_document *doc, instar_format format, bool first, ins_str *out) {
    if (format == INSTAR_JSON) ins_str_puts(out, first ? "\n{" : ",\n{");
    for (int i = 0; i < doc->n_fields; i++) {
        const ins_field *field = &doc->fields[i];
        if (format == INSTAR_JSON) {
            if (i) ins_str_putc(out, ',');
            api_json_string(out, field->name);
            ins_str_puts(out, ":\"");
            ins_str_json_escape(out, field->data, field->n);
            ins_str_putc(out, '"');
            continue;
        }
        size_t shown = field->n < 600 ? field->n : 600;
        ins_str_printf(out, "%s: ", field->name);
        ins_str_append(out, field->data, shown);
        ins_str_puts(out, shown < field->n ? "...\n" : "\n");
    }
    ins_str_puts(out, format == INSTAR_JSON ? "}" : "\n");
}

static ins_status head(instar *session, const char *name, const char *split, int64_t n, instar_format format,
                       ins_str *out, ins_error *err) {
    char path[PATH_MAX];
    ins_corpus_reader *reader = NULL;
    ins_document doc = {.arena = ins_arena_new(0)};
    if (!doc.arena) return INS_FAIL(err, INS_NOMEM, "out of memory while reading a corpus");
    ins_status status = api_resolve(name, false, &session->log, path, err);
    if (status == INS_OK) status = ins_corpus_open(path, split, &reader, err);
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        bool end = false;
        ins_document_clear(&doc);
        status = ins_corpus_next(reader, &doc, &end, err);
        if (status != INS_OK || end) break;
        put_document(&doc, format, i == 0, out);
    }
    ins_corpus_close(reader);
    ins_arena_free(doc.arena);
    return status;
}

instar_status instar_data_head(instar *session, const char *path, const char *split, int64_t n, instar_format format,
                               char **text) {
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    if (format == INSTAR_JSON) ins_str_putc(&out, '[');
    ins_status status = head(session, path, split ? split : "train", n > 0 ? n : 5, format, &out, &err);
    if (format == INSTAR_JSON) ins_str_puts(&out, "]\n");
    if (status == INS_OK) return api_give(session, &out, text);
    ins_str_free(&out);
    return api_end(session, status, &err);
}
