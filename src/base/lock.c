/* Advisory locks between processes. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

ins_status ins_lock_take(const char *path, bool wait, ins_lock *out, ins_error *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return INS_FAIL_ERRNO(err, "cannot open the lock '%s'", path);
    int result;
    do result = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR && wait);
    if (result == 0) {
        out->fd = fd;
        return INS_OK;
    }
    int code = errno;
    close(fd);
    errno = code;
    if (code != EWOULDBLOCK) return INS_FAIL_ERRNO(err, "cannot lock '%s'", path);
    INS_FAIL(err, INS_ENV, "'%s' is locked: another process is at work there", path);
    ins_error_hint(err, "wait until it is done, or end it");
    return INS_ENV;
}

void ins_lock_release(ins_lock *lock) {
    if (lock->fd >= 0) close(lock->fd);
    lock->fd = -1;
}
