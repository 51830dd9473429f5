/* instar init */
#include <stdio.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 0, 1, &code) || !cli_open(c, &code)) return code;
    const char *path = c->n_words ? c->words[0] : "recipe.yaml";
    instar_status status = instar_init(c->session, path);
    if (status != INSTAR_OK) return cli_fail(c, status);
    printf("%s\n", path);
    return 0;
}

const cli_command cmd_init = {"init", "[FILE]", "Write a starter recipe", run};
