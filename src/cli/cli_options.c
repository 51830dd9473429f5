/* Words of a command line: options, their values, the common ones; sessions and results. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static int letter_distance(const char *word, const char *name) {
    enum { MAX_LEN = 40 };
    int n = (int)strlen(word), m = (int)strlen(name);
    int row[MAX_LEN + 1];
    if (n > MAX_LEN || m > MAX_LEN) return MAX_LEN;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = diagonal + (word[i - 1] != name[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

static void keep_nearer(const char *word, const char *name, const char **best, int *distance) {
    int d = letter_distance(word, name);
    if (d >= *distance) return;
    *distance = d;
    *best = name;
}

static const char *nearest_command(const char *word) {
    const char *best = NULL;
    int distance = 3;
    for (int i = 0; cli_commands[i]; i++) keep_nearer(word, cli_commands[i]->name, &best, &distance);
    return best;
}

int cli_usage_error(const cli *c, const char *fmt, ...) {
    char text[512];
    va_list args;
    int rank;
    cli_ranks(&rank);
    if (rank > 0) return 2; /* the first of several processes says it */
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fprintf(stderr, "error: %s", text);
    if (!c->command) {
        const char *quote = strchr(text, '\'');
        char word[64] = "";
        if (quote) snprintf(word, sizeof word, "%.*s", (int)strcspn(quote + 1, "'"), quote + 1);
        const char *nearest = nearest_command(word);
        if (nearest) fprintf(stderr, " (did you mean '%s'?)", nearest);
        fprintf(stderr, "\n  hint: 'instar help' lists the commands\n");
    } else {
        fprintf(stderr, "\n  usage: instar %s %s\n  hint: 'instar %s --help' explains\n", c->command->name,
                c->command->args, c->command->name);
    }
    return 2;
}

static bool read_number(const cli_option *option, const char *text) {
    char *end = NULL;
    errno = 0;
    if (option->kind == CLI_FLOAT) {
        double value = strtod(text, &end);
        if (!text[0] || *end || errno) return false;
        *(double *)option->target = value;
        return true;
    }
    if (text[0] < '0' || text[0] > '9') return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || errno || (option->kind == CLI_INT && value > INT64_MAX)) return false;
    if (option->kind == CLI_INT)
        *(int64_t *)option->target = (int64_t)value;
    else
        *(uint64_t *)option->target = value;
    return true;
}

static bool set_option(const cli *c, const cli_option *option, const char *value, int *code) {
    if (option->given) *option->given = true;
    if (option->kind == CLI_FLAG) {
        *(bool *)option->target = true;
    } else if (option->kind == CLI_TEXT) {
        *(const char **)option->target = value;
    } else if (option->kind == CLI_TEXTS) {
        cli_texts *texts = option->target;
        if (texts->n == (int64_t)(sizeof texts->items / sizeof texts->items[0])) {
            *code = cli_usage_error(c, "too many --%s", option->name);
            return false;
        }
        texts->items[texts->n++] = value;
    } else if (!read_number(option, value)) {
        *code = cli_usage_error(c, "--%s needs a number, not '%s'", option->name, value);
        return false;
    }
    return true;
}

static const cli_option *find_option(const cli_option *options, const char *name, size_t len) {
    for (; options && options->name; options++)
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0) return options;
    return NULL;
}

static int unknown_option(const cli *c, const cli_option *options, const cli_option *common, const char *word) {
    const char *best = NULL, *name = word + strspn(word, "-");
    int distance = 3;
    for (int i = 0; options && options[i].name; i++) keep_nearer(name, options[i].name, &best, &distance);
    for (int i = 0; common[i].name; i++) keep_nearer(name, common[i].name, &best, &distance);
    if (best) return cli_usage_error(c, "unknown option '%s' (did you mean '--%s'?)", word, best);
    return cli_usage_error(c, "unknown option '%s'", word);
}

