/* instar metrics */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    bool csv = false;
    const char *name = NULL, *stage = NULL;
    const cli_option options[] = {{"name", CLI_TEXT, &name, "GLOB", "only metrics of these names, e.g. 'bpb/*'", NULL},
                                  {"stage", CLI_TEXT, &stage, "GLOB", "only stages of these names", NULL},
                                  {"csv", CLI_FLAG, &csv, NULL, "comma-separated values", NULL},
                                  {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    instar_format format = csv ? INSTAR_CSV : cli_format(c);
    return cli_finish(c, instar_metrics(c->session, c->words[0], name, stage, format, &text), &text);
}

const cli_command cmd_metrics = {"metrics", "RUN [--name GLOB] [--stage GLOB] [--csv]", "Print what a run has measured",
                                 run};
