/* How many cores the process may use. */
#ifndef INS_BASE_CPU_H
#define INS_BASE_CPU_H

/* Cores that the control groups of this process allow (quota / period, rounded up), or 0 when there is no limit.
 * proc_cgroup is normally "/proc/self/cgroup", sys_root "/sys/fs/cgroup". */
int ins_cgroup_cpus(const char *proc_cgroup, const char *sys_root);

#endif
