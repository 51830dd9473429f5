/* instar docs */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 1, 1, &code) || !cli_open(c, &code)) return code;
    return cli_finish(c, instar_docs(c->session, c->words[0]), NULL);
}

const cli_command cmd_docs = {"docs", "FOLDER", "Write the reference of every component and option as Markdown", run};
