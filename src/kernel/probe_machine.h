/* What this machine can do, measured: the denominators of MFU and of every roofline. Each call takes about 0.1 s. */
#ifndef INS_KERNEL_PROBE_MACHINE_H
#define INS_KERNEL_PROBE_MACHINE_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* FLOP/s of dependent-free multiply-adds in registers on all threads of the pool. f32, f64 or bf16 (products of bf16,
 * sums in f32; the f32 rate where bf16 has no faster instruction; AMX tiles are not measured by a register loop, but by
 * a large product through oneDNN). */
double ins_probe_flops(ins_dtype dtype, ins_pool *pool);
/* Bytes/s of summing arrays far larger than the caches. 0 when memory for them is not to be had. */
double ins_probe_read_bandwidth(ins_pool *pool);
/* Bytes/s of the AdamW pattern: 4 arrays read, 3 of them written, 28 bytes an element. */
double ins_probe_update_bandwidth(ins_pool *pool);

#endif
