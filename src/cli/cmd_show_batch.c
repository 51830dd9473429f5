/* instar show-batch */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    int64_t rows = 2;
    cli_recipe r = {.sets = {.n = 0}};
    const cli_option options[] = {{"rows", CLI_INT, &rows, "N", "rows of the batch to show; default 2", NULL},
                                  {"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe; may be given again", NULL},
                                  {0}};
    if (!cli_parse(c, options, 2, 2, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    instar_recipe recipe = cli_recipe_of(c, &r);
    return cli_finish(c, instar_show_batch(c->session, &recipe, c->words[1], rows, c->colour_out, &text), &text);
}

const cli_command cmd_show_batch = {"show-batch", "RECIPE STAGE [--rows N]",
                                    "The first batch of a train stage: its tokens, and which of them are in the loss",
                                    run};
