/* A build without MPI: one process works as ever; several say what is missing. */
#include "dist/comm.h"

#ifndef INS_DIST_MPI
ins_status ins_comm_open_mpi(int expected, ins_comm **out, ins_error *err) {
    (void)out;
    INS_FAIL(err, INS_ENV, "%d processes were started together, but this build has no MPI", expected);
    ins_error_hint(err, "install Open MPI (Debian: libopenmpi-dev openmpi-bin) and build again, or start one process");
    return INS_ENV;
}
#endif
