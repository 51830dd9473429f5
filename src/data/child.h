/* Other programs: started from a list of arguments (never through a shell), output to a descriptor or a string. */
#ifndef INS_DATA_CHILD_H
#define INS_DATA_CHILD_H

#include <sys/types.h>

#include "base/status.h"
#include "base/str.h"

typedef struct ins_child {
    pid_t pid;        /* 0 = none */
    int errors;       /* what it writes to standard error; read by ins_child_wait */
    const char *name; /* borrowed argv[0] */
} ins_child;

/* argv ends with NULL; argv[0] is looked up in PATH. dir NULL = the current folder. out: descriptor for standard
 * output, -1 = nowhere. Standard input is empty. INS_ENV when the program cannot be started. */
ins_status ins_child_start(const char *const *argv, const char *dir, int out, ins_child *child, ins_error *err);
/* INS_ENV with the end of its error output when it failed. *code (may be NULL) is its exit status; when given, a
 * program that ends by itself is no failure whatever the code. */
ins_status ins_child_wait(ins_child *child, int *code, ins_error *err);
void ins_child_kill(ins_child *child);

/* Run to the end; standard output appended to *out (NULL = nowhere). */
ins_status ins_child_run(const char *const *argv, const char *dir, ins_str *out, int *code, ins_error *err);

/* An unnamed file in memory, and all of what was written to it. */
ins_status ins_memory_file(int *fd, ins_error *err);
ins_status ins_memory_file_read(int fd, ins_str *out, ins_error *err);

#endif
