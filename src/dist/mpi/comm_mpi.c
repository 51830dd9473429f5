/* Ranks of an MPI launch. Open MPI is loaded when a launcher started several processes, so that the program runs where
 * it is not installed and starts as fast as ever where it is. */
#include <dlfcn.h>
#include <limits.h>
#include <mpi.h>
#include <string.h>

#include "base/mem.h"
#include "dist/comm_impl.h"

#define LIBRARY "libmpi.so.40" /* of Open MPI 3 to 5: one binary interface */

#define MPI_FUNCTIONS(X)                                                                                               \
    X(MPI_Init_thread)                                                                                                 \
    X(MPI_Initialized)                                                                                                 \
    X(MPI_Finalize)                                                                                                    \
    X(MPI_Abort)                                                                                                       \
    X(MPI_Comm_rank)                                                                                                   \
    X(MPI_Comm_size)                                                                                                   \
    X(MPI_Comm_set_errhandler)                                                                                         \
    X(MPI_Error_string)                                                                                                \
    X(MPI_Isend)                                                                                                       \
    X(MPI_Irecv)                                                                                                       \
    X(MPI_Test)
/* What MPI_COMM_WORLD and the like are the addresses of. X(field, symbol) */
#define MPI_OBJECTS(X)                                                                                                 \
    X(world, ompi_mpi_comm_world)                                                                                      \
    X(byte, ompi_mpi_byte)                                                                                             \
    X(errors_return, ompi_mpi_errors_return)

#define POINTER(name)       __typeof__(name) *name;
#define OBJECT(field, name) void *field;
typedef struct mpi_comm {
    ins_comm comm;
    MPI_FUNCTIONS(POINTER)
    MPI_OBJECTS(OBJECT)
} mpi_comm;

static bool find_symbol(void *handle, const char *name, void *slot) {
    void *symbol = dlsym(handle, name);
    memcpy(slot, &symbol, sizeof symbol); /* an object pointer becomes a function pointer, as POSIX promises */
    return symbol != NULL;
}

/* Its plugins look for its symbols among the global ones. It stays loaded to the end of the process. */
static ins_status load(mpi_comm *mpi, ins_error *err) {
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
    if (!handle) {
        INS_FAIL(err, INS_ENV, "several processes were started, but " LIBRARY " (Open MPI) can't be loaded: %s",
                 dlerror());
        ins_error_hint(err, "install Open MPI (Debian: openmpi-bin), or start one process");
        return INS_ENV;
    }
    bool found = true;
#define FIND_FUNCTION(name)      found = found && find_symbol(handle, #name, &mpi->name);
#define FIND_OBJECT(field, name) found = found && find_symbol(handle, #name, &mpi->field);
    MPI_FUNCTIONS(FIND_FUNCTION)
    MPI_OBJECTS(FIND_OBJECT)
    return found ? INS_OK : INS_FAIL(err, INS_ENV, LIBRARY " is no Open MPI that this build knows");
}

static const mpi_comm *of(const ins_comm *comm) {
    return (const mpi_comm *)comm; /* its first member */
}

static ins_status fail(ins_comm *comm, int code, const char *what, ins_error *err) {
    const mpi_comm *mpi = of(comm);
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    comm->broken = true;
    mpi->MPI_Error_string(code, text, &len);
    INS_FAIL(err, INS_ENV, "MPI: %s failed: %.300s", what, text);
    ins_error_hint(err, "another process may have ended; the same command goes on from the last checkpoint");
    return INS_ENV;
}

/* ---- messages ---- */

static ins_status check_bytes(size_t bytes, ins_error *err) {
    return bytes <= INT_MAX ? INS_OK : INS_FAIL(err, INS_BUG, "a message of %zu bytes", bytes);
}

