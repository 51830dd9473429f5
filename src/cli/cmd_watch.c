/* instar watch: the picture of a run, redrawn until the run ends. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 80;
}

static void draw(const char *text, bool terminal) {
    if (terminal) fputs("\033[H\033[2J", stdout);
    fputs(text, stdout);
    fflush(stdout);
}

static int run(cli *c) {
    int code = 0;
    bool once = false;
    double interval = 1;
    const cli_option options[] = {
        {"once", CLI_FLAG, &once, NULL, "print one picture and end", NULL},
        {"interval", CLI_FLOAT, &interval, "SECONDS", "between two pictures; default 1", NULL},
        {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    bool terminal = isatty(STDOUT_FILENO) == 1;
    if (!terminal) once = true;
    for (bool over = false; !over && !cli_stop;) {
        char *text = NULL;
        instar_status status = instar_watch(c->session, c->words[0], terminal_width(), c->colour_out, &text, &over);
        if (status != INSTAR_OK) return cli_fail(c, status);
        draw(text, terminal && !once);
        instar_free(text);
        if (once) break;
        if (!over) usleep((useconds_t)((interval > 0.1 && interval < 3600 ? interval : 1) * 1e6));
    }
    return 0;
}

const cli_command cmd_watch = {"watch", "RUN [--once] [--interval SECONDS]",
                               "Follow a run in the terminal: stages, curves, claims", run};
