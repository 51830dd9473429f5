/* Configuration trees: look up, build, merge. */
#include "option/tree.h"

#include <string.h>

const ins_node *ins_node_get(const ins_node *map, const char *key) {
    if (!map || map->kind != INS_NODE_MAP) return NULL;
    for (int64_t i = 0; i < map->n_items; i++)
        if (strcmp(map->items[i]->key, key) == 0) return map->items[i];
    return NULL;
}

/* One step of a dotted path, as a slice. */
typedef struct path_step {
    const char *text;
    size_t len;
} path_step;

/* Takes the next step off *path; false at the end. An empty step (".." or a dot at either end) has len 0. */
static bool next_step(const char **path, path_step *step) {
    if (!*path) return false;
    const char *dot = strchr(*path, '.');
    *step = (path_step){*path, dot ? (size_t)(dot - *path) : strlen(*path)};
    *path = dot ? dot + 1 : NULL;
    return true;
}

static bool step_equals(path_step step, const char *key) {
    return strlen(key) == step.len && memcmp(key, step.text, step.len) == 0;
}

/* The step as an index, or -1. */
static int64_t step_index(path_step step) {
    int64_t value = 0;
    if (step.len == 0 || step.len > 9) return -1;
    for (size_t i = 0; i < step.len; i++) {
        if (step.text[i] < '0' || step.text[i] > '9') return -1;
        value = value * 10 + (step.text[i] - '0');
    }
    return value;
}

static ins_node *child_of(const ins_node *node, path_step step) {
    if (node->kind == INS_NODE_LIST) {
        int64_t at = step_index(step);
        return at >= 0 && at < node->n_items ? node->items[at] : NULL;
    }
    if (node->kind != INS_NODE_MAP) return NULL;
    for (int64_t i = 0; i < node->n_items; i++)
        if (step_equals(step, node->items[i]->key)) return node->items[i];
    return NULL;
}

const ins_node *ins_node_path(const ins_node *root, const char *path) {
    path_step step;
    const ins_node *node = root;
    while (node && next_step(&path, &step)) node = child_of(node, step);
    return node;
}

ins_node *ins_node_new(ins_arena *arena, ins_node_kind kind, ins_pos pos) {
    ins_node *node = ins_arena_alloc(arena, sizeof *node);
    if (node) {
        node->kind = kind;
        node->pos = pos;
    }
    return node;
}

ins_node *ins_node_scalar(ins_arena *arena, const char *text, bool quoted, ins_pos pos) {
    ins_node *node = ins_node_new(arena, INS_NODE_SCALAR, pos);
    if (!node) return NULL;
    node->text = ins_arena_strdup(arena, text);
    node->quoted = quoted;
    return node->text ? node : NULL;
}

static bool items_reserve(ins_arena *arena, ins_node *node, int64_t n) {
    if (n <= node->cap_items) return true;
    int64_t cap = node->cap_items < 4 ? 4 : node->cap_items * 2;
    if (cap < n) cap = n;
    ins_node **items = ins_arena_alloc(arena, (size_t)cap * sizeof *items);
    if (!items) return false;
    if (node->n_items) memcpy(items, node->items, (size_t)node->n_items * sizeof *items);
    node->items = items;
    node->cap_items = cap;
    return true;
}

bool ins_node_append(ins_arena *arena, ins_node *list, ins_node *item) {
    if (!list || !item || !items_reserve(arena, list, list->n_items + 1)) return false;
    list->items[list->n_items++] = item;
    return true;
}

bool ins_node_put(ins_arena *arena, ins_node *map, const char *key, ins_node *value) {
    if (!map || !value) return false;
    char *copy = ins_arena_strdup(arena, key);
    if (!copy) return false;
    value->key = copy;
    for (int64_t i = 0; i < map->n_items; i++) {
        if (strcmp(map->items[i]->key, key) != 0) continue;
        map->items[i] = value;
        return true;
    }
    return ins_node_append(arena, map, value);
}

