/* Readers of laid-out text: dictd, wordnet, man, sword; reflowing and stripping. */
#include <zlib.h>

#include "data/prose.h"
#include "data/reader_check.h"

static void dictionary(void **state) {
    (void)state;
    doc_list docs;
    must_read(yaml_of("it: {kind: dictd, path: %s/data/tiny.index}", INS_FIXTURES), &docs);
    assert_int_equal(docs.n, 3); /* database entries left out, two headwords of one entry are one document */
    assert_field(docs, 0, "title", "hash table");
    assert_field(docs, 0, "section", "programming, storage");
    assert_field(docs, 0, "text",
                 "A table that maps keys to values with the help of a hash function.  Finding an entry takes the same "
                 "time however many there are.\n\n    code:\n      put(key)\n\n(2001-02-03)");
    assert_field(docs, 1, "title", "queue");
    assert_field(docs, 1, "text", "First in, first out.");
    assert_field(docs, 2, "id", "tiny:arrow");
    assert_field(docs, 2, "title", "Arrow");
    assert_field(
        docs, 2, "text",
        "Arrow \\Ar\"row\\, n.\n   1. A missile weapon of offense, slender, pointed, and usually feathered and "
        "barbed, to be shot from a bow.\n\n   2. A mark.");
    free_docs(&docs);
    must_read(yaml_of("it: {kind: dictd, path: %s/data/tiny.dict, links: true}", INS_FIXTURES), &docs);
    assert_int_equal(docs.n, 3);
    assert_non_null(strstr(field_of_doc(docs.items, "text"), "{hash function}"));
    free_docs(&docs);
    char digest[1024];
    fingerprint_of(yaml_of("it: {kind: dictd, path: %s/data/tiny.index}", INS_FIXTURES), digest, sizeof digest);
    assert_non_null(strstr(digest, "file tiny.index "));
    assert_non_null(strstr(digest, "file tiny.dict "));
}

static void bad_dictionary(void **state) {
    (void)state;
    static const char *const bad[] = {"word\tA\n", "word\tA\t?\n", "word\tB\tzzzz\n", "word\tzzzzzzzzzzzzzzz\tA\n"};
    write_temp("bad.dict", "word\n  text\n", 12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        doc_list docs;
        ins_error err = {0};
        const char *path = write_temp("bad.index", bad[i], strlen(bad[i]));
        assert_int_equal(read_docs(yaml_of("it: {kind: dictd, path: %s}", path), &docs, &err), INS_DATA);
        assert_int_equal(err.line, 1);
    }
}

static void glosses(void **state) {
    (void)state;
    doc_list docs;
    ins_error err = {0};
    must_read(yaml_of("it: {kind: wordnet, path: %s/data/data.noun, domain: x}", INS_FIXTURES), &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 0, "id", "n00001740");
    assert_field(docs, 0, "title", "entity");
    assert_field(docs, 0, "text", "that which is perceived or known");
    assert_field(docs, 0, "section", "noun.Tops");
    assert_field(docs, 1, "title", "death's-head moth, Acherontia atropos");
    assert_field(docs, 1, "text", "European hawkmoth with markings; \"a moth came\"");
    free_docs(&docs);
    const char *path = write_temp("data.bad", "00001740 03 n 01 entity\n", 24);
    assert_int_equal(read_docs(yaml_of("it: {kind: wordnet, path: %s}", path), &docs, &err), INS_DATA);
    assert_int_equal(err.line, 1);
}

static void man_pages(void **state) {
    (void)state;
    doc_list docs;
    if (access("/usr/bin/mandoc", X_OK) != 0) skip();
    must_read(yaml_of("it: {kind: man, path: '%s/data/*.1'}", INS_FIXTURES), &docs);
    assert_int_equal(docs.n, 1); /* alias.1 only points elsewhere */
    assert_field(docs, 0, "id", "page(1)");
    assert_field(docs, 0, "name", "page");
    assert_field(docs, 0, "section", "1");
    assert_field(docs, 0, "text",
                 "NAME\ngreet - say hello to somebody\n\nSYNOPSIS\ngreet [name]\n\nDESCRIPTION\n"
                 "The program greet writes a greeting to its standard output.  The greeting is longer than what would "
                 "fit on a line of eighty columns.\n\nDetails\nIndented example:\n\n    greet World\n\n"
                 "EXIT STATUS\nZero.");
    free_docs(&docs);
    ins_error err = {0};
    const char *yaml = yaml_of("it: {kind: man, path: '%s/data/*.1', sections: 8}", INS_FIXTURES);
    assert_int_equal(read_docs(yaml, &docs, &err), INS_DATA);
    assert_non_null(strstr(err.hint, "sections"));
}

