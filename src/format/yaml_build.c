/* YAML events into configuration nodes: duplicate keys, anchors, aliases and merge keys. */
#include <stdlib.h>
#include <string.h>

#include "format/yaml_internal.h"

static ins_status no_memory(const yaml_builder *build, ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", build->file);
}

static ins_status fail_at(ins_error *err, ins_pos pos, const char *text) {
    INS_FAIL(err, INS_RECIPE, "%s", text);
    ins_error_at(err, pos);
    return INS_RECIPE;
}

void yaml_builder_free(yaml_builder *build) {
    ins_free(build->stack);
    ins_free(build->anchors);
}

static ins_status node_make(yaml_builder *build, ins_node_kind kind, ins_pos pos, ins_node **out, ins_error *err) {
    if (++build->n_nodes > YAML_MAX_NODES) return fail_at(err, pos, "the document has too many values");
    ins_node *node = ins_arena_alloc(build->arena, sizeof *node);
    if (!node) return no_memory(build, err);
    node->kind = kind;
    node->pos = pos;
    *out = node;
    return INS_OK;
}

static ins_node **items_alloc(yaml_builder *build, int64_t n) {
    return ins_arena_alloc(build->arena, (size_t)n * sizeof(ins_node *));
}

static ins_status stack_push(yaml_builder *build, ins_node *node, ins_error *err) {
    if (build->n_stack == build->cap_stack) {
        int64_t cap = build->cap_stack ? build->cap_stack * 2 : 64;
        ins_node **grown = ins_realloc(build->stack, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(build, err);
        build->stack = grown;
        build->cap_stack = cap;
    }
    build->stack[build->n_stack++] = node;
    return INS_OK;
}

static ins_status anchor_set(yaml_builder *build, const char *name, const ins_node *node, ins_error *err) {
    for (int64_t i = 0; i < build->n_anchors; i++) {
        if (strcmp(build->anchors[i].name, name) != 0) continue;
        build->anchors[i].node = node; /* YAML: the latest definition counts */
        return INS_OK;
    }
    if (build->n_anchors >= 1000) return fail_at(err, node->pos, "more than 1000 anchors");
    if (build->n_anchors == build->cap_anchors) {
        int64_t cap = build->cap_anchors ? build->cap_anchors * 2 : 16;
        yaml_anchor *grown = ins_realloc(build->anchors, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(build, err);
        build->anchors = grown;
        build->cap_anchors = cap;
    }
    build->anchors[build->n_anchors++] = (yaml_anchor){name, node};
    return INS_OK;
}

/* Deep copy. Keeps the places of the anchored text: that is where a mistake in it has to be corrected. */
static ins_status node_copy(yaml_builder *build, const ins_node *from, ins_pos use, ins_node **out, ins_error *err) {
    if (++build->n_expanded > YAML_MAX_EXPANDED)
        return fail_at(err, use, "aliases and merge keys make the document too large");
    ins_node *copy = NULL;
    INS_TRY(node_make(build, from->kind, from->pos, &copy, err));
    ins_node **items = NULL;
    if (from->n_items) {
        items = items_alloc(build, from->n_items);
        if (!items) return no_memory(build, err);
        for (int64_t i = 0; i < from->n_items; i++)
            INS_TRY(node_copy(build, from->items[i], use, &items[i], err)); /* depth: bounded by YAML_MAX_DEPTH */
    }
    *copy = *from;
    copy->items = items;
    copy->cap_items = from->n_items;
    *out = copy;
    return INS_OK;
}

/* A finished value goes to the open map (with the key read before), the open list, or becomes the document. */
static ins_status place(yaml_builder *build, ins_node *node, ins_error *err) {
    if (build->depth == 0) {
        build->root = node;
        return INS_OK;
    }
    yaml_frame *frame = &build->frames[build->depth - 1];
    if (frame->node->kind == INS_NODE_MAP) {
        node->key = frame->key;
        node->key_pos = frame->key_pos;
        frame->key = NULL;
    }
    return stack_push(build, node, err);
}

static bool wants_key(const yaml_builder *build) {
    if (build->depth == 0) return false;
    const yaml_frame *frame = &build->frames[build->depth - 1];
    return frame->node->kind == INS_NODE_MAP && !frame->key;
}

ins_status yaml_on_open(yaml_builder *build, ins_node_kind kind, const char *anchor, ins_pos pos, ins_error *err) {
    if (wants_key(build)) return fail_at(err, pos, "a list or map cannot be a key here");
    if (build->depth == YAML_MAX_DEPTH) return fail_at(err, pos, "lists and maps are nested more than 200 levels deep");
    ins_node *node = NULL;
    INS_TRY(node_make(build, kind, pos, &node, err));
    char *name = NULL;
    if (anchor && !(name = ins_arena_strdup(build->arena, anchor))) return no_memory(build, err);
    build->frames[build->depth++] = (yaml_frame){.node = node, .first = build->n_stack, .anchor = name};
    return INS_OK;
}

/* The key of a child that a plain `<<` introduced: known by its address. */
static const char merge_key[] = "<<";

static bool is_merge(const ins_node *child) {
    return child->key == merge_key;
}

static ins_status key_set(yaml_builder *build, const char *text, size_t n, bool quoted, ins_pos pos, ins_error *err) {
    yaml_frame *frame = &build->frames[build->depth - 1];
    if (!quoted && n == 2 && memcmp(text, "<<", 2) == 0) {
        frame->key = merge_key;
    } else if (!(frame->key = ins_arena_strndup(build->arena, text, n))) {
        return no_memory(build, err);
    }
    frame->key_pos = pos;
    return INS_OK;
}

ins_status yaml_on_scalar(yaml_builder *build, const char *text, size_t n, bool quoted, bool is_null,
                          const char *anchor, ins_pos pos, ins_error *err) {
    if (n > YAML_MAX_SCALAR) return fail_at(err, pos, "a value of more than 8 MiB");
    if (n && memchr(text, '\0', n)) return fail_at(err, pos, "a NUL character in a value");
    ins_node *node = NULL;
    INS_TRY(node_make(build, is_null ? INS_NODE_NULL : INS_NODE_SCALAR, pos, &node, err));
    if (!is_null) {
        node->text = ins_arena_strndup(build->arena, n ? text : "", n);
        if (!node->text) return no_memory(build, err);
        node->quoted = quoted;
    }
    if (anchor) {
        char *name = ins_arena_strdup(build->arena, anchor);
        if (!name) return no_memory(build, err);
        INS_TRY(anchor_set(build, name, node, err));
    }
    if (!wants_key(build)) return place(build, node, err);
    if (is_null && n == 0) return fail_at(err, pos, "an empty key");
    return key_set(build, text, n, quoted, pos, err);
}

ins_status yaml_on_alias(yaml_builder *build, const char *name, ins_pos pos, ins_error *err) {
    const ins_node *target = NULL;
    for (int64_t i = 0; i < build->n_anchors && !target; i++)
        if (strcmp(build->anchors[i].name, name) == 0) target = build->anchors[i].node;
    for (int i = 0; i < build->depth; i++)
        if (build->frames[i].anchor && strcmp(build->frames[i].anchor, name) == 0) {
            INS_FAIL(err, INS_RECIPE, "the alias '*%.200s' stands inside the value that '&%.200s' names", name, name);
            ins_error_hint(err, "an anchored value cannot contain itself: write that part out");
            ins_error_at(err, pos);
            return INS_RECIPE;
        }
    if (!target) {
        INS_FAIL(err, INS_RECIPE, "the alias '*%.200s' has no anchor '&%.200s' before it", name, name);
        ins_error_hint(
            err, "put '&%.200s' in front of the value that is meant, or quote the text if it is not an alias", name);
        ins_error_at(err, pos);
        return INS_RECIPE;
    }
    if (wants_key(build)) {
        if (target->kind != INS_NODE_SCALAR) return fail_at(err, pos, "only a single value can be a key");
        return key_set(build, target->text, strlen(target->text), true, pos, err);
    }
    ins_node *copy = NULL;
    INS_TRY(node_copy(build, target, pos, &copy, err));
    /* With several levels of aliases a copy can get deeper than what is written; the sum stays small. */
    copy->key = NULL;
    copy->key_pos = (ins_pos){0};
    return place(build, copy, err);
}

/* ---- closing a map: merge keys, duplicates ---- */

typedef struct yaml_entry {
    ins_node *node;
    int64_t order; /* explicit children first in document order, then merged ones by precedence */
    bool merged;
} yaml_entry;

static int entry_by_key(const void *left, const void *right) {
    const yaml_entry *l = left, *r = right;
    int order = strcmp(l->node->key, r->node->key);
    return order ? order : l->order < r->order ? -1 : l->order > r->order;
}

static int entry_by_order(const void *left, const void *right) {
    const yaml_entry *l = left, *r = right;
    return l->order < r->order ? -1 : l->order > r->order;
}

static ins_status fail_merge(ins_error *err, const ins_node *at) {
    INS_FAIL(err, INS_RECIPE, "the merge key '<<' takes a map or a list of maps");
    ins_error_hint(err, "write '<<: *name' where '&name' stands in front of a map");
    ins_error_at(err, at->key_pos.line ? at->key_pos : at->pos);
    return INS_RECIPE;
}

/* Number of children that a `<<` child brings in, or -1 when it has another type. */
static int64_t merge_count(const ins_node *child) {
    if (child->kind == INS_NODE_MAP) return child->n_items;
    if (child->kind != INS_NODE_LIST) return -1;
    int64_t total = 0;
    for (int64_t i = 0; i < child->n_items; i++) {
        if (child->items[i]->kind != INS_NODE_MAP) return -1;
        total += child->items[i]->n_items;
    }
    return total;
}

static void entries_add(yaml_entry *entries, int64_t *n, const ins_node *map) {
    for (int64_t i = 0; i < map->n_items; i++) {
        entries[*n] = (yaml_entry){map->items[i], *n, true};
        (*n)++;
    }
}

static ins_status fail_duplicate(ins_error *err, const ins_node *first, const ins_node *again) {
    INS_FAIL(err, INS_RECIPE, "the key '%.200s' is given twice; first at line %d, column %d", again->key,
             first->key_pos.line, first->key_pos.col);
    ins_error_hint(err, "remove one of the two");
    ins_error_at(err, again->key_pos);
    return INS_RECIPE;
}

/* Sort by key, refuse explicit duplicates, drop merged keys that an earlier entry has, restore the order. */
static ins_status entries_settle(yaml_entry *entries, int64_t *n, ins_error *err) {
    qsort(entries, (size_t)*n, sizeof *entries, entry_by_key);
    const ins_node *first = NULL, *again = NULL; /* the duplicate that comes first in the document */
    int64_t again_order = 0, kept = 0;
    for (int64_t i = 0; i < *n; i++) {
        const yaml_entry *before = kept ? &entries[kept - 1] : NULL;
        if (!before || strcmp(before->node->key, entries[i].node->key) != 0) {
            entries[kept++] = entries[i];
        } else if (!entries[i].merged) {
            if (again && again_order < entries[i].order) continue;
            first = before->node;
            again = entries[i].node;
            again_order = entries[i].order;
        }
    }
    if (again) return fail_duplicate(err, first, again);
    *n = kept;
    qsort(entries, (size_t)kept, sizeof *entries, entry_by_order);
    return INS_OK;
}

static ins_status map_finish(yaml_builder *build, yaml_frame *frame, ins_error *err) {
    ins_node **children = build->stack ? build->stack + frame->first : NULL;
    int64_t n_children = build->n_stack - frame->first, total = n_children;
    for (int64_t i = 0; i < n_children; i++) {
        if (!is_merge(children[i])) continue;
        int64_t extra = merge_count(children[i]);
        if (extra < 0) return fail_merge(err, children[i]);
        total += extra;
    }
    if (total == 0) return INS_OK;
    yaml_entry *entries = ins_malloc((size_t)total * sizeof *entries);
    if (!entries) return no_memory(build, err);
    int64_t n = 0;
    for (int64_t i = 0; i < n_children; i++)
        if (!is_merge(children[i])) {
            entries[n] = (yaml_entry){children[i], n, false};
            n++;
        }
    for (int64_t i = 0; i < n_children; i++) {
        if (!is_merge(children[i])) continue;
        if (children[i]->kind == INS_NODE_MAP)
            entries_add(entries, &n, children[i]);
        else
            for (int64_t k = 0; k < children[i]->n_items; k++) entries_add(entries, &n, children[i]->items[k]);
    }
    ins_status status = entries_settle(entries, &n, err);
    if (status == INS_OK) {
        frame->node->items = items_alloc(build, n);
        frame->node->n_items = frame->node->cap_items = n;
        if (!frame->node->items) status = no_memory(build, err);
        for (int64_t i = 0; i < n && status == INS_OK; i++) frame->node->items[i] = entries[i].node;
    }
    ins_free(entries);
    return status;
}

ins_status yaml_on_close(yaml_builder *build, ins_error *err) {
    yaml_frame *frame = &build->frames[build->depth - 1];
    ins_node *node = frame->node;
    if (node->kind == INS_NODE_MAP) {
        INS_TRY(map_finish(build, frame, err));
    } else if (build->n_stack > frame->first) {
        node->n_items = node->cap_items = build->n_stack - frame->first;
        node->items = items_alloc(build, node->n_items);
        if (!node->items) return no_memory(build, err);
        memcpy(node->items, build->stack + frame->first, (size_t)node->n_items * sizeof *node->items);
    }
    build->n_stack = frame->first;
    if (frame->anchor) INS_TRY(anchor_set(build, frame->anchor, node, err));
    build->depth--;
    return place(build, node, err);
}
