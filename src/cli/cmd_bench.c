/* instar bench train */
#include <string.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    const char *config = "D", *dtype = "f32";
    int64_t steps = 20;
    const cli_option options[] = {
        {"config", CLI_TEXT, &config, "A|B|C|D", "shape of the model and batch; default D, the smallest", NULL},
        {"dtype", CLI_TEXT, &dtype, "f32|bf16", "of matrix products", NULL},
        {"steps", CLI_INT, &steps, "N", "timed steps; default 20", NULL},
        {0}};
    if (!cli_parse(c, options, 1, 1, &code)) return code;
    if (strcmp(c->words[0], "train") != 0)
        return cli_usage_error(c, "this version has bench train, not 'bench %s'", c->words[0]);
    if (strlen(config) != 1) return cli_usage_error(c, "--config must be A, B, C or D");
    if (!cli_open(c, &code)) return code;
    char *text = NULL;
    return cli_finish(c, instar_bench_train(c->session, config[0], dtype, steps, cli_format(c), &text), &text);
}

const cli_command cmd_bench = {"bench", "train --config A|B|C|D [--dtype f32|bf16] [--steps N]",
                               "Training speed, against the bound of this machine probed in the same run", run};
