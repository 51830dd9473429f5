/* Inside of the kernel room: one implementation of the LSTM layer. */
#ifndef INS_KERNEL_LSTM_IMPL_H
#define INS_KERNEL_LSTM_IMPL_H

#include "kernel/impl.h"
#include "kernel/lstm.h"

typedef struct ins_lstm_impl {
    ins_impl_head head;
    void (*forward)(const ins_lstm_args *args, ins_pool *pool);
    void (*backward)(const ins_lstm_args *args, ins_pool *pool);
} ins_lstm_impl;

/* Scratch, in acc elements: the packed matrix, then INS_LSTM_ROW_BUFFERS buffers of H (padded) for each row. */
enum { INS_LSTM_PAD = 32, INS_LSTM_ROW_BUFFERS = 6 };
static inline int64_t ins_lstm_padded(const ins_lstm_args *args) {
    return ins_ceil_div(args->hidden, INS_LSTM_PAD) * INS_LSTM_PAD;
}
static inline int64_t ins_lstm_packed(const ins_lstm_args *args) {
    return 4 * ins_lstm_padded(args) * ins_lstm_padded(args);
}
/* Distance of two row buffers: not a power of two, so that the rows of a tile do not share cache sets. */
static inline int64_t ins_lstm_buffer(const ins_lstm_args *args) {
    return ins_lstm_padded(args) + 16;
}

/* Does step t of row b start from nothing? */
static inline bool ins_lstm_begins(const ins_lstm_args *args, int64_t row, int64_t t) {
    return (args->positions && args->positions[row * args->time + t] == 0) || (t == 0 && !args->h0);
}

INS_CPU_DECLARE(ins_lstm_impl, ins_cpu_lstm);
extern const ins_lstm_impl ins_cpu_lstm_avx512_bf16;
extern const ins_lstm_impl ins_ref_lstm_f32, ins_ref_lstm_f64;

extern const ins_impl_head *const ins_lstm_impls[];

#endif
