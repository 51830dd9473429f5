/* Option rows: from this one table come the parser, the defaults, the range check, `instar help`, the reference pages,
 * the JSON Schema, the report's settings table and the cache hash.
 *
 * Rows write into a plain struct at `offset`. The C type of the field follows the row's type:
 *   INT, SIZE, SEED  int64_t        (SIZE accepts 10k 2M 1G = powers of ten, Ki Mi Gi = powers of two)
 *   FLOAT            double
 *   DURATION         double, seconds (accepts 90, 90s, 5min, 2h)
 *   BOOL             bool
 *   STRING, PATH     const char *   (arena; NULL when the default is "" and not given)
 *   CHOICE           int            index into the space-separated `choices`
 *   STRINGS          ins_opt_strings      (a scalar is a list of one)
 *   FLOATS           ins_opt_floats
 *   TABLE            a nested struct at offset, described by `sub`
 *   TABLES           ins_opt_tables: a map or list of nested structs described by `sub` (map keys in .names)
 *   COMPONENT        ins_opt_component: `clm`, or `{kind: clm, ...its options}`; family named in `choices`
 *   COMPONENTS       ins_opt_components: list of those
 *   NODE             const ins_node *: the raw subtree, checked by the owner
 */
#ifndef INS_OPTION_OPTION_H
#define INS_OPTION_OPTION_H

#include "option/tree.h"

typedef struct ins_component ins_component;
typedef struct ins_opt_table ins_opt_table;

typedef enum ins_opt_type {
    INS_OPT_INT,
    INS_OPT_SIZE,
    INS_OPT_SEED,
    INS_OPT_FLOAT,
    INS_OPT_DURATION,
    INS_OPT_BOOL,
    INS_OPT_STRING,
    INS_OPT_PATH,
    INS_OPT_CHOICE,
    INS_OPT_STRINGS,
    INS_OPT_FLOATS,
    INS_OPT_TABLE,
    INS_OPT_TABLES,
    INS_OPT_COMPONENT,
    INS_OPT_COMPONENTS,
    INS_OPT_NODE
} ins_opt_type;

enum {
    INS_OPT_REQUIRED = 1, /* must be given */
    INS_OPT_NO_HASH = 2,  /* does not change results: left out of the cache key (threads, logging) */
    INS_OPT_EXCL_MIN = 4, /* min itself is not allowed */
    INS_OPT_INPUT = 8,    /* STRING/STRINGS naming other stages: an edge of the DAG */
};

typedef struct ins_opt_row {
    const char *name;
    ins_opt_type type;
    size_t offset;
    const char *def;     /* default as text, parsed like user input; NULL = zero/absent */
    double min, max;     /* numbers: inclusive range when min < max, else unchecked */
    const char *choices; /* CHOICE: "constant cosine wsd"; COMPONENT: family name */
    const char *unit;    /* "tokens", "s", NULL */
    const char *help;    /* one sentence; required */
    unsigned flags;
    const char *aliases; /* space-separated, or NULL */
    const ins_opt_table *sub;
    const char *neutral; /* value that means "as before this row existed": left out of the hash */
} ins_opt_row;

struct ins_opt_table {
    const char *title;       /* what these are options of, for messages and docs */
    const ins_opt_row *rows; /* ended by a row with name NULL */
    size_t size;             /* sizeof the struct */
};

typedef struct ins_opt_strings {
    const char **items;
    const ins_pos *pos;
    int64_t n;
} ins_opt_strings;
typedef struct ins_opt_floats {
    double *items;
    int64_t n;
} ins_opt_floats;
typedef struct ins_opt_tables {
    void *items;
    const char **names;
    const ins_pos *pos;
    int64_t n;
} ins_opt_tables; /* items: array of sub->size */
typedef struct ins_opt_component {
    const ins_component *desc;
    void *options;
    ins_pos pos;
} ins_opt_component; /* desc NULL = absent */
typedef struct ins_opt_components {
    ins_opt_component *items;
    int64_t n;
} ins_opt_components;

/* Parse `node` (a map, or NULL = all defaults) into `out` (table->size bytes, zeroed first). Every problem is added to
 * diag with its place and the nearest valid name; returns false if any was added. `skip` = NULL or a NULL-ended list of
 * keys to leave alone (the owner handled them). */
bool ins_opt_parse(const ins_opt_table *table, const ins_node *node, void *out, ins_arena *arena,
                   const char *const *skip, ins_diag *diag);

/* Meaning of what is not given: absent and `null` are the same, the default. An absent TABLE takes its rows' defaults
 * and does not ask for its required rows; a component named without options does. A map without `kind` where a
 * COMPONENT has a default configures that default. In `def` and `neutral`, items of lists are separated by spaces or
 * commas, and "" is the zero of the type: no text, no items, no component (TABLE as `neutral`: the group not given). */

/* Row by name or alias; NULL if none. */
const ins_opt_row *ins_opt_find(const ins_opt_table *table, const char *name);

/* What a table's author can get wrong: no help, two rows of one name, default out of range or not of its type, CHOICE
 * without choices, COMPONENT of an unknown family, fields outside of the struct. Problems go to diag as INS_BUG; false
 * if there are any. For tests. */
bool ins_opt_table_check(const ins_opt_table *table, ins_diag *diag);

/* Resolved values as canonical JSON, rows in table order. for_hash leaves out NO_HASH rows and neutral values.
 * Components print as {"kind":..,"version":..,options}. */
void ins_opt_to_json(const ins_opt_table *table, const void *values, bool for_hash, ins_str *out);

/* Help as text for a terminal (width 0 = 80), as a Markdown table, as JSON Schema: one object
 * {"type":"object","properties":{...},...}. A component is {"$ref":"#/$defs/FAMILY"}; ins_family_json_schema gives what
 * belongs there. */
void ins_opt_help_text(const ins_opt_table *table, int width, ins_str *out);
void ins_opt_help_markdown(const ins_opt_table *table, ins_str *out);
void ins_opt_json_schema(const ins_opt_table *table, ins_str *out);
void ins_opt_json_properties(const ins_opt_table *table, ins_str *out); /* "name":{...},"name":{...} only */

/* Numbers as users write them. false = not a number of that type, or too large for it. */
bool ins_parse_int(const char *text, int64_t *out);
bool ins_parse_size(const char *text, int64_t *out);
bool ins_parse_float(const char *text, double *out);
bool ins_parse_duration(const char *text, double *out);
bool ins_parse_bool(const char *text, bool *out);

#endif
