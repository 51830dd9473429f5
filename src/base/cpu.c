/* Cores by affinity mask and control-group quota (v1 and v2). */
#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"

static bool read_line(const char *path, char *buf, size_t size) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool ok = fgets(buf, (int)size, file) != NULL;
    fclose(file);
    if (ok) buf[strcspn(buf, "\n")] = '\0';
    return ok;
}

/* quota / period rounded up; 0 = no limit. */
static int quota_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? 0 : (int)cpus;
}

static int smaller_limit(int x, int y) {
    return x == 0 ? y : y == 0 ? x : x < y ? x : y;
}

static int limit_v2(const char *dir) {
    char path[PATH_MAX + 32], line[128];
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return quota_cpus(quota, period);
}

static int limit_v1(const char *dir) {
    char path[PATH_MAX + 32], line[128];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
    if (!read_line(path, line, sizeof line)) return 0;
    long long quota = strtoll(line, NULL, 10);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
    if (!read_line(path, line, sizeof line)) return 0;
    return quota_cpus(quota, strtoll(line, NULL, 10));
}

/* The tightest limit of a group and all groups above it. A path that is not there (a container sees only its own part
 * of the tree) is skipped; the mount's root is always looked at. */
static int walk_up(const char *mount, const char *group, int (*limit)(const char *dir)) {
    char dir[PATH_MAX];
    size_t base = strlen(mount);
    if (strstr(group, "..")) group = ""; /* outside of what this container sees */
    int len = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof dir) return 0;
    int best = 0;
    for (;;) {
        best = smaller_limit(best, limit(dir));
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < base) return best;
        *slash = '\0';
    }
}

static bool has_controller(const char *list, const char *name) {
    size_t len = strlen(name);
    for (const char *p = list; (p = strstr(p, name)) != NULL; p += len) {
        bool starts = p == list || p[-1] == ',';
        if (starts && (p[len] == '\0' || p[len] == ',')) return true;
    }
    return false;
}

int ins_cgroup_cpus(const char *proc_cgroup, const char *sys_root) {
    FILE *file = fopen(proc_cgroup, "re");
    if (!file) return 0;
    char line[PATH_MAX], mount[PATH_MAX];
    int best = 0;
    while (fgets(line, sizeof line, file)) { /* hierarchy-ID:controllers:path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        if (strcmp(group, "/") == 0) group = "";
        if (controllers[0] == '\0') {
            best = smaller_limit(best, walk_up(sys_root, group, limit_v2));
            snprintf(mount, sizeof mount, "%s/unified", sys_root);
            best = smaller_limit(best, walk_up(mount, group, limit_v2));
        } else if (has_controller(controllers, "cpu")) {
            int len = snprintf(mount, sizeof mount, "%s/%s", sys_root, controllers);
            if (len < 0 || (size_t)len >= sizeof mount) continue;
            best = smaller_limit(best, walk_up(mount, group, limit_v1));
            snprintf(mount, sizeof mount, "%s/cpu", sys_root);
            best = smaller_limit(best, walk_up(mount, group, limit_v1));
        }
    }
    fclose(file);
    return best;
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
    int cpus = smaller_limit(affinity_cpus(), ins_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup"));
    return cpus > 0 ? cpus : 1;
}
