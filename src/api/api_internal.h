/* Shared by the files that implement the public interface. */
#ifndef INS_API_API_INTERNAL_H
#define INS_API_API_INTERNAL_H

#include <limits.h>

#include "base/file.h"
#include "base/log.h"
#include "base/pool.h"
#include "instar/instar.h"
#include "recipe/cache.h"
#include "recipe/recipe.h"
#include "recipe/run.h"

struct instar {
    instar_settings settings;
    char *cache_dir;
    ins_comm *comm; /* NULL = this process alone */
    ins_pool *pool;
    ins_log log;
    char **errors;
    int64_t n_errors, cap_errors;
};

/* Begin a call: forget the messages of the last one. */
void api_begin(instar *session);
/* End a call with a status: an error becomes a message. */
instar_status api_end(instar *session, ins_status status, const ins_error *err);
/* Same for the problems of a recipe; frees diag. */
instar_status api_end_diag(instar *session, ins_status status, ins_diag *diag);
/* Hand a string over to the caller: *out is its text. INSTAR_NOMEM when it ran out of memory. Frees text on failure. */
instar_status api_give(instar *session, ins_str *text, char **out);

/* Load a recipe; after a failure the problems are the session's messages. */
instar_status api_load(instar *session, const instar_recipe *recipe, ins_recipe **out);
/* load + open the cache + keys */
instar_status api_load_keyed(instar *session, const instar_recipe *recipe, ins_recipe **out, ins_cache *cache);
/* Instance by full name, or the only one of a stage's name. INS_RECIPE with the nearest name. */
ins_status api_instance(const ins_recipe *recipe, const char *name, const ins_instance **out, ins_error *err);

/* ---- text for people (api_text.c) ---- */

/* Columns of text, aligned. Cells are copied. */
typedef struct api_table {
    int n_columns;
    const char *align; /* one of "lr" per column */
    ins_arena *arena;
    const char **cells;
    int64_t n_cells, cap_cells;
    bool oom;
} api_table;
api_table api_table_new(const char *align);
void api_cell(api_table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void api_table_print(api_table *table, ins_str *out); /* also frees it */
/* Words broken at `width` columns, every line after `indent` blanks. */
void api_wrap(ins_str *out, const char *text, int indent, int width);
void api_json_string(ins_str *out, const char *text); /* with quotes; null for NULL */
void api_json_number(ins_str *out, double value);     /* null when not finite */

/* ---- models (api_model.c) ---- */
/* Folder of a model, of a corpus or of tokens: a path as it is, RUN:STAGE[@STEP] through RUN/stages. for_model: go on
 * to the folder of the checkpoint. */
ins_status api_resolve(const char *name, bool for_model, const ins_log *log, char path[PATH_MAX], ins_error *err);

/* The processor's name for itself; "unknown" where the system does not say. */
void api_processor(char name[256]);
/* JSON about this machine, for run.json: processor, cores, memory, kernel. */
void api_machine_json(const instar *session, ins_str *out);

/* Families, then groups of options that are no family (as families of one component); NULL past the end. */
const ins_family *api_family_at(int64_t i);

#endif
