/* Cores by affinity mask and control-group quota (v1 and v2). */
#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/pool.h"

/* quota / period rounded up; 0 = no limit. */
static int64_t quota_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? 0 : cpus;
}

static int64_t limit_v2(const char *dir) {
    char line[128];
    long long quota = 0, period = 0;
    if (!ins_cgroup_read(dir, "cpu.max", line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2)
        return 0;
    return quota_cpus(quota, period);
}

static int64_t limit_v1(const char *dir) {
    char line[128];
    if (!ins_cgroup_read(dir, "cpu.cfs_quota_us", line, sizeof line)) return 0;
    long long quota = strtoll(line, NULL, 10);
    if (!ins_cgroup_read(dir, "cpu.cfs_period_us", line, sizeof line)) return 0;
    return quota_cpus(quota, strtoll(line, NULL, 10));
}

int ins_cgroup_cpus(const char *proc_cgroup, const char *sys_root) {
    return (int)ins_cgroup_tightest(proc_cgroup, sys_root, "cpu", limit_v2, limit_v1);
}

static int affinity_cpus(void) {
    for (int n_bits = 1024; n_bits <= 1 << 20; n_bits *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)n_bits);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)n_bits);
        bool ok = sched_getaffinity(0, bytes, set) == 0;
        int count = ok ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (ok) return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int ins_cpu_count(void) {
    int cpus = affinity_cpus(), quota = ins_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < cpus) cpus = quota;
    return cpus > 0 ? cpus : 1;
}