static void put_u32(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

/* A module of two blocks; the "4" drivers have 12-byte entries. */
static void make_module(const char *name, const char *driver, bool wide, const char *const *entries, int n,
                        int per_block) {
    char dir[200], path[300], conf[400];
    unsigned char index[64], verses[512], data[8192];
    size_t row = wide ? 12 : 10, n_data = 0, n_blocks = 0;
    snprintf(dir, sizeof dir, "sword/modules/%s", name);
    assert_int_equal(ins_dir_make(temp_path(dir), NULL), INS_OK);
    assert_int_equal(ins_dir_make(temp_path("sword/mods.d"), NULL), INS_OK);
    memset(verses, 0, sizeof verses);
    for (int first = 0; first < n; first += per_block, n_blocks++) {
        char block[4096] = "";
        for (int i = first; i < n && i < first + per_block; i++) {
            unsigned char *v = verses + row * (size_t)(i + 1); /* slot 0 is an empty heading */
            put_u32(v, (uint32_t)n_blocks);
            put_u32(v + 4, (uint32_t)strlen(block));
            v[8] = (unsigned char)(strlen(entries[i]) & 255);
            v[9] = (unsigned char)(strlen(entries[i]) >> 8);
            strcat(block, entries[i]);
        }
        uLongf size = sizeof data - n_data;
        assert_int_equal(compress(data + n_data, &size, (const Bytef *)block, strlen(block)), Z_OK);
        put_u32(index + 12 * n_blocks, (uint32_t)n_data);
        put_u32(index + 12 * n_blocks + 4, (uint32_t)size);
        put_u32(index + 12 * n_blocks + 8, (uint32_t)strlen(block));
        n_data += size;
    }
    /* the last entry is linked: the next slot repeats it */
    memcpy(verses + row * (size_t)(n + 1), verses + row * (size_t)n, row);
    snprintf(path, sizeof path, "%s/ot.czs", dir);
    write_temp(path, index, 12 * n_blocks);
    snprintf(path, sizeof path, "%s/ot.czv", dir);
    write_temp(path, verses, row * (size_t)(n + 2));
    snprintf(path, sizeof path, "%s/ot.czz", dir);
    write_temp(path, data, n_data);
    snprintf(conf, sizeof conf, "[%s]\nDataPath=./modules/%s/\nModDrv=%s\nCompressType=ZIP\nSourceType=OSIS\n", name,
             name, driver);
    snprintf(path, sizeof path, "sword/mods.d/%s.conf", name);
    write_temp(path, conf, strlen(conf));
}

static const char *const commentary[] = {
    ("<title type=\"x-s\">Psalm 1</title> <div sID=\"g1\" type=\"x-p\"/><hi type=\"bold\">Verse 1.</hi> Blessed &amp; "
     "happy.<note>not this</note><div eID=\"g1\" type=\"x-p\"/> Next."),
    "<chapter n=\"2\" osisID=\"Ps.2\" sID=\"Ps.2\"/>",
    "ter n=\"2\"/> Why do the heathen rage? <l>line one</l><l>line two</l> <q",
};

static void commentaries(void **state) {
    (void)state;
    doc_list docs;
    make_module("Tiny", "zCom4", true, commentary, 3, 1);
    must_read(yaml_of("it: {kind: sword, path: %s}", temp_path("sword/mods.d/Tiny.conf")), &docs);
    assert_int_equal(docs.n, 2); /* the chapter mark alone is no text */
    assert_field(docs, 0, "id", "Tiny:ot:1");
    assert_field(docs, 0, "title", "Psalm 1");
    assert_field(docs, 0, "text", "Psalm 1\n\nVerse 1. Blessed & happy.\n\nNext.");
    assert_field(docs, 1, "title", "Ps.2");
    assert_field(docs, 1, "text", "Why do the heathen rage?\nline one\nline two");
    assert_string_not_equal(field_of_doc(docs.items, "group"), field_of_doc(docs.items + 1, "group"));
    free_docs(&docs);
}

static const char *const verses[] = {
    "<chapter n=\"1\" osisID=\"Gen.1\" sID=\"Gen.1\"/>",
    "<w lemma=\"x\">In</w> <w>the</w> beginning.",
    "And the earth.<chapter n=\"1\" eID=\"Gen.1\"/>",
    "<chapter n=\"2\" osisID=\"Gen.2\" sID=\"Gen.2\"/>",
    "Thus the heavens.",
};

static void chapters(void **state) {
    (void)state;
    doc_list docs;
    make_module("Text", "zText", false, verses, 5, 5);
    must_read(yaml_of("it: {kind: sword, path: %s}", temp_path("sword/mods.d/Text.conf")), &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 0, "title", "Gen.1");
    assert_field(docs, 0, "text", "In the beginning. And the earth.");
    assert_field(docs, 1, "title", "Gen.2");
    assert_field(docs, 1, "text", "Thus the heavens.");
    free_docs(&docs);
    must_read(yaml_of("it: {kind: sword, unit: entry, path: %s}", temp_path("sword/mods.d/Text.conf")), &docs);
    assert_int_equal(docs.n, 3);
    free_docs(&docs);
    char digest[2048];
    fingerprint_of(yaml_of("it: {kind: sword, path: %s}", temp_path("sword/mods.d/Text.conf")), digest, sizeof digest);
    assert_non_null(strstr(digest, "file ot.czz "));
}

static ins_status read_module(const char *name, ins_error *err) {
    doc_list docs;
    char path[100];
    snprintf(path, sizeof path, "sword/mods.d/%s.conf", name);
    ins_status status = read_docs(yaml_of("it: {kind: sword, path: %s}", temp_path(path)), &docs, err);
    free_docs(&docs);
    return status;
}

static void damaged_modules(void **state) {
    (void)state;
    ins_str bytes = {0};
    make_module("Cut", "zCom4", true, commentary, 3, 1);
    assert_int_equal(ins_file_read(temp_path("sword/modules/Cut/ot.czz"), 1 << 20, &bytes, NULL), INS_OK);
    write_temp("sword/modules/Cut/ot.czz", bytes.data, bytes.len / 2);
    assert_int_equal(read_module("Cut", NULL), INS_DATA);
    bytes.data[4] ^= 0x55;
    write_temp("sword/modules/Cut/ot.czz", bytes.data, bytes.len);
    assert_int_equal(read_module("Cut", NULL), INS_DATA);
    ins_str_clear(&bytes);
    make_module("Index", "zCom4", true, commentary, 3, 1);
    assert_int_equal(ins_file_read(temp_path("sword/modules/Index/ot.czv"), 1 << 20, &bytes, NULL), INS_OK);
    write_temp("sword/modules/Index/ot.czv", bytes.data, bytes.len - 3);
    assert_int_equal(read_module("Index", NULL), INS_DATA);
    bytes.data[12] = 77; /* a block that is not there */
    write_temp("sword/modules/Index/ot.czv", bytes.data, bytes.len);
    assert_int_equal(read_module("Index", NULL), INS_DATA);
    ins_str_free(&bytes);
    static const char *const confs[] = {
        "[A]\nModDrv=RawCom\nDataPath=./x/\n", "[A]\nModDrv=zCom\nCompressType=LZSS\nDataPath=x\n",
        "[A]\nModDrv=zCom\nDataPath=../../etc\n", "ModDrv=zCom\n", "[A]\nModDrv=zCom\nCipherKey=1\nDataPath=x\n"};
    for (size_t i = 0; i < sizeof confs / sizeof *confs; i++) {
        write_temp("sword/mods.d/Conf.conf", confs[i], strlen(confs[i]));
        assert_int_equal(read_module("Conf", NULL), INS_DATA);
    }
}

static void reflow(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
        size_t full;
    } cases[] = {
        {"  aaaa bbbb\n  cccc\n\n\n\n  dd\n", "aaaa bbbb cccc\n\ndd", 14},
        {"  aaaa bbbb\n  cccc\n", "aaaa bbbb\ncccc", 40},
        {"aaaa bbbb\ncccc", "aaaa bbbb\ncccc", 0},
        {"1. aaaa bbbb\n   cccc\n2. dddd", "1. aaaa bbbb cccc\n2. dddd", 14},
        {"", "", 10},
        {"\n\n", "", 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ins_str out = {0};
        ins_prose_reflow(cases[i].in, strlen(cases[i].in), cases[i].full, &out);
        assert_string_equal(out.data ? out.data : "", cases[i].out);
        ins_str_free(&out);
    }
}

static void unstrike_and_parts(void **state) {
    (void)state;
    char text[] = "\b_\bab\bb\xc3\xa9\b\xc3\xa9!";
    size_t n = ins_prose_unstrike(text, sizeof text - 1);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "ab\xc3\xa9!", 5);
    const char prose[] = "One two. Three four.\n\nFive six seven";
    assert_int_equal(ins_prose_part(prose, sizeof prose - 1, 100), sizeof prose - 1);
    assert_int_equal(ins_prose_part(prose, sizeof prose - 1, 30), 22); /* behind the empty line */
    assert_int_equal(ins_prose_part(prose, sizeof prose - 1, 15), 9);  /* behind a sentence */
    assert_int_equal(ins_prose_part("abcdef", 6, 4), 4);
    assert_int_equal(ins_prose_part("a\xc3\xa9\xc3\xa9", 5, 4), 3); /* not inside a character */
}

static void markup(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"<p>One<br/>two</p><p>three &lt;x&gt; &#233;&#x2014;</p>", "One\ntwo\n\nthree <x> \xc3\xa9\xe2\x80\x94"},
        {"a <!-- <b>no</b> --> b<script>var x;</script> c", "a b c"},
        {"a & b &unknown; &#0; c", "a & b &unknown; &#0; c"},
        {"<note>x <note>y</note> z</note>kept", "kept"},
        {"cut <b", "cut"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ins_str out = {0};
        ins_prose_strip_markup(cases[i].in, strlen(cases[i].in), &out, NULL);
        assert_string_equal(out.data ? out.data : "", cases[i].out);
        ins_str_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dictionary),      cmocka_unit_test(bad_dictionary), cmocka_unit_test(glosses),
        cmocka_unit_test(man_pages),       cmocka_unit_test(commentaries),   cmocka_unit_test(chapters),
        cmocka_unit_test(damaged_modules), cmocka_unit_test(reflow),         cmocka_unit_test(unstrike_and_parts),
        cmocka_unit_test(markup),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
