/* The list of sub-commands, and their usage texts. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define CLI_COMMAND(name) extern const cli_command cmd_##name;
#include "cli/commands.def"

const cli_command *const cli_commands[] = {
#define CLI_COMMAND(name) &cmd_##name,
#include "cli/commands.def"
    NULL};

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
