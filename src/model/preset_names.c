/* The preset family, and names through a chain of presets: the nearest preset that knows a name decides. */
#include <stdio.h>
#include <string.h>

#include "model/model_internal.h"

#define INS_PRESET(name) extern const ins_preset ins_preset_##name;
#include "registry.def"

static const ins_component *const presets[] = {
#define INS_PRESET(name) &ins_preset_##name.head,
#include "registry.def"
    NULL,
};

const ins_family ins_family_preset = {
    .name = "preset",
    .summary = "Published architectures: option values and Hugging Face names.",
    .items = presets,
    .n = (int64_t)(sizeof presets / sizeof *presets) - 1,
};

const ins_preset *ins_model_preset(const ins_model_options *options) {
    const ins_component *desc = options->preset.desc;
    return (const ins_preset *)(desc ? desc : ins_component_find(&ins_family_preset, "instar"));
}

const ins_preset *ins_preset_base(const ins_preset *preset) {
    return preset->base ? (const ins_preset *)ins_component_find(&ins_family_preset, preset->base) : NULL;
}

/* Does `name` match `pattern`, whose {} stands for a run of digits? The digits go to *digits, n. */
static bool match_digits(const char *pattern, const char *name, const char **digits, int *n) {
    const char *hole = strstr(pattern, "{}");
    if (!hole) return strcmp(pattern, name) == 0;
    size_t before = (size_t)(hole - pattern);
    if (strncmp(pattern, name, before) != 0) return false;
    *digits = name + before;
    *n = (int)strspn(*digits, "0123456789");
    return *n > 0 && strcmp(hole + 2, *digits + *n) == 0;
}

void ins_preset_tensor_name(const ins_preset *preset, const char *ours, char *buf, size_t size) {
    for (const ins_preset *p = preset; p; p = ins_preset_base(p)) {
        for (const ins_tensor_name *row = p->tensors; row && row->ours; row++) {
            const char *digits = "";
            int n = 0;
            if (!match_digits(row->ours, ours, &digits, &n)) continue;
            const char *hole = strstr(row->theirs, "{}");
            if (!hole)
                snprintf(buf, size, "%s", row->theirs);
            else
                snprintf(buf, size, "%.*s%.*s%s", (int)(hole - row->theirs), row->theirs, n, digits, hole + 2);
            return;
        }
    }
    snprintf(buf, size, "%s", ours);
}

static int64_t config_count(const ins_preset *preset) {
    int64_t n = 0;
    for (const ins_config_key *row = preset->config; row && row->key; row++) n++;
    return n;
}

/* Is `key` in a table nearer than `stop`? */
static bool config_known_nearer(const ins_preset *preset, const ins_preset *stop, const char *key) {
    for (const ins_preset *p = preset; p != stop; p = ins_preset_base(p))
        for (const ins_config_key *row = p->config; row && row->key; row++)
            if (strcmp(row->key, key) == 0) return true;
    return false;
}

const ins_config_key *ins_preset_config_next(const ins_preset *preset, int64_t *at) {
    int64_t skip = *at;
    for (const ins_preset *p = preset; p; p = ins_preset_base(p)) {
        int64_t n = config_count(p);
        for (int64_t i = skip; i < n; i++) {
            const ins_config_key *row = &p->config[i];
            (*at)++;
            bool removed = !row->option && !row->fixed;
            if (!removed && !config_known_nearer(preset, p, row->key)) return row;
        }
        skip = skip > n ? skip - n : 0;
    }
    return NULL;
}
