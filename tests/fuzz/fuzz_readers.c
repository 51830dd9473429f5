/* Any bytes as the files of a corpus: refused, or documents; the steps that rewrite texts take any text.
 * The first byte of the input chooses the reader; the parts between PART marks are the files.
 */
#include <string.h>

#include "base/file.h"
#include "data/document.h"
#include "format/yaml.h"
#include "fuzz_file.h"

const ins_family *const ins_families[] = {&ins_family_reader, &ins_family_step, NULL};

#define PART     "\xff\x1e\xff"
#define MAX_PART 3

typedef struct target {
    const char *options; /* %s is the folder of the files */
    const char *files[MAX_PART];
} target;

static const target targets[] = {
    {"{kind: text, path: %s/a.txt, split: blank-lines, group_size: 2}", {"a.txt"}},
    {"{kind: text, path: %s/a.gz, split: lines}", {"a.gz"}},
    {"{kind: text, path: %s/a.zst, split: separator}", {"a.zst"}},
    {"{kind: jsonl, path: %s/a.jsonl}", {"a.jsonl"}},
    {"{kind: jsonl, path: %s/a.jsonl, fields: {text: a.b, id: c}}", {"a.jsonl"}},
    {"{kind: csv, path: %s/a.csv}", {"a.csv"}},
    {"{kind: csv, path: %s/a.tsv, delimiter: tab, header: false, names: [a, b], quotes: false}", {"a.tsv"}},
    {"{kind: dictd, path: %s/a.index}", {"a.index", "a.dict"}},
    {"{kind: dictd, path: %s/b.index, links: true}", {"b.index", "b.dict.dz"}},
    {"{kind: wordnet, path: %s/data.noun}", {"data.noun"}},
    {"{kind: debian, path: '%s/x_*'}", {"x_Packages", "x_Translation-en"}},
    {"{kind: package-qa, path: '%s/x_*'}", {"x_Packages", "x_Translation-en"}},
    {"{kind: sword, path: %s/mods.d/m.conf}", {"nt.czs", "nt.czv", "nt.czz"}},
};
enum { N_TARGETS = sizeof targets / sizeof *targets };

static const char *const steps[] = {"normalise", "strip-markup", "dedup"};
enum { N_STEPS = sizeof steps / sizeof *steps };

static const ins_opt_row reader_rows[] = {
    {.name = "it", .type = INS_OPT_COMPONENT, .choices = "reader", .help = "A reader."}, {.name = NULL}};
static const ins_opt_row step_rows[] = {{.name = "it", .type = INS_OPT_COMPONENT, .choices = "step", .help = "A step."},
                                        {.name = NULL}};
static const ins_opt_table reader_table = {"fuzz", reader_rows, sizeof(ins_opt_component)};
static const ins_opt_table step_table = {"fuzz", step_rows, sizeof(ins_opt_component)};

static char folder[64];

static void write_part(const char *name, const void *bytes, size_t n) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0) abort();
}

static void remove_folder(void) {
    ins_dir_remove(folder, NULL);
}

static void make_folder(void) {
    static const char conf[] = "[M]\nDataPath=./\nModDrv=zCom\nCompressType=ZIP\nBlockType=CHAPTER\n";
    strcpy(folder, "/dev/shm/instar-fuzz-XXXXXX");
    char path[80];
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/mods.d", folder);
    if (ins_dir_make(path, NULL) != INS_OK) abort();
    write_part("mods.d/m.conf", conf, sizeof conf - 1);
    atexit(remove_folder);
}

static ins_opt_component component(const ins_opt_table *table, const char *options, ins_arena *arena) {
    ins_node *root = NULL;
    ins_opt_component found = {0};
    ins_diag diag = {0};
    if (ins_yaml_read_text(options, strlen(options), "fuzz", arena, &root, NULL) != INS_OK ||
        !ins_opt_parse(table, root, &found, arena, NULL, &diag))
        abort();
    ins_diag_free(&diag);
    return found;
}

static void check_document(const ins_document *doc) {
    for (int i = 0; i < doc->n_fields; i++) {
        if (!doc->fields[i].name || doc->fields[i].data[doc->fields[i].n] != 0) abort();
    }
}

static void apply_steps(ins_document *doc, const ins_step_desc *const *descs, void *const *states) {
    for (int i = 0; i < N_STEPS; i++) {
        ins_step_verdict verdict = INS_STEP_KEEP;
        const char *reason = NULL;
        if (descs[i]->apply(states[i], doc, &verdict, &reason, NULL) != INS_OK) return;
        check_document(doc);
        if (verdict == INS_STEP_DROP) return;
    }
}

/* Every document of the reader through the steps. */
static void read_all(const ins_opt_component *it, const ins_step_desc *const *descs, void *const *states) {
    const ins_reader_desc *reader = (const ins_reader_desc *)(const void *)it->desc;
    void *state = NULL;
    ins_error err = {0};
    ins_document doc = {.arena = ins_arena_new(0)};
    ins_status status = reader->open(it->options, NULL, &state, &err);
    for (bool end = false; status == INS_OK && !end;) {
        ins_document_clear(&doc);
        status = reader->next(state, &doc, &end, &err);
        if (status != INS_OK || end) break;
        check_document(&doc);
        apply_steps(&doc, descs, states);
    }
    if (status == INS_BUG || (status != INS_OK && !err.text[0])) abort();
    reader->close(state);
    ins_arena_free(doc.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    if (!folder[0]) make_folder();
    const target *it = &targets[data[0] % N_TARGETS];
    const char *at = (const char *)data + 1, *stop = (const char *)data + size;
    for (int i = 0; i < MAX_PART && it->files[i]; i++) {
        const char *mark = memmem(at, (size_t)(stop - at), PART, sizeof PART - 1), *end = mark ? mark : stop;
        write_part(it->files[i], at, (size_t)(end - at));
        at = mark ? mark + sizeof PART - 1 : stop;
    }
    ins_arena *arena = ins_arena_new(0);
    char options[256], inner[200];
    snprintf(inner, sizeof inner, it->options, folder);
    snprintf(options, sizeof options, "it: %s", inner);
    ins_opt_component reader = component(&reader_table, options, arena);
    const ins_step_desc *descs[N_STEPS];
    void *states[N_STEPS] = {0};
    for (int i = 0; i < N_STEPS; i++) {
        snprintf(options, sizeof options, "it: %s", steps[i]);
        ins_opt_component step = component(&step_table, options, arena);
        descs[i] = (const ins_step_desc *)(const void *)step.desc;
        if (descs[i]->open(step.options, &states[i], NULL) != INS_OK) abort();
    }
    read_all(&reader, descs, states);
    for (int i = 0; i < N_STEPS; i++) descs[i]->close(states[i]);
    ins_arena_free(arena);
    return 0;
}
