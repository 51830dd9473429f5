/* Limits that control groups (v1 and v2) set to this process. */
#ifndef INS_BASE_CGROUP_H
#define INS_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A limit in the folder of one group; 0 = none. */
typedef int64_t (*ins_cgroup_limit)(const char *dir);

/* The tightest limit of the process's groups and all groups above them, or 0. controller: of v1 hierarchies.
 * proc_cgroup is normally "/proc/self/cgroup", sys_root "/sys/fs/cgroup". */
int64_t ins_cgroup_tightest(const char *proc_cgroup, const char *sys_root, const char *controller, ins_cgroup_limit v2,
                            ins_cgroup_limit v1);

/* First line of DIR/NAME, for limits. */
bool ins_cgroup_read(const char *dir, const char *name, char *buf, size_t size);

#endif
