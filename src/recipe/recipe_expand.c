/* From definitions to instances: a stage that names a stage with axes, without pinning them, has those axes too. */
#include "recipe/recipe_internal.h"

#include <string.h>

#define MAX_INSTANCES 4096

static bool same_values(const ins_axis *one, const ins_axis *other) {
    if (one->n != other->n) return false;
    for (int64_t i = 0; i < one->n; i++)
        if (strcmp(one->values[i], other->values[i]) != 0) return false;
    return true;
}

static const ins_axis_pin *find_pin(const ins_ref_text *parts, const char *axis) {
    for (int64_t i = 0; i < parts->n_pins; i++)
        if (strcmp(parts->pins[i].axis, axis) == 0) return &parts->pins[i];
    return NULL;
}

/* Adds an axis, or checks it against one of the same name. */
static bool add_axis(ins_definition *definition, const ins_axis *axis, ins_pos pos, ins_diag *diag) {
    int64_t at = ins_definition_axis(definition, axis->name);
    if (at < 0) {
        definition->axes[definition->n_axes++] = *axis;
        return true;
    }
    if (same_values(&definition->axes[at], axis)) return true;
    RECIPE_PROBLEM(diag, pos, "pin the axis of one of them: stage[axis=value]",
                   "'%s' has the axis '%s' with two different lists of values", definition->name, axis->name);
    return false;
}

static bool check_pins(const ins_recipe_ref *ref, const ins_definition *target, ins_diag *diag) {
    char suggestion[160];
    for (int64_t i = 0; i < ref->parts.n_pins; i++) {
        const ins_axis_pin *pin = &ref->parts.pins[i];
        int64_t at = ins_definition_axis(target, pin->axis);
        if (at < 0) {
            RECIPE_PROBLEM(diag, ref->pos, NULL, "the stage '%s' has no axis '%s'", target->name, pin->axis);
            return false;
        }
        const ins_axis *axis = &target->axes[at];
        bool found = false;
        for (int64_t k = 0; k < axis->n; k++) found = found || strcmp(axis->values[k], pin->value) == 0;
        if (found) continue;
        RECIPE_PROBLEM(diag, ref->pos, NULL, "the axis '%s' of '%s' has no value '%s'%s", axis->name, target->name,
                       pin->value, recipe_suggest(ins_nearest_name(pin->value, axis->values, axis->n), suggestion));
        return false;
    }
    return true;
}

/* Inherited axes first, in the order of the references, then its own. */
static bool find_axes(ins_recipe *recipe, ins_definition *definition, ins_diag *diag) {
    int64_t most = definition->n_own;
    for (int64_t v = 0; v < definition->n_variants; v++)
        for (int64_t k = 0; k < definition->variants[v].n_refs; k++)
            if (definition->variants[v].refs[k].definition >= 0)
                most += recipe->definitions[definition->variants[v].refs[k].definition].n_axes;
    definition->axes = ins_arena_alloc(recipe->arena, (size_t)(most + 1) * sizeof *definition->axes);
    if (!definition->axes) {
        recipe_no_memory(diag);
        return false;
    }
    bool ok = true;
    for (int64_t v = 0; v < definition->n_variants; v++)
        for (int64_t k = 0; k < definition->variants[v].n_refs; k++) {
            const ins_recipe_ref *ref = &definition->variants[v].refs[k];
            if (ref->definition < 0) {
                ok = false;
                continue;
            }
            const ins_definition *target = &recipe->definitions[ref->definition];
            if (!check_pins(ref, target, diag)) ok = false;
            for (int64_t i = 0; i < target->n_axes; i++)
                if (!find_pin(&ref->parts, target->axes[i].name))
                    ok = add_axis(definition, &target->axes[i], ref->pos, diag) && ok;
        }
    for (int64_t i = 0; i < definition->n_own; i++)
        ok = add_axis(definition, &definition->own[i], definition->own[i].pos, diag) && ok;
    return ok;
}

static int64_t count_combinations(const ins_definition *definition) {
    int64_t n = 1;
    for (int64_t i = 0; i < definition->n_axes; i++)
        if (__builtin_mul_overflow(n, definition->axes[i].n, &n) || n > MAX_INSTANCES) return -1;
    return n;
}

static const char *axis_value(const ins_definition *definition, int64_t index, int64_t axis) {
    int64_t after = 1;
    for (int64_t i = axis + 1; i < definition->n_axes; i++) after *= definition->axes[i].n;
    return definition->axes[axis].values[index / after % definition->axes[axis].n];
}

static ins_variant *find_variant(ins_definition *definition, const char **values) {
    for (int64_t v = 0; v < definition->n_variants; v++) {
        bool same = true;
        for (int64_t i = 0; i < definition->n_own && same; i++) {
            int64_t at = ins_definition_axis(definition, definition->own[i].name);
            same = strcmp(definition->variants[v].own_values[i], values[at]) == 0;
        }
        if (same) return &definition->variants[v];
    }
    return NULL;
}

/* The instance of the reference's stage with the pinned values, and else the user's own. -1 is impossible after
 * check_pins and find_axes. */
