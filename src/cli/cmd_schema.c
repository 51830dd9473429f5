/* instar schema */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 0, 0, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    return cli_finish(c, instar_schema(c->session, &text), &text);
}

const cli_command cmd_schema = {"schema", "", "Print the JSON Schema of recipes, for editors", run};
