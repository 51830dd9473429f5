/* Families, direct parsing of components, help, schema, and the check of tables. */
#include "option/flow.h"
#include "option/sample_tables.h"

#include <jansson.h>

static const ins_family empty_family = {"empty", "Has nothing.", NULL, 0};
const ins_family *const ins_families[] = {&optimizer_family, &empty_family, NULL};

static void lookups(void **state) {
    (void)state;
    assert_ptr_equal(ins_family_find("optimizer"), &optimizer_family);
    assert_null(ins_family_find("optimizers"));
    assert_null(ins_family_find(NULL));
    assert_ptr_equal(ins_component_find(&optimizer_family, "adamw"), &adamw);
    assert_ptr_equal(ins_component_find(&optimizer_family, "adam-w"), &adamw);
    assert_null(ins_component_find(&optimizer_family, "adam"));
    assert_null(ins_component_find(NULL, "adam"));
    assert_null(ins_component_find(&empty_family, "adam"));
    assert_string_equal(ins_component_nearest(&optimizer_family, "adm-w"), "adamw");
    assert_string_equal(ins_component_nearest(&optimizer_family, "sdg"), "sgd");
    assert_null(ins_component_nearest(&optimizer_family, "quite different"));
    assert_null(ins_component_nearest(&empty_family, "x"));
}

static void direct_parsing(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    ins_diag diag = {0};
    ins_opt_component c;
    ins_pos pos = {"r.yaml", 5, 1};
    static const char *const skip[] = {"after", NULL};
    assert_true(ins_component_parse(&optimizer_family, flow_read(arena, "{kind: adamw, lr: 0.5, after: x}"), NULL, skip,
                                    pos, arena, &c, &diag));
    assert_ptr_equal(c.desc, &adamw);
    assert_true(((adamw_options *)c.options)->lr == 0.5);
    assert_true(ins_component_parse(&optimizer_family, NULL, NULL, NULL, pos, arena, &c, &diag));
    assert_null(c.desc);
    assert_true(ins_component_parse(&optimizer_family, NULL, "sgd", NULL, pos, arena, &c, &diag));
    assert_ptr_equal(c.desc, &sgd);
    assert_int_equal(c.pos.line, 5);
    ins_str out = {0};
    ins_component_to_json(&c, true, &out);
    assert_string_equal(out.data, "{\"kind\":\"sgd\",\"version\":1}");
    ins_str_free(&out);
    assert_int_equal(diag.n, 0);
    assert_false(ins_component_parse(&optimizer_family, NULL, "file", NULL, pos, arena, &c, &diag));
    assert_int_equal(diag.n, 1);
    assert_int_equal(diag.items[0].status, INS_RECIPE); /* the user has to give what the default component needs */
    assert_int_equal(diag.items[0].line, 5);
    assert_false(ins_component_parse(&empty_family, flow_read(arena, "x"), NULL, NULL, pos, arena, &c, &diag));
    assert_null(c.desc);
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

static void help_text(void **state) {
    (void)state;
    ins_str out = {0};
    ins_opt_help_text(&train_table, 60, &out);
    assert_non_null(strstr(out.data, "  layers            whole number from 1 to 1000, blocks;"));
    assert_non_null(strstr(out.data, "required; also called n_layers depth"));
    assert_non_null(strstr(out.data, "      Number of blocks.\n"));
    assert_non_null(strstr(out.data, "  limit.steps       whole number; required\n"));
    assert_non_null(strstr(out.data, "  sources.NAME.path  path; required\n"));
    assert_non_null(strstr(out.data, "gelu | relu | silu; default silu\n"));
    assert_non_null(strstr(out.data, "component of the family optimizer;\n"));
    for (const char *line = out.data; *line; line += strcspn(line, "\n") + 1) assert_true(strcspn(line, "\n") <= 60);
    ins_str_free(&out);
}

static void help_markdown(void **state) {
    (void)state;
    ins_str out = {0};
    ins_opt_help_markdown(&train_table, &out);
    assert_non_null(strstr(out.data, "| `context` | size at least 1, tokens | `1Ki` | Longest sequence. |\n"));
    assert_non_null(strstr(out.data, "| `act` | gelu \\| relu \\| silu | `silu` | Activation function. |\n"));
    assert_non_null(strstr(out.data, "Name of the run \\| shown in reports. |\n"));
    assert_non_null(strstr(out.data, "required | Number of blocks. Also called `n_layers`, `depth`. |\n"));
    assert_non_null(strstr(out.data, "| `optimizer` |"));
    ins_str_free(&out);
    ins_opt_table none = {"nothing", (const ins_opt_row[]){{.name = NULL}}, 0};
    ins_opt_help_markdown(&none, &out);
    assert_int_equal(out.len, 0);
    ins_str_free(&out);
}

/* Other rooms validate recipes with it; here: it is JSON and says what it should. */
static void schema(void **state) {
    (void)state;
    ins_str out = {0};
    ins_opt_json_schema(&train_table, &out);
    json_error_t error;
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, &error);
    if (!root) fail_msg("%s at %d: %s", error.text, error.position, out.data);
    json_t *properties = json_object_get(root, "properties");
    assert_int_equal(json_object_size(properties), 17 + 2);
    json_t *layers = json_object_get(properties, "layers");
    json_t *value = json_array_get(json_object_get(layers, "anyOf"), 0);
    assert_string_equal(json_string_value(json_object_get(value, "type")), "integer");
    assert_int_equal(json_integer_value(json_object_get(value, "minimum")), 1);
    assert_int_equal(json_integer_value(json_object_get(value, "maximum")), 1000);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(properties, "context"), "default")), 1024);
    assert_string_equal(json_string_value(json_object_get(json_object_get(properties, "act"), "default")), "silu");
    assert_non_null(json_object_get(properties, "depth"));
    assert_true(json_is_false(json_object_get(root, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(root, "allOf")), 1);
    json_decref(root);
    ins_str_clear(&out);
    ins_str_putc(&out, '{');
    ins_opt_json_properties(&train_table, &out);
    ins_str_putc(&out, '}');
    root = json_loads(out.data, JSON_REJECT_DUPLICATES, &error);
    assert_int_equal(json_object_size(root), 17 + 2);
    json_decref(root);
    ins_str_clear(&out);
    ins_family_json_schema(&optimizer_family, &out);
    root = json_loads(out.data, JSON_REJECT_DUPLICATES, &error);
    if (!root) fail_msg("%s at %d: %s", error.text, error.position, out.data);
    json_t *options = json_object_get(root, "anyOf");
    assert_int_equal(json_array_size(options), 4);
    assert_int_equal(json_array_size(json_object_get(json_array_get(options, 0), "enum")), 3); /* not "file" */
    json_t *lr = json_object_get(json_object_get(json_array_get(options, 1), "properties"), "lr");
    value = json_array_get(json_object_get(lr, "anyOf"), 0);
    assert_non_null(json_object_get(value, "exclusiveMinimum"));
    json_decref(root);
    ins_str_free(&out);
}

