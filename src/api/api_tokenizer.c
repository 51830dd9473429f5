/* Tokenizers by path: encode, decode, train. */
#include <string.h>

#include "api/api_model.h"
#include "base/mem.h"
#include "data/document.h"
#include "format/lines.h"

#define LINE_LIMIT (64u << 20)

struct instar_tokenizer {
    instar *session;
    ins_tokenizer *tokenizer;
    ins_token_cache *cache;
};

/* A tokenizer.json or a folder with one as it is; else a model's or a run's name. */
static ins_status find_tokenizer(instar *session, const char *path, char found[PATH_MAX], ins_error *err) {
    char inside[PATH_MAX];
    INS_TRY(api_resolve(path, false, &session->log, found, err));
    if (!ins_dir_exists(found)) return INS_OK;
    if (ins_path_join(found, "tokenizer.json", inside, sizeof inside, NULL) == INS_OK && ins_file_exists(inside))
        return INS_OK;
    return api_resolve(path, true, &session->log, found, err);
}

instar_status instar_tokenizer_open(instar *session, const char *path, instar_tokenizer **out) {
    char found[PATH_MAX];
    ins_error err = {0};
    api_begin(session);
    instar_tokenizer *opened = ins_calloc(1, sizeof *opened);
    ins_status status = opened ? find_tokenizer(session, path, found, &err)
                               : INS_FAIL(&err, INS_NOMEM, "out of memory while opening a tokenizer");
    if (status == INS_OK) status = ins_tokenizer_load(found, &opened->tokenizer, &err);
    if (status == INS_OK && !(opened->cache = ins_token_cache_new(opened->tokenizer)))
        status = INS_FAIL(&err, INS_NOMEM, "out of memory while opening a tokenizer");
    if (status == INS_OK) {
        opened->session = session;
        *out = opened;
    } else {
        instar_tokenizer_close(opened);
    }
    return api_end(session, status, &err);
}

void instar_tokenizer_close(instar_tokenizer *tokenizer) {
    if (!tokenizer) return;
    ins_token_cache_free(tokenizer->cache);
    ins_tokenizer_free(tokenizer->tokenizer);
    ins_free(tokenizer);
}

/* A bare JSON value of one kind; jansson wants JSON_DECODE_ANY for strings. */
static ins_status parse_value(const char *text, json_t **out, ins_error *err) {
    json_error_t problem;
    *out = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    return *out ? INS_OK : INS_FAIL(err, INS_USAGE, "not a line of JSON: %s", problem.text);
}

instar_status instar_tokenizer_encode(instar_tokenizer *tokenizer, const char *json_text, bool special,
                                      char **json_ids) {
    ins_error err = {0};
    ins_ids ids = {0};
    ins_str out = {0};
    json_t *value = NULL;
    api_begin(tokenizer->session);
    ins_status status = parse_value(json_text, &value, &err);
    if (status == INS_OK && !json_is_string(value)) status = INS_FAIL(&err, INS_USAGE, "a line must be a JSON string");
    if (status == INS_OK)
        status = ins_tokenizer_encode(tokenizer->tokenizer, tokenizer->cache, json_string_value(value),
                                      json_string_length(value), special, &ids, &err);
    ins_str_putc(&out, '[');
    for (int64_t i = 0; i < ids.n; i++) ins_str_printf(&out, "%s%d", i ? "," : "", (int)ids.data[i]);
    ins_str_putc(&out, ']');
    json_decref(value);
    ins_ids_free(&ids);
    if (status == INS_OK) return api_give(tokenizer->session, &out, json_ids);
    ins_str_free(&out);
    return api_end(tokenizer->session, status, &err);
}

instar_status instar_tokenizer_decode(instar_tokenizer *tokenizer, const char *json_ids, bool keep_special,
                                      char **json_text) {
    ins_error err = {0};
    ins_ids ids = {0};
    ins_str text = {0}, out = {0};
    json_t *value = NULL;
    api_begin(tokenizer->session);
    ins_status status = parse_value(json_ids, &value, &err);
    bool empty = json_is_array(value) && json_array_size(value) == 0;
    if (status == INS_OK && !empty)
        status = api_parse_ids(value, ins_tokenizer_vocab_size(tokenizer->tokenizer), &ids, &err);
    if (status == INS_OK)
        status = ins_tokenizer_decode(tokenizer->tokenizer, ids.data, ids.n, !keep_special, &text, &err);
    ins_str_putc(&out, '"');
    ins_str_json_escape(&out, text.data ? text.data : "", text.len);
    ins_str_putc(&out, '"');
    json_decref(value);
    ins_ids_free(&ids);
    ins_str_free(&text);
    if (status == INS_OK) return api_give(tokenizer->session, &out, json_text);
    ins_str_free(&out);
    return api_end(tokenizer->session, status, &err);
}

/* ---- training ---- */

