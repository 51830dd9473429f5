/* instar bench train|kernels */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

typedef struct bench_command {
    const char *name;
    int (*run)(cli *c, const instar_bench_options *options);
} bench_command;

static int train(cli *c, const instar_bench_options *options) {
    char *text = NULL;
    return cli_finish(c, instar_bench_train(c->session, options, cli_format(c), &text), &text);
}

static int kernels(cli *c, const instar_bench_options *options) {
    char *text = NULL;
    return cli_finish(c, instar_bench_kernels(c->session, options, cli_format(c), &text), &text);
}

static const bench_command commands[] = {{"train", train}, {"kernels", kernels}};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* This command again with another --config (the last one counts), in a process of its own: what one configuration took
 * from the system is no part of the next one's memory or time. */
static int run_config(const cli *c, const char *program, const char *config) {
    char *words[80] = {(char *)(uintptr_t)program, (char *)(uintptr_t)c->command->name};
    int n = 2, status = 0;
    if (c->argc > 70) return cli_usage_error(c, "too many words");
    for (int i = 0; i < c->argc; i++) words[n++] = c->argv[i];
    words[n++] = (char *)(uintptr_t) "--config";
    words[n] = (char *)(uintptr_t)config;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execv(program, words);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 127) return WEXITSTATUS(status);
    fprintf(stderr, "error: configuration %s: the process could not run to its end\n  hint: is there enough memory?\n",
            config);
    return 4;
}

/* All four; with --json an array of their documents. */
static int run_all(const cli *c) {
    static const char *const configs[] = {"A", "B", "C", "D"};
    char program[PATH_MAX];
    int code = 0;
    cli_self(program, sizeof program);
    for (int i = 0; i < 4 && code == 0 && !cli_stop; i++) {
        if (c->json) fputs(i ? "," : "[", stdout);
        if (!c->json && i) putchar('\n');
        code = run_config(c, program, configs[i]);
    }
    if (c->json) puts("]");
    return cli_stop ? 130 : code;
}

static int run(cli *c) {
    int code = 0;
    instar_bench_options bench = {0};
    const cli_option options[] = {
        {"model", CLI_TEXT, &bench.model, "NAME", "gpt2, llama, lstm or mlp; default gpt2", NULL},
        {"config", CLI_TEXT, &bench.config, "A|B|C|D|all", "shape of gpt2 and its batch; default D, the smallest",
         NULL},
        {"dtype", CLI_TEXT, &bench.dtype, "f32|bf16|auto", "of matrix products; default f32", NULL},
        {"recompute", CLI_TEXT, &bench.recompute, "none|cheap|layers",
         "activations computed again instead of kept; default none", NULL},
        {"gemm", CLI_TEXT, &bench.gemm, "own|measured|onednn|openblas", "who makes matrix products; default own", NULL},
        {"steps", CLI_INT, &bench.steps, "N", "timed steps; default 20, for kernels 5", NULL},
        {"rounds", CLI_INT, &bench.rounds, "N", "parts of the steps, the machine probed between them; default 5", NULL},
        {0}};
    int rank;
    if (!cli_parse(c, options, 1, 1, &code)) return code;
    c->on_ranks = strcmp(c->words[0], "train") == 0;
    if (c->on_ranks && bench.config && strcmp(bench.config, "all") == 0 && cli_ranks(&rank) > 1)
        return cli_usage_error(c, "several processes measure one configuration at a time, not --config all");
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(c->words[0], commands[i].name) != 0) continue;
        if (bench.config && strcmp(bench.config, "all") == 0) return run_all(c);
        return cli_open(c, &code) ? commands[i].run(c, &bench) : code;
    }
    return cli_usage_error(c, "there is no 'bench %s'", c->words[0]);
}

const cli_command cmd_bench = {
    "bench", "train|kernels [--config A|B|C|D|all] [--dtype f32|bf16|auto] [--steps N]",
    "Speed of training, or of each op, against the bound of this machine probed in the same run", run};
