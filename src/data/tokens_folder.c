/* See tokens_folder.h. */
#include "data/tokens_folder.h"

#include <string.h>

void ins_tokens_folder(const char *ref, char *buf, size_t size) {
    size_t n = 0;
    for (; ref[n] && n + 1 < size; n++) {
        char ch = ref[n];
        bool plain =
            (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || strchr("._-=,", ch);
        buf[n] = plain ? ch : '_';
    }
    buf[n] = 0;
}
