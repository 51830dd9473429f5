/* The head that every component descriptor starts with, and families (all components of one sort).
 *
 * A family's descriptor struct begins with `ins_component head`, so a pointer to it is a pointer to the head.
 * Registration: one line in src/registry.def; the family's *_registry.c turns its lines into a list. Families are found
 * through a function table that src/registry.c fills (link-time, const).
 */
#ifndef INS_OPTION_COMPONENT_H
#define INS_OPTION_COMPONENT_H

#include "option/option.h"

struct ins_component {
    const char *family;  /* "objective" */
    const char *name;    /* "clm": equals the file's stem after the prefix */
    const char *aliases; /* space-separated or NULL */
    const char *summary; /* one sentence */
    const char *paper;   /* "Title (authors, year)" or NULL */
    int version;         /* enters the cache hash: bump when results change */
    const ins_opt_table *options; /* NULL = none */
    /* Cross-field rules after parsing; may be NULL. */
    void (*check)(const void *options, ins_pos pos, ins_diag *diag);
};

typedef struct ins_family {
    const char *name;    /* "objective" */
    const char *summary; /* what this family is, one sentence */
    const ins_component *const *items;
    int64_t n;
} ins_family;

/* Defined in src/registry.c, ended by NULL. The option room only declares it: lookups by family name need it. */
extern const ins_family *const ins_families[];

const ins_family *ins_family_find(const char *name);                            /* NULL if none */
const ins_component *ins_component_find(const ins_family *f, const char *name); /* by name or alias; NULL if none */
const char *ins_component_nearest(const ins_family *f, const char *name);       /* for "did you mean"; may be NULL */

#endif
