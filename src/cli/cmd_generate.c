/* instar generate */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    instar_generate_options o = {0};
    const cli_option options[] = {
        {"prompt", CLI_TEXT, &o.prompt, "TEXT", "text to continue", NULL},
        {"ids", CLI_TEXT, &o.ids, "'[1,2]'", "token ids to continue, instead of a text", NULL},
        {"chat", CLI_FLAG, &o.chat, NULL, "put the prompt into the chat template", NULL},
        {"max-tokens", CLI_INT, &o.max_tokens, "N", "at most so many new tokens; default 64", NULL},
        {"greedy", CLI_FLAG, &o.greedy, NULL, "always the most likely token", NULL},
        {"temperature", CLI_FLOAT, &o.temperature, "X", "flattens (above 1) or sharpens; default 1", NULL},
        {"top-p", CLI_FLOAT, &o.top_p, "X", "only the likeliest tokens that together have this share", NULL},
        {"top-k", CLI_INT, &o.top_k, "N", "only the N likeliest tokens", NULL},
        {"min-p", CLI_FLOAT, &o.min_p, "X", "only tokens with this share of the likeliest one's", NULL},
        {"repetition-penalty", CLI_FLOAT, &o.repetition_penalty, "X", "above 1: repeat less", NULL},
        {"seed", CLI_SEED, &o.seed, "N", "of the draws", NULL},
        {0}};
    if (!cli_parse(c, options, 1, 1, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    return cli_finish(c, instar_generate(c->session, c->words[0], &o, cli_format(c), &text), &text);
}

const cli_command cmd_generate = {"generate", "MODEL [--prompt TEXT | --ids '[1,2]'] [--max-tokens N] [--greedy]",
                                  "Let a model write", run};
