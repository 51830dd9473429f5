/* Commands of the contract that this version does not have: each says so, and what there is instead. */
#include <stdio.h>

#include "cli/cli.h"

static int say(const cli *c, const char *instead) {
    fprintf(stderr, "error: this version has no 'instar %s'\n  hint: %s\n", c->command->name, instead);
    return 2;
}

#define LATER(name, word, instead)                                                                                     \
    static int run_##name(cli *c) {                                                                                    \
        return say(c, instead);                                                                                        \
    }                                                                                                                  \
    const cli_command cmd_later_##name = {word, NULL, "", run_##name};

LATER(hidden, "hidden", "'instar logits' gives the logits of a model")
LATER(grads, "grads", "'instar logits MODEL --loss' gives the loss")
LATER(embed, "embed", "'instar logits' gives the logits of a model")
LATER(eval, "eval", "a recipe with a stage of kind 'evaluate' measures a model: see 'instar help stage evaluate'")
LATER(template, "template", "'instar generate --chat' puts a prompt into the chat template")
LATER(import, "import", "Hugging Face folders are read as they are: give the folder as MODEL")
LATER(serve, "serve", "'instar generate' lets a model write")
LATER(chat, "chat", "'instar generate --chat' answers one message")
LATER(catalogue, "catalogue", "the recipes in recipes/ are what there is")
LATER(diff, "diff", "'instar why' compares a stage with what was made before")
