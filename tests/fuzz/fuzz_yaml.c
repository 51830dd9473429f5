/* Any bytes as a configuration: refused with a place, or a tree whose every node has one. */
#include "format/yaml.h"
#include "fuzz_file.h"

/* libfyaml 0.7 itself loses a buffer for some scalars of very many pieces (a dozen quotes in a row). */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfyaml";
}

static void visit(const ins_node *node) {
    if (node->pos.line < 1 || node->pos.col < 1) abort();
    if (node->kind == INS_NODE_SCALAR && !node->text) abort();
    for (int64_t i = 0; i < node->n_items; i++) {
        if ((node->kind == INS_NODE_MAP) != (node->items[i]->key != NULL)) abort();
        visit(node->items[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ins_arena *arena = ins_arena_new(0);
    ins_node *root = NULL;
    ins_error err = {0};
    if (ins_yaml_read_text((const char *)data, size, "input", arena, &root, &err) == INS_OK)
        visit(root);
    else if (err.line < 1 && err.status == INS_RECIPE && size <= (16u << 20))
        abort();
    ins_arena_free(arena);
    return 0;
}
