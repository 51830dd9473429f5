/* Inputs before users, at the level of definitions; and the message about a cycle. */
#include "recipe/recipe_internal.h"

#include <string.h>

typedef enum visit_state { UNSEEN, ACTIVE, DONE } visit_state;

typedef struct visit {
    ins_recipe *recipe;
    ins_diag *diag;
    visit_state *state;
    int64_t *stack;             /* definitions on the way down */
    const ins_recipe_ref **via; /* reference that led from stack[i] to stack[i + 1] */
    int64_t depth;
    int64_t *order;
    int64_t n_done;
    bool cycle;
} visit;

static void report_cycle(visit *v, int64_t start) {
    const ins_recipe *recipe = v->recipe;
    ins_str text = {0};
    bool common = false;
    int64_t from = 0;
    while (v->stack[from] != start) from++;
    for (int64_t i = from; i < v->depth; i++) {
        const ins_recipe_ref *ref = v->via[i];
        ins_str_printf(&text, "%s'%s' needs '%s' (%s, %d:%d)", i > from ? ", " : "",
                       recipe->definitions[v->stack[i]].name, ref->parts.stage, ref->path, ref->pos.line, ref->pos.col);
        common = common || ref->common;
    }
    const char *hint = common ? "the probes in 'probes:' apply to every train stage: give the ones that come before it "
                                "'probes: []', or move the probe to the stages that it fits"
                              : "a stage can only use stages that are finished before it";
    RECIPE_PROBLEM(v->diag, v->via[v->depth - 1]->pos, hint, "the stages form a cycle: %s", text.data ? text.data : "");
    ins_str_free(&text);
    v->cycle = true;
}

static void visit_definition(visit *v, int64_t at) {
    v->state[at] = ACTIVE;
    v->stack[v->depth++] = at;
    const ins_definition *definition = &v->recipe->definitions[at];
    for (int64_t i = 0; i < definition->n_variants && !v->cycle; i++)
        for (int64_t k = 0; k < definition->variants[i].n_refs && !v->cycle; k++) {
            const ins_recipe_ref *ref = &definition->variants[i].refs[k];
            if (ref->definition < 0) continue;
            v->via[v->depth - 1] = ref;
            if (v->state[ref->definition] == ACTIVE)
                report_cycle(v, ref->definition);
            else if (v->state[ref->definition] == UNSEEN)
                visit_definition(v, ref->definition);
        }
    v->depth--;
    v->state[at] = DONE;
    v->order[v->n_done++] = at;
}

bool recipe_order(ins_recipe *recipe, int64_t **order, ins_diag *diag) {
    size_t n = (size_t)recipe->n_definitions + 1;
    ins_arena *arena = recipe->arena;
    visit v = {.recipe = recipe,
               .diag = diag,
               .state = ins_arena_alloc(arena, n * sizeof *v.state),
               .stack = ins_arena_alloc(arena, n * sizeof *v.stack),
               .via = ins_arena_alloc(arena, n * sizeof *v.via),
               .order = ins_arena_alloc(arena, n * sizeof *v.order)};
    if (!v.state || !v.stack || !v.via || !v.order) {
        recipe_no_memory(diag);
        return false;
    }
    for (int64_t i = 0; i < recipe->n_definitions && !v.cycle; i++)
        if (v.state[i] == UNSEEN) visit_definition(&v, i);
    *order = v.order;
    return !v.cycle;
}
