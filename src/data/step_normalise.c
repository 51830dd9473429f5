/* Unicode and white space in one form: NFC, no control characters, "\n" line ends, no trailing spaces. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "data/document.h"

typedef enum norm_form { FORM_NFC, FORM_NFKC, FORM_NONE } norm_form;
typedef enum norm_spaces { SPACES_TRIM, SPACES_COLLAPSE, SPACES_KEEP } norm_spaces;
typedef enum norm_invalid { INVALID_DROP, INVALID_REPLACE } norm_invalid;

typedef struct normalise_options {
    ins_opt_strings fields;
    int form, spaces, invalid;
    bool controls;
} normalise_options;

static const ins_opt_row rows[] = {
    {.name = "fields",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(normalise_options, fields),
     .help = "Fields to normalise; default: all."},
    {.name = "form",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(normalise_options, form),
     .def = "nfc",
     .choices = "nfc nfkc none",
     .help = "Unicode normal form: nfc keeps the looks of the text, nfkc also unifies ligatures and widths."},
    {.name = "spaces",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(normalise_options, spaces),
     .def = "trim",
     .choices = "trim collapse keep",
     .help =
         "trim: no spaces at the ends of lines, at most one empty line; collapse: also one space for a run of them."},
    {.name = "controls",
     .type = INS_OPT_BOOL,
     .offset = offsetof(normalise_options, controls),
     .def = "true",
     .help = "Remove control characters, soft hyphens and byte order marks; line ends of all sorts become newlines."},
    {.name = "invalid",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(normalise_options, invalid),
     .def = "drop",
     .choices = "drop replace",
     .help = "Documents with invalid UTF-8: drop (and count) them, or replace what is invalid by U+FFFD."},
    {.name = NULL},
};

static const ins_opt_table table = {"step 'normalise'", rows, sizeof(normalise_options)};

typedef struct normalise_state {
    const normalise_options *options;
    ins_str text, next;
} normalise_state;

static ins_status normalise_open(const void *options, void **state, ins_error *err) {
    normalise_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for step 'normalise'");
    s->options = options;
    *state = s;
    return INS_OK;
}

static void normalise_close(void *state) {
    normalise_state *s = state;
    if (!s) return;
    ins_str_free(&s->text);
    ins_str_free(&s->next);
    ins_free(s);
}

static bool is_ascii(const char *text, size_t n) {
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++) all |= (unsigned char)text[i];
    return all < 0x80;
}

/* Each invalid byte becomes U+FFFD. */
static void replace_invalid(const char *text, size_t n, ins_str *out) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int length = ins_utf8_decode((const unsigned char *)text + i, n - i, &cp);
        if (length > 0) {
            ins_str_append(out, text + i, (size_t)length);
        } else {
            ins_str_puts(out, "\xef\xbf\xbd");
        }
        i += length > 0 ? (size_t)length : 1;
    }
}

static ins_status compose(ins_str *text, int form, ins_str *scratch, ins_error *err) {
    utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    if (form == FORM_NFKC) how |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text->data, (utf8proc_ssize_t)text->len, &composed, how);
    if (n < 0) return INS_FAIL(err, INS_NOMEM, "Unicode normalisation failed: %s", utf8proc_errmsg(n));
    ins_str_clear(scratch);
    ins_str_append(scratch, composed, (size_t)n);
    free(composed);
    ins_str swap = *text;
    *text = *scratch;
    *scratch = swap;
    return INS_OK;
}

