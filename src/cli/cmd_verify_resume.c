/* instar verify-resume */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    char self[PATH_MAX], work[PATH_MAX];
    const char *dir = NULL;
    cli_recipe r = {.sets = {.n = 0}};
    instar_verify_options o = {.kills = 5};
    const cli_option options[] = {
        {"kills", CLI_INT, &o.kills, "N", "kills of each stage; default 5", NULL},
        {"stage", CLI_TEXT, &o.stage, "STAGE", "this stage; default one of each kind", NULL},
        {"seed", CLI_SEED, &o.seed, "N", "of the random moments", NULL},
        {"set", CLI_TEXTS, &r.sets, "A.B=C", "change the recipe; may be given again", NULL},
        {"work", CLI_TEXT, &dir, "DIR", "folder to work in, made and removed; default in $TMPDIR or /tmp", NULL},
        {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    const char *base = getenv("TMPDIR");
    int n = dir ? snprintf(work, sizeof work, "%s", dir)
                : snprintf(work, sizeof work, "%s/instar-verify-%ld", base && base[0] ? base : "/tmp", (long)getpid());
    if (n <= 0 || n >= (int)sizeof work) return cli_usage_error(c, "the path is too long");
    o.program = cli_self(self, sizeof self);
    o.work_dir = work;
    char *text = NULL;
    instar_recipe recipe = cli_recipe_of(c, &r);
    return cli_finish(c, instar_verify_resume(c->session, &recipe, &o, cli_format(c), &text), &text);
}

const cli_command cmd_verify_resume = {
    "verify-resume", "RECIPE [--kills N] [--stage S] [--seed N]",
    "Kill stages at random moments, resume them, and compare every byte with an unbroken run", run};
