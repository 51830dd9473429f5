/* instar check */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    cli_recipe r = {.sets = {.n = 0}};
    const cli_option options[] = {{"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe; may be given again", NULL},
                                  {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    instar_recipe recipe = cli_recipe_of(c, &r);
    return cli_finish(c, instar_check(c->session, &recipe, cli_format(c), &text), &text);
}

const cli_command cmd_check = {"check", "RECIPE [--set A.B=C]...",
                               "Everything that is wrong with a recipe, at once, with its place", run};
