/* Build, rename, keep and drop fields, in this order.
 *
 *   set: {text: "{title}\n\n{text}"}   a field from others; "{{" is a brace; not set where all the fields it names are
 *                                      missing or empty
 *   rename: {text: body}               ours: the old name */
#include <string.h>

#include "data/document.h"

typedef struct select_options {
    const ins_node *set, *rename;
    ins_opt_strings keep, drop;
} select_options;

static const ins_opt_row rows[] = {
    {.name = "set",
     .type = INS_OPT_NODE,
     .offset = offsetof(select_options, set),
     .help = "Map of a field to a format, as in {text: \"{title}\\n\\n{text}\"}."},
    {.name = "rename",
     .type = INS_OPT_NODE,
     .offset = offsetof(select_options, rename),
     .help = "Map of the new name to the old one, as in {text: body}."},
    {.name = "keep",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(select_options, keep),
     .help = "Fields to keep (group and id always stay); default: all."},
    {.name = "drop", .type = INS_OPT_STRINGS, .offset = offsetof(select_options, drop), .help = "Fields to drop."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'select'", rows, sizeof(select_options)};

typedef struct select_state {
    const select_options *options;
    ins_str text;
} select_state;

static ins_status select_open(const void *options, void **state, ins_error *err) {
    select_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'select'");
    s->options = options;
    *state = s;
    return INS_OK;
}

static void select_close(void *state) {
    select_state *s = state;
    if (!s) return;
    ins_str_free(&s->text);
    ins_free(s);
}

/* Length of the "{name}" at text, or 0 when there is none. */
static size_t place_holder(const char *text, char *name, size_t size) {
    if (*text != '{') return 0;
    const char *stop = strchr(text, '}');
    size_t n = stop ? (size_t)(stop - text) - 1 : 0;
    if (n == 0 || n >= size || memchr(text + 1, '{', n)) return 0;
    memcpy(name, text + 1, n);
    name[n] = 0;
    return n + 2;
}

/* Expand into s->text; false when every field it names is missing or empty. */
static bool expand(select_state *s, const ins_document *doc, const char *format) {
    int named = 0, found = 0;
    ins_str_clear(&s->text);
    while (*format) {
        char name[64];
        size_t n = place_holder(format, name, sizeof name);
        if (n) {
            const ins_field *f = ins_document_get(doc, name);
            named++;
            if (f && f->n) {
                found++;
                ins_str_append(&s->text, f->data, f->n);
            }
            format += n;
            continue;
        }
        if (format[0] == format[1] && (*format == '{' || *format == '}')) format++;
        ins_str_putc(&s->text, *format++);
    }
    return named == 0 || found > 0;
}

static bool listed(const ins_opt_strings *names, const char *name) {
    for (int64_t i = 0; i < names->n; i++) {
        if (strcmp(names->items[i], name) == 0) return true;
    }
    return false;
}

static void drop_fields(const select_options *o, ins_document *doc) {
    int kept = 0;
    for (int i = 0; i < doc->n_fields; i++) {
        const char *name = doc->fields[i].name;
        bool always = strcmp(name, "group") == 0 || strcmp(name, "id") == 0;
        bool keep = o->keep.n == 0 || always || listed(&o->keep, name);
        if (listed(&o->drop, name)) keep = false;
        if (keep) doc->fields[kept++] = doc->fields[i];
    }
    doc->n_fields = kept;
}

static ins_status select_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                               ins_error *err) {
    select_state *s = state;
    const select_options *o = s->options;
    *verdict = INS_STEP_KEEP;
    *reason = NULL;
    for (int64_t i = 0; o->set && i < o->set->n_items; i++) {
        const ins_node *item = o->set->items[i];
        if (!expand(s, doc, item->text)) continue;
        if (s->text.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'select'");
        INS_TRY(ins_document_set(doc, item->key, s->text.data ? s->text.data : "", s->text.len, err));
    }
    for (int64_t i = 0; o->rename && i < o->rename->n_items; i++) {
        const ins_node *item = o->rename->items[i];
        const ins_field *old = ins_document_get(doc, item->text);
        if (!old || strcmp(item->key, item->text) == 0) continue;
        ins_field copy = *old;
        ins_document_remove(doc, item->text);
        INS_TRY(ins_document_take(doc, item->key, copy.data, copy.n, err));
    }
    drop_fields(o, doc);
    return INS_OK;
}

static void check_map(const ins_node *map, const char *name, ins_diag *diag) {
    if (!map) return;
    if (map->kind != INS_NODE_MAP) {
        ins_diag_add(diag, INS_RECIPE, map->pos, "as in {text: ...}", "%s must be a map", name);
        return;
    }
    for (int64_t i = 0; i < map->n_items; i++) {
        if (map->items[i]->kind == INS_NODE_SCALAR) continue;
        ins_diag_add(diag, INS_RECIPE, map->items[i]->pos, NULL, "%s.%s must be a text", name, map->items[i]->key);
    }
}

static void select_check(const void *options, ins_pos pos, ins_diag *diag) {
    (void)pos;
    const select_options *o = options;
    check_map(o->set, "set", diag);
    check_map(o->rename, "rename", diag);
}

const ins_step_desc ins_step_select = {
    .head = {.family = "step",
             .name = "select",
             .summary = "Build, rename, keep and drop fields.",
             .version = 1,
             .options = &table,
             .check = select_check},
    .open = select_open,
    .apply = select_apply,
    .close = select_close,
};
