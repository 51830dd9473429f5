/* instar doctor */
#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    instar_doctor_options o = {0};
    const cli_option options[] = {
        {"cache", CLI_FLAG, &o.verify_cache, NULL, "compare every file of the cache with its hash", NULL},
        {"no-speed", CLI_FLAG, &o.no_speed, NULL, "leave out the measurements", NULL},
        {0}};
    if (!cli_parse(c, options, 0, 0, &code) || !cli_open(c, &code)) return code;
    char *text = NULL;
    return cli_finish(c, instar_doctor(c->session, &o, cli_format(c), &text), &text);
}

const cli_command cmd_doctor = {"doctor", "[--cache] [--no-speed] [--json]", "What this machine is, can and lacks",
                                run};