/* A table that holds itself: printing ends. */
typedef struct tree_options {
    ins_opt_tables parts;
    int64_t size;
} tree_options;
static const ins_opt_table tree_table;
static const ins_opt_row tree_rows[] = {
    {"parts", INS_OPT_TABLES, offsetof(tree_options, parts), .sub = &tree_table, .help = "Parts of it."},
    {"size", INS_OPT_INT, offsetof(tree_options, size), .help = "Its size."},
    {.name = NULL},
};
static const ins_opt_table tree_table = {"a tree", tree_rows, sizeof(tree_options)};

static void recursive_tables(void **state) {
    (void)state;
    ins_str out = {0};
    ins_opt_help_text(&tree_table, 80, &out);
    ins_opt_help_markdown(&tree_table, &out);
    ins_str_clear(&out);
    ins_opt_json_schema(&tree_table, &out);
    json_t *root = json_loads(out.data, 0, NULL);
    assert_non_null(root);
    json_decref(root);
    ins_diag diag = {0};
    assert_true(ins_opt_table_check(&tree_table, &diag));
    ins_arena *arena = ins_arena_new(0);
    ins_str deep = {0};
    for (int i = 0; i < 200; i++) ins_str_puts(&deep, "{parts: [");
    for (int i = 0; i < 200; i++) ins_str_puts(&deep, "]}");
    tree_options t;
    assert_false(ins_opt_parse(&tree_table, flow_read(arena, deep.data), &t, arena, NULL, &diag));
    assert_int_equal(diag.n, 1);
    assert_non_null(strstr(diag.items[0].text, "nested deeper"));
    assert_true(
        ins_opt_parse(&tree_table, flow_read(arena, "{parts: {a: {parts: [{size: 3}]}}}"), &t, arena, NULL, &diag));
    const tree_options *part = t.parts.items;
    assert_int_equal(((const tree_options *)part->parts.items)->size, 3);
    ins_diag_free(&diag);
    ins_str_free(&deep);
    ins_str_free(&out);
    ins_arena_free(arena);
}

