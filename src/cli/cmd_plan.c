/* instar plan */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    cli_recipe r = {.sets = {.n = 0}};
    const cli_option options[] = {{"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe; may be given again", NULL},
                                  {"seed", CLI_SEED, &r.seed, "N", "seed instead of the recipe's", &r.has_seed},
                                  {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    instar_recipe recipe = cli_recipe_of(c, &r);
    return cli_finish(c, instar_plan(c->session, &recipe, cli_format(c), &text), &text);
}

const cli_command cmd_plan = {"plan", "RECIPE [--set A.B=C]... [--json]",
                              "Memory, disk, time and FLOP of every stage, before anything runs", run};
