/* Components and groups of options: lists, help, reference pages. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"
#include "decode/decode.h"

/* ---- what there is to explain ---- */

/* Options that belong to no component, but stand in recipes and need a page: families of one for whoever reads. */
static const ins_component model_options = {.family = "model",
                                            .name = "options",
                                            .summary = "Shape of a Transformer: `model:` of a train stage. Its preset "
                                                       "gives the values that are not written; one of these, layers, "
                                                       "is enough.",
                                            .version = 1,
                                            .options = &ins_model_table};
static const ins_component sampling_options = {.family = "sampling",
                                               .name = "options",
                                               .summary = "How tokens are drawn: `sampling:` of stages and probes that "
                                                          "let a model write.",
                                               .version = 1,
                                               .options = &ins_sampling_table};
static const ins_component *const model_items[] = {&model_options};
static const ins_component *const sampling_items[] = {&sampling_options};
static const ins_family groups[] = {
    {"model", "Options of a Transformer: size, attention, norms, feed-forward.", model_items, 1},
    {"sampling", "Options of drawing tokens from a model.", sampling_items, 1},
};
enum { N_GROUPS = sizeof groups / sizeof groups[0] };

const ins_family *api_family_at(int64_t i) {
    int64_t n = 0;
    while (ins_families[n]) n++;
    if (i < n) return ins_families[i];
    return i - n < N_GROUPS ? &groups[i - n] : NULL;
}

static ins_status find_family(const char *name, const ins_family **out, ins_error *err) {
    const char *names[64];
    int64_t n = 0;
    for (const ins_family *family; (family = api_family_at(n)) && n < 64; n++) {
        names[n] = family->name;
        if (strcmp(family->name, name) != 0) continue;
        *out = family;
        return INS_OK;
    }
    const char *nearest = ins_nearest_name(name, names, n);
    INS_FAIL(err, INS_USAGE, "there is no family '%s'%s%s%s", name, nearest ? " (did you mean '" : "",
             nearest ? nearest : "", nearest ? "'?)" : "");
    ins_error_hint(err, "see 'instar list'");
    return INS_USAGE;
}

static ins_status find_component(const ins_family *family, const char *name, const ins_component **out,
                                 ins_error *err) {
    *out = ins_component_find(family, name);
    if (*out) return INS_OK;
    const char *nearest = ins_component_nearest(family, name);
    INS_FAIL(err, INS_USAGE, "the family %s has no '%s'%s%s%s", family->name, name, nearest ? " (did you mean '" : "",
             nearest ? nearest : "", nearest ? "'?)" : "");
    ins_error_hint(err, "see 'instar list %s'", family->name);
    return INS_USAGE;
}

/* ---- list ---- */

static void list_families(instar_format format, ins_str *out) {
    api_table table = api_table_new("lrl");
    if (format == INSTAR_JSON) ins_str_puts(out, "[");
    const ins_family *family;
    for (int64_t i = 0; (family = api_family_at(i)); i++) {
        if (format == INSTAR_JSON) {
            ins_str_puts(out, i ? ",{\"family\":" : "{\"family\":");
            api_json_string(out, family->name);
            ins_str_printf(out, ",\"components\":%lld,\"summary\":", (long long)family->n);
            api_json_string(out, family->summary);
            ins_str_putc(out, '}');
        } else {
            api_cell(&table, "%s", family->name);
            api_cell(&table, "%lld", (long long)family->n);
            api_cell(&table, "%s", family->summary);
        }
    }
    if (format == INSTAR_JSON) ins_str_puts(out, "]\n");
    api_table_print(&table, out);
}

static void list_components(const ins_family *family, instar_format format, ins_str *out) {
    api_table table = api_table_new("ll");
    if (format == INSTAR_JSON) ins_str_puts(out, "[");
    for (int64_t i = 0; i < family->n; i++) {
        const ins_component *item = family->items[i];
        if (format == INSTAR_JSON) {
            ins_str_puts(out, i ? ",{\"family\":" : "{\"family\":");
            const char *const values[] = {item->family, item->name, item->summary, item->aliases, item->paper};
            static const char *const names[] = {NULL, "name", "summary", "aliases", "paper"};
            for (int k = 0; k < 5; k++) {
                if (k) ins_str_printf(out, ",\"%s\":", names[k]);
                api_json_string(out, values[k]);
            }
            ins_str_printf(out, ",\"version\":%d}", item->version);
        } else {
            api_cell(&table, "%s", item->name);
            api_cell(&table, "%s", item->summary);
        }
    }
    if (format == INSTAR_JSON) ins_str_puts(out, "]\n");
    api_table_print(&table, out);
}

