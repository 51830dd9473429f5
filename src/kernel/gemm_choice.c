/* Tables of choices: see gemm_choice.h. */
#include "kernel/gemm_choice_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

static const char own_name[] = "own";

typedef struct choice_row {
    ins_gemm_product product;
    const ins_gemm_impl *impl; /* NULL = the default */
    bool used;
} choice_row;

struct ins_gemm_choices {
    ins_gemm_policy policy;
    bool closed;
    choice_row *rows;
    int64_t n, cap;
    ins_gemm_bench bench;
    ins_gemm_measured measured;
};

ins_status ins_gemm_choices_new(ins_gemm_policy policy, ins_gemm_choices **out, ins_error *err) {
    ins_gemm_choices *choices = ins_calloc(1, sizeof *choices);
    if (!choices) return INS_FAIL(err, INS_NOMEM, "no memory for the choice of matrix products");
    choices->policy = policy;
    *out = choices;
    return INS_OK;
}

void ins_gemm_choices_free(ins_gemm_choices *choices) {
    if (!choices) return;
    ins_gemm_bench_free(&choices->bench);
    ins_free(choices->rows);
    ins_free(choices);
}

void ins_gemm_choices_close(ins_gemm_choices *choices) {
    choices->closed = true;
    ins_gemm_bench_free(&choices->bench);
}

int64_t ins_gemm_choices_count(const ins_gemm_choices *choices) {
    return choices->n;
}

void ins_gemm_choices_settle(ins_gemm_choices *choices) {
    int64_t n = 0;
    for (int64_t i = 0; i < choices->n; i++)
        if (choices->rows[i].used) choices->rows[n++] = choices->rows[i];
    choices->n = n;
    ins_gemm_choices_close(choices);
}

bool ins_gemm_choices_closed(const ins_gemm_choices *choices) {
    return choices->closed;
}

ins_gemm_measured ins_gemm_choices_measured(const ins_gemm_choices *choices) {
    return choices->measured;
}

/* ---- rows as text ---- */

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"m", offsetof(ins_gemm_product, m)},         {"n", offsetof(ins_gemm_product, n)},
    {"k", offsetof(ins_gemm_product, k)},         {"lda", offsetof(ins_gemm_product, lda)},
    {"ldb", offsetof(ins_gemm_product, ldb)},     {"ldc", offsetof(ins_gemm_product, ldc)},
    {"batch", offsetof(ins_gemm_product, batch)},
};
static const struct {
    const char *name;
    size_t offset;
} flags[] = {{"add", offsetof(ins_gemm_product, accumulate)},
             {"bias", offsetof(ins_gemm_product, bias)},
             {"shared", offsetof(ins_gemm_product, shared_b)}};
#define N_NUMBERS (sizeof numbers / sizeof numbers[0])
#define N_FLAGS   (sizeof flags / sizeof flags[0])

const char *ins_gemm_choices_at(const ins_gemm_choices *choices, int64_t i, char product[INS_GEMM_PRODUCT_TEXT]) {
    const choice_row *row = &choices->rows[i];
    const ins_gemm_product *p = &row->product;
    size_t at = (size_t)snprintf(product, INS_GEMM_PRODUCT_TEXT, "%s>%s %c%c", ins_dtype_name((ins_dtype)p->dtype),
                                 ins_dtype_name((ins_dtype)p->dtype_c), p->trans_a ? 't' : 'n', p->trans_b ? 't' : 'n');
    for (size_t f = 0; f < N_NUMBERS; f++) {
        long long value = *(const int64_t *)(const void *)((const char *)p + numbers[f].offset);
        at += (size_t)snprintf(product + at, INS_GEMM_PRODUCT_TEXT - at, " %s%lld", numbers[f].name, value);
    }
    for (size_t f = 0; f < N_FLAGS; f++)
        if (*(const int32_t *)(const void *)((const char *)p + flags[f].offset))
            at += (size_t)snprintf(product + at, INS_GEMM_PRODUCT_TEXT - at, " %s", flags[f].name);
    return row->impl ? row->impl->head.name : own_name;
}

static bool dtype_find(const char *name, size_t n, int32_t *out) {
    static const ins_dtype known[] = {INS_DTYPE_F32, INS_DTYPE_BF16, INS_DTYPE_F64};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *text = ins_dtype_name(known[i]);
        if (strlen(text) != n || memcmp(text, name, n) != 0) continue;
        *out = (int32_t)known[i];
        return true;
    }
    return false;
}

/* "lda768" or "bias". */
static bool word_parse(const char *word, ins_gemm_product *out) {
    for (size_t f = 0; f < N_FLAGS; f++) {
        if (strcmp(word, flags[f].name) != 0) continue;
        *(int32_t *)(void *)((char *)out + flags[f].offset) = 1;
        return true;
    }
    size_t letters = strspn(word, "abcdefghijklmnopqrstuvwxyz");
    for (size_t f = 0; f < N_NUMBERS; f++) {
        if (strlen(numbers[f].name) != letters || memcmp(word, numbers[f].name, letters) != 0) continue;
        char *end;
        long long value = strtoll(word + letters, &end, 10);
        if (end == word + letters || *end || value < 1) return false;
        *(int64_t *)(void *)((char *)out + numbers[f].offset) = value;
        return true;
    }
    return false;
}

