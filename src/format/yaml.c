/* YAML through libfyaml's event parser, which knows the place of every token. */
#include "format/yaml.h"

#include <libfyaml.h>
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "format/yaml_internal.h"

typedef struct yaml_reader {
    yaml_builder build;
    const char *text;
    size_t n;
    ins_pos last; /* place of the last token that had one */
    int n_documents;
} yaml_reader;

static ins_pos mark_to_pos(const yaml_reader *reader, const struct fy_mark *mark) {
    return (ins_pos){.file = reader->build.file, .line = mark->line + 1, .col = mark->column + 1};
}

/* libfyaml marks a quoted scalar after its quote, an alias after its star and a block scalar at the start of its first
 * line. */
static ins_pos event_pos(yaml_reader *reader, struct fy_event *event) {
    const struct fy_mark *mark = fy_event_start_mark(event);
    if (!mark) return reader->last; /* an empty value: what stood before it */
    ins_pos pos = mark_to_pos(reader, mark);
    if (event->type == FYET_SCALAR && mark->input_pos <= reader->n) {
        enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
        size_t at = mark->input_pos;
        if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && at > 0 && pos.col > 1 &&
            (reader->text[at - 1] == '"' || reader->text[at - 1] == '\''))
            pos.col--;
        if (style == FYSS_LITERAL || style == FYSS_FOLDED)
            for (; at < reader->n && reader->text[at] == ' '; at++) pos.col++;
    }
    if (event->type == FYET_ALIAS && mark->input_pos > 0 && reader->text[mark->input_pos - 1] == '*') pos.col--;
    reader->last = pos;
    return pos;
}

/* Token text as a NUL-terminated string of the arena; NULL token gives NULL. */
static ins_status token_text(yaml_reader *reader, struct fy_token *token, char **out, ins_error *err) {
    *out = NULL;
    if (!token) return INS_OK;
    size_t n = 0;
    const char *text = fy_token_get_text(token, &n);
    *out = ins_arena_strndup(reader->build.arena, text ? text : "", n);
    return *out ? INS_OK : INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", reader->build.file);
}

static ins_status check_tag(struct fy_event *event, ins_pos pos, bool *is_string, ins_error *err) {
    static const char core[] = "tag:yaml.org,2002:";
    static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq", NULL};
    *is_string = false;
    struct fy_token *token = fy_event_get_tag_token(event);
    if (!token) return INS_OK;
    size_t n = 0, skip = sizeof core - 1;
    const char *text = fy_token_get_text(token, &n);
    if (n == 1 && text[0] == '!') {
        *is_string = event->type == FYET_SCALAR;
        return INS_OK;
    }
    for (int i = 0; known[i]; i++) {
        size_t len = strlen(known[i]);
        if (n != skip + len || memcmp(text, core, skip) != 0 || memcmp(text + skip, known[i], len) != 0) continue;
        *is_string = i == 0;
        return INS_OK;
    }
    INS_FAIL(err, INS_RECIPE, "the tag '%.*s' is not known", (int)(n > 100 ? 100 : n), text);
    ins_error_hint(err, "quote the text if the '!' belongs to it");
    ins_error_at(err, pos);
    return INS_RECIPE;
}

static bool is_null_word(const char *text, size_t n) {
    return n == 0 || (n == 1 && text[0] == '~') ||
           (n == 4 && (memcmp(text, "null", 4) == 0 || memcmp(text, "Null", 4) == 0 || memcmp(text, "NULL", 4) == 0));
}

static ins_status on_scalar(yaml_reader *reader, struct fy_event *event, bool is_string, const char *anchor,
                            ins_pos pos, ins_error *err) {
    size_t n = 0;
    const char *text = fy_token_get_text(event->scalar.value, &n);
    if (!text) {
        text = "";
        n = 0;
    }
    bool quoted = is_string || fy_token_scalar_style(event->scalar.value) != FYSS_PLAIN;
    return yaml_on_scalar(&reader->build, text, n, quoted, !quoted && is_null_word(text, n), anchor, pos, err);
}

static ins_status on_event(yaml_reader *reader, struct fy_event *event, ins_error *err) {
    char *name = NULL;
    bool is_string = false;
    ins_pos pos = event_pos(reader, event);
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (++reader->n_documents == 1) return INS_OK;
        INS_FAIL(err, INS_RECIPE, "a second document starts here");
        ins_error_hint(err, "keep one document per file: remove the '---' line and what does not belong");
        ins_error_at(err, pos);
        return INS_RECIPE;
    case FYET_MAPPING_START:
    case FYET_SEQUENCE_START:
        INS_TRY(check_tag(event, pos, &is_string, err));
        INS_TRY(token_text(reader, fy_event_get_anchor_token(event), &name, err));
        return yaml_on_open(&reader->build, event->type == FYET_MAPPING_START ? INS_NODE_MAP : INS_NODE_LIST, name, pos,
                            err);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return yaml_on_close(&reader->build, err);
    case FYET_SCALAR:
        INS_TRY(check_tag(event, pos, &is_string, err));
        INS_TRY(token_text(reader, fy_event_get_anchor_token(event), &name, err));
        return on_scalar(reader, event, is_string, name, pos, err);
    case FYET_ALIAS:
        INS_TRY(token_text(reader, event->alias.anchor, &name, err));
        return yaml_on_alias(&reader->build, name, pos, err);
    default:
        return INS_OK;
    }
}

