/* The starter recipe. */
#include <string.h>

#include "api/api_internal.h"

static const char starter[] =
    "# A starter recipe: text files -> tokenizer -> a small model -> samples, with probes on the way.\n"
    "# Check it with 'instar check', see its cost with 'instar plan', run it with 'instar run'.\n"
    "recipe: starter\n"
    "seed: 1\n"
    "\n"
    "stages:\n"
    "  corpus:\n"
    "    kind: build-data\n"
    "    sources:\n"
    "      - {kind: text, path: '*.txt'}      # your files; 'instar list reader' shows the other kinds\n"
    "    steps: [normalise, dedup]\n"
    "    valid: 0.05                          # held out for the probes\n"
    "  tokens:\n"
    "    kind: tokenize\n"
    "    corpora: [corpus]\n"
    "    tokenizer: {kind: bpe, vocab: 4096}\n"
    "  base:\n"
    "    kind: train\n"
    "    data: [{tokens: tokens, corpus: corpus}]\n"
    "    model: {preset: llama, layers: 4}    # width, heads, batch and learning rate follow from it\n"
    "    budget: 2M                           # tokens\n"
    "  samples:\n"
    "    kind: generate\n"
    "    model: base\n"
    "    prompts: ['The ']\n"
    "\n"
    "probes:                                  # measured at log-spaced checkpoints of every train stage\n"
    "  - {kind: bpb, name: held-out, tokens: tokens, corpus: corpus, split: valid}\n"
    "\n"
    "claims:\n"
    "  - id: learns\n"
    "    text: Training lowers the bits per byte of held-out text.\n"
    "    metric: \"base:bpb/held-out\"\n"
    "    relation: \"<\"\n"
    "    than: \"base:bpb/held-out@first\"\n";

instar_status instar_init(instar *session, const char *path) {
    ins_error err = {0};
    api_begin(session);
    ins_status status = INS_OK;
    if (ins_file_exists(path) || ins_dir_exists(path)) {
        status = INS_FAIL(&err, INS_USAGE, "'%s' exists already", path);
        ins_error_hint(&err, "give another name: instar init my-recipe.yaml");
    }
    if (status == INS_OK) status = ins_file_write_atomic(path, starter, strlen(starter), &err);
    return api_end(session, status, &err);
}
