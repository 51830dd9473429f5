/* A small reader of `{key: value, list: [a, "quoted"]}` for tests: trees with positions, without the format room. */
#ifndef INS_TESTS_OPTION_FLOW_H
#define INS_TESTS_OPTION_FLOW_H

#include "base/testing.h"
#include "option/tree.h"

typedef struct flow {
    ins_arena *arena;
    const char *start, *p;
    const char *line_start;
    int line;
} flow;

static inline void flow_space(flow *f) {
    for (; *f->p == ' ' || *f->p == '\n'; f->p++)
        if (*f->p == '\n') {
            f->line++;
            f->line_start = f->p + 1;
        }
}

static inline ins_pos flow_pos(flow *f) {
    return (ins_pos){"t.yaml", f->line, (int)(f->p - f->line_start) + 1};
}

static inline const char *flow_text(flow *f, bool *quoted) {
    *quoted = *f->p == '"';
    if (*quoted) {
        size_t len = strcspn(++f->p, "\"");
        const char *text = ins_arena_strndup(f->arena, f->p, len);
        f->p += len + 1;
        return text;
    }
    size_t len = strcspn(f->p, ":,[]{}\n");
    while (len > 0 && f->p[len - 1] == ' ') len--;
    const char *text = ins_arena_strndup(f->arena, f->p, len);
    f->p += len;
    return text;
}

static inline ins_node *flow_value(flow *f) {
    flow_space(f);
    ins_pos pos = flow_pos(f);
    bool quoted;
    if (*f->p != '{' && *f->p != '[') {
        const char *text = flow_text(f, &quoted);
        if (!quoted && (strcmp(text, "null") == 0 || strcmp(text, "~") == 0 || !text[0]))
            return ins_node_new(f->arena, INS_NODE_NULL, pos);
        return ins_node_scalar(f->arena, text, quoted, pos);
    }
    bool map = *f->p++ == '{';
    ins_node *node = ins_node_new(f->arena, map ? INS_NODE_MAP : INS_NODE_LIST, pos);
    for (flow_space(f); *f->p != '}' && *f->p != ']'; flow_space(f)) {
        ins_pos key_pos = flow_pos(f);
        const char *key = map ? flow_text(f, &quoted) : NULL;
        if (map) {
            flow_space(f);
            f->p++; /* : */
        }
        ins_node *item = flow_value(f);
        item->key = key;
        item->key_pos = key_pos;
        ins_node_append(f->arena, node, item);
        flow_space(f);
        if (*f->p == ',') f->p++;
    }
    f->p++;
    return node;
}

static inline ins_node *flow_read(ins_arena *arena, const char *text) {
    flow f = {.arena = arena, .start = text, .p = text, .line_start = text, .line = 1};
    return flow_value(&f);
}

#endif
