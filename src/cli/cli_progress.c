/* Messages and progress on stderr: a line that is redrawn on a terminal, a line now and then elsewhere. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define TERMINAL_SECONDS 0.1
#define LOG_SECONDS      10.0

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

void cli_clear_progress(cli *c) {
    if (c->progress_shown) fputs("\r\033[K", stderr);
    c->progress_shown = false;
}

void cli_message(void *arg, instar_level level, const char *text) {
    cli *c = arg;
    if (level == INSTAR_DEBUG || (c->quiet && level == INSTAR_INFO)) return;
    cli_clear_progress(c);
    const char *label = level == INSTAR_WARN ? "warning: " : level == INSTAR_ERROR ? "error: " : "";
    const char *colour = level == INSTAR_WARN ? "\033[33m" : "\033[31m";
    if (label[0] && c->colour_err)
        fprintf(stderr, "%s%s\033[0m%s\n", colour, label, text);
    else
        fprintf(stderr, "%s%s\n", label, text);
}

static void count_text(double value, const char *unit, char buf[32]) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    int p = 0;
    while (value >= 10000 && p < 4) {
        value /= 1000;
        p++;
    }
    snprintf(buf, 32, strcmp(unit, "bytes") == 0 || p > 0 ? "%.1f%s" : "%.0f%s", value, prefixes[p]);
}

static void time_text(double seconds, char buf[32]) {
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(buf, 32, "%ldh%02ldm", whole / 3600, whole % 3600 / 60);
    else
        snprintf(buf, 32, "%ld:%02ld", whole / 60, whole % 60);
}

/* "base  [#####-----]  120/300 steps  12.3/s  0:15 left  loss 3.2" */
static void format_line(const instar_progress *p, char *line, size_t size) {
    char done[32], total[32], rate[32], left[32];
    size_t used = 0;
    count_text(p->done, p->unit, done);
    count_text(p->total, p->unit, total);
    count_text(p->rate, p->unit, rate);
    used += (size_t)snprintf(line, size, "%.40s  ", p->what);
    if (p->total > 0) {
        int filled = (int)(20 * (p->done < p->total ? p->done / p->total : 1));
        used += (size_t)snprintf(line + used, size - used, "[%.*s%.*s]  %s/%s %s", filled, "####################",
                                 20 - filled, "....................", done, total, p->unit);
    } else {
        used += (size_t)snprintf(line + used, size - used, "%s %s", done, p->unit);
    }
    if (p->rate > 0) used += (size_t)snprintf(line + used, size - used, "  %s/s", rate);
    if (p->eta_s >= 0) {
        time_text(p->eta_s, left);
        used += (size_t)snprintf(line + used, size - used, "  %s left", left);
    }
    if (p->detail) snprintf(line + used, size - used, "  %.200s", p->detail);
}

void cli_progress(void *arg, const instar_progress *progress) {
    cli *c = arg;
    char line[512];
    double t = now(), every = c->terminal_err ? TERMINAL_SECONDS : LOG_SECONDS;
    bool last = progress->total > 0 && progress->done >= progress->total;
    if (c->quiet || (t - c->last_progress < every && !(last && c->terminal_err))) return;
    if (c->last_progress <= 0 && !c->terminal_err) { /* the first line comes after one interval */
        c->last_progress = t;
        return;
    }
    c->last_progress = t;
    format_line(progress, line, sizeof line);
    if (!c->terminal_err) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    int width = terminal_width();
    fprintf(stderr, "\r%.*s\033[K", width - 1, line);
    fflush(stderr);
    c->progress_shown = true;
}
