/* instar data stats | head */
#include <string.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    const char *split = "train";
    int64_t n = 5;
    const cli_option options[] = {{"split", CLI_TEXT, &split, "SPLIT", "head: train, valid or test", NULL},
                                  {"n", CLI_INT, &n, "N", "head: documents to show; default 5", NULL},
                                  {0}};
    if (!cli_parse(c, options, 2, 2, &code)) return code;
    const char *what = c->words[0];
    bool stats = strcmp(what, "stats") == 0;
    if (strcmp(what, "sample") == 0 || strcmp(what, "diff") == 0)
        return cli_usage_error(c, "this version has data stats and data head; 'data %s' comes later", what);
    if (!stats && strcmp(what, "head") != 0) return cli_usage_error(c, "there is stats and head, not '%s'", what);
    if (!cli_open(c, &code)) return code;
    char *text = NULL;
    instar_status status = stats ? instar_data_stats(c->session, c->words[1], cli_format(c), &text)
                                 : instar_data_head(c->session, c->words[1], split, n, cli_format(c), &text);
    return cli_finish(c, status, &text);
}

const cli_command cmd_data = {"data", "stats|head PATH [--split S] [--n N]",
                              "Look at a corpus or at token shards: a folder, or RUN:STAGE", run};
