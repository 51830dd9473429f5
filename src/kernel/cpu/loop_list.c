/* The list of plain loops of this build. */
#include "kernel/cpu/loops.h"

const ins_loop_impl INS_CPU(ins_cpu_loops) = {
    .head = INS_CPU_HEAD,
    .binary = INS_CPU(ins_loop_binary),
    .affine = INS_CPU(ins_loop_affine),
    .axpy = INS_CPU(ins_loop_axpy),
    .bias_add = INS_CPU(ins_loop_bias_add),
    .column_sum = INS_CPU(ins_loop_column_sum),
    .strided_add = INS_CPU(ins_loop_strided_add),
#ifndef INS_CPU_F64
    .to_bf16 = INS_CPU(ins_loop_to_bf16),
    .from_bf16 = INS_CPU(ins_loop_from_bf16),
#endif
    .fold = INS_CPU(ins_loop_fold),
    .reduce_axis = INS_CPU(ins_loop_reduce_axis),
    .argmax = INS_CPU(ins_loop_argmax),
    .embed_forward = INS_CPU(ins_loop_embed_forward),
    .embed_backward = INS_CPU(ins_loop_embed_backward),
};
