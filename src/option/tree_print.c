/* Trees as canonical JSON and as readable YAML. */
#include "option/tree.h"

#include <string.h>

static void put_json_string(ins_str *out, const char *text) {
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, strlen(text));
    ins_str_putc(out, '"');
}

static const char *skip_digits(const char *p) {
    while (*p >= '0' && *p <= '9') p++;
    return p;
}

/* The grammar of a JSON number (RFC 8259). */
static bool is_json_number(const char *p) {
    if (*p == '-') p++;
    if (*p == '0')
        p++;
    else if (*p >= '1' && *p <= '9')
        p = skip_digits(p);
    else
        return false;
    if (*p == '.') {
        const char *digits = p + 1;
        p = skip_digits(digits);
        if (p == digits) return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        const char *digits = p;
        p = skip_digits(digits);
        if (p == digits) return false;
    }
    return *p == '\0';
}

static bool is_bare_json(const char *text) {
    return is_json_number(text) || strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || strcmp(text, "null") == 0;
}

void ins_node_to_json(const ins_node *node, ins_str *out) {
    if (!node || node->kind == INS_NODE_NULL) {
        ins_str_puts(out, "null");
        return;
    }
    if (node->kind == INS_NODE_SCALAR) {
        if (!node->quoted && is_bare_json(node->text))
            ins_str_puts(out, node->text);
        else
            put_json_string(out, node->text);
        return;
    }
    bool map = node->kind == INS_NODE_MAP;
    ins_str_putc(out, map ? '{' : '[');
    for (int64_t i = 0; i < node->n_items; i++) {
        if (i) ins_str_putc(out, ',');
        if (map) {
            put_json_string(out, node->items[i]->key);
            ins_str_putc(out, ':');
        }
        ins_node_to_json(node->items[i], out);
    }
    ins_str_putc(out, map ? '}' : ']');
}

/* Can the text stand in block YAML without quotes and read back as itself? */
static bool is_plain_yaml(const char *text) {
    size_t len = strlen(text);
    if (len == 0 || !ins_utf8_valid(text, len, NULL)) return false;
    if (strchr(" ?:,[]{}#&*!|>'\"%@`", text[0]) || text[len - 1] == ' ' || text[len - 1] == ':') return false;
    if (text[0] == '-' && (len == 1 || strchr(" -", text[1]))) return false;
    if (strncmp(text, "...", 3) == 0 || strcmp(text, "<<") == 0 || strcmp(text, "=") == 0) return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) return false;
        if (c == ':' && text[i + 1] == ' ') return false;
        if (c == ' ' && text[i + 1] == '#') return false;
        if (c == 0xC2 || c == 0xE2 || c == 0xEF) { /* C1 controls, line separators, byte order mark */
            uint32_t cp = 0;
            ins_utf8_decode((const unsigned char *)text + i, len - i, &cp);
            if ((cp >= 0x80 && cp < 0xA1) || cp == 0x2028 || cp == 0x2029 || cp == 0xFEFF) return false;
        }
    }
    return true;
}

static bool is_null_word(const char *text) {
    return strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
           strcmp(text, "NULL") == 0;
}

static void put_yaml_scalar(ins_str *out, const char *text, bool quoted) {
    if (!quoted && is_plain_yaml(text))
        ins_str_puts(out, text);
    else
        put_json_string(out, text); /* a JSON string is a double-quoted YAML scalar */
}

static void put_indent(ins_str *out, int depth) {
    for (int i = 0; i < depth; i++) ins_str_puts(out, "  ");
}

static void yaml_block(const ins_node *node, int depth, bool first_line_placed, ins_str *out);

/* What comes after "key:" or "-", up to and with the end of line. */
static void yaml_value(const ins_node *node, int depth, bool in_list, ins_str *out) {
    bool block = (node->kind == INS_NODE_LIST || node->kind == INS_NODE_MAP) && node->n_items > 0;
    if (block && in_list) { /* "- key: value", "- - item" */
        ins_str_putc(out, ' ');
        yaml_block(node, depth, true, out);
        return;
    }
    if (block) {
        ins_str_putc(out, '\n');
        yaml_block(node, depth, false, out);
        return;
    }
    ins_str_putc(out, ' ');
    if (node->kind == INS_NODE_SCALAR)
        put_yaml_scalar(out, node->text, node->quoted);
    else
        ins_str_puts(out, node->kind == INS_NODE_NULL ? "null" : node->kind == INS_NODE_LIST ? "[]" : "{}");
    ins_str_putc(out, '\n');
}

static void yaml_block(const ins_node *node, int depth, bool first_line_placed, ins_str *out) {
    bool map = node->kind == INS_NODE_MAP;
    for (int64_t i = 0; i < node->n_items; i++) {
        const ins_node *item = node->items[i];
        if (i || !first_line_placed) put_indent(out, depth);
        if (map) {
            put_yaml_scalar(out, item->key, is_null_word(item->key));
            ins_str_putc(out, ':');
        } else {
            ins_str_putc(out, '-');
        }
        yaml_value(item, depth + 1, !map, out);
    }
}

void ins_node_to_yaml(const ins_node *node, ins_str *out) {
    bool block = node && (node->kind == INS_NODE_LIST || node->kind == INS_NODE_MAP) && node->n_items > 0;
    if (block) {
        yaml_block(node, 0, false, out);
        return;
    }
    if (node && node->kind == INS_NODE_SCALAR)
        put_yaml_scalar(out, node->text, node->quoted);
    else
        ins_str_puts(out, !node || node->kind == INS_NODE_NULL ? "null" : node->kind == INS_NODE_LIST ? "[]" : "{}");
    ins_str_putc(out, '\n');
}
