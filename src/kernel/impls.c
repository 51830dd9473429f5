#include "kernel/impls.h"

#include "kernel/act_impl.h"
#include "kernel/attention_impl.h"
#include "kernel/gemm_impl.h"
#include "kernel/loop_impl.h"
#include "kernel/lstm_impl.h"
#include "kernel/norm_impl.h"
#include "kernel/optim_impl.h"
#include "kernel/rope_impl.h"
#include "kernel/softmax_impl.h"
#include "kernel/xent_impl.h"

typedef struct impl_family {
    const char *kernel;
    const ins_impl_head *const *list;
} impl_family;

static const impl_family impl_families[] = {
    {"attention", ins_attention_impls}, {"linear_xent", ins_xent_impls},
    {"norm", ins_norm_impls},           {"act", ins_act_impls},
    {"softmax", ins_softmax_impls},     {"rope", ins_rope_impls},
    {"elementwise", ins_loop_impls},    {"optim", ins_optim_impls},
};

int64_t ins_impl_choices(ins_impl_choice *out, int64_t cap) {
    static const ins_dtype dtypes[] = {INS_DTYPE_F32, INS_DTYPE_BF16, INS_DTYPE_F64};
    int64_t n = 0;
    for (size_t d = 0; d < sizeof(dtypes) / sizeof(dtypes[0]); d++) {
        ins_gemm_args gemm = {
            .m = 64, .n = 64, .k = 64, .dtype_a = dtypes[d], .dtype_b = dtypes[d], .dtype_c = dtypes[d]};
        const ins_impl_choice own[] = {{"gemm", dtypes[d], ins_gemm_impl_name(&gemm)},
                                       {"lstm", dtypes[d], ins_lstm_impl_name(dtypes[d])}};
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++, n++)
            if (n < cap) out[n] = own[i];
        for (size_t i = 0; i < sizeof(impl_families) / sizeof(impl_families[0]); i++) {
            const ins_impl_head *head = ins_impl_pick(impl_families[i].list, dtypes[d]);
            if (!head) continue;
            ins_impl_choice choice = {impl_families[i].kernel, dtypes[d], head->name};
            if (n < cap) out[n] = choice;
            n++;
        }
    }
    return n;
}
