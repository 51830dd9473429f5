/* Any bytes as a safetensors file: refused, or every tensor lies inside it. */
#include "base/hash.h"
#include "format/safetensors.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    ins_safetensors *st = NULL;
    ins_error err = {0};
    if (ins_safetensors_open(path, &st, &err) == INS_OK) {
        for (int64_t i = 0; i < ins_safetensors_count(st); i++) {
            const ins_safetensor *t = ins_safetensors_at(st, i);
            if (ins_safetensors_find(st, t->name) != t || ins_type_bytes(&t->type) != t->bytes) abort();
            if (t->bytes && ins_hash64(t->data, t->bytes, 0) == 0) continue; /* reads every byte */
        }
        ins_safetensors_close(st);
    }
    close(fd);
    return 0;
}
