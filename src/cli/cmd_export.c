/* instar export */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    const char *format = "hf", *dtype = NULL;
    const cli_option options[] = {{"format", CLI_TEXT, &format, "hf", "a Hugging Face folder", NULL},
                                  {"dtype", CLI_TEXT, &dtype, "f32", "of the weights", NULL},
                                  {0}};
    if (!cli_parse(c, options, 2, 2, &code)) return code;
    if (strcmp(format, "hf") != 0) return cli_usage_error(c, "this version exports --format hf only, not '%s'", format);
    if (dtype && strcmp(dtype, "f32") != 0)
        return cli_usage_error(c, "this version exports --dtype f32 only, not '%s'", dtype);
    if (!cli_open(c, &code)) return code;
    instar_status status = instar_export(c->session, c->words[0], c->words[1]);
    if (status != INSTAR_OK) return cli_fail(c, status);
    printf("%s\n", c->words[1]);
    return 0;
}

const cli_command cmd_export = {"export", "MODEL [--format hf] FOLDER",
                                "Write a model as a Hugging Face folder, compared before success", run};
