/* Documents: a few named strings in an arena. */
#include "data/document.h"

#include <string.h>

const ins_field *ins_document_get(const ins_document *doc, const char *name) {
    for (int i = 0; i < doc->n_fields; i++) {
        if (strcmp(doc->fields[i].name, name) == 0) return doc->fields + i;
    }
    return NULL;
}

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for a document");
}

ins_status ins_document_take(ins_document *doc, const char *name, const char *data, size_t n, ins_error *err) {
    for (int i = 0; i < doc->n_fields; i++) {
        if (strcmp(doc->fields[i].name, name) != 0) continue;
        doc->fields[i].data = data;
        doc->fields[i].n = n;
        return INS_OK;
    }
    if (doc->n_fields == INS_DOC_FIELDS) {
        INS_FAIL(err, INS_DATA, "a document has more than %d fields ('%s' is one too many)", INS_DOC_FIELDS, name);
        ins_error_at(err, doc->source);
        return INS_DATA;
    }
    const char *copy = ins_arena_strdup(doc->arena, name);
    if (!copy) return no_memory(err);
    doc->fields[doc->n_fields++] = (ins_field){copy, data, n};
    return INS_OK;
}

ins_status ins_document_set(ins_document *doc, const char *name, const char *data, size_t n, ins_error *err) {
    char *copy = ins_arena_alloc(doc->arena, n + 1);
    if (!copy) return no_memory(err);
    if (n) memcpy(copy, data, n);
    return ins_document_take(doc, name, copy, n, err);
}

ins_status ins_document_puts(ins_document *doc, const char *name, const char *text, ins_error *err) {
    return ins_document_set(doc, name, text, strlen(text), err);
}

void ins_document_remove(ins_document *doc, const char *name) {
    for (int i = 0; i < doc->n_fields; i++) {
        if (strcmp(doc->fields[i].name, name) != 0) continue;
        memmove(doc->fields + i, doc->fields + i + 1, (size_t)(doc->n_fields - i - 1) * sizeof *doc->fields);
        doc->n_fields--;
        return;
    }
}

void ins_document_clear(ins_document *doc) {
    doc->n_fields = 0;
    doc->source = (ins_pos){0};
    ins_arena_reset(doc->arena);
}

const ins_field *ins_document_group(const ins_document *doc, const char *field) {
    const char *const names[] = {field && *field ? field : "group", "id", "text", "prompt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ins_field *found = ins_document_get(doc, names[i]);
        if (found && found->n) return found;
    }
    return doc->n_fields ? doc->fields : NULL;
}
