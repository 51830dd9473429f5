/* The expression tree of a claim, shared by parser and evaluation. */
#ifndef INS_RECIPE_CLAIM_INTERNAL_H
#define INS_RECIPE_CLAIM_INTERNAL_H

#include "recipe/recipe.h"

typedef enum claim_op {
    CLAIM_NUMBER,
    CLAIM_METRIC,
    CLAIM_NEGATE,
    CLAIM_ADD,
    CLAIM_SUBTRACT,
    CLAIM_MULTIPLY,
    CLAIM_DIVIDE,
    CLAIM_MIN,
    CLAIM_MAX,
    CLAIM_MEAN,
    CLAIM_ABS
} claim_op;

struct ins_claim_expr {
    claim_op op;
    double number;
    ins_ref_text stage; /* CLAIM_METRIC from here */
    int64_t definition;
    bool per_seed; /* the stage has a seed axis that is not pinned */
    const char *metric;
    ins_metric_at at;
    int64_t step;
    int64_t leaf; /* number of this metric among the claim's leaves; equal leaves share a number */
    ins_claim_expr *args[8];
    int n_args;
};

/* claim_parse.c. Leaves are appended to `leaves` (arena; cap CLAIM_MAX_LEAVES). NULL after a problem, with the text of
 * it in *problem (arena). */
#define CLAIM_MAX_LEAVES 64
typedef struct claim_leaves {
    ins_claim_expr *items[CLAIM_MAX_LEAVES];
    int64_t n;
} claim_leaves;
ins_claim_expr *claim_parse_expr(const char *text, ins_arena *arena, claim_leaves *leaves, const char **problem);

#endif
