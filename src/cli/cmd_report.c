/* instar report */
#include <stdio.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    const char *out = NULL;
    const cli_option options[] = {{"out", CLI_TEXT, &out, "FILE", "where to; default RUN/report.html", NULL}, {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *path = NULL;
    instar_status status = instar_report(c->session, c->words[0], out, &path);
    if (status != INSTAR_OK) return cli_fail(c, status);
    puts(path);
    instar_free(path);
    return 0;
}

const cli_command cmd_report = {"report", "RUN [--out FILE]",
                                "Write the report of a run as one HTML file, and print its path", run};
