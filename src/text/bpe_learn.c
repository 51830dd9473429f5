/* Learning merges with incremental pair counts (the greedy procedure of Sennrich, Haddow and Birch, 2016).
 *
 * All words lie behind each other in one array of symbols; position p holds a token id, or -1 once it has been joined
 * to its left neighbour. next/before link the living positions of a word. For every pair there is its weighted count
 * and a list of positions where its left half once stood: a list is only ever too long, never too short, and each
 * position is checked when its turn comes. A heap holds (count, pair) with counts that may be too high: the true count
 * is looked up when a pair comes to the top. Counts of a pair include overlapping ones ("aaa" holds two "aa").
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/bpe_train.h"

#define NOWHERE UINT32_MAX

typedef struct pair_info {
    int32_t left, right;
    int64_t count;
    uint32_t *at; /* positions; owned */
    uint32_t n, cap;
    bool touched; /* count went up in this step: goes (back) on the heap */
} pair_info;

typedef struct pair_entry {
    int64_t count;
    int32_t left, right;
    uint32_t pair; /* index of its pair_info */
} pair_entry;

typedef struct learner {
    ins_tokenizer *tok;
    const bpe_words *words;
    const bpe_goal *goal;
    int32_t *symbols;
    uint32_t *next, *before, *word; /* word: index into words->counts */
    uint32_t n;
    pair_info *pairs;
    uint32_t n_pairs, cap_pairs;
    uint32_t *table; /* open addressing: index into pairs, NOWHERE = empty */
    uint64_t mask;
    pair_entry *heap;
    size_t n_heap, cap_heap;
    uint32_t *touched;
    uint32_t n_touched, cap_touched;
    int32_t *merge_left, *merge_right;
    int64_t n_merges, cap_merges;
    double started, shown;
} learner;

static void learner_free(learner *l) {
    for (uint32_t i = 0; i < l->n_pairs; i++) ins_free(l->pairs[i].at);
    ins_free(l->symbols);
    ins_free(l->next);
    ins_free(l->before);
    ins_free(l->word);
    ins_free(l->pairs);
    ins_free(l->table);
    ins_free(l->heap);
    ins_free(l->touched);
    ins_free(l->merge_left);
    ins_free(l->merge_right);
}

/* ---- pairs ---- */

static bool table_grow(learner *l) {
    if (l->table && (uint64_t)l->n_pairs * 2 < l->mask) return true;
    uint64_t size = l->table ? (l->mask + 1) * 2 : 65536;
    uint32_t *table = ins_malloc(size * sizeof *table);
    if (!table) return false;
    memset(table, 0xff, size * sizeof *table); /* NOWHERE */
    for (uint32_t i = 0; i < l->n_pairs; i++) {
        uint64_t at = text_pair_hash(text_pair(l->pairs[i].left, l->pairs[i].right)) & (size - 1);
        while (table[at] != NOWHERE) at = (at + 1) & (size - 1);
        table[at] = i;
    }
    ins_free(l->table);
    l->table = table;
    l->mask = size - 1;
    return true;
}

/* Index of the pair, made when it is new; NOWHERE without memory. */
static uint32_t pair_get(learner *l, int32_t left, int32_t right) {
    uint64_t at = text_pair_hash(text_pair(left, right)) & l->mask;
    for (; l->table[at] != NOWHERE; at = (at + 1) & l->mask)
        if (l->pairs[l->table[at]].left == left && l->pairs[l->table[at]].right == right) return l->table[at];
    if (l->n_pairs == l->cap_pairs) {
        uint32_t cap = l->cap_pairs ? l->cap_pairs * 2 : 16384;
        pair_info *grown = cap < l->cap_pairs ? NULL : ins_realloc(l->pairs, (size_t)cap * sizeof *grown);
        if (!grown) return NOWHERE;
        l->pairs = grown;
        l->cap_pairs = cap;
    }
    l->pairs[l->n_pairs] = (pair_info){.left = left, .right = right};
    l->table[at] = l->n_pairs++;
    return table_grow(l) ? l->n_pairs - 1 : NOWHERE;
}

