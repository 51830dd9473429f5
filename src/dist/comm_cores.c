/* How many threads a rank may use. Launchers bind ranks to cores (mpirun: one core each up to two ranks) or let them
 * roam over the machine, in equal or unequal parts: only the masks of all ranks of a machine tell. */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "dist/comm_impl.h"

typedef struct rank_cores {
    uint64_t machine; /* hash of its name */
    int64_t limit;    /* cores that the control group allows */
    cpu_set_t mask;
} rank_cores;

static rank_cores my_cores(void) {
    rank_cores cores = {.limit = ins_cpu_count()};
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    cores.machine = ins_hash64(name, strlen(name), 0);
    CPU_ZERO(&cores.mask);
    if (sched_getaffinity(0, sizeof cores.mask, &cores.mask) != 0) CPU_ZERO(&cores.mask);
    return cores;
}

/* Each core is shared by the ranks that may use it; a rank gets the sum of its shares, rounded, at least one. */
static int count_threads(const rank_cores *all, int size, int rank, int neighbours) {
    const rank_cores *mine = &all[rank];
    double share = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int users = 0;
        if (!CPU_ISSET(cpu, &mine->mask)) continue;
        for (int r = 0; r < size; r++) users += all[r].machine == mine->machine && CPU_ISSET(cpu, &all[r].mask);
        share += 1.0 / users;
    }
    int threads = (int)(share + 0.01), limit = (int)mine->limit;
    bool limited = limit < CPU_COUNT(&mine->mask); /* by the control group, which all of the machine share */
    if (limited) limit = limit / neighbours;
    if (share == 0) threads = limit / neighbours;
    if (threads > limit) threads = limit;
    return threads < 1 ? 1 : threads;
}

/* Cores of this machine that the launcher itself may use, but no rank: it bound them to others. */
static int count_idle(const rank_cores *all, int size, int rank) {
    cpu_set_t launcher, used;
    CPU_ZERO(&used);
    if (all[rank].limit < CPU_COUNT(&all[rank].mask)) return 0; /* the control group decides, not the binding */
    if (sched_getaffinity(getppid(), sizeof launcher, &launcher) != 0) return 0;
    for (int r = 0; r < size; r++)
        if (all[r].machine == all[rank].machine) CPU_OR(&used, &used, &all[r].mask);
    CPU_AND(&used, &used, &launcher);
    return CPU_COUNT(&launcher) - CPU_COUNT(&used);
}

ins_status ins_comm_ready(ins_comm *comm, ins_error *err) {
    size_t size = (size_t)comm->size;
    comm->requests = ins_calloc(2 * size, sizeof *comm->requests);
    comm->numbers = ins_calloc(size, INS_COMM_MAX_SUM * sizeof *comm->numbers);
    rank_cores *all = ins_calloc(size, sizeof *all), mine = my_cores();
    ins_status status = comm->requests && comm->numbers && all
                            ? ins_comm_allgather(comm, &mine, sizeof mine, all, err)
                            : INS_FAIL(err, INS_NOMEM, "no memory for %d ranks", comm->size);
    if (status == INS_OK) {
        for (int r = 0; r < comm->size; r++) comm->neighbours += all[r].machine == mine.machine;
        comm->threads = count_threads(all, comm->size, comm->rank, comm->neighbours);
        comm->idle_cores = count_idle(all, comm->size, comm->rank);
    }
    ins_free(all);
    return status;
}

int ins_comm_neighbours(const ins_comm *comm) {
    return comm && comm->neighbours > 0 ? comm->neighbours : 1;
}

int ins_comm_idle_cores(const ins_comm *comm) {
    return comm ? comm->idle_cores : 0;
}

int ins_comm_threads(const ins_comm *comm) {
    return comm && comm->threads > 0 ? comm->threads : ins_cpu_count();
}
