/* Where downloads are kept and where public data sets lie. */
#include "data/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

ins_status ins_place_downloads_path(const char *name, char *buf, size_t size, ins_error *err) {
    const char *cache = environment("INSTAR_CACHE"), *xdg = environment("XDG_CACHE_HOME"), *home = environment("HOME");
    int n;
    if (cache) {
        n = snprintf(buf, size, "%s/downloads/%s", cache, name);
    } else if (xdg) {
        n = snprintf(buf, size, "%s/instar/downloads/%s", xdg, name);
    } else if (home) {
        n = snprintf(buf, size, "%s/.cache/instar/downloads/%s", home, name);
    } else {
        INS_FAIL(err, INS_ENV, "there is no folder for downloads: HOME is not set");
        ins_error_hint(err, "set INSTAR_CACHE to a folder that may be written");
        return INS_ENV;
    }
    if (n < 0 || (size_t)n >= size) return INS_FAIL(err, INS_ENV, "the path of the cache folder is too long");
    return INS_OK;
}

ins_status ins_place_downloads(const char *name, char *buf, size_t size, ins_error *err) {
    INS_TRY(ins_place_downloads_path(name, buf, size, err));
    return ins_dir_make(buf, err);
}

/* Public home of the sets that recipes name. */
static const struct {
    const char *id, *home;
} known_sets[] = {
    {"blimp", "https://github.com/alexwarstadt/blimp"},
    {"e2e", "https://github.com/tuetschek/e2e-dataset"},
    {"gsm8k", "https://github.com/openai/grade-school-math"},
    {"lcquad", "https://github.com/AskNowQA/LC-QuAD"},
    {"multi30k", "https://github.com/multi30k/dataset"},
    {"sst", "https://github.com/AcademiaSinicaNLPLab/sentiment_dataset"},
    {"svamp", "https://github.com/arkilpatel/SVAMP"},
    {"tinyshakespeare", "https://github.com/karpathy/char-rnn"},
    {"ud_ewt", "https://github.com/UniversalDependencies/UD_English-EWT"},
    {"wikitext2", "https://github.com/pytorch/examples (word_language_model)"},
};

static void hint_home(const char *id, size_t n, const char *folder, ins_error *err) {
    for (size_t i = 0; i < sizeof known_sets / sizeof *known_sets; i++) {
        if (strlen(known_sets[i].id) == n && strncmp(known_sets[i].id, id, n) == 0) {
            ins_error_hint(err, "get the set from %s into %s/%s", known_sets[i].home, folder, known_sets[i].id);
            return;
        }
    }
    ins_error_hint(err, "put the set's files into %s/%.*s", folder, (int)n, id);
}

ins_status ins_place_resolve(const char *path, char *buf, size_t size, ins_error *err) {
    if (strncmp(path, "data:", 5) != 0) {
        int n = snprintf(buf, size, "%s", path);
        if (n < 0 || (size_t)n >= size) return INS_FAIL(err, INS_USAGE, "the path '%.80s...' is too long", path);
        return INS_OK;
    }
    const char *rest = path + 5, *folder = environment("INSTAR_DATA");
    size_t id = strcspn(rest, "/");
    if (id == 0 || rest[0] == '.') {
        INS_FAIL(err, INS_RECIPE, "'%s' names no data set", path);
        ins_error_hint(err, "write data:SET/FILE, as in data:tinyshakespeare/input.txt.zst");
        return INS_RECIPE;
    }
    if (!folder) {
        INS_FAIL(err, INS_ENV, "'%s' is a public data set, and INSTAR_DATA does not say where such sets lie", path);
        hint_home(rest, id, "$INSTAR_DATA", err);
        return INS_ENV;
    }
    int n = snprintf(buf, size, "%s/%.*s", folder, (int)id, rest);
    if (n < 0 || (size_t)n >= size) return INS_FAIL(err, INS_USAGE, "the path '%.80s...' is too long", path);
    if (!ins_dir_exists(buf)) {
        INS_FAIL(err, INS_ENV, "'%s': there is no folder '%s'", path, buf);
        hint_home(rest, id, folder, err);
        return INS_ENV;
    }
    n = snprintf(buf, size, "%s/%s", folder, rest);
    if (n < 0 || (size_t)n >= size) return INS_FAIL(err, INS_USAGE, "the path '%.80s...' is too long", path);
    return INS_OK;
}
