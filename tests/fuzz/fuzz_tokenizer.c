/* Any bytes as a tokenizer.json: refused, or a tokenizer that takes any bytes and gives them back. */
#include <string.h>

#include "fuzz_file.h"
#include "text/tokenizer.h"

static void use(const ins_tokenizer *tok, const uint8_t *data, size_t size) {
    ins_ids ids = {0};
    ins_str back = {0};
    for (int special = 0; special < 2; special++) {
        ids.n = 0;
        ins_str_clear(&back);
        if (ins_tokenizer_encode(tok, NULL, (const char *)data, size, special, &ids, NULL) != INS_OK) abort();
        if (ins_tokenizer_decode(tok, ids.data, ids.n, false, &back, NULL) != INS_OK) abort();
    }
    ins_ids_free(&ids);
    ins_str_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    if (ins_tokenizer_load(path, &tok, &err) == INS_OK) use(tok, data, size);
    ins_tokenizer_free(tok);
    close(fd);
    return 0;
}
