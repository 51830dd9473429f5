/* Expressions of claims: a recursive-descent parser. The grammar is in claim.h. */
#include <stdio.h>
#include <string.h>

#include "recipe/claim_internal.h"

#define MAX_DEPTH 64

typedef struct parser {
    const char *text, *at;
    ins_arena *arena;
    claim_leaves *leaves;
    const char *problem;
    int depth;
} parser;

static ins_claim_expr *sum(parser *p);

static void fail(parser *p, const char *what) {
    if (p->problem) return;
    const char *rest = p->at;
    int n = (int)strcspn(rest, "\n");
    p->problem = ins_arena_printf(p->arena, "%s at '%.*s%s'", what, n > 40 ? 40 : n, rest, n > 40 ? "..." : "");
    if (!rest[0]) p->problem = ins_arena_printf(p->arena, "%s at the end", what);
    if (!p->problem) p->problem = "out of memory";
}

static void skip_blanks(parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n') p->at++;
}

static bool take(parser *p, char c) {
    skip_blanks(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static ins_claim_expr *make(parser *p, claim_op op) {
    ins_claim_expr *expr = ins_arena_alloc(p->arena, sizeof *expr);
    if (!expr) {
        p->problem = "out of memory";
        return NULL;
    }
    expr->op = op;
    expr->leaf = -1;
    return expr;
}

static ins_claim_expr *binary(parser *p, claim_op op, ins_claim_expr *left, ins_claim_expr *right) {
    ins_claim_expr *expr = left && right ? make(p, op) : NULL;
    if (!expr) return NULL;
    expr->args[0] = left;
    expr->args[1] = right;
    expr->n_args = 2;
    return expr;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static ins_claim_expr *number(parser *p) {
    size_t n = strspn(p->at, "0123456789.");
    if ((p->at[n] == 'e' || p->at[n] == 'E') &&
        (is_digit(p->at[n + 1]) || (strchr("+-", p->at[n + 1]) && is_digit(p->at[n + 2])))) {
        n += 2;
        while (is_digit(p->at[n])) n++;
    }
    const char *copy = ins_arena_strndup(p->arena, p->at, n);
    ins_claim_expr *expr = make(p, CLAIM_NUMBER);
    if (!copy || !expr) return NULL;
    if (!ins_double_parse(copy, &expr->number)) {
        fail(p, "no number");
        return NULL;
    }
    p->at += n;
    return expr;
}

/* NAME of a metric: a run of its characters, or a quoted text. */
static const char *metric_name(parser *p) {
    if (*p->at == '"') {
        const char *end = strchr(p->at + 1, '"');
        if (!end || end == p->at + 1) return NULL;
        const char *name = ins_arena_strndup(p->arena, p->at + 1, (size_t)(end - p->at - 1));
        p->at = end + 1;
        return name;
    }
    size_t n = 0;
    while (is_word(p->at[n]) || (p->at[n] && strchr("./-%", p->at[n]))) n++;
    if (n == 0) return NULL;
    const char *name = ins_arena_strndup(p->arena, p->at, n);
    p->at += n;
    return name;
}

/* "@last" and so on. */
static void selector(parser *p, ins_claim_expr *leaf) {
    static const struct {
        const char *word;
        ins_metric_at at;
    } words[] = {{"last", INS_AT_LAST}, {"first", INS_AT_FIRST}, {"min", INS_AT_MIN}, {"max", INS_AT_MAX}};
    if (*p->at != '@') return;
    p->at++;
    size_t n = 0;
    while (is_word(p->at[n])) n++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) != n || memcmp(words[i].word, p->at, n) != 0) continue;
        leaf->at = words[i].at;
        p->at += n;
        return;
    }
    int64_t step = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(p->at[i]) || n > 15) {
            n = 0;
            break;
        }
        step = step * 10 + (p->at[i] - '0');
    }
    if (n == 0) {
        fail(p, "after '@' stands last, first, min, max or a step; not what is");
        return;
    }
    leaf->at = INS_AT_STEP;
    leaf->step = step;
    p->at += n;
}

static bool same_leaf(const ins_claim_expr *one, const ins_claim_expr *other) {
    if (strcmp(one->stage.stage, other->stage.stage) != 0 || strcmp(one->metric, other->metric) != 0 ||
        one->at != other->at || one->step != other->step || one->stage.n_pins != other->stage.n_pins)
        return false;
    for (int64_t i = 0; i < one->stage.n_pins; i++)
        if (strcmp(one->stage.pins[i].axis, other->stage.pins[i].axis) != 0 ||
            strcmp(one->stage.pins[i].value, other->stage.pins[i].value) != 0)
            return false;
    return true;
}

