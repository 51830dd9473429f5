/* Families and components by name. */
#include "option/component.h"

#include <string.h>

#include "option/option_internal.h"

const ins_family *ins_family_find(const char *name) {
    const ins_family *const volatile *families = ins_families; /* the linker decides which list this is */
    for (; name && *families; families++)
        if (strcmp((*families)->name, name) == 0) return *families;
    return NULL;
}

const ins_component *ins_component_find(const ins_family *f, const char *name) {
    if (!f || !name) return NULL;
    for (int64_t i = 0; i < f->n; i++)
        if (strcmp(f->items[i]->name, name) == 0) return f->items[i];
    for (int64_t i = 0; i < f->n; i++)
        if (opt_has_word(f->items[i]->aliases, name)) return f->items[i];
    return NULL;
}

const char *ins_component_nearest(const ins_family *f, const char *name) {
    if (!f || !name) return NULL;
    ins_arena *arena = ins_arena_new(4096);
    if (!arena) return NULL;
    const char *best = NULL;
    int64_t cap = 0, n = 0;
    for (int64_t i = 0; i < f->n; i++) {
        const char *rest = f->items[i]->aliases;
        cap++;
        for (opt_word word; opt_next_word(&rest, &word);) cap++;
    }
    const char **names = ins_arena_alloc(arena, (size_t)cap * sizeof *names);
    const char **owners = ins_arena_alloc(arena, (size_t)cap * sizeof *owners);
    for (int64_t i = 0; names && owners && i < f->n; i++) {
        owners[n] = names[n] = f->items[i]->name;
        n++;
        const char *rest = f->items[i]->aliases;
        for (opt_word word; opt_next_word(&rest, &word); n++) {
            names[n] = ins_arena_strndup(arena, word.text, word.len);
            owners[n] = f->items[i]->name;
        }
    }
    const char *nearest = ins_nearest_name(name, names, n);
    for (int64_t i = 0; i < n && nearest; i++)
        if (names[i] == nearest) best = owners[i]; /* the arena goes away: the answer is the component's own name */
    ins_arena_free(arena);
    return best;
}