/* The parser's first message, with its place; an unclosed bracket also says where it was opened. */
static ins_status fail_parse(yaml_reader *reader, struct fy_diag *diag, ins_error *err) {
    void *cursor = NULL;
    struct fy_diag_error *first = fy_diag_errors_iterate(diag, &cursor);
    ins_pos pos = reader->last;
    if (!first || !first->msg) {
        INS_FAIL(err, INS_RECIPE, "this is not valid YAML");
    } else {
        INS_FAIL(err, INS_RECIPE, "%s", first->msg);
        if (first->line > 0) pos = (ins_pos){reader->build.file, first->line, first->column > 0 ? first->column : 1};
        bool tab = strstr(first->msg, "tab") != NULL;
        if (strstr(first->msg, "closing") && reader->build.depth > 0) {
            ins_pos open = reader->build.frames[reader->build.depth - 1].node->pos;
            ins_error_hint(err, "it was opened at line %d, column %d", open.line, open.col);
        } else if (tab) {
            ins_error_hint(err, "indent with spaces");
        } else {
            ins_error_hint(err, "check the indentation, the ': ' after each key and the quotes around this place");
        }
    }
    ins_error_at(err, pos);
    return INS_RECIPE;
}

static ins_status run_parser(yaml_reader *reader, struct fy_parser *parser, struct fy_diag *diag, ins_error *err) {
    ins_status status = INS_OK;
    bool done = false;
    while (status == INS_OK && !done) {
        struct fy_event *event = fy_parser_parse(parser);
        if (!event) return fail_parse(reader, diag, err);
        done = event->type == FYET_STREAM_END;
        status = on_event(reader, event, err);
        fy_parser_event_free(parser, event);
    }
    return status;
}

static ins_status check_text(const yaml_reader *reader, ins_error *err) {
    if (reader->n > YAML_MAX_BYTES) {
        INS_FAIL(err, INS_RECIPE, "'%s' is larger than the 16 MiB that a configuration may have", reader->build.file);
        ins_error_hint(err, "keep data in files of its own and name them here");
        return INS_RECIPE;
    }
    size_t bad = 0;
    bool valid = ins_utf8_valid(reader->text, reader->n, &bad);
    const char *nul = valid && reader->n ? memchr(reader->text, '\0', reader->n) : NULL;
    if (valid && !nul) return INS_OK;
    if (nul) bad = (size_t)(nul - reader->text);
    ins_pos pos = {.file = reader->build.file, .line = 1, .col = 1};
    for (size_t i = 0; i < bad; i++) {
        if (reader->text[i] == '\n') {
            pos.line++;
            pos.col = 1;
        } else if (((unsigned char)reader->text[i] & 0xC0u) != 0x80u) {
            pos.col++;
        }
    }
    INS_FAIL(err, INS_RECIPE, nul ? "a NUL byte in the text" : "the text is not valid UTF-8");
    ins_error_hint(err, "save the file as UTF-8");
    ins_error_at(err, pos);
    return INS_RECIPE;
}

static ins_status parse(yaml_reader *reader, ins_error *err) {
    INS_TRY(check_text(reader, err));
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.level = FYET_ERROR;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag) return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", reader->build.file);
    fy_diag_set_collect_errors(diag, true); /* nothing is printed */
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DISABLE_DEPTH_LIMIT | FYPCF_JSON_NONE,
        .diag = diag,
    };
    ins_status status = INS_OK;
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (!parser || fy_parser_set_string(parser, reader->text, reader->n) != 0)
        status = INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", reader->build.file);
    if (status == INS_OK) status = run_parser(reader, parser, diag, err);
    if (parser) fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return status;
}

ins_status ins_yaml_read_text(const char *text, size_t n, const char *name, ins_arena *arena, ins_node **out,
                              ins_error *err) {
    /* The builder holds 200 frames: too large for a small stack. */
    yaml_reader *reader = ins_calloc(1, sizeof *reader);
    if (!reader) return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", name);
    reader->build.arena = arena;
    reader->build.file = ins_arena_strdup(arena, name);
    reader->text = text;
    reader->n = n;
    ins_status status = INS_OK;
    if (!reader->build.file) status = INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", name);
    reader->last = (ins_pos){.file = reader->build.file, .line = 1, .col = 1};
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* byte order mark */
        reader->text += 3;
        reader->n -= 3;
    }
    ins_pos start = reader->last;
    if (status == INS_OK) status = parse(reader, err);
    if (status == INS_OK && !reader->build.root) /* an empty document */
        status = yaml_on_scalar(&reader->build, "", 0, false, true, NULL, start, err);
    if (status == INS_OK) *out = reader->build.root;
    yaml_builder_free(&reader->build);
    ins_free(reader);
    return status;
}

ins_status ins_yaml_read_file(const char *path, ins_arena *arena, ins_node **out, ins_error *err) {
    ins_str text = {0};
    ins_status status = ins_file_read(path, YAML_MAX_BYTES, &text, err);
    if (status == INS_OK) status = ins_yaml_read_text(text.data ? text.data : "", text.len, path, arena, out, err);
    ins_str_free(&text);
    return status;
}
