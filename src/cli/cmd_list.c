/* instar list */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 0, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    return cli_finish(c, instar_list(c->session, c->n_words ? c->words[0] : NULL, cli_format(c), &text), &text);
}

const cli_command cmd_list = {"list", "[FAMILY] [--json]", "Families of components, or the components of one", run};