static int64_t find_input(const ins_recipe *recipe, const ins_instance *user, const ins_recipe_ref *ref) {
    const ins_definition *target = &recipe->definitions[ref->definition];
    for (int64_t i = 0; i < target->n_instances; i++) {
        const ins_instance *candidate = &recipe->instances[target->first_instance + i];
        bool same = true;
        for (int64_t k = 0; k < target->n_axes && same; k++) {
            const ins_axis_pin *pin = find_pin(&ref->parts, target->axes[k].name);
            int64_t at = pin ? -1 : ins_definition_axis(user->definition, target->axes[k].name);
            const char *value = pin ? pin->value : at >= 0 ? user->values[at] : NULL;
            same = value && strcmp(candidate->values[k], value) == 0;
        }
        if (same) return target->first_instance + i;
    }
    return -1;
}

static bool fill_inputs(ins_recipe *recipe, ins_instance *instance) {
    int64_t n = instance->variant->n_refs;
    instance->ref_instances = ins_arena_alloc(recipe->arena, (size_t)(n + 1) * sizeof *instance->ref_instances);
    instance->inputs = ins_arena_alloc(recipe->arena, (size_t)(n + 1) * sizeof *instance->inputs);
    instance->input_refs = ins_arena_alloc(recipe->arena, (size_t)(n + 1) * sizeof *instance->input_refs);
    if (!instance->ref_instances || !instance->inputs || !instance->input_refs) return false;
    for (int64_t k = 0; k < n; k++) {
        const ins_recipe_ref *ref = &instance->variant->refs[k];
        int64_t input = find_input(recipe, instance, ref);
        instance->ref_instances[k] = input;
        bool seen = false; /* the same stage under two texts is two inputs: stages look them up by text */
        for (int64_t i = 0; i < instance->n_inputs; i++) seen = seen || strcmp(instance->input_refs[i], ref->text) == 0;
        if (seen) continue;
        instance->input_refs[instance->n_inputs] = ref->text;
        instance->inputs[instance->n_inputs++] = input;
    }
    return true;
}

static const char *instance_name(ins_recipe *recipe, const ins_definition *definition, const char **values) {
    if (definition->n_axes == 0) return definition->name;
    ins_str text = {0};
    ins_str_puts(&text, definition->name);
    for (int64_t i = 0; i < definition->n_axes; i++)
        ins_str_printf(&text, "%s%s=%s", i ? "," : "[", definition->axes[i].name, values[i]);
    ins_str_puts(&text, "]");
    const char *name = text.oom ? NULL : ins_arena_strdup(recipe->arena, text.data);
    ins_str_free(&text);
    return name;
}

static bool make_instance(ins_recipe *recipe, ins_definition *definition, int64_t index) {
    ins_instance *instance = &recipe->instances[recipe->n_instances];
    *instance = (ins_instance){.definition = definition};
    instance->values = ins_arena_alloc(recipe->arena, (size_t)(definition->n_axes + 1) * sizeof *instance->values);
    if (!instance->values) return false;
    for (int64_t i = 0; i < definition->n_axes; i++) instance->values[i] = axis_value(definition, index, i);
    instance->variant = find_variant(definition, instance->values);
    instance->name = instance_name(recipe, definition, instance->values);
    instance->folder = instance->name ? recipe_folder_name(recipe->arena, instance->name) : NULL;
    if (!instance->folder || !instance->variant || !fill_inputs(recipe, instance)) return false;
    int64_t axis = ins_definition_axis(definition, "seed");
    instance->seed = recipe->seed;
    ins_node number = {.kind = INS_NODE_SCALAR};
    if (axis >= 0) {
        number.text = instance->values[axis];
        recipe_seed_of(&number, &instance->seed);
    }
    if (instance->variant->has_seed) instance->seed = instance->variant->seed;
    recipe->n_instances++;
    return true;
}

void recipe_expand(ins_recipe *recipe, const int64_t *order, ins_diag *diag) {
    int64_t total = 0;
    bool ok = true;
    for (int64_t i = 0; i < recipe->n_definitions; i++) {
        ins_definition *definition = &recipe->definitions[order[i]];
        ok = find_axes(recipe, definition, diag) && ok;
        definition->n_instances = count_combinations(definition);
        if (definition->n_instances < 0 || total + definition->n_instances > MAX_INSTANCES) {
            RECIPE_PROBLEM(diag, definition->pos, "use fewer or shorter axes",
                           "the recipe has more than %d stages in all", MAX_INSTANCES);
            return;
        }
        total += definition->n_instances;
    }
    for (int64_t i = 0; i < recipe->n_definitions; i++) ok = ok && recipe->definitions[i].kind;
    if (!ok || diag->n > 0) return;
    recipe->instances = ins_arena_alloc(recipe->arena, (size_t)(total + 1) * sizeof *recipe->instances);
    for (int64_t i = 0; i < recipe->n_definitions && recipe->instances; i++) {
        ins_definition *definition = &recipe->definitions[order[i]];
        definition->first_instance = recipe->n_instances;
        for (int64_t k = 0; k < definition->n_instances; k++)
            if (!make_instance(recipe, definition, k)) {
                recipe_no_memory(diag);
                return;
            }
    }
    if (!recipe->instances) recipe_no_memory(diag);
}
