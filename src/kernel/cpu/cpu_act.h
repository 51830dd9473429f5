/* Inside of kernel/cpu: the maps over blocks (cpu_act_maps.c), for those that cpu_act.c does not have in vectors. */
#ifndef INS_KERNEL_CPU_CPU_ACT_H
#define INS_KERNEL_CPU_CPU_ACT_H

#include "kernel/act.h"
#include "kernel/cpu/cpu.h"

void INS_CPU(ins_act_block_forward)(const ins_act_args *args, int64_t at, int64_t end);
/* sum: column sums of d_x from column 0 on, or NULL. */
void INS_CPU(ins_act_block_backward)(const ins_act_args *args, int64_t at, int64_t end, float *sum);
/* One row of a gated product, or of its gradient. */
void INS_CPU(ins_act_block_gated)(const ins_gated_args *args, int64_t r, bool forward);

#endif
