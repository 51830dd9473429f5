/* Numbers for people. */
#include "base/str.h"

#include <math.h>
#include <stdio.h>

/* value with three significant digits and an SI prefix; `gap` stands between number and prefix. */
static void human_si(double value, const char *gap, const char *unit, char buf[32]) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    if (!isfinite(value)) {
        snprintf(buf, 32, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    double size = fabs(value);
    int step = 0;
    while (size >= 999.5 && step < 6) {
        size /= 1000;
        step++;
    }
    if (size >= 1e6) { /* past the prefixes */
        snprintf(buf, 32, "%.3g%s%s", value, gap, unit);
        return;
    }
    int digits = size >= 99.95 || (step == 0 && size == floor(size)) ? 0 : size >= 9.995 ? 1 : 2;
    char number[16];
    snprintf(number, sizeof number, "%s%.*f", value < 0 ? "-" : "", digits, size);
    bool bare = step == 0 && unit[0] == '\0';
    snprintf(buf, 32, "%s%s%s%s", number, bare ? "" : gap, prefixes[step], unit);
}

const char *ins_human_size(double bytes, char buf[32]) {
    human_si(bytes, " ", "B", buf);
    return buf;
}

const char *ins_human_count(double n, char buf[32]) {
    human_si(n, "", "", buf);
    return buf;
}

const char *ins_human_time(double seconds, char buf[32]) {
    if (!isfinite(seconds)) {
        snprintf(buf, 32, "?");
    } else if (seconds < 0) {
        buf[0] = '-';
        char positive[32];
        ins_human_time(-seconds, positive);
        snprintf(buf, 32, "-%.30s", positive);
    } else if (seconds < 0.9995e-3) {
        snprintf(buf, 32, "%.3g us", seconds * 1e6);
    } else if (seconds < 0.9995) {
        snprintf(buf, 32, "%.3g ms", seconds * 1e3);
    } else if (seconds < 59.95) {
        snprintf(buf, 32, "%.1f s", seconds);
    } else if (seconds < 3599.5) {
        long whole = lround(seconds);
        snprintf(buf, 32, "%ld min %ld s", whole / 60, whole % 60);
    } else if (seconds < 86400.0 * 2) {
        long minutes = lround(seconds / 60);
        snprintf(buf, 32, "%ld h %ld min", minutes / 60, minutes % 60);
    } else if (seconds < 86400.0 * 1e6) {
        long hours = lround(seconds / 3600);
        snprintf(buf, 32, "%ld d %ld h", hours / 24, hours % 24);
    } else {
        snprintf(buf, 32, "%.3g d", seconds / 86400);
    }
    return buf;
}