static bool is_control(uint32_t cp) {
    return (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0xfeff;
}

static bool is_line_end(uint32_t cp) {
    return cp == '\r' || cp == '\f' || cp == '\v' || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

static bool is_space(uint32_t cp) {
    return cp == ' ' || cp == '\t' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x202f ||
           cp == 0x205f || cp == 0x3000;
}

static void remove_controls(const ins_str *in, ins_str *out) {
    for (size_t i = 0; i < in->len;) {
        uint32_t cp = 0;
        int length = ins_utf8_decode((const unsigned char *)in->data + i, in->len - i, &cp);
        if (length < 1) length = 1;
        bool crlf = cp == '\r' && i + 1 < in->len && in->data[i + 1] == '\n';
        if (is_line_end(cp)) {
            if (!crlf) ins_str_putc(out, '\n');
        } else if (!is_control(cp)) {
            ins_str_append(out, in->data + i, (size_t)length);
        }
        i += (size_t)length;
    }
}

/* Spaces before a line's end go, and all but one empty line; collapse: a run of spaces is one, and none begins a line.
 */
static void tidy_spaces(const ins_str *in, bool collapse, ins_str *out) {
    size_t pending = 0, pending_at = 0, breaks = 0; /* spaces (bytes) and newlines not yet written */
    for (size_t i = 0; i < in->len;) {
        uint32_t cp = 0;
        int length = ins_utf8_decode((const unsigned char *)in->data + i, in->len - i, &cp);
        if (length < 1) length = 1;
        if (cp == '\n') {
            breaks++;
            pending = 0;
        } else if (is_space(cp)) {
            if (pending == 0) pending_at = i;
            pending += (size_t)length;
        } else {
            bool fresh = out->len == 0;
            for (size_t b = 0; b < breaks && b < 2 && !fresh; b++) ins_str_putc(out, '\n');
            if (pending && collapse && !breaks && !fresh) ins_str_putc(out, ' ');
            if (pending && !collapse) ins_str_append(out, in->data + pending_at, pending);
            pending = breaks = 0;
            ins_str_append(out, in->data + i, (size_t)length);
        }
        i += (size_t)length;
    }
}

/* Normalise one field into s->text. */
static ins_status normalise_text(normalise_state *s, const ins_field *f, bool *valid, ins_error *err) {
    const normalise_options *o = s->options;
    ins_str_clear(&s->text);
    *valid = ins_utf8_valid(f->data, f->n, NULL);
    if (*valid) {
        ins_str_append(&s->text, f->data, f->n);
    } else if (o->invalid == INVALID_REPLACE) {
        replace_invalid(f->data, f->n, &s->text);
        *valid = true;
    } else {
        return INS_OK;
    }
    bool ascii = is_ascii(f->data, f->n);
    if (o->form != FORM_NONE && !ascii && s->text.len) INS_TRY(compose(&s->text, o->form, &s->next, err));
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 0 ? !o->controls : o->spaces == SPACES_KEEP) continue;
        ins_str_clear(&s->next);
        if (pass == 0) {
            remove_controls(&s->text, &s->next);
        } else {
            tidy_spaces(&s->text, o->spaces == SPACES_COLLAPSE, &s->next);
        }
        ins_str swap = s->text;
        s->text = s->next;
        s->next = swap;
    }
    return s->text.oom || s->next.oom ? INS_FAIL(err, INS_NOMEM, "out of memory for step 'normalise'") : INS_OK;
}

static bool chosen(const normalise_options *o, const char *name) {
    for (int64_t i = 0; i < o->fields.n; i++) {
        if (strcmp(o->fields.items[i], name) == 0) return true;
    }
    return o->fields.n == 0;
}

static ins_status normalise_apply(void *state, ins_document *doc, ins_step_verdict *verdict, const char **reason,
                                  ins_error *err) {
    normalise_state *s = state;
    *verdict = INS_STEP_KEEP;
    for (int i = 0; i < doc->n_fields; i++) {
        const ins_field *f = doc->fields + i;
        if (!chosen(s->options, f->name)) continue;
        bool valid;
        INS_TRY(normalise_text(s, f, &valid, err));
        if (!valid) {
            *verdict = INS_STEP_DROP;
            *reason = "normalise: invalid UTF-8";
            return INS_OK;
        }
        if (s->text.len == f->n && (f->n == 0 || memcmp(s->text.data, f->data, f->n) == 0)) continue;
        INS_TRY(ins_document_set(doc, f->name, s->text.data ? s->text.data : "", s->text.len, err));
    }
    return INS_OK;
}

const ins_step_desc ins_step_normalise = {
    .head = {.family = "step",
             .name = "normalise",
             .aliases = "normalize",
             .summary = "Unicode normal form, control characters, line ends and spaces.",
             .version = 1,
             .options = &table},
    .open = normalise_open,
    .apply = normalise_apply,
    .close = normalise_close,
};