static bool product_parse(const char *text, ins_gemm_product *out) {
    char copy[INS_GEMM_PRODUCT_TEXT], *rest = copy;
    memset(out, 0, sizeof *out);
    if (strlen(text) >= sizeof copy) return false;
    memcpy(copy, text, strlen(text) + 1);
    char *dtypes = strsep(&rest, " "), *trans = strsep(&rest, " "), *arrow = strchr(dtypes, '>');
    if (!arrow || !trans || strlen(trans) != 2 || !strchr("nt", trans[0]) || !strchr("nt", trans[1])) return false;
    if (!dtype_find(dtypes, (size_t)(arrow - dtypes), &out->dtype) ||
        !dtype_find(arrow + 1, strlen(arrow + 1), &out->dtype_c))
        return false;
    out->trans_a = trans[0] == 't', out->trans_b = trans[1] == 't';
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        if (!word_parse(word, out)) return false;
    return out->m && out->n && out->k && out->lda && out->ldb && out->ldc && out->batch;
}

/* ---- looking up ---- */

static choice_row *choices_add(ins_gemm_choices *choices, const ins_gemm_product *product) {
    if (choices->n == choices->cap) {
        int64_t cap = choices->cap ? 2 * choices->cap : 32;
        choice_row *rows = ins_realloc(choices->rows, (size_t)cap * sizeof *rows);
        if (!rows) return NULL;
        choices->rows = rows, choices->cap = cap;
    }
    choice_row *row = &choices->rows[choices->n++];
    *row = (choice_row){.product = *product};
    return row;
}

static choice_row *choices_find(const ins_gemm_choices *choices, const ins_gemm_product *product) {
    for (int64_t i = 0; i < choices->n; i++)
        if (memcmp(&choices->rows[i].product, product, sizeof *product) == 0) return &choices->rows[i];
    return NULL;
}

static const ins_gemm_impl *library_find(const char *name) {
    for (const ins_impl_head *const *row = ins_gemm_libraries; *row; row++)
        if (strcmp((*row)->name, name) == 0) return (const ins_gemm_impl *)*row;
    return NULL;
}

static bool product_fits(const ins_gemm_product *p, const ins_gemm_impl *impl) {
    const ins_gemm_args args = {.m = p->m,
                                .n = p->n,
                                .k = p->k,
                                .lda = p->lda,
                                .ldb = p->ldb,
                                .ldc = p->ldc,
                                .dtype_a = (ins_dtype)p->dtype,
                                .dtype_b = (ins_dtype)p->dtype,
                                .dtype_c = (ins_dtype)p->dtype_c};
    return ins_gemm_fits(impl, &args);
}

ins_status ins_gemm_choices_put(ins_gemm_choices *choices, const char *product, const char *impl, bool *known,
                                ins_error *err) {
    ins_gemm_product parsed;
    if (!product_parse(product, &parsed)) return INS_FAIL(err, INS_DATA, "'%.100s' is no matrix product", product);
    const ins_gemm_impl *found = library_find(impl);
    if (found && !product_fits(&parsed, found)) found = NULL;
    choice_row *row = choices_find(choices, &parsed);
    if (!row) row = choices_add(choices, &parsed);
    if (!row) return INS_FAIL(err, INS_NOMEM, "no memory for the choice of matrix products");
    row->impl = found;
    if (known) *known = found || strcmp(impl, own_name) == 0;
    return INS_OK;
}

static ins_gemm_product product_of(const ins_gemm_args *args, const ins_gemm_batch *batch) {
    ins_gemm_product product;
    memset(&product, 0, sizeof product);
    product.m = args->m, product.n = args->n, product.k = args->k;
    product.lda = args->lda, product.ldb = args->ldb, product.ldc = args->ldc, product.batch = batch->batch;
    product.trans_a = args->trans_a, product.trans_b = args->trans_b;
    product.dtype = (int32_t)args->dtype_a, product.dtype_c = (int32_t)args->dtype_c;
    product.accumulate = args->accumulate, product.bias = args->bias != NULL;
    product.shared_b = batch->batch > 1 && batch->stride_b == 0;
    return product;
}

static const ins_gemm_impl *choose_new(ins_gemm_choices *choices, const ins_gemm_args *args,
                                       const ins_gemm_batch *batch, ins_pool *pool) {
    const ins_gemm_impl *candidates[INS_GEMM_CANDIDATES];
    int n = ins_gemm_candidates(args, candidates);
    if (choices->policy == INS_GEMM_ONEDNN || choices->policy == INS_GEMM_OPENBLAS) {
        const char *name = choices->policy == INS_GEMM_ONEDNN ? "onednn" : "openblas";
        for (int i = 0; i < n; i++)
            if (strcmp(candidates[i]->head.name, name) == 0) return candidates[i];
    }
    if (choices->policy != INS_GEMM_MEASURED || n < 2) return NULL;
    double started = ins_now();
    const ins_gemm_impl *best = ins_gemm_measure(args, batch, candidates, n, pool, &choices->bench, NULL);
    choices->measured.products++;
    choices->measured.seconds += ins_now() - started;
    return best == candidates[0] ? NULL : best;
}

const ins_gemm_impl *ins_gemm_chosen(const ins_gemm_args *args) {
    const ins_gemm_batch one = {.batch = 1};
    const ins_gemm_product product = product_of(args, &one);
    const choice_row *row = choices_find(args->choices, &product);
    return row && row->impl ? row->impl : ins_gemm_default(args);
}

const ins_gemm_impl *ins_gemm_choose(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    ins_gemm_choices *choices = args->choices;
    ins_gemm_product product = product_of(args, batch);
    choice_row *row = args->k > 0 ? choices_find(choices, &product) : NULL;
    if (!row && args->k > 0 && !choices->closed && (row = choices_add(choices, &product)))
        row->impl = choose_new(choices, args, batch, pool);
    if (!row || !row->impl) {
        if (row) row->used = true;
        return ins_gemm_default(args);
    }
    row->used = true;
    return row->impl;
}
