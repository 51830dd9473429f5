/* Shared by the two halves of the YAML reader: yaml.c drives the parser, yaml_build.c turns its events into nodes. */
#ifndef INS_FORMAT_YAML_INTERNAL_H
#define INS_FORMAT_YAML_INTERNAL_H

#include "option/tree.h"

#define YAML_MAX_BYTES    ((size_t)16 << 20)
#define YAML_MAX_DEPTH    200
#define YAML_MAX_NODES    ((int64_t)2 << 20)   /* written nodes plus those that aliases and merge keys add */
#define YAML_MAX_EXPANDED ((int64_t)256 << 10) /* nodes that aliases and merge keys may add */
#define YAML_MAX_SCALAR   ((size_t)8 << 20)

/* An open list or map. Its finished children are the last ones on the builder's stack, from `first` on. */
typedef struct yaml_frame {
    ins_node *node;
    int64_t first;
    const char *key; /* map: key read, value not yet */
    ins_pos key_pos;
    const char *anchor;
} yaml_frame;

typedef struct yaml_anchor {
    const char *name;
    const ins_node *node;
} yaml_anchor;

typedef struct yaml_builder {
    ins_arena *arena;
    const char *file;
    yaml_frame frames[YAML_MAX_DEPTH];
    int depth;
    ins_node **stack; /* owned: finished children of open frames */
    int64_t n_stack, cap_stack;
    yaml_anchor *anchors; /* owned */
    int64_t n_anchors, cap_anchors;
    int64_t n_nodes, n_expanded;
    ins_node *root;
} yaml_builder;

/* What the parser saw, one call per event. anchor NULL = none. text is copied. */
ins_status yaml_on_open(yaml_builder *build, ins_node_kind kind, const char *anchor, ins_pos pos, ins_error *err);
ins_status yaml_on_close(yaml_builder *build, ins_error *err);
ins_status yaml_on_scalar(yaml_builder *build, const char *text, size_t n, bool quoted, bool is_null,
                          const char *anchor, ins_pos pos, ins_error *err);
ins_status yaml_on_alias(yaml_builder *build, const char *name, ins_pos pos, ins_error *err);
void yaml_builder_free(yaml_builder *build);

#endif