static bool pair_add_place(pair_info *pair, uint32_t at) {
    if (pair->n == pair->cap) {
        uint32_t cap = pair->cap < 4 ? 4 : pair->cap * 2;
        uint32_t *grown = ins_realloc(pair->at, (size_t)cap * sizeof *grown);
        if (!grown) return false;
        pair->at = grown;
        pair->cap = cap;
    }
    pair->at[pair->n++] = at;
    return true;
}

/* The pair (left, right) now stands at `at`, `count` times in the text. */
static bool pair_gain(learner *l, int32_t left, int32_t right, uint32_t at, int64_t count) {
    uint32_t index = pair_get(l, left, right);
    if (index == NOWHERE) return false;
    pair_info *pair = &l->pairs[index];
    pair->count += count;
    if (!pair_add_place(pair, at)) return false;
    if (pair->touched) return true;
    if (l->n_touched == l->cap_touched) {
        uint32_t cap = l->cap_touched ? l->cap_touched * 2 : 1024;
        uint32_t *grown = ins_realloc(l->touched, (size_t)cap * sizeof *grown);
        if (!grown) return false;
        l->touched = grown;
        l->cap_touched = cap;
    }
    pair->touched = true;
    l->touched[l->n_touched++] = index;
    return true;
}

static bool pair_lose(learner *l, int32_t left, int32_t right, int64_t count) {
    uint32_t index = pair_get(l, left, right);
    if (index == NOWHERE) return false;
    l->pairs[index].count -= count;
    return true;
}

/* ---- heap: most frequent first, then smaller ids ---- */

static bool entry_before(const pair_entry *x, const pair_entry *y) {
    if (x->count != y->count) return x->count > y->count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static bool heap_push(learner *l, uint32_t index) {
    if (l->n_heap == l->cap_heap) {
        size_t cap = l->cap_heap ? l->cap_heap * 2 : 16384;
        pair_entry *grown = ins_realloc(l->heap, cap * sizeof *grown);
        if (!grown) return false;
        l->heap = grown;
        l->cap_heap = cap;
    }
    const pair_info *pair = &l->pairs[index];
    pair_entry entry = {.count = pair->count, .left = pair->left, .right = pair->right, .pair = index};
    size_t hole = l->n_heap++;
    while (hole > 0 && entry_before(&entry, &l->heap[(hole - 1) / 2])) {
        l->heap[hole] = l->heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    l->heap[hole] = entry;
    return true;
}

static pair_entry heap_pop(learner *l) {
    pair_entry top = l->heap[0], last = l->heap[--l->n_heap];
    size_t hole = 0;
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= l->n_heap) break;
        if (child + 1 < l->n_heap && entry_before(&l->heap[child + 1], &l->heap[child])) child++;
        if (!entry_before(&l->heap[child], &last)) break;
        l->heap[hole] = l->heap[child];
        hole = child;
    }
    if (l->n_heap > 0) l->heap[hole] = last;
    return top;
}

static bool push_touched(learner *l) {
    for (uint32_t i = 0; i < l->n_touched; i++) {
        l->pairs[l->touched[i]].touched = false;
        if (l->pairs[l->touched[i]].count > 0 && !heap_push(l, l->touched[i])) return false;
    }
    l->n_touched = 0;
    return true;
}

/* ---- start ---- */

