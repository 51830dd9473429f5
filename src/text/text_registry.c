/* The family of tokenizers, from the one list. */
#include "text/tokenizer.h"

#define INS_TOKENIZER(name) extern const ins_tokenizer_desc ins_tokenizer_##name;
#include "registry.def"

static const ins_component *const items[] = {
#define INS_TOKENIZER(name) &ins_tokenizer_##name.head,
#include "registry.def"
};

const ins_family ins_family_tokenizer = {
    .name = "tokenizer",
    .summary = "Trainers of tokenizers: how text becomes token ids.",
    .items = items,
    .n = sizeof items / sizeof items[0],
};
