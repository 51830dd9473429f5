/* instar why */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    const char *dir = NULL;
    cli_recipe r = {.sets = {.n = 0}};
    const cli_option options[] = {
        {"dir", CLI_TEXT, &dir, "RUN", "folder of the run to compare with; default runs/<recipe name>", NULL},
        {"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe; may be given again", NULL},
        {"seed", CLI_SEED, &r.seed, "N", "seed instead of the recipe's", &r.has_seed},
        {0}};
    if (!cli_parse(c, options, 2, 2, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    instar_recipe recipe = cli_recipe_of(c, &r);
    return cli_finish(c, instar_why(c->session, &recipe, dir, c->words[1], cli_format(c), &text), &text);
}

const cli_command cmd_why = {"why", "RECIPE STAGE [--dir RUN] [--set A.B=C]...",
                             "Is a stage cached, and which option, input or version made the difference", run};