static ins_claim_expr *add_leaf(parser *p, ins_claim_expr *leaf) {
    leaf->definition = -1;
    for (int64_t i = 0; i < p->leaves->n; i++)
        if (same_leaf(p->leaves->items[i], leaf)) return p->leaves->items[i];
    if (p->leaves->n == CLAIM_MAX_LEAVES) {
        fail(p, "too many metrics in one claim");
        return NULL;
    }
    leaf->leaf = p->leaves->n;
    p->leaves->items[p->leaves->n++] = leaf;
    return leaf;
}

/* STAGE[axis=value]:NAME@WHEN; p->at stands at the stage. n = length of the stage's reference. */
static ins_claim_expr *metric(parser *p, size_t n) {
    const char *ref = ins_arena_strndup(p->arena, p->at, n);
    ins_claim_expr *leaf = make(p, CLAIM_METRIC);
    if (!ref || !leaf) return NULL;
    if (!ins_ref_parse(ref, p->arena, &leaf->stage)) {
        fail(p, "no reference to a stage");
        return NULL;
    }
    p->at += n + 1;
    leaf->metric = metric_name(p);
    if (!leaf->metric) {
        fail(p, "the name of a metric is missing");
        return NULL;
    }
    selector(p, leaf);
    return p->problem ? NULL : add_leaf(p, leaf);
}

/* Length of "stage" or "stage[...]" when a ':' follows it, else 0. */
static size_t reference_length(const char *at) {
    size_t n = 0;
    while (is_word(at[n]) || at[n] == '-') n++;
    if (n && at[n] == '[') {
        const char *end = strchr(at + n, ']');
        if (!end) return 0;
        n = (size_t)(end - at) + 1;
    }
    return at[n] == ':' ? n : 0;
}

static ins_claim_expr *call(parser *p, size_t n) {
    static const struct {
        const char *word;
        claim_op op;
    } functions[] = {{"min", CLAIM_MIN}, {"max", CLAIM_MAX}, {"mean", CLAIM_MEAN}, {"abs", CLAIM_ABS}};
    ins_claim_expr *expr = NULL;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strlen(functions[i].word) == n && memcmp(functions[i].word, p->at, n) == 0 &&
            !(expr = make(p, functions[i].op)))
            return NULL;
    if (!expr) {
        fail(p, "unknown function (there are min, max, mean, abs)");
        return NULL;
    }
    p->at += n;
    take(p, '(');
    do {
        if (expr->n_args == 8) {
            fail(p, "too many arguments");
            return NULL;
        }
        expr->args[expr->n_args] = sum(p);
        if (!expr->args[expr->n_args]) return NULL;
        expr->n_args++;
    } while (take(p, ','));
    if (!take(p, ')')) fail(p, "a ')' is missing");
    if (expr->op == CLAIM_ABS && expr->n_args != 1) fail(p, "abs takes one argument");
    return p->problem ? NULL : expr;
}

static ins_claim_expr *factor(parser *p) {
    skip_blanks(p);
    if (take(p, '-')) {
        ins_claim_expr *inner = factor(p), *expr = inner ? make(p, CLAIM_NEGATE) : NULL;
        if (!expr) return NULL;
        expr->args[0] = inner;
        expr->n_args = 1;
        return expr;
    }
    if (take(p, '(')) {
        ins_claim_expr *inner = sum(p);
        if (inner && !take(p, ')')) fail(p, "a ')' is missing");
        return p->problem ? NULL : inner;
    }
    size_t n = reference_length(p->at);
    if (n) return metric(p, n);
    if (is_digit(*p->at) || *p->at == '.') return number(p);
    while (is_word(p->at[n])) n++;
    if (n && p->at[n + strspn(p->at + n, " ")] == '(') return call(p, n);
    fail(p, n ? "a metric is written STAGE:NAME; not clear" : "an expression is missing");
    return NULL;
}

static ins_claim_expr *product(parser *p) {
    ins_claim_expr *left = factor(p);
    while (left) {
        claim_op op = take(p, '*') ? CLAIM_MULTIPLY : take(p, '/') ? CLAIM_DIVIDE : CLAIM_NUMBER;
        if (op == CLAIM_NUMBER) break;
        left = binary(p, op, left, factor(p));
    }
    return left;
}

static ins_claim_expr *sum(parser *p) {
    if (++p->depth > MAX_DEPTH) fail(p, "nested too deep");
    ins_claim_expr *left = p->problem ? NULL : product(p);
    while (left) {
        claim_op op = take(p, '+') ? CLAIM_ADD : take(p, '-') ? CLAIM_SUBTRACT : CLAIM_NUMBER;
        if (op == CLAIM_NUMBER) break;
        left = binary(p, op, left, product(p));
    }
    p->depth--;
    return left;
}

ins_claim_expr *claim_parse_expr(const char *text, ins_arena *arena, claim_leaves *leaves, const char **problem) {
    parser p = {.text = text, .at = text, .arena = arena, .leaves = leaves};
    ins_claim_expr *expr = sum(&p);
    skip_blanks(&p);
    if (expr && *p.at) fail(&p, "an operator is missing");
    *problem = p.problem;
    return p.problem ? NULL : expr;
}
