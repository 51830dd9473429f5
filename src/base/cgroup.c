/* Limits of control groups: see cgroup.h. */
#include "base/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

bool ins_cgroup_read(const char *dir, const char *name, char *buf, size_t size) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool ok = fgets(buf, (int)size, file) != NULL;
    fclose(file);
    if (ok) buf[strcspn(buf, "\n")] = '\0';
    return ok;
}

static int64_t tighter(int64_t x, int64_t y) {
    return x == 0 ? y : y == 0 ? x : x < y ? x : y;
}

/* The tightest limit of a group and all groups above it. A path that is not there (a container sees only its own part
 * of the tree) is skipped; the mount's root is always looked at. */
static int64_t walk_up(const char *mount, const char *group, ins_cgroup_limit limit) {
    char dir[PATH_MAX];
    size_t base = strlen(mount);
    if (strstr(group, "..")) group = ""; /* outside of what this container sees */
    int len = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof dir) return 0;
    int64_t best = 0;
    for (;;) {
        best = tighter(best, limit(dir));
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

int64_t ins_cgroup_tightest(const char *proc_cgroup, const char *sys_root, const char *controller, ins_cgroup_limit v2,
                            ins_cgroup_limit v1) {
    FILE *file = fopen(proc_cgroup, "re");
    if (!file) return 0;
    char line[PATH_MAX], mount[PATH_MAX];
    int64_t best = 0;
    while (fgets(line, sizeof line, file)) { /* hierarchy-ID:controllers:path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        if (strcmp(group, "/") == 0) group = "";
        if (controllers[0] == '\0') {
            best = tighter(best, walk_up(sys_root, group, v2));
            snprintf(mount, sizeof mount, "%s/unified", sys_root);
            best = tighter(best, walk_up(mount, group, v2));
        } else if (has_controller(controllers, controller)) {
            int len = snprintf(mount, sizeof mount, "%s/%s", sys_root, controllers);
            if (len < 0 || (size_t)len >= sizeof mount) continue;
            best = tighter(best, walk_up(mount, group, v1));
            snprintf(mount, sizeof mount, "%s/%s", sys_root, controller);
            best = tighter(best, walk_up(mount, group, v1));
        }
    }
    fclose(file);
    return best;
}