static ins_status load_words(learner *l, ins_error *err) {
    const bpe_words *words = l->words;
    uint64_t n = words->at[words->n];
    if (n >= NOWHERE || words->n >= NOWHERE) {
        INS_FAIL(err, INS_DATA, "the text has too many different words to learn from (%llu bytes of them)",
                 (unsigned long long)n);
        ins_error_hint(err, "train on a sample of the text");
        return INS_DATA;
    }
    size_t room = n ? (size_t)n : 1;
    l->n = (uint32_t)n;
    l->symbols = ins_malloc(room * sizeof *l->symbols);
    l->next = ins_malloc(room * sizeof *l->next);
    l->before = ins_malloc(room * sizeof *l->before);
    l->word = ins_malloc(room * sizeof *l->word);
    if (!l->symbols || !l->next || !l->before || !l->word || !table_grow(l)) return text_no_memory(err);
    for (int64_t w = 0; w < words->n; w++)
        for (uint64_t p = words->at[w]; p < words->at[w + 1]; p++) {
            l->symbols[p] = l->tok->byte_id[words->bytes[p]];
            l->word[p] = (uint32_t)w;
            l->before[p] = p > words->at[w] ? (uint32_t)p - 1 : NOWHERE;
            l->next[p] = p + 1 < words->at[w + 1] ? (uint32_t)p + 1 : NOWHERE;
        }
    for (uint32_t p = 0; p < l->n; p++)
        if (l->next[p] != NOWHERE && !pair_gain(l, l->symbols[p], l->symbols[l->next[p]], p, words->counts[l->word[p]]))
            return text_no_memory(err);
    return push_touched(l) ? INS_OK : text_no_memory(err);
}

/* ---- one merge ---- */

static int by_position(const void *left, const void *right) {
    uint32_t l = *(const uint32_t *)left, r = *(const uint32_t *)right;
    return l < r ? -1 : l > r;
}

/* Join the pair at position p. Neighbouring pairs lose and gain one place each. */
static bool join_at(learner *l, uint32_t p, int32_t id) {
    uint32_t right = l->next[p], behind = l->next[right], before = l->before[p];
    int32_t left_id = l->symbols[p], right_id = l->symbols[right];
    int64_t count = l->words->counts[l->word[p]];
    if (before != NOWHERE &&
        (!pair_lose(l, l->symbols[before], left_id, count) || !pair_gain(l, l->symbols[before], id, before, count)))
        return false;
    l->symbols[p] = id;
    l->symbols[right] = -1;
    l->next[p] = behind;
    if (behind == NOWHERE) return true;
    l->before[behind] = p;
    return pair_lose(l, right_id, l->symbols[behind], count) && pair_gain(l, id, l->symbols[behind], p, count);
}

static bool join_all(learner *l, uint32_t index, int32_t id) {
    pair_info pair = l->pairs[index];
    l->pairs[index].at = NULL; /* taken over: new places of the same pair start a new list */
    l->pairs[index].n = l->pairs[index].cap = 0;
    l->pairs[index].count = 0;
    bool sorted = true, good = true;
    for (uint32_t i = 1; i < pair.n && sorted; i++) sorted = pair.at[i - 1] <= pair.at[i];
    if (!sorted) qsort(pair.at, pair.n, sizeof *pair.at, by_position); /* left to right, so that "aaa" gives "aa" "a" */
    for (uint32_t i = 0; i < pair.n && good; i++) {
        uint32_t p = pair.at[i], right = l->next[p];
        if (l->symbols[p] != pair.left || right == NOWHERE || l->symbols[right] != pair.right) continue;
        good = join_at(l, p, id);
    }
    ins_free(pair.at);
    l->pairs[index].count = 0; /* overlapping places of the pair itself were counted, and are gone */
    return good && push_touched(l);
}

/* The token that the pair becomes: a new one, or one that another merge has made of other halves. */
static ins_status joined_token(learner *l, const pair_entry *top, int32_t *id, ins_error *err) {
    size_t n_left, n_right;
    ins_str text = {0};
    const unsigned char *left = text_token_bytes(l->tok, top->left, &n_left);
    const unsigned char *right = text_token_bytes(l->tok, top->right, &n_right);
    ins_str_append(&text, left, n_left);
    ins_str_append(&text, right, n_right);
    ins_status status = text.oom ? text_no_memory(err) : INS_OK;
    *id = status == INS_OK ? text_find_plain(l->tok, text.data, text.len) : -1;
    if (status == INS_OK && *id < 0) {
        *id = (int32_t)l->tok->n_tokens;
        status = text_add_token(l->tok, text.data, text.len, 0, err);
    }
    ins_str_free(&text);
    return status;
}

