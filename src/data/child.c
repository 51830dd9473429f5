/* Starting other programs by posix_spawn. Their error output goes to a file in memory, so that nobody has to drain a
 * pipe while waiting. */
#include "data/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

ins_status ins_memory_file(int *fd, ins_error *err) {
    int made = memfd_create("instar", MFD_CLOEXEC);
    if (made < 0) return INS_FAIL_ERRNO(err, "cannot make a file in memory");
    *fd = made;
    return INS_OK;
}

ins_status ins_memory_file_read(int fd, ins_str *out, ins_error *err) {
    char buf[16384];
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, buf, sizeof buf, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return INS_FAIL_ERRNO(err, "cannot read a program's output");
        if (n == 0) break;
        ins_str_append(out, buf, (size_t)n);
        at += n;
    }
    return out->oom ? INS_FAIL(err, INS_NOMEM, "out of memory for a program's output") : INS_OK;
}

static int spawn(const char *const *argv, const char *dir, int out, int errors, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int code = posix_spawn_file_actions_init(&actions);
    if (code) return code;
    if ((code = posix_spawnattr_init(&attr))) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    sigset_t defaults, none; /* handlers and masks of this process are none of its business */
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!code && out >= 0) code = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (!code && out < 0) code = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (!code) code = posix_spawn_file_actions_adddup2(&actions, errors, 2);
    if (!code && dir) code = posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (!code) {
        union {
            const char *const *given;
            char *const *wanted; /* the call does not write through it */
        } args = {argv};
        code = posix_spawnp(pid, argv[0], &actions, &attr, args.wanted, environ);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

ins_status ins_child_start(const char *const *argv, const char *dir, int out, ins_child *child, ins_error *err) {
    int errors = -1;
    INS_TRY(ins_memory_file(&errors, err));
    pid_t pid = 0;
    int code = spawn(argv, dir, out, errors, &pid);
    if (code) {
        close(errors);
        INS_FAIL(err, INS_ENV, "cannot run '%s': %s", argv[0], strerror(code));
        if (code == ENOENT) ins_error_hint(err, "install the package that has it, or put it into PATH");
        return INS_ENV;
    }
    *child = (ins_child){pid, errors, argv[0]};
    return INS_OK;
}

/* The last line or so of what the program complained about, on one line. */
static void last_words(int errors, char *buf, size_t size) {
    off_t end = lseek(errors, 0, SEEK_END), at = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
    ssize_t n = pread(errors, buf, size - 1, at);
    if (n < 0) n = 0;
    while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' ')) n--;
    buf[n] = 0;
    for (ssize_t i = 0; i < n; i++) {
        if ((unsigned char)buf[i] < ' ') buf[i] = ' ';
    }
}

static int reap(ins_child *child) {
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) continue;
    child->pid = 0;
    return status;
}

ins_status ins_child_wait(ins_child *child, int *code, ins_error *err) {
    int status = reap(child);
    char words[400];
    last_words(child->errors, words, sizeof words);
    close(child->errors);
    if (WIFEXITED(status) && (code || WEXITSTATUS(status) == 0)) {
        if (code) *code = WEXITSTATUS(status);
        return INS_OK;
    }
    if (WIFSIGNALED(status)) {
        return INS_FAIL(err, INS_ENV, "'%s' was killed by signal %d: %s", child->name, WTERMSIG(status), words);
    }
    return INS_FAIL(err, INS_ENV, "'%s' failed with exit code %d: %s", child->name, WEXITSTATUS(status), words);
}

void ins_child_kill(ins_child *child) {
    if (child->pid <= 0) return;
    kill(child->pid, SIGKILL);
    reap(child);
    close(child->errors);
}

ins_status ins_child_run(const char *const *argv, const char *dir, ins_str *out, int *code, ins_error *err) {
    int fd = -1;
    if (out) INS_TRY(ins_memory_file(&fd, err));
    ins_child child;
    ins_status status = ins_child_start(argv, dir, fd, &child, err);
    if (status == INS_OK) status = ins_child_wait(&child, code, err);
    if (status == INS_OK && out) status = ins_memory_file_read(fd, out, err);
    if (fd >= 0) close(fd);
    return status;
}