ins_node *ins_node_clone(ins_arena *arena, const ins_node *node) {
    if (!node) return NULL;
    ins_node *copy = ins_arena_alloc(arena, sizeof *copy);
    if (!copy) return NULL;
    *copy = *node;
    copy->items = NULL;
    copy->n_items = copy->cap_items = 0;
    if (node->key && !(copy->key = ins_arena_strdup(arena, node->key))) return NULL;
    if (node->text && !(copy->text = ins_arena_strdup(arena, node->text))) return NULL;
    if (!items_reserve(arena, copy, node->n_items)) return NULL;
    for (int64_t i = 0; i < node->n_items; i++) {
        copy->items[i] = ins_node_clone(arena, node->items[i]);
        if (!copy->items[i]) return NULL;
        copy->n_items++;
    }
    return copy;
}

/* `target` is ours to change: a fresh clone of the base. */
static bool merge_into(ins_arena *arena, ins_node *target, const ins_node *over) {
    for (int64_t i = 0; i < over->n_items; i++) {
        const ins_node *from = over->items[i];
        ins_node *to = (ins_node *)(uintptr_t)ins_node_get(target, from->key);
        if (to && to->kind == INS_NODE_MAP && from->kind == INS_NODE_MAP) {
            if (!merge_into(arena, to, from)) return false;
            continue;
        }
        ins_node *copy = ins_node_clone(arena, from);
        if (!copy || !ins_node_put(arena, target, from->key, copy)) return false;
    }
    return true;
}

ins_node *ins_node_merge(ins_arena *arena, const ins_node *base, const ins_node *over) {
    bool both_maps = base && over && base->kind == INS_NODE_MAP && over->kind == INS_NODE_MAP;
    if (!both_maps) return ins_node_clone(arena, over ? over : base);
    ins_node *merged = ins_node_clone(arena, base);
    return merged && merge_into(arena, merged, over) ? merged : NULL;
}

static ins_status fail_step(const ins_node *node, const char *path, path_step step, ins_error *err) {
    int len = (int)(step.len < 200 ? step.len : 200);
    int before = (int)(step.text > path ? step.text - path - 1 : 0);
    if (before > 200) before = 200;
    if (node->kind == INS_NODE_LIST) {
        INS_FAIL(err, INS_USAGE, "'%.*s' is a list of %lld: '%.*s' is no position in it", before, path,
                 (long long)node->n_items, len, step.text);
        ins_error_hint(err, "positions count from 0; %lld appends", (long long)node->n_items);
    } else {
        INS_FAIL(err, INS_USAGE, "'%.*s' is a single value: it has no option '%.*s'", before, path, len, step.text);
        ins_error_hint(err, "check the path given to --set");
    }
    return INS_USAGE;
}

static ins_status fail_set_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while setting an option");
}

/* Puts `value` where `step` points in `node`; keeps the key of what was there. */
static ins_status put_at(ins_arena *arena, ins_node *node, path_step step, ins_node *value, const char *path,
                         ins_error *err) {
    if (node->kind == INS_NODE_LIST) {
        int64_t at = step_index(step);
        if (at < 0 || at > node->n_items) return fail_step(node, path, step, err);
        if (at == node->n_items) return ins_node_append(arena, node, value) ? INS_OK : fail_set_memory(err);
        node->items[at] = value;
        return INS_OK;
    }
    char *key = ins_arena_strndup(arena, step.text, step.len);
    if (!key || !ins_node_put(arena, node, key, value)) return fail_set_memory(err);
    value->key_pos = value->pos;
    return INS_OK;
}

ins_status ins_node_set_path(ins_arena *arena, ins_node *root, const char *path, ins_node *value, ins_error *err) {
    const char *rest = path;
    path_step step;
    while (next_step(&rest, &step)) {
        if (step.len > 0) continue;
        INS_FAIL(err, INS_USAGE, "'%.200s' is no path of an option", path);
        ins_error_hint(err, "write names joined by dots, such as stages.base.steps");
        return INS_USAGE;
    }
    ins_node *node = root;
    rest = path;
    while (next_step(&rest, &step)) {
        if (node->kind == INS_NODE_NULL) node->kind = INS_NODE_MAP;
        if (node->kind == INS_NODE_SCALAR) return fail_step(node, path, step, err);
        if (!rest) return put_at(arena, node, step, value, path, err);
        ins_node *child = child_of(node, step);
        if (!child) {
            child = ins_node_new(arena, INS_NODE_MAP, value->pos);
            if (!child) return fail_set_memory(err);
            INS_TRY(put_at(arena, node, step, child, path, err));
        }
        node = child;
    }
    return INS_OK;
}
