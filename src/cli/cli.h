/* The command line: a table of sub-commands, one file each, on the public interface alone. */
#ifndef INS_CLI_CLI_H
#define INS_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "instar/instar.h"

typedef struct cli cli;

typedef enum cli_kind {
    CLI_FLAG,  /* bool */
    CLI_TEXT,  /* const char * */
    CLI_TEXTS, /* cli_texts; may be given again */
    CLI_INT,   /* int64_t, from 0 */
    CLI_SEED,  /* uint64_t */
    CLI_FLOAT, /* double */
} cli_kind;

typedef struct cli_texts {
    const char *items[256];
    int64_t n;
} cli_texts;

typedef struct cli_option {
    const char *name; /* without the dashes */
    cli_kind kind;
    void *target;
    const char *meta; /* "DIR", for the usage text; NULL for flags */
    const char *help;
    bool *given; /* set when the option appears; may be NULL */
} cli_option;

typedef struct cli_command {
    const char *name;
    const char *args;    /* "RECIPE [--dir RUN]": what stands after the name in the usage line */
    const char *summary; /* one sentence without a full stop */
    int (*run)(cli *c);  /* returns the exit code */
} cli_command;

struct cli {
    const cli_command *command;
    int argc; /* words after the sub-command */
    char **argv;
    const char *program; /* argv[0] */
    char *command_line;  /* all words, for run.json */
    /* common options */
    bool json, quiet, help;
    bool on_ranks; /* set before cli_open by commands whose work several processes share */
    int rank;      /* among them; the others than 0 say nothing */
    int64_t threads;
    /* words that are no options, after cli_parse */
    const char *words[64];
    int n_words;
    /* */
    instar *session;
    bool colour_out, colour_err, terminal_err;
    double last_progress;
    bool progress_shown; /* a progress line stands on the terminal */
};

extern const cli_command *const cli_commands[]; /* ended by NULL */
const cli_command *cli_find(const char *name);

/* Read the words of a sub-command: its options (ended by a NULL name; may be NULL) and the common ones. n_min..n_max
 * other words are allowed (n_max < 0 = any number). false: the program ends with *code (help was asked for, or a
 * mistake was reported). */
bool cli_parse(cli *c, const cli_option *options, int n_min, int n_max, int *code);

/* Session with the common options; false after reporting why not. */
bool cli_open(cli *c, int *code);
/* Print the messages of the last failure to stderr; the exit code. */
int cli_fail(cli *c, instar_status status);
/* Print a result (freed) to stdout, or the failure; the exit code. */
/* text is a pointer so that the call that fills it may stand among the arguments. */
int cli_finish(cli *c, instar_status status, char *const *text);
/* A usage mistake that the library does not see. Returns 2. */
int cli_usage_error(const cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
instar_format cli_format(const cli *c); /* --json or text */

/* Options that all commands on recipes have: fills a recipe from them. */
typedef struct cli_recipe {
    cli_texts sets;
    uint64_t seed;
    bool has_seed;
} cli_recipe;
instar_recipe cli_recipe_of(const cli *c, const cli_recipe *r); /* path = first word */

/* cli_progress.c: the session's callbacks. */
void cli_message(void *arg, instar_level level, const char *text);
void cli_progress(void *arg, const instar_progress *progress);
void cli_clear_progress(cli *c);

/* cli_help.c */
void cli_print_overview(void);
void cli_print_usage(const cli_command *command, const cli_option *options);

/* Processes that a launcher started together, and which of them this is; 1 when it is alone. */
int cli_ranks(int *rank);

/* Path of this program, for child processes; "" when it is not known. */
const char *cli_self(char *buf, size_t size);
extern volatile int cli_stop; /* 1 after Ctrl-C */

#endif