/* One option and its value; *at moves on. */
static bool take_option(cli *c, const cli_option *options, const cli_option *common, int *at, int *code) {
    const char *word = c->argv[*at];
    if (strcmp(word, "-h") == 0) word = "--help";
    if (strcmp(word, "-q") == 0) word = "--quiet";
    size_t len = strcspn(word + 2, "=");
    const cli_option *option = word[1] == '-' ? find_option(options, word + 2, len) : NULL;
    if (!option && word[1] == '-') option = find_option(common, word + 2, len);
    if (!option) {
        *code = unknown_option(c, options, common, word);
        return false;
    }
    const char *value = word[2 + len] == '=' ? word + 3 + len : NULL;
    if (option->kind == CLI_FLAG && value) {
        *code = cli_usage_error(c, "--%s takes no value", option->name);
        return false;
    }
    if (option->kind != CLI_FLAG && !value) {
        if (*at + 1 >= c->argc) {
            *code = cli_usage_error(c, "--%s needs a value (%s)", option->name, option->meta ? option->meta : "VALUE");
            return false;
        }
        value = c->argv[++*at];
    }
    return set_option(c, option, value, code);
}

bool cli_parse(cli *c, const cli_option *options, int n_min, int n_max, int *code) {
    const cli_option common[] = {{"json", CLI_FLAG, &c->json, NULL, NULL, NULL},
                                 {"threads", CLI_INT, &c->threads, "N", NULL, NULL},
                                 {"quiet", CLI_FLAG, &c->quiet, NULL, NULL, NULL},
                                 {"help", CLI_FLAG, &c->help, NULL, NULL, NULL},
                                 {0}};
    bool only_words = false;
    for (int at = 0; at < c->argc; at++) {
        const char *word = c->argv[at];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1]) {
            if (!take_option(c, options, common, &at, code)) return false;
        } else if (c->n_words == (int)(sizeof c->words / sizeof c->words[0])) {
            *code = cli_usage_error(c, "too many words");
            return false;
        } else {
            c->words[c->n_words++] = word;
        }
    }
    if (c->help) {
        cli_print_usage(c->command, options);
        *code = 0;
        return false;
    }
    if (c->n_words < n_min || (n_max >= 0 && c->n_words > n_max)) {
        *code = c->n_words < n_min ? cli_usage_error(c, "something is missing after '%s'", c->command->name)
                                   : cli_usage_error(c, "'%s' is too much", c->words[n_max]);
        return false;
    }
    return true;
}

/* $INSTAR_CACHE, else $XDG_CACHE_HOME/instar, else ~/.cache/instar. */
static bool cache_folder(char path[PATH_MAX]) {
    const char *own = getenv("INSTAR_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (own && own[0])
        n = snprintf(path, PATH_MAX, "%s", own);
    else if (xdg && xdg[0])
        n = snprintf(path, PATH_MAX, "%s/instar", xdg);
    else if (home && home[0])
        n = snprintf(path, PATH_MAX, "%s/.cache/instar", home);
    return n > 0 && n < PATH_MAX;
}

bool cli_open(cli *c, int *code) {
    char cache[PATH_MAX];
    bool has_cache = cache_folder(cache);
    if (c->threads > 4096) {
        *code = cli_usage_error(c, "--threads must be at most 4096");
        return false;
    }
    instar_settings settings = {.threads = (int)c->threads,
                                .cache_dir = has_cache ? cache : NULL,
                                .message = cli_message,
                                .progress = cli_progress,
                                .arg = c,
                                .stop = &cli_stop};
    if (c->on_ranks) settings.ranks = cli_ranks(&settings.rank);
    c->rank = settings.rank;
    instar_status status = instar_open(&settings, &c->session);
    if (status == INSTAR_OK) return true;
    *code = cli_fail(c, status);
    return false;
}

int cli_fail(cli *c, instar_status status) {
    cli_clear_progress(c);
    int64_t n = c->session ? instar_error_count(c->session) : 0;
    for (int64_t i = 0; i < n; i++) fprintf(stderr, "%s\n", instar_error_text(c->session, i));
    if (!c->session) fprintf(stderr, "error: out of memory\n");
    return instar_exit_code(status);
}

int cli_finish(cli *c, instar_status status, char *const *text) {
    cli_clear_progress(c);
    if (text && *text) fputs(*text, stdout);
    if (text) instar_free(*text);
    return status == INSTAR_OK ? 0 : cli_fail(c, status);
}

instar_format cli_format(const cli *c) {
    return c->json ? INSTAR_JSON : INSTAR_TEXT;
}

instar_recipe cli_recipe_of(const cli *c, const cli_recipe *r) {
    return (instar_recipe){
        .path = c->words[0], .sets = r->sets.items, .n_sets = r->sets.n, .has_seed = r->has_seed, .seed = r->seed};
}

const char *cli_self(char *buf, size_t size) {
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    return buf;
}
