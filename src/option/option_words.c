/* Words, ranges and short quotes for messages and help. */
#include "option/option_internal.h"

#include <stdio.h>
#include <string.h>

#define RANGE_UNBOUNDED 1e18 /* such an end is there for the machine's sake: people are not told of it */

bool opt_next_word(const char **rest, opt_word *word) {
    if (!*rest) return false;
    const char *start = *rest + strspn(*rest, " ,");
    size_t len = strcspn(start, " ,");
    *rest = start + len;
    *word = (opt_word){start, len};
    return len > 0;
}

bool opt_word_is(opt_word word, const char *text) {
    return strlen(text) == word.len && memcmp(word.text, text, word.len) == 0;
}

bool opt_has_word(const char *words, const char *text) {
    opt_word word;
    while (opt_next_word(&words, &word))
        if (opt_word_is(word, text)) return true;
    return false;
}

opt_limits opt_limits_of(const ins_opt_row *row) {
    bool any = row->min < row->max;
    return (opt_limits){.low = any && row->min > -RANGE_UNBOUNDED, .high = any && row->max < RANGE_UNBOUNDED};
}

const char *opt_range_text(const ins_opt_row *row, char buf[96]) {
    char low[32], high[32];
    buf[0] = '\0';
    opt_limits has = opt_limits_of(row);
    ins_double_format(row->min, low);
    ins_double_format(row->max, high);
    bool open = row->flags & INS_OPT_EXCL_MIN;
    if (has.low && has.high)
        snprintf(buf, 96, open ? "above %s and at most %s" : "from %s to %s", low, high);
    else if (has.low)
        snprintf(buf, 96, open ? "above %s" : "at least %s", low);
    else if (has.high)
        snprintf(buf, 96, "at most %s", high);
    return buf;
}

const char *opt_short_text(const char *text, char buf[80]) {
    size_t len = strlen(text);
    if (len < 80) {
        memcpy(buf, text, len + 1);
        return buf;
    }
    size_t cut = 76;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0u) == 0x80u) cut--;
    memcpy(buf, text, cut);
    memcpy(buf + cut, "...", 4);
    return buf;
}

const char *opt_nearest_row(const ins_opt_table *table, const char *const *skip, const char *word, ins_arena *arena) {
    const char *best = NULL;
    int64_t n = 0, cap = 0;
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        cap++;
        const char *rest = row->aliases;
        for (opt_word alias; opt_next_word(&rest, &alias);) cap++;
    }
    for (const char *const *key = skip; key && *key; key++) cap++;
    const char **names = ins_arena_alloc(arena, (size_t)cap * sizeof *names);
    if (!names) return NULL;
    for (const ins_opt_row *row = table->rows; row->name; row++) names[n++] = row->name;
    for (const char *const *key = skip; key && *key; key++) names[n++] = *key;
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        const char *rest = row->aliases;
        for (opt_word alias; opt_next_word(&rest, &alias);)
            names[n++] = ins_arena_strndup(arena, alias.text, alias.len);
    }
    best = ins_nearest_name(word, names, n);
    return best;
}
