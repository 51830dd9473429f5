/* Reading SWORD modules. Every number of the files is checked before use. */
#include "data/sword_module.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define CONF_MAX  ((uint64_t)1 << 20)
#define BLOCK_MAX ((uint32_t)1 << 28)

static uint32_t load_u32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- .conf ---- */

/* Value of "Key=value" in the text, into buf; false when absent. */
static bool conf_value(const char *text, const char *key, char *buf, size_t size) {
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || line[n] != '=') continue;
        size_t length = strcspn(line + n + 1, "\r\n");
        if (length >= size) return false;
        memcpy(buf, line + n + 1, length);
        buf[length] = 0;
        return true;
    }
    return false;
}

static ins_status bad_conf(const char *path, const char *what, const char *value, ins_error *err) {
    INS_FAIL(err, INS_DATA, "'%s': %s%s", path, what, value);
    ins_error_hint(err, "modules with ModDrv zText, zText4, zCom or zCom4 and CompressType ZIP can be read");
    return INS_DATA;
}

/* DataPath is relative to the folder that holds mods.d. */
static ins_status set_data_path(const char *path, const char *value, ins_sword_conf *conf, ins_error *err) {
    const char *slash = strrchr(path, '/');
    size_t dir = slash ? (size_t)(slash - path) : 0;
    if (value[0] == '.' && value[1] == '/') value += 2;
    if (value[0] == '/' || strstr(value, "..")) return bad_conf(path, "DataPath leads out of the module: ", value, err);
    int n = snprintf(conf->data_path, sizeof conf->data_path, "%.*s%s/%s", (int)dir, path, slash ? "/.." : "..", value);
    if (n < 0 || (size_t)n >= sizeof conf->data_path) return bad_conf(path, "DataPath is too long", "", err);
    for (size_t end = (size_t)n; end > 1 && conf->data_path[end - 1] == '/'; end--) conf->data_path[end - 1] = 0;
    return INS_OK;
}

static ins_status parse_conf(const char *path, const char *text, ins_sword_conf *conf, ins_error *err) {
    char value[512];
    const char *open = *text == '[' ? text : strstr(text, "\n[");
    const char *close = open ? strchr(open, ']') : NULL;
    if (!close) return bad_conf(path, "no [Name] of a module", "", err);
    open = strchr(open, '[') + 1;
    snprintf(conf->name, sizeof conf->name, "%.*s", (int)(close - open), open);
    if (!conf_value(text, "ModDrv", value, sizeof value)) return bad_conf(path, "no ModDrv", "", err);
    conf->commentary = strncmp(value, "zCom", 4) == 0;
    conf->wide = strcmp(value, "zText4") == 0 || strcmp(value, "zCom4") == 0;
    if (!conf->wide && strcmp(value, "zText") != 0 && strcmp(value, "zCom") != 0) {
        return bad_conf(path, "unsupported ModDrv ", value, err);
    }
    if (conf_value(text, "CompressType", value, sizeof value) && strcmp(value, "ZIP") != 0) {
        return bad_conf(path, "unsupported CompressType ", value, err);
    }
    if (conf_value(text, "CipherKey", value, sizeof value)) return bad_conf(path, "the module is encrypted", "", err);
    if (!conf_value(text, "DataPath", value, sizeof value)) return bad_conf(path, "no DataPath", "", err);
    return set_data_path(path, value, conf, err);
}

ins_status ins_sword_conf_read(const char *path, ins_sword_conf *conf, ins_error *err) {
    ins_str text = {0};
    *conf = (ins_sword_conf){0};
    ins_status status = ins_file_read(path, CONF_MAX, &text, err);
    if (status == INS_OK) status = parse_conf(path, text.data ? text.data : "", conf, err);
    ins_str_free(&text);
    return status;
}

bool ins_sword_stem(const ins_sword_conf *conf, const char *testament, char *stem, size_t size) {
    for (const char *letter = "bcv"; *letter; letter++) {
        char path[PATH_MAX];
        uint64_t bytes = 0;
        int n = snprintf(stem, size, "%s/%s.%c", conf->data_path, testament, *letter);
        if (n < 0 || (size_t)n >= size) return false;
        snprintf(path, sizeof path, "%szs", stem);
        if (ins_file_size(path, &bytes, NULL) == INS_OK && bytes > 0) return true;
    }
    return false;
}

