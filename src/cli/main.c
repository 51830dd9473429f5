/* instar: find the sub-command, run it, end with its exit code. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

volatile int cli_stop;
static bool speaks; /* of several processes started together only the first does */

/* First Ctrl-C: stages save their state and end. Second: at once. */
static void on_signal(int number) {
    static const char note[] = "\nstopping: saving the state; once more to stop at once\n";
    (void)number;
    if (cli_stop) _exit(130);
    cli_stop = 1;
    if (!speaks) return;
    ssize_t ignored = write(STDERR_FILENO, note, sizeof note - 1);
    (void)ignored;
}

static void install_signals(void) {
    int rank;
    cli_ranks(&rank);
    speaks = rank == 0;
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* All words of the command, for the record of the run. */
static char *join_words(int argc, char **argv) {
    size_t size = sizeof "instar", used = 0;
    for (int i = 1; i < argc; i++) size += strlen(argv[i]) + 1;
    char *line = malloc(size);
    if (!line) return NULL;
    used += (size_t)snprintf(line, size, "instar");
    for (int i = 1; i < argc; i++) used += (size_t)snprintf(line + used, size - used, " %s", argv[i]);
    return line;
}

static bool no_colour(void) {
    const char *value = getenv("NO_COLOR");
    return value && value[0];
}

/* A closed pipe or a full disk behind stdout is an error, not a success. */
static int close_output(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (code == 0)
        fprintf(stderr, "error: the output can't be written\n  hint: is the disk full, or the reader gone?\n");
    return code == 0 ? 4 : code;
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, "");
    install_signals();
    cli c = {.program = argv[0]};
    c.terminal_err = isatty(STDERR_FILENO) == 1;
    c.colour_out = isatty(STDOUT_FILENO) == 1 && !no_colour();
    c.colour_err = c.terminal_err && !no_colour();
    if (argc < 2) {
        cli_print_overview();
        return close_output(0);
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("instar %s\n", instar_version());
        return close_output(0);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    c.command = cli_find(name);
    if (!c.command) return cli_usage_error(&c, "there is no command '%s'", name);
    c.argc = argc - 2;
    c.argv = argv + 2;
    c.command_line = join_words(argc, argv);
    int code = c.command->run(&c);
    instar_close(c.session);
    free(c.command_line);
    return close_output(code);
}
