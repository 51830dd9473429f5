/* Which implementation makes each matrix product of a training plan: our own kernels, or a library's.
 *
 * A table of products (shape, transposes, strides, dtypes, batch) and implementations. ins_gemm looks into the table of
 * its arguments; a product that is not in an open table is measured before it runs for the first time, each candidate a
 * few times with cold caches, and the fastest is kept; our own wins where a library is less than 3 % faster. A closed
 * table takes our own for what it does not have.
 *
 * Rows that a library makes may have other bits in another batch, so only training graphs have a table. It is not for
 * several threads at once, and it allocates while it is open.
 */
#ifndef INS_KERNEL_GEMM_CHOICE_H
#define INS_KERNEL_GEMM_CHOICE_H

#include "base/str.h"
#include "kernel/gemm.h"

typedef enum ins_gemm_policy { INS_GEMM_OWN, INS_GEMM_MEASURED, INS_GEMM_ONEDNN, INS_GEMM_OPENBLAS } ins_gemm_policy;
#define INS_GEMM_POLICIES "own measured onednn openblas" /* in the order of the enum */

/* An open, empty table. ONEDNN and OPENBLAS take that library wherever it takes the product. */
ins_status ins_gemm_choices_new(ins_gemm_policy policy, ins_gemm_choices **out, ins_error *err);
void ins_gemm_choices_free(ins_gemm_choices *choices);

/* Put a row in, as ins_gemm_choices_at gave it. INS_DATA when the text is none; *known is false, and the row becomes
 * our own, when there is no such implementation here (known may be NULL). */
ins_status ins_gemm_choices_put(ins_gemm_choices *choices, const char *product, const char *impl, bool *known,
                                ins_error *err);
void ins_gemm_choices_close(ins_gemm_choices *choices);
/* Drop the rows that no product has asked for, and close: what is left is what the graph that has run is made of. */
void ins_gemm_choices_settle(ins_gemm_choices *choices);
bool ins_gemm_choices_closed(const ins_gemm_choices *choices);

#define INS_GEMM_PRODUCT_TEXT 160
int64_t ins_gemm_choices_count(const ins_gemm_choices *choices);
/* Row i as text: "bf16>f32 tn m768 n768 k256 lda768 ldb768 ldc768 add" and "onednn"; "own" is whatever of ours fits. */
const char *ins_gemm_choices_at(const ins_gemm_choices *choices, int64_t i, char product[INS_GEMM_PRODUCT_TEXT]);

/* What has been measured since the table was made. */
typedef struct ins_gemm_measured {
    int64_t products;
    double seconds;
} ins_gemm_measured;
ins_gemm_measured ins_gemm_choices_measured(const ins_gemm_choices *choices);

/* What measurements hold for: processor, instruction set, libraries, version of our kernels. The number of threads is
 * not part of it, so that it can't change results. */
void ins_gemm_machine(ins_str *out);

/* The libraries that this build may use. */
typedef struct ins_gemm_library {
    const char *name;
    const char *loss; /* what is lost without it */
    bool built;       /* this build knows how to call it */
    bool found;       /* and it is there */
    char version[64];
} ins_gemm_library;
enum { INS_GEMM_LIBRARIES = 2 };
void ins_gemm_libraries_find(ins_gemm_library out[INS_GEMM_LIBRARIES]);

#endif
