/* The list of sub-commands, and their usage texts. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* One line per sub-command: cmd_NAME in cmd_NAME.c. */
#define CLI_COMMANDS(X)                                                                                                \
    X(run)                                                                                                             \
    X(plan)                                                                                                            \
    X(check)                                                                                                           \
    X(why) X(watch) X(report) X(metrics) X(verify_resume) X(show_batch) X(init) X(generate) X(logits) X(export)        \
        X(tokenizer) X(data) X(bench) X(list) X(help) X(schema) X(docs) X(doctor) X(completion) X(later_hidden)        \
            X(later_grads) X(later_embed) X(later_eval) X(later_template) X(later_import) X(later_serve) X(later_chat) \
                X(later_catalogue) X(later_diff)

#define CLI_DECLARE(name) extern const cli_command cmd_##name;
CLI_COMMANDS(CLI_DECLARE)
#define CLI_ADDRESS(name) &cmd_##name,
const cli_command *const cli_commands[] = {CLI_COMMANDS(CLI_ADDRESS) NULL};

const cli_command *cli_find(const char *name) {
    for (int i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    return NULL;
}

void cli_print_overview(void) {
    puts("instar: train Transformer models in stages, and see what they learn at each one\n");
    puts("usage: instar COMMAND ...\n");
    for (int i = 0; cli_commands[i]; i++)
        if (cli_commands[i]->args) printf("  %-14s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    puts("\n'instar COMMAND --help' explains a command; 'instar help FAMILY NAME' a component and its options.");
    puts("Every command knows --json, --threads N, --quiet. The cache is $INSTAR_CACHE or ~/.cache/instar.");
}

void cli_print_usage(const cli_command *command, const cli_option *options) {
    printf("usage: instar %s %s\n\n%s.\n", command->name, command->args ? command->args : "", command->summary);
    if (options && options->name) puts("\noptions");
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options->name, options->meta ? " " : "",
                 options->meta ? options->meta : "");
        printf("  %-22s %s\n", left, options->help);
    }
    puts("\ncommon options");
    puts("  --json                 one JSON document on stdout");
    puts("  --threads N            threads to use; default all cores that the process may use");
    puts("  --quiet, -q            no progress, only warnings and errors");
    puts("  --help, -h             this text");
}
