/* Configuration tree: what a YAML or JSON document becomes, with the place of every node. Nodes live in an arena.
 * The tree is untyped text; option rows give it types.
 */
#ifndef INS_OPTION_TREE_H
#define INS_OPTION_TREE_H

#include "base/mem.h"
#include "base/str.h"

typedef enum ins_node_kind { INS_NODE_NULL, INS_NODE_SCALAR, INS_NODE_LIST, INS_NODE_MAP } ins_node_kind;

typedef struct ins_node ins_node;
struct ins_node {
    ins_node_kind kind;
    ins_pos pos;      /* of the value */
    ins_pos key_pos;  /* of the key, for a map's child */
    const char *key;  /* for a map's child, else NULL */
    const char *text; /* scalar's text, NUL-terminated, else NULL */
    bool quoted;      /* scalar was quoted: it is a string whatever it looks like */
    ins_node **items; /* list items or map children, in document order */
    int64_t n_items;
    int64_t cap_items; /* slots of items; set by the builders only */
};

/* Child of a map by key, or NULL. */
const ins_node *ins_node_get(const ins_node *map, const char *key);
/* By dotted path "stages.base.steps"; list indexes are numbers; or NULL. */
const ins_node *ins_node_path(const ins_node *root, const char *path);

/* Builders (all NULL on OOM). */
ins_node *ins_node_new(ins_arena *arena, ins_node_kind kind, ins_pos pos);
ins_node *ins_node_scalar(ins_arena *arena, const char *text, bool quoted, ins_pos pos);
bool ins_node_append(ins_arena *arena, ins_node *list, ins_node *item);
bool ins_node_put(ins_arena *arena, ins_node *map, const char *key, ins_node *value); /* replaces */
ins_node *ins_node_clone(ins_arena *arena, const ins_node *node);

/* Deep merge: maps merge key by key, anything else in `over` replaces. Returns a new tree. */
ins_node *ins_node_merge(ins_arena *arena, const ins_node *base, const ins_node *over);

/* `--set a.b=c`: value is a YAML flow value already parsed into `value`; makes maps on the way. */
ins_status ins_node_set_path(ins_arena *arena, ins_node *root, const char *path, ins_node *value, ins_error *err);

/* Canonical JSON of a tree (keys in document order; unquoted numbers, true, false, null stay bare). Used for hashing
 * and for lock files. */
void ins_node_to_json(const ins_node *node, ins_str *out);
/* Readable YAML of a tree, two-space indent. */
void ins_node_to_yaml(const ins_node *node, ins_str *out);

#endif