static ins_status mpi_send(ins_comm *comm, const void *data, size_t bytes, int to, int tag, ins_request *out,
                           ins_error *err) {
    const mpi_comm *mpi = of(comm);
    MPI_Request request;
    INS_TRY(check_bytes(bytes, err));
    int code = mpi->MPI_Isend(data, (int)bytes, mpi->byte, to, tag, mpi->world, &request);
    if (code != MPI_SUCCESS) return fail(comm, code, "sending", err);
    out->handle = request;
    return INS_OK;
}

static ins_status mpi_receive(ins_comm *comm, void *data, size_t bytes, int from, int tag, ins_request *out,
                              ins_error *err) {
    const mpi_comm *mpi = of(comm);
    MPI_Request request;
    INS_TRY(check_bytes(bytes, err));
    int code = mpi->MPI_Irecv(data, (int)bytes, mpi->byte, from, tag, mpi->world, &request);
    if (code != MPI_SUCCESS) return fail(comm, code, "receiving", err);
    out->handle = request;
    return INS_OK;
}

static ins_status mpi_test(ins_comm *comm, ins_request *requests, int64_t n, bool *done, ins_error *err) {
    const mpi_comm *mpi = of(comm);
    *done = true;
    for (int64_t i = 0; i < n; i++) {
        int flag = 0;
        if (!requests[i].handle) continue;
        MPI_Request request = requests[i].handle;
        int code = mpi->MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return fail(comm, code, "a transfer", err);
        requests[i].handle = flag ? NULL : request;
        *done = *done && flag;
    }
    return INS_OK;
}

static void mpi_abort(ins_comm *comm, int exit_code) {
    of(comm)->MPI_Abort(of(comm)->world, exit_code);
}

/* Finalizing waits for all ranks: not for those that are lost. */
static void mpi_close(ins_comm *comm) {
    if (comm->broken) mpi_abort(comm, ins_status_exit_code(INS_ENV));
    of(comm)->MPI_Finalize();
    ins_free((void *)comm);
}

static const ins_comm_impl mpi_impl = {
    .name = "mpi",
    .send = mpi_send,
    .receive = mpi_receive,
    .test = mpi_test,
    .end_all = mpi_abort,
    .close = mpi_close,
};

/* ---- opening ---- */

static ins_status join(mpi_comm *mpi, int expected, ins_error *err) {
    int provided = 0, is_ready = 0;
    mpi->MPI_Initialized(&is_ready);
    if (is_ready) return INS_FAIL(err, INS_USAGE, "MPI is joined once in a process, and has been already");
    int code = mpi->MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS) return INS_FAIL(err, INS_ENV, "MPI can't be initialised (code %d)", code);
    mpi->MPI_Comm_set_errhandler(mpi->world, mpi->errors_return);
    mpi->MPI_Comm_rank(mpi->world, &mpi->comm.rank);
    mpi->MPI_Comm_size(mpi->world, &mpi->comm.size);
    if (expected > 0 && mpi->comm.size != expected) {
        INS_FAIL(err, INS_ENV, "the launcher started %d processes, but Open MPI sees %d", expected, mpi->comm.size);
        ins_error_hint(err, "start with Open MPI's mpirun, or with srun --mpi=pmix");
        mpi->MPI_Finalize();
        return INS_ENV;
    }
    return INS_OK;
}

ins_status ins_comm_open_mpi(int expected, ins_comm **out, ins_error *err) {
    mpi_comm *mpi = ins_calloc(1, sizeof *mpi);
    if (!mpi) return INS_FAIL(err, INS_NOMEM, "no memory for a communicator");
    mpi->comm.impl = &mpi_impl;
    ins_status status = load(mpi, err);
    if (status == INS_OK) status = join(mpi, expected, err);
    if (status != INS_OK) {
        ins_free(mpi);
        return status;
    }
    status = ins_comm_ready(&mpi->comm, err);
    if (status != INS_OK) {
        ins_comm_close(&mpi->comm);
        return status;
    }
    *out = &mpi->comm;
    return INS_OK;
}
