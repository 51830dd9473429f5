/* Was this process started together with others? Launchers say so in the environment: Open MPI's mpirun, Slurm's srun
 * with an MPI plugin (in a plain job step or batch script there is one process, whatever the job's size), other MPIs'
 * mpiexec (which then learn that this needs Open MPI). */
#include <stdlib.h>

#include "cli/cli.h"

static int number(const char *name) {
    const char *text = getenv(name);
    long value = text ? strtol(text, NULL, 10) : 0;
    return value > 0 && value < 1000000 ? (int)value : 0;
}

int cli_ranks(int *rank) {
    *rank = 0;
    if (number("OMPI_COMM_WORLD_SIZE") > 1) {
        *rank = number("OMPI_COMM_WORLD_RANK");
        return number("OMPI_COMM_WORLD_SIZE");
    }
    bool plugin = getenv("PMIX_RANK") || getenv("PMI_RANK");
    int size = number("PMI_SIZE");
    if (plugin && size == 0) size = number("SLURM_STEP_NUM_TASKS");
    if (!plugin || size < 2) return 1;
    *rank = number(getenv("PMIX_RANK") ? "PMIX_RANK" : "PMI_RANK");
    return size;
}
