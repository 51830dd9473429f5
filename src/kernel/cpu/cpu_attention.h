/* Inside of kernel/cpu: the parts of attention. */
#ifndef INS_KERNEL_CPU_CPU_ATTENTION_H
#define INS_KERNEL_CPU_CPU_ATTENTION_H

#include "kernel/attention_impl.h"
#include "kernel/cpu/cpu.h"

/* Up to this many query rows of an item (decoding) the keys are lanes instead of the queries. */
#define ATT_FEW (VL / 2)
void INS_CPU(ins_cpu_attention_few)(const ins_attention_args *args, ins_pool *pool);
void INS_CPU(ins_cpu_attention_backward)(const ins_attention_args *args, ins_pool *pool);

#endif
