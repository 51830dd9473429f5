/* instar help: the overview, a command, or a component. */
#include "cli/cli.h"

/* Some words are both ("tokenizer"): then the family is meant, and the command explains itself with --help. */
static bool is_family(cli *c, const char *word) {
    char *text = NULL;
    bool found = instar_list(c->session, word, INSTAR_JSON, &text) == INSTAR_OK;
    instar_free(text);
    return found;
}

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 0, 2, &code)) return code;
    const cli_command *command = c->n_words == 1 ? cli_find(c->words[0]) : NULL;
    if (!cli_open(c, &code)) return code;
    if (command && is_family(c, c->words[0])) command = NULL;
    if (c->n_words == 0) {
        cli_print_overview();
        return 0;
    }
    if (command && command != c->command) { /* as if asked with --help, so that its own options are shown */
        c->command = command;
        c->argc = 1;
        c->argv = (char *[]){(char[]){"--help"}, NULL};
        c->n_words = 0;
        return command->run(c);
    }
    char *text = NULL;
    return cli_finish(
        c, instar_help(c->session, c->words[0], c->n_words > 1 ? c->words[1] : NULL, cli_format(c), &text), &text);
}

const cli_command cmd_help = {"help", "[COMMAND | FAMILY [NAME]]",
                              "Explain a command, or a component with all its options", run};
