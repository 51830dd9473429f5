/* instar logits */
#include <stdio.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    bool want_loss = false;
    const char *ids = NULL, *out = NULL;
    double loss = 0;
    const cli_option options[] = {
        {"ids", CLI_TEXT, &ids, "'[[1,2],[3]]'", "rows of token ids", NULL},
        {"out", CLI_TEXT, &out, "F.npy", "f32 [rows, longest, vocabulary]; zeros past a row's end", NULL},
        {"loss", CLI_FLAG, &want_loss, NULL, "print {\"loss\"}: the mean next-token loss in nats", NULL},
        {0}};
    if (!cli_parse(c, options, 1, 1, &code)) return code;
    if (!ids) return cli_usage_error(c, "--ids is missing");
    if (!out && !want_loss) return cli_usage_error(c, "give --out, --loss or both");
    if (!cli_open(c, &code)) return code;
    instar_status status = instar_logits(c->session, c->words[0], ids, out, &loss);
    if (status != INSTAR_OK) return cli_fail(c, status);
    if (want_loss && loss == loss) printf("{\"loss\":%.9g}\n", loss);
    if (want_loss && loss != loss) puts("{\"loss\":null}");
    return 0;
}

const cli_command cmd_logits = {"logits", "MODEL --ids '[[...],[...]]' [--out F.npy] [--loss]",
                                "Logits of given token ids as a .npy file", run};