instar_status instar_list(instar *session, const char *family, instar_format format, char **text) {
    ins_error err = {0};
    ins_str out = {0};
    const ins_family *found = NULL;
    api_begin(session);
    if (!family) {
        list_families(format, &out);
        return api_give(session, &out, text);
    }
    ins_status status = find_family(family, &found, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    list_components(found, format, &out);
    return api_give(session, &out, text);
}

/* ---- help ---- */

static void help_text(const ins_component *item, ins_str *out) {
    ins_str_printf(out, "%s %s", item->family, item->name);
    if (item->aliases) ins_str_printf(out, " (also: %s)", item->aliases);
    ins_str_putc(out, '\n');
    api_wrap(out, item->summary, 2, 78);
    if (item->paper) {
        ins_str_puts(out, "\npaper\n");
        api_wrap(out, item->paper, 2, 78);
    }
    if (!item->options || !item->options->rows->name) {
        ins_str_puts(out, "\nno options\n");
        return;
    }
    ins_str_puts(out, "\noptions\n");
    ins_opt_help_text(item->options, 78, out);
}

static void help_json(const ins_component *item, ins_str *out) {
    ins_str_puts(out, "{\"family\":");
    api_json_string(out, item->family);
    ins_str_puts(out, ",\"name\":");
    api_json_string(out, item->name);
    ins_str_puts(out, ",\"summary\":");
    api_json_string(out, item->summary);
    ins_str_puts(out, ",\"paper\":");
    api_json_string(out, item->paper);
    ins_str_printf(out, ",\"version\":%d,\"options\":", item->version);
    if (item->options)
        ins_opt_json_schema(item->options, out);
    else
        ins_str_puts(out, "{}");
    ins_str_putc(out, '}');
}

instar_status instar_help(instar *session, const char *family, const char *name, instar_format format, char **text) {
    ins_error err = {0};
    ins_str out = {0};
    const ins_family *found = NULL;
    const ins_component *item = NULL;
    api_begin(session);
    ins_status status = find_family(family, &found, &err);
    if (status == INS_OK && name) status = find_component(found, name, &item, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    if (format == INSTAR_JSON && !item) ins_str_putc(&out, '[');
    for (int64_t i = 0; i < found->n; i++) {
        if (item && item != found->items[i]) continue;
        if (i && !item) ins_str_puts(&out, format == INSTAR_JSON ? "," : "\n");
        if (format == INSTAR_JSON)
            help_json(found->items[i], &out);
        else
            help_text(found->items[i], &out);
    }
    if (format == INSTAR_JSON) ins_str_puts(&out, item ? "\n" : "]\n");
    return api_give(session, &out, text);
}

/* ---- reference pages ---- */

static void family_page(const ins_family *family, ins_str *out) {
    ins_str_printf(
        out,
        "# %s\n\n%s\n\nWritten by `instar docs` from the option tables in the sources; edit those, not this file.\n",
        family->name, family->summary);
    for (int64_t i = 0; i < family->n; i++) {
        const ins_component *item = family->items[i];
        ins_str_printf(out, "\n## %s\n\n%s\n", item->name, item->summary);
        if (item->aliases) ins_str_printf(out, "\nAlso written: `%s`.\n", item->aliases);
        if (item->paper) ins_str_printf(out, "\nPaper: %s\n", item->paper);
        ins_str_putc(out, '\n');
        if (item->options && item->options->rows->name)
            ins_opt_help_markdown(item->options, out);
        else
            ins_str_puts(out, "No options.\n");
    }
}

/* Write a page unless the file holds it already. */
static ins_status write_page(const char *dir, const char *name, const ins_str *page, ins_error *err) {
    char path[PATH_MAX];
    ins_str old = {0};
    if (page->oom) return INS_FAIL(err, INS_NOMEM, "out of memory while writing the reference");
    INS_TRY(ins_path_join(dir, name, path, sizeof path, err));
    bool same = ins_file_exists(path) && ins_file_read(path, 16u << 20, &old, NULL) == INS_OK && old.len == page->len &&
                memcmp(old.data, page->data, page->len) == 0;
    ins_str_free(&old);
    return same ? INS_OK : ins_file_write_atomic(path, page->data, page->len, err);
}

instar_status instar_docs(instar *session, const char *dir) {
    ins_error err = {0};
    ins_str index = {0};
    api_begin(session);
    ins_str_puts(&index, "# Reference\n\nEvery component and option. Written by `instar docs`.\n\n| family | "
                         "components | what it is |\n|---|---|---|\n");
    ins_status status = ins_dir_make(dir, &err);
    const ins_family *family;
    for (int64_t i = 0; (family = api_family_at(i)) && status == INS_OK; i++) {
        char name[128];
        ins_str page = {0};
        family_page(family, &page);
        snprintf(name, sizeof name, "%s.md", family->name);
        status = write_page(dir, name, &page, &err);
        ins_str_free(&page);
        ins_str_printf(&index, "| [%s](%s) | %lld | %s |\n", family->name, name, (long long)family->n, family->summary);
    }
    if (status == INS_OK) status = write_page(dir, "README.md", &index, &err);
    ins_str_free(&index);
    return api_end(session, status, &err);
}
