/* The table of row types: everything that differs between them. */
#include "option/option_internal.h"

#define OPT_SCALAR_SCHEMA "\"type\":[\"string\",\"number\",\"boolean\"]"

static const opt_kind kinds[] = {
    [INS_OPT_INT] = {"whole number", "a whole number", "\"type\":\"integer\"", sizeof(int64_t), opt_parse_whole,
                     opt_print_whole},
    [INS_OPT_SIZE] = {"size", "a whole number such as 4096, 10k, 2M or 4Ki",
                      "\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"pattern\":"
                      "\"^[+-]?[0-9]+([.][0-9]+)? *([kKMGTP]|[KMGTP]i)?B?$\"}]",
                      sizeof(int64_t), opt_parse_whole, opt_print_whole},
    [INS_OPT_SEED] = {"seed", "a whole number, 0 or more", "\"type\":\"integer\",\"minimum\":0", sizeof(int64_t),
                      opt_parse_whole, opt_print_whole},
    [INS_OPT_FLOAT] = {"number", "a number", "\"type\":\"number\"", sizeof(double), opt_parse_float, opt_print_float},
    [INS_OPT_DURATION] = {"duration", "a time such as 90, 90s, 5min, 2h or 1h 30min",
                          "\"anyOf\":[{\"type\":\"number\",\"minimum\":0},{\"type\":\"string\",\"pattern\":"
                          "\"^([0-9]+([.][0-9]+)? *(ms|s|sec|min|h|d) *)+$\"}]",
                          sizeof(double), opt_parse_duration, opt_print_float},
    [INS_OPT_BOOL] = {"true or false", "true or false", "\"type\":\"boolean\"", sizeof(bool), opt_parse_bool,
                      opt_print_bool},
    [INS_OPT_STRING] = {"text", "a text", OPT_SCALAR_SCHEMA, sizeof(const char *), opt_parse_string, opt_print_string},
    [INS_OPT_PATH] = {"path", "a path", "\"type\":\"string\"", sizeof(const char *), opt_parse_string,
                      opt_print_string},
    [INS_OPT_CHOICE] = {"choice", "one of its choices", NULL, sizeof(int), opt_parse_choice, opt_print_choice},
    [INS_OPT_STRINGS] = {"list of texts", "a list of texts",
                         "\"anyOf\":[{" OPT_SCALAR_SCHEMA "},{\"type\":\"array\",\"items\":{" OPT_SCALAR_SCHEMA "}}]",
                         sizeof(ins_opt_strings), opt_parse_strings, opt_print_strings},
    [INS_OPT_FLOATS] = {"list of numbers", "a list of numbers",
                        "\"anyOf\":[{\"type\":\"number\"},{\"type\":\"array\",\"items\":{\"type\":\"number\"}}]",
                        sizeof(ins_opt_floats), opt_parse_floats, opt_print_floats},
    [INS_OPT_TABLE] = {"group of options", "a map of options", NULL, 0, opt_parse_sub, opt_print_sub},
    [INS_OPT_TABLES] = {"map or list of groups", "a map or a list of maps", NULL, sizeof(ins_opt_tables),
                        opt_parse_tables, opt_print_tables},
    [INS_OPT_COMPONENT] = {"component", "a component", NULL, sizeof(ins_opt_component), opt_parse_component,
                           opt_print_component},
    [INS_OPT_COMPONENTS] = {"list of components", "a list of components", NULL, sizeof(ins_opt_components),
                            opt_parse_components, opt_print_components},
    [INS_OPT_NODE] = {"any value", "any value", "", sizeof(const ins_node *), opt_parse_node, opt_print_node},
};

const opt_kind *opt_kind_of(ins_opt_type type) {
    return (size_t)type < sizeof kinds / sizeof kinds[0] ? &kinds[type] : NULL;
}

size_t opt_field_size(const ins_opt_row *row) {
    const opt_kind *kind = opt_kind_of(row->type);
    if (!kind) return 0;
    return kind->size ? kind->size : row->sub ? row->sub->size : 0;
}
