/* instar completion bash: a script for the shell, made from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int run(cli *c) {
    int code = 0;
    if (!cli_parse(c, NULL, 1, 1, &code)) return code;
    if (strcmp(c->words[0], "bash") != 0)
        return cli_usage_error(c, "there is a completion for bash only, not '%s'", c->words[0]);
    puts("# bash completion for instar; put it into /etc/bash_completion.d or source it\n"
         "_instar() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs("        COMPREPLY=($(compgen -W \"", stdout);
    for (int i = 0, any = 0; cli_commands[i]; i++)
        if (cli_commands[i]->args) printf("%s%s", any++ ? " " : "", cli_commands[i]->name);
    puts("\" -- \"$word\"))\n"
         "        return\n"
         "    fi\n"
         "    case $word in\n"
         "    -*)\n"
         "        COMPREPLY=($(compgen -W \"$(instar \"$command\" --help 2>/dev/null | sed -n 's/^  "
         "\\(--[a-z-]*\\).*/\\1/p')\" -- \"$word\"))\n"
         "        return ;;\n"
         "    esac\n"
         "    case $command in\n"
         "    list|help)\n"
         "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
         "            COMPREPLY=($(compgen -W \"$(instar list 2>/dev/null | awk '{print $1}')\" -- \"$word\"))\n"
         "        else\n"
         "            COMPREPLY=($(compgen -W \"$(instar list \"${COMP_WORDS[2]}\" 2>/dev/null | awk '{print $1}')\" "
         "-- \"$word\"))\n"
         "        fi ;;\n"
         "    tokenizer) COMPREPLY=($(compgen -W \"encode decode train\" -f -- \"$word\")) ;;\n"
         "    data) COMPREPLY=($(compgen -W \"stats head\" -f -- \"$word\")) ;;\n"
         "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
         "    esac\n"
         "}\n"
         "complete -o filenames -F _instar instar");
    return 0;
}

const cli_command cmd_completion = {"completion", "bash", "Print a completion script for the shell", run};
