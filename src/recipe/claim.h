/* Claims: what a recipe says it shows, and whether a run shows it.
 *
 *   expression := term (("+" | "-") term)*          term := factor (("*" | "/") factor)*
 *   factor     := "-" factor | NUMBER | "(" expression ")" | FUNCTION "(" expression ("," expression)* ")" | metric
 *   metric     := STAGE [ "[" axis "=" value {"," axis "=" value} "]" ] ":" NAME [ "@" (last first min max STEP) ]
 *   FUNCTION   := min max mean (one or more arguments), abs (one)
 *
 * NAME is a run of letters, digits and _ . / - %, so operators after it need a blank; or it is quoted ("five gram").
 *
 * Seeds: a stage with a `seed` axis that the claim does not pin is taken once per seed, paired by seed over all stages
 * of the claim; every other axis must be pinned. The interval is the 95 % percentile interval of a bootstrap over seeds
 * in which every metric that has a stored standard error (NAME.se) also varies normally by it. It is taken of the
 * difference between the two sides, so that what both sides share cancels.
 */
#ifndef INS_RECIPE_CLAIM_H
#define INS_RECIPE_CLAIM_H

#include "base/mem.h"
#include "base/str.h"
#include "option/tree.h"

typedef struct ins_recipe ins_recipe;
typedef struct ins_claim_expr ins_claim_expr;

typedef enum ins_relation { INS_REL_LT, INS_REL_LE, INS_REL_GT, INS_REL_GE, INS_REL_EQ } ins_relation;

typedef struct ins_claim {
    const char *id, *text;
    const char *metric_text, *than_text;
    const ins_claim_expr *metric, *than;
    ins_relation relation;
    double tolerance;   /* for == */
    const char **seeds; /* values of the seed axis it is taken over; n_seeds 0 = no such axis */
    int64_t n_seeds;
    ins_pos pos;
} ins_claim;

typedef enum ins_verdict { INS_NOT_SHOWN, INS_WEAK, INS_SHOWN } ins_verdict;
const char *ins_verdict_word(ins_verdict verdict);    /* "not shown" */
const char *ins_relation_word(ins_relation relation); /* "<=" */

typedef struct ins_claim_result {
    const ins_claim *claim;
    bool has_value; /* false: see reason */
    bool not_run;   /* a stage that it speaks of has not been run: neither shown nor refuted */
    double value, target;
    bool has_interval;
    double low, high; /* of value, given the target: target + interval of the difference */
    int64_t n_seeds;
    const char **seeds;
    double *per_seed; /* value at each seed (one when n_seeds is 0) */
    ins_verdict verdict;
    char reason[256]; /* why there is no value; empty otherwise */
} ins_claim_result;

/* Where metric values come from: the store of a run. found false = no such metric. se NaN = none stored. is_complete
 * (NULL = all are) says whether a stage has been run to its end. */
typedef enum ins_metric_at { INS_AT_LAST, INS_AT_FIRST, INS_AT_MIN, INS_AT_MAX, INS_AT_STEP } ins_metric_at;
typedef struct ins_metric_source {
    void *arg;
    ins_status (*look)(void *arg, const char *stage, const char *name, ins_metric_at at, int64_t step, bool *found,
                       double *value, double *se, char reason[256], ins_error *err);
    ins_status (*is_complete)(void *arg, const char *stage, bool *complete, ins_error *err);
} ins_metric_source;

/* Parse `claims:` of a loaded recipe (its instances are known). Problems go to diag. */
void ins_claims_parse(ins_recipe *recipe, const ins_node *node, ins_diag *diag);
/* Results live in the arena; in the recipe's order. */
ins_status ins_claims_evaluate(const ins_recipe *recipe, const ins_metric_source *source, ins_arena *arena,
                               ins_claim_result **out, ins_error *err);
/* The document of RUN/claims.json. */
void ins_claims_to_json(const ins_claim_result *results, int64_t n, ins_str *out);

#endif
