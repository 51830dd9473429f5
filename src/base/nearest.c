/* Nearest name by edit distance, for "did you mean". */
#include "base/status.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define NEAREST_MAX_LEN 96

static int min_int(int x, int y) {
    return x < y ? x : y;
}

/* Optimal string alignment distance: insert, delete, replace and swap of neighbours cost 1 each. */
static int edit_distance(const char *word, int word_len, const char *name, int name_len) {
    int rows[3][NEAREST_MAX_LEN + 1];
    int *before = rows[0], *prev = rows[1], *cur = rows[2];
    for (int j = 0; j <= name_len; j++) prev[j] = j;
    for (int i = 1; i <= word_len; i++) {
        int ci = tolower((unsigned char)word[i - 1]);
        cur[0] = i;
        for (int j = 1; j <= name_len; j++) {
            int cj = tolower((unsigned char)name[j - 1]);
            int cost = prev[j - 1] + (ci != cj);
            cost = min_int(cost, min_int(prev[j], cur[j - 1]) + 1);
            if (i > 1 && j > 1 && ci == tolower((unsigned char)name[j - 2]) &&
                cj == tolower((unsigned char)word[i - 2]))
                cost = min_int(cost, before[j - 2] + 1);
            cur[j] = cost;
        }
        int *spare = before;
        before = prev;
        prev = cur;
        cur = spare;
    }
    return prev[name_len];
}

const char *ins_nearest_name(const char *word, const char *const *names, int64_t n) {
    if (!word) return NULL;
    size_t word_len = strlen(word);
    if (word_len == 0 || word_len > NEAREST_MAX_LEN) return NULL;
    int limit = (int)word_len / 3 > 2 ? (int)word_len / 3 : 2;
    const char *best = NULL;
    int best_distance = limit + 1;
    for (int64_t i = 0; i < n; i++) {
        if (!names[i]) continue;
        size_t name_len = strlen(names[i]);
        if (name_len == 0 || name_len > NEAREST_MAX_LEN) continue;
        int distance = edit_distance(word, (int)word_len, names[i], (int)name_len);
        int longer = (int)(word_len > name_len ? word_len : name_len);
        if (distance >= longer) continue; /* nothing in common */
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}
