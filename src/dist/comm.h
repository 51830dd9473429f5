/* Several processes that work on one run: ranks 0 .. size - 1, each with its own memory. A NULL communicator is one
 * process alone, so that callers need no second path.
 *
 * Every function of "together" is called by all ranks, in the same order. Sums are formed in the order of the ranks,
 * whatever arrives first, so that all ranks get the same bits and every run the same. Only one thread of a process may
 * use a communicator.
 *
 *   comm.c       everything below, on top of messages between two ranks
 *   comm_mpi.c   those messages through MPI (Open MPI, loaded when it is asked for)
 *   reducer.h    sums of gradients while the backward pass still runs
 */
#ifndef INS_DIST_COMM_H
#define INS_DIST_COMM_H

#include "base/status.h"

typedef struct ins_comm ins_comm;

int ins_comm_rank(const ins_comm *comm); /* NULL = 0 */
int ins_comm_size(const ins_comm *comm); /* NULL = 1 */
/* Threads that this rank may use: its cores, shared fairly with the ranks that may use the same ones. */
int ins_comm_threads(const ins_comm *comm); /* NULL = all cores of the process */
/* Ranks on this rank's machine, itself included: they share its memory. NULL = 1. */
int ins_comm_neighbours(const ins_comm *comm);
/* Cores of this rank's machine that the launcher kept from all ranks by binding them. */
int ins_comm_idle_cores(const ins_comm *comm);

/* Join the processes of an MPI launch; `expected` is what the launcher says their number is. INS_ENV when this build
 * has no MPI, the library is not there, or sees another number. Once in a process. */
ins_status ins_comm_open_mpi(int expected, ins_comm **out, ins_error *err);
void ins_comm_close(ins_comm *comm); /* NULL is fine */
/* End all processes of the launch at once: for ranks that can't go on together. Does not return under MPI. */
void ins_comm_abort(ins_comm *comm, int exit_code);

/* ---- together ---- */

ins_status ins_comm_barrier(ins_comm *comm, ins_error *err);
/* The bytes of rank `root` on all ranks. */
ins_status ins_comm_broadcast(ins_comm *comm, void *data, size_t bytes, int root, ins_error *err);
/* all[size][bytes]: what each rank gave, in the order of the ranks. */
ins_status ins_comm_allgather(ins_comm *comm, const void *mine, size_t bytes, void *all, ins_error *err);
/* values[i] = sum over the ranks, in their order. n <= INS_COMM_MAX_SUM. */
enum { INS_COMM_MAX_SUM = 64 };
ins_status ins_comm_sum(ins_comm *comm, double *values, int n, ins_error *err);

/* The status of the lowest rank that failed, with its message, on all ranks; INS_OK when none did. `err` holds the
 * message of this rank's own status. A failure of one rank becomes everybody's here: call it after whatever can fail
 * on one rank alone and before the next exchange. */
ins_status ins_comm_agree(ins_comm *comm, ins_status status, ins_error *err);

#endif