/* ---- data ---- */

void ins_sword_close(ins_sword_file *file) {
    ins_map_close(&file->index);
    ins_map_close(&file->verses);
    ins_map_close(&file->data);
    ins_str_free(&file->text);
    *file = (ins_sword_file){0};
}

static ins_status open_part(const char *stem, const char *part, ins_map *map, ins_error *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", stem, part);
    return ins_map_open(path, map, err);
}

ins_status ins_sword_open(const char *stem, bool wide, ins_sword_file *file, ins_error *err) {
    ins_sword_file f = {.wide = wide, .block = -1};
    ins_status status = open_part(stem, "zs", &f.index, err);
    if (status == INS_OK) status = open_part(stem, "zv", &f.verses, err);
    if (status == INS_OK) status = open_part(stem, "zz", &f.data, err);
    size_t row = wide ? 12 : 10;
    if (status == INS_OK && (f.index.size % 12 || f.verses.size % row)) {
        status = INS_FAIL(err, INS_DATA, "the index files of '%s' are cut short", stem);
        ins_error_hint(err, "the module is damaged: get it again");
    }
    if (status != INS_OK) {
        ins_sword_close(&f);
        return status;
    }
    f.n_entries = (int64_t)(f.verses.size / row);
    *file = f;
    return INS_OK;
}

static ins_status damaged(int64_t block, const char *what, ins_error *err) {
    INS_FAIL(err, INS_DATA, "block %" PRId64 " of the module %s", block, what);
    ins_error_hint(err, "the module is damaged: get it again");
    return INS_DATA;
}

static ins_status load_block(ins_sword_file *f, uint64_t block, ins_error *err) {
    if ((int64_t)block == f->block) return INS_OK;
    if (block >= f->index.size / 12) return damaged((int64_t)block, "does not exist", err);
    const unsigned char *row = f->index.data + block * 12;
    uint32_t offset = load_u32(row), packed = load_u32(row + 4), size = load_u32(row + 8);
    if (offset > f->data.size || packed > f->data.size - offset) {
        return damaged((int64_t)block, "lies outside its file", err);
    }
    if (size > BLOCK_MAX) return damaged((int64_t)block, "is too large", err);
    f->block = -1;
    ins_str_clear(&f->text);
    static const char zeros[4096] = {0}; /* grow the string, then decompress over it */
    for (uint32_t left = size; left;) {
        uint32_t part = left < sizeof zeros ? left : (uint32_t)sizeof zeros;
        ins_str_append(&f->text, zeros, part);
        left -= part;
    }
    if (f->text.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for a module's block");
    uLongf got = size;
    if (size && (uncompress((Bytef *)f->text.data, &got, f->data.data + offset, packed) != Z_OK || got != size)) {
        return damaged((int64_t)block, "cannot be unpacked", err);
    }
    f->block = (int64_t)block;
    return INS_OK;
}

ins_status ins_sword_next(ins_sword_file *f, const char **text, size_t *n, int64_t *entry, bool *end, ins_error *err) {
    for (; f->at < f->n_entries; f->at++) {
        const unsigned char *row = f->verses.data + (size_t)f->at * (f->wide ? 12 : 10);
        uint64_t place[3] = {load_u32(row), load_u32(row + 4), f->wide ? load_u32(row + 8) : load_u32(row + 6) >> 16};
        bool linked = f->any && memcmp(place, f->last, sizeof place) == 0;
        memcpy(f->last, place, sizeof place);
        f->any = true;
        if (place[2] == 0 || linked) continue;
        INS_TRY(load_block(f, place[0], err));
        if (place[1] > f->text.len || place[2] > f->text.len - place[1]) {
            return damaged((int64_t)place[0], "is shorter than an entry in it", err);
        }
        *text = f->text.data + place[1];
        *n = place[2];
        *entry = f->at++;
        *end = false;
        return INS_OK;
    }
    *end = true;
    return INS_OK;
}
