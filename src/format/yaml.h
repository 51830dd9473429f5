/* YAML into a configuration tree with positions (libfyaml). Duplicate keys, anchors cycles, tabs and documents over
 * 16 MiB or 200 levels are errors. JSON is YAML, so this reads JSON configuration too. */
#ifndef INS_FORMAT_YAML_H
#define INS_FORMAT_YAML_H

#include "option/tree.h"

/* Errors carry file:line:col. Nodes live in `arena`, which must outlive them (file name included). */
ins_status ins_yaml_read_file(const char *path, ins_arena *arena, ins_node **out, ins_error *err);
ins_status ins_yaml_read_text(const char *text, size_t n, const char *name, ins_arena *arena, ins_node **out,
                              ins_error *err);

#endif