typedef struct bad_options {
    int64_t number, other;
    int choice;
} bad_options;

static void assert_bad(ins_opt_row row, const char *words) {
    const ins_opt_row rows[] = {
        {"fine", INS_OPT_INT, offsetof(bad_options, other), .help = "Fine.", .aliases = "good"}, row, {.name = NULL}};
    const ins_opt_table table = {"bad", rows, sizeof(bad_options)};
    ins_diag diag = {0};
    assert_false(ins_opt_table_check(&table, &diag));
    bool found = false;
    for (int64_t i = 0; i < diag.n; i++) {
        found |= strstr(diag.items[i].text, words) != NULL;
        assert_int_equal(diag.items[i].status, INS_BUG);
    }
    if (!found) fail_msg("'%s' is not among the problems, the first is '%s'", words, diag.items[0].text);
    ins_diag_free(&diag);
}

static void table_mistakes(void **state) {
    (void)state;
    ins_diag diag = {0};
    if (!ins_opt_table_check(&train_table, &diag)) fail_msg("%s", diag.items[0].text);
    ins_opt_row good = {"n",      INS_OPT_INT, offsetof(bad_options, number), .help = "A number.", .min = 1,
                        .max = 9, .def = "2"};
    ins_opt_row row = good;
    row.help = NULL;
    assert_bad(row, "'n' has no help");
    row = good;
    row.name = "fine";
    assert_bad(row, "two options are called 'fine'");
    row = good;
    row.aliases = "m good";
    assert_bad(row, "two options are called 'good'");
    row = good;
    row.name = "two words";
    assert_bad(row, "is no name");
    row = good;
    row.def = "10";
    assert_bad(row, "the default of 'n' is wrong: 'n' must be from 1 to 9, not 10");
    row = good;
    row.def = "x";
    assert_bad(row, "the default of 'n' is wrong");
    row = good;
    row.neutral = "0";
    assert_bad(row, "the neutral value of 'n' is wrong");
    row = good;
    row.min = 10;
    assert_bad(row, "the range of 'n' is empty");
    row = good;
    row.flags = INS_OPT_REQUIRED;
    assert_bad(row, "required and has a default");
    row = good;
    row.flags = INS_OPT_INPUT;
    assert_bad(row, "is an input but no text");
    row = good;
    row.offset = sizeof(bad_options) - 4;
    assert_bad(row, "lies outside of the struct");
    row = good;
    row.offset = offsetof(bad_options, other);
    assert_bad(row, "share a field");
    row = good;
    row.choices = "a b";
    assert_bad(row, "has no use for choices");
    row = good;
    row.type = INS_OPT_TABLE;
    assert_bad(row, "needs a table of its own");
    row = good;
    row.type = (ins_opt_type)99;
    assert_bad(row, "a type that does not exist");
    row =
        (ins_opt_row){"c", INS_OPT_CHOICE, offsetof(bad_options, choice), .help = "One.", .choices = "a b", .def = "q"};
    assert_bad(row, "the default of 'c' is wrong: 'c' must be a or b, not 'q'");
    row.choices = NULL;
    assert_bad(row, "'c' needs choices");
    row.type = INS_OPT_COMPONENT;
    row.choices = "nowhere";
    assert_bad(row, "of the unknown family 'nowhere'");
    ins_diag_free(&diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups),        cmocka_unit_test(direct_parsing), cmocka_unit_test(help_text),
        cmocka_unit_test(help_markdown),  cmocka_unit_test(schema),         cmocka_unit_test(recursive_tables),
        cmocka_unit_test(table_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
