/* How much memory there is: of this process, and for it. */
#include "base/mem_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

/* A "Name:  123 kB" line of a file of /proc, in bytes; 0 = not there. */
static int64_t read_kib(const char *path, const char *name) {
    char line[256];
    int64_t bytes = 0;
    size_t len = strlen(name);
    FILE *file = fopen(path, "re");
    while (file && bytes == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, len) == 0 && line[len] == ':') bytes = strtoll(line + len + 1, NULL, 10) * 1024;
    if (file) fclose(file);
    return bytes;
}

int64_t ins_mem_resident(void) {
    return read_kib("/proc/self/status", "VmRSS");
}

/* Cached files count as used; those that nobody reads are given up first. */
static int64_t group_cache(const char *dir, const char *name) {
    char path[4200], line[256];
    int64_t bytes = 0;
    size_t len = strlen(name);
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, len) == 0 && line[len] == ' ') bytes = strtoll(line + len + 1, NULL, 10);
    if (file) fclose(file);
    return bytes;
}

static int64_t room(const char *dir, const char *limit_name, const char *used_name, const char *cache_name) {
    char line[64], *end = line;
    if (!ins_cgroup_read(dir, limit_name, line, sizeof line)) return 0;
    int64_t limit = strtoll(line, &end, 10);
    if (end == line || limit <= 0 || limit >= INT64_MAX / 4096 * 4096 - 4096)
        return 0; /* "max", and v1's way to say it */
    if (!ins_cgroup_read(dir, used_name, line, sizeof line)) return limit;
    int64_t left = limit - strtoll(line, NULL, 10) + group_cache(dir, cache_name);
    return left < 1 ? 1 : left < limit ? left : limit;
}

static int64_t room_v2(const char *dir) {
    return room(dir, "memory.max", "memory.current", "inactive_file");
}

static int64_t room_v1(const char *dir) {
    return room(dir, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
}

int64_t ins_mem_available_in(const char *meminfo, const char *proc_cgroup, const char *sys_root) {
    int64_t machine = read_kib(meminfo, "MemAvailable");
    int64_t group = ins_cgroup_tightest(proc_cgroup, sys_root, "memory", room_v2, room_v1);
    return machine == 0 || (group > 0 && group < machine) ? group : machine;
}

int64_t ins_mem_available(void) {
    return ins_mem_available_in("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup");
}