typedef struct file_texts {
    const char *const *files;
    int64_t n_files, at;
    ins_stream *stream;
    bool jsonl;
    ins_str text;
    ins_status status;
    ins_error err;
} file_texts;

static bool ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), k = strlen(suffix);
    return n >= k && strcmp(name + n - k, suffix) == 0;
}

static bool is_jsonl(const char *name) {
    return ends_with(name, ".jsonl") || ends_with(name, ".jsonl.gz") || ends_with(name, ".jsonl.zst");
}

/* The text of one line: itself with its newline, or the field "text" of a JSON line. */
static bool take_line(file_texts *f, const char *line, size_t n) {
    ins_str_clear(&f->text);
    if (!f->jsonl) {
        ins_str_append(&f->text, line, n);
        ins_str_putc(&f->text, '\n');
        return true;
    }
    json_t *value = NULL;
    f->status = ins_json_read_text(line, n, f->files[f->at - 1], &value, &f->err);
    const json_t *text = json_object_get(value, "text");
    if (json_is_string(text)) ins_str_append(&f->text, json_string_value(text), json_string_length(text));
    json_decref(value);
    return json_is_string(text);
}

static bool next_text(void *arg, const char **text, size_t *n) {
    file_texts *f = arg;
    while (f->status == INS_OK) {
        const char *line = NULL;
        size_t len = 0;
        bool end = false;
        if (!f->stream) {
            if (f->at == f->n_files) return false;
            f->jsonl = is_jsonl(f->files[f->at]);
            f->status = ins_stream_open(f->files[f->at++], &f->stream, &f->err);
            continue;
        }
        f->status = ins_stream_line(f->stream, LINE_LIMIT, &line, &len, &end, &f->err);
        if (f->status == INS_OK && end) {
            ins_stream_close(f->stream);
            f->stream = NULL;
        } else if (f->status == INS_OK && take_line(f, line, len)) {
            *text = f->text.data;
            *n = f->text.len;
            return true;
        }
    }
    return false;
}

static ins_status find_kind(const char *kind, int64_t vocab, ins_arena *arena, const ins_tokenizer_desc **desc,
                            void **options, ins_error *err) {
    const ins_family *family = ins_family_find("tokenizer");
    const ins_component *found = ins_component_find(family, kind);
    if (!found) {
        const char *nearest = ins_component_nearest(family, kind);
        INS_FAIL(err, INS_USAGE, "there is no tokenizer kind '%s'%s%s%s", kind, nearest ? " (did you mean '" : "",
                 nearest ? nearest : "", nearest ? "'?)" : "");
        ins_error_hint(err, "see 'instar list tokenizer'");
        return INS_USAGE;
    }
    ins_pos nowhere = {0};
    ins_diag diag = {0};
    ins_node *node = ins_node_new(arena, INS_NODE_MAP, nowhere);
    const char *number = ins_arena_printf(arena, "%lld", (long long)vocab);
    bool ok = node && number &&
              (vocab <= 0 || ins_node_put(arena, node, "vocab", ins_node_scalar(arena, number, false, nowhere)));
    *options = ok && found->options ? ins_arena_alloc(arena, found->options->size) : NULL;
    if (ok && found->options && !ins_opt_parse(found->options, node, *options, arena, NULL, &diag)) {
        *err = diag.items[0];
        ins_diag_free(&diag);
        err->status = INS_USAGE;
        return INS_USAGE;
    }
    *desc = (const ins_tokenizer_desc *)found;
    return ok ? INS_OK : INS_FAIL(err, INS_NOMEM, "out of memory while training a tokenizer");
}

instar_status instar_tokenizer_train(instar *session, const char *kind, int64_t vocab, const char *const *files,
                                     int64_t n_files, const char *out_path) {
    ins_error err = {0};
    ins_arena *arena = ins_arena_new(0);
    const ins_tokenizer_desc *desc = NULL;
    ins_tokenizer *trained = NULL;
    void *options = NULL;
    file_texts texts = {.files = files, .n_files = n_files};
    ins_text_source source = {.next = next_text, .arg = &texts};
    api_begin(session);
    ins_status status =
        arena ? find_kind(kind, vocab, arena, &desc, &options, &err) : INS_FAIL(&err, INS_NOMEM, "out of memory");
    for (int64_t i = 0; i < n_files; i++) {
        uint64_t size = 0;
        if (ins_file_size(files[i], &size, NULL) == INS_OK) source.total_bytes += size;
    }
    if (status == INS_OK) status = desc->train(options, &source, session->pool, &session->log, &trained, &err);
    if (texts.status != INS_OK) {
        status = texts.status;
        err = texts.err;
    }
    if (status == INS_OK) status = ins_tokenizer_save(trained, out_path, &err);
    ins_stream_close(texts.stream);
    ins_str_free(&texts.text);
    ins_tokenizer_free(trained);
    ins_arena_free(arena);
    return api_end(session, status, &err);
}
