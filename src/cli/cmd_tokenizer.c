/* instar tokenizer encode | decode | train */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* JSON Lines in, JSON Lines out. */
static int convert(cli *c, bool encode, bool no_special) {
    instar_tokenizer *tokenizer = NULL;
    char *line = NULL, *result = NULL;
    size_t size = 0;
    long number = 0;
    instar_status status = instar_tokenizer_open(c->session, c->words[1], &tokenizer);
    for (ssize_t n; status == INSTAR_OK && (n = getline(&line, &size, stdin)) >= 0;) {
        number++;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        if (n == 0) continue;
        status = encode ? instar_tokenizer_encode(tokenizer, line, !no_special, &result)
                        : instar_tokenizer_decode(tokenizer, line, !no_special, &result);
        if (status != INSTAR_OK) {
            fprintf(stderr, "line %ld: ", number);
            break;
        }
        puts(result);
        instar_free(result);
    }
    free(line);
    instar_tokenizer_close(tokenizer);
    return status == INSTAR_OK ? 0 : cli_fail(c, status);
}

static int train(cli *c, const char *kind, int64_t vocab, const char *out) {
    if (!out) return cli_usage_error(c, "--out is missing");
    if (c->n_words < 2) return cli_usage_error(c, "files to train on are missing");
    instar_status status = instar_tokenizer_train(c->session, kind, vocab, c->words + 1, c->n_words - 1, out);
    cli_clear_progress(c);
    if (status != INSTAR_OK) return cli_fail(c, status);
    printf("%s\n", out);
    return 0;
}

static int run(cli *c) {
    int code = 0;
    bool no_special = false;
    const char *kind = "bpe", *out = NULL;
    int64_t vocab = 0;
    const cli_option options[] = {
        {"no-special", CLI_FLAG, &no_special, NULL,
         "encode: special tokens' texts are plain text; decode: leave them out", NULL},
        {"kind", CLI_TEXT, &kind, "KIND", "train: kind of tokenizer, see 'instar list tokenizer'", NULL},
        {"vocab", CLI_INT, &vocab, "N", "train: size of the vocabulary", NULL},
        {"out", CLI_TEXT, &out, "FILE", "train: where tokenizer.json goes", NULL},
        {0}};
    if (!cli_parse(c, options, 1, -1, &code)) return code;
    const char *what = c->words[0];
    bool encode = strcmp(what, "encode") == 0, decode = strcmp(what, "decode") == 0;
    if (!encode && !decode && strcmp(what, "train") != 0)
        return cli_usage_error(c, "there is encode, decode and train, not '%s'", what);
    if ((encode || decode) && c->n_words != 2) return cli_usage_error(c, "give one tokenizer");
    if (!cli_open(c, &code)) return code;
    return encode || decode ? convert(c, encode, no_special) : train(c, kind, vocab, out);
}

const cli_command cmd_tokenizer = {
    "tokenizer", "encode|decode TOKENIZER [--no-special] | train --kind bpe --vocab N --out F FILE...",
    "Texts to token ids and back (JSON Lines), and training of tokenizers", run};
