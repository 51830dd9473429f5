/* instar run */
#include <stdio.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    bool strict = false;
    cli_recipe r = {.sets = {.n = 0}};
    instar_run_options o = {0};
    const cli_option options[] = {
        {"dir", CLI_TEXT, &o.dir, "RUN", "folder of the run; default runs/<recipe name>", NULL},
        {"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe, e.g. stages.base.budget=1M; may be given again", NULL},
        {"only", CLI_TEXT, &o.only, "STAGE", "this stage and what it needs", NULL},
        {"seed", CLI_SEED, &r.seed, "N", "seed instead of the recipe's", &r.has_seed},
        {"strict", CLI_FLAG, &strict, NULL, "exit code 1 unless every claim is shown", NULL},
        {"no-report", CLI_FLAG, &o.no_report, NULL, "do not write report.html", NULL},
        {"no-tensorboard", CLI_FLAG, &o.no_tensorboard, NULL, "do not write TensorBoard events", NULL},
        {0}};
    c->on_ranks = true;
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    bool all_shown = true;
    instar_recipe recipe = cli_recipe_of(c, &r);
    o.command = c->command_line;
    instar_status status = instar_run(c->session, &recipe, &o, cli_format(c), &text, &all_shown);
    if (status == INSTAR_INTERRUPTED) {
        cli_fail(c, status);
        instar_free(text);
        if (c->rank == 0)
            fprintf(stderr, "the state is saved; to go on: %s\n",
                    c->command_line ? c->command_line : "run the same command again");
        return 130;
    }
    code = cli_finish(c, status, &text);
    return code == 0 && strict && !all_shown ? 1 : code;
}

const cli_command cmd_run = {"run", "RECIPE [--dir RUN] [--set A.B=C]... [--only STAGE] [--seed N] [--strict]",
                             "Run a recipe: what the cache has is not done again; running again goes on after a stop",
                             run};
