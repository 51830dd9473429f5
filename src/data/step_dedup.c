/* Drop documents whose text was there before. Texts are compared by a 64-bit hash, after case and white space were made
 * the same: a table of 8-byte hashes, 11 to 22 bytes a document (at 10^8 documents a false match is still unlikely:
 * 3e-4). */
#include <string.h>

#include "base/hash.h"
#include "data/document.h"

typedef struct dedup_options {
    const char *field;
    bool exact;
} dedup_options;

static const ins_opt_row rows[] = {
    {.name = "field",
     .type = INS_OPT_STRING,
     .offset = offsetof(dedup_options, field),
     .def = "text",
     .help = "Field to compare; documents without it are kept."},
    {.name = "exact",
     .type = INS_OPT_BOOL,
     .offset = offsetof(dedup_options, exact),
     .def = "false",
     .help = "Compare byte for byte; false ignores ASCII case and runs of white space."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'dedup'", rows, sizeof(dedup_options)};

typedef struct dedup_state {
    const dedup_options *options;
    uint64_t *slots; /* 0 = free; hash 0 is stored as 1 */
    size_t n, cap;   /* cap is a power of two */
    ins_str text;
} dedup_state;

static ins_status dedup_open(const void *options, void **state, ins_error *err) {
    dedup_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'dedup'");
    s->options = options;
    *state = s;
    return INS_OK;
}

static void dedup_close(void *state) {
    dedup_state *s = state;
    if (!s) return;
    ins_free(s->slots);
    ins_str_free(&s->text);
    ins_free(s);
}

/* True when the hash was there. There is a free slot. */
static bool insert(uint64_t *slots, size_t cap, uint64_t hash) {
    size_t at = hash & (cap - 1);
    for (; slots[at]; at = (at + 1) & (cap - 1)) {
        if (slots[at] == hash) return true;
    }
    slots[at] = hash;
    return false;
}

static ins_status grow(dedup_state *s, ins_error *err) {
    size_t cap = s->cap ? 2 * s->cap : 4096;
    uint64_t *slots = ins_calloc(cap, sizeof *slots);
    if (!slots) return INS_FAIL(err, INS_NOMEM, "out of memory for the hashes of %zu documents", s->n);
    for (size_t i = 0; i < s->cap; i++) {
        if (s->slots[i]) insert(slots, cap, s->slots[i]);
    }
    ins_free(s->slots);
    s->slots = slots;
    s->cap = cap;
    return INS_OK;
}

/* Lower case, one space for each run of white space, none at the ends. */
static void fold(const ins_field *f, ins_str *out) {
    bool space = false;
    ins_str_clear(out);
    for (size_t i = 0; i < f->n; i++) {
        char c = f->data[i];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            space = out->len > 0;
            continue;
        }
        if (space) ins_str_putc(out, ' ');
        space = false;
        ins_str_putc(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

static ins_status dedup_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                              ins_error *err) {
    dedup_state *s = state;
    *verdict = INS_STEP_KEEP;
    const ins_field *f = ins_document_get(doc, s->options->field);
    if (!f) return INS_OK;
    const char *data = f->data;
    size_t n = f->n;
    if (!s->options->exact) {
        fold(f, &s->text);
        if (s->text.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'dedup'");
        data = s->text.data ? s->text.data : "";
        n = s->text.len;
    }
    uint64_t hash = ins_hash64(data, n, 0);
    if (hash == 0) hash = 1;
    if (4 * (s->n + 1) > 3 * s->cap) INS_TRY(grow(s, err));
    if (insert(s->slots, s->cap, hash)) {
        *verdict = INS_STEP_DROP;
        *reason = "dedup: seen before";
    } else {
        s->n++;
    }
    return INS_OK;
}

const ins_step_desc ins_step_dedup = {
    .head = {.family = "step",
             .name = "dedup",
             .summary = "Drop documents whose text was there before.",
             .version = 1,
             .options = &table},
    .open = dedup_open,
    .apply = dedup_apply,
    .close = dedup_close,
};
