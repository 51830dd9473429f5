/* Inside of kernel/cpu: the two halves of attention. */
#ifndef INS_KERNEL_CPU_CPU_ATTENTION_H
#define INS_KERNEL_CPU_CPU_ATTENTION_H

#include "kernel/attention_impl.h"
#include "kernel/cpu/cpu.h"

void INS_CPU(ins_cpu_attention_backward)(const ins_attention_args *args, ins_pool *pool);

#endif