static ins_status note_merge(learner *l, const pair_entry *top, ins_error *err) {
    if (l->n_merges == l->cap_merges) {
        int64_t cap = l->cap_merges ? l->cap_merges * 2 : 1024;
        int32_t *left = ins_realloc(l->merge_left, (size_t)cap * sizeof *left);
        if (left) l->merge_left = left;
        int32_t *right = ins_realloc(l->merge_right, (size_t)cap * sizeof *right);
        if (right) l->merge_right = right;
        if (!left || !right) return text_no_memory(err);
        l->cap_merges = cap;
    }
    l->merge_left[l->n_merges] = top->left;
    l->merge_right[l->n_merges] = top->right;
    l->n_merges++;
    return INS_OK;
}

static bool too_long(const learner *l, const pair_entry *top) {
    size_t left, right;
    text_token_bytes(l->tok, top->left, &left);
    text_token_bytes(l->tok, top->right, &right);
    return left + right > (size_t)l->goal->max_token_bytes;
}

static void show_progress(learner *l, int64_t first, const ins_log *log) {
    if (l->n_merges % 64 != 0) return;
    double now = ins_now();
    if (now - l->shown < 0.2) return;
    l->shown = now;
    double done = (double)(l->tok->n_tokens - first), total = (double)(l->goal->vocab - first);
    double rate = done / (now - l->started + 1e-9);
    ins_progress state = {.what = "learn merges",
                          .unit = "merges",
                          .done = done,
                          .total = total,
                          .rate = rate,
                          .eta_s = rate > 0 ? (total - done) / rate : -1};
    ins_log_progress(log, &state);
}

static ins_status fail_short(const learner *l, int64_t first, ins_error *err) {
    long long got = (long long)l->tok->n_tokens, want = (long long)l->goal->vocab;
    INS_FAIL(err, INS_DATA,
             "the text gives a vocabulary of %lld tokens at most, not %lld: after %lld merges no pair occurs %lld "
             "times or more",
             got, want, (long long)(l->tok->n_tokens - first), (long long)l->goal->min_frequency);
    ins_error_hint(err, "set vocab to %lld or less, lower min_frequency, or train on more text than %.1f kB", got,
                   (double)l->words->total_bytes / 1e3);
    return INS_DATA;
}

static ins_status learn(learner *l, const ins_log *log, ins_error *err) {
    int64_t first = l->tok->n_tokens;
    INS_TRY(load_words(l, err));
    while (l->tok->n_tokens < l->goal->vocab) {
        if (l->n_heap == 0) return fail_short(l, first, err);
        pair_entry top = heap_pop(l);
        if (top.count != l->pairs[top.pair].count) { /* has lost places since */
            if (l->pairs[top.pair].count > 0 && !heap_push(l, top.pair)) return text_no_memory(err);
            continue;
        }
        if (top.count < 1 || top.count < l->goal->min_frequency) return fail_short(l, first, err);
        if (too_long(l, &top)) continue;
        int32_t id;
        INS_TRY(joined_token(l, &top, &id, err));
        INS_TRY(note_merge(l, &top, err));
        if (!join_all(l, top.pair, id)) return text_no_memory(err);
        show_progress(l, first, log);
    }
    return text_set_merges(l->tok, l->merge_left, l->merge_right, l->n_merges, err);
}

ins_status bpe_learn(ins_tokenizer *tok, const bpe_words *words, const bpe_goal *goal, const ins_log *log,
                     ins_error *err) {
    learner l = {.tok = tok, .words = words, .goal = goal, .started = ins_now()};
    ins_status status = learn(&l, log, err);
    learner_free(&l);
    return status;
}
