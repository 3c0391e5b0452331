#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenants/json.h"

static bool parse(struct json_document *document, const char *text, struct error *error) {
    return json_parse(document, "t", text, strlen(text), error);
}

static void assert_refused_bytes(const char *text, size_t length, const char *expected) {
    struct json_document document;
    struct error error = {0};

    assert_false(json_parse(&document, "t", text, length, &error));
    assert_string_equal(error.text, expected);
}

static void assert_refused(const char *text, const char *expected) {
    assert_refused_bytes(text, strlen(text), expected);
}

static const cJSON *member(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void assert_string_is(const char *text, const char *expected) {
    struct json_document document;
    struct error error = {0};

    if (!parse(&document, text, &error))
        fail_msg("%s", error.text);
    assert_string_equal(member(document.root, "a")->valuestring, expected);
    json_deinit(&document);
}

static void test_comments_are_blanked_out(void **state) {
    (void)state;
    assert_string_is("// first\n{/* 1 */\"a\"/**/: \"x\" // y\r\n} /* end */", "x");
    assert_string_is("{\"a\": \"x\"} // no line feed at the end", "x");
    assert_string_is("\xef\xbb\xbf{\"a\": \"x\"}", "x");
    assert_string_is("/* \" */ {\"a\": \"x\"}", "x");
}

static void test_comment_marks_inside_strings_are_text(void **state) {
    (void)state;
    assert_string_is("{\"a\": \"http://x /* y */\"}", "http://x /* y */");
    assert_string_is("{\"a\": \"\\\"// x\"}", "\"// x");
    assert_string_is("{\"a\": \"\\\\\"/*\"*/}", "\\");
    assert_string_is("{\"a\": \"\\\\u0000\"}", "\\u0000");
}

static void test_comments_keep_positions(void **state) {
    (void)state;
    assert_refused("/* one\n two */ {\n  // x\n  \"a\": /* y */ 1,,\n}",
                   "t:4:18: unexpected ,; this is not JSON");
}

static void test_syntax_errors_say_where(void **state) {
    (void)state;
    assert_refused("", "t:1:1: the text ends too early; is a } or ] missing?");
    assert_refused("{\"a\": 1", "t:1:8: the text ends too early; is a } or ] missing?");
    assert_refused("{\"a\": 1,\n}", "t:2:1: unexpected }; is there a comma too many?");
    assert_refused("[1, 2,]", "t:1:7: unexpected ]; is there a comma too many?");
    assert_refused("{\"a\": 1\n \"b\": 2}",
                   "t:2:2: unexpected string; is a comma or colon missing?");
    assert_refused("[1,2[", "t:1:5: unexpected [; is a comma missing, or is it nested too deeply?");
    assert_refused("[{}, {{",
                   "t:1:7: unexpected {; is a comma missing, or is it nested too deeply?");
    assert_refused("{\"a\":1, b: 2}", "t:1:9: unexpected b; this is not JSON");
    assert_refused("{\"a\":1,", "t:1:8: the text ends too early; is a } or ] missing?");
    assert_refused("{\"a\": \"x\\q\"}", "t:1:9: JSON has no such escape in a string");
    assert_refused("{\"\\ud800\": 1}", "t:1:3: JSON has no such escape in a string");
    assert_refused("{} x", "t:1:4: unexpected x; this is not JSON");
    assert_refused("{\"a\": tru}", "t:1:7: unexpected t; this is not JSON");
    assert_refused("{\"a\": \"x}", "t:1:7: this string has no closing quote");
    assert_refused("{\"a\": \"x\n\"}",
                   "t:1:9: a line ends inside a string; is its closing quote missing?");
    assert_refused("{ /* x", "t:1:3: this comment has no end: */ is missing");
    assert_refused("{ / x", "t:1:3: unexpected /; comments are // and /* */");
    assert_refused("{ /*/ }", "t:1:3: this comment has no end: */ is missing");
}

static void test_bytes_that_cjson_would_take_are_refused(void **state) {
    (void)state;
    assert_refused("{\"a\": \"\\u0000\"}", "t:1:8: \\u0000 (NUL) can't be in a string");
    assert_refused("{\"a\": \"x\\u00zz\"}", "t:1:9: \\u must be followed by four hex digits");
    assert_refused("{\"a\": \"\\u12", "t:1:8: \\u must be followed by four hex digits");
    assert_refused("{\"a\": \"\t\"}",
                   "t:1:8: a control character in a string; write it as \\u0009");
    assert_refused("{\x01}", "t:1:2: unexpected byte 0x01 outside of a string");
    assert_refused("{\xc3\xa9}", "t:1:2: unexpected byte 0xc3 outside of a string");
    assert_refused_bytes("{}\0", 3, "t:1:3: a NUL byte");
    assert_refused_bytes("{\"a\": \"\0\"}", 10, "t:1:8: a NUL byte");
}

static void test_invalid_utf8_is_refused(void **state) {
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc3",
                                      "\xe0\x80\x80",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff"};
    char text[64];
    char expected[64];

    (void)state;
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        snprintf(text, sizeof text, "{\"a\": \"%s\"}", bad[index]);
        snprintf(expected, sizeof expected, "t:1:8: this byte is not UTF-8: 0x%02x",
                 (unsigned)(unsigned char)bad[index][0]);
        assert_refused(text, expected);
    }
    assert_refused("// \xe9t\xe9\n{}", "t:1:4: this byte is not UTF-8: 0xe9");
    assert_string_is("{\"a\": \"\xc3\xa9 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80\"}",
                     "\xc3\xa9 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80");
}

static void test_key_that_stands_twice_is_refused(void **state) {
    char text[2048] = "{";
    size_t used = 1;

    (void)state;
    assert_refused("{\"a\": 1,\n \"b\": {}, \"a\": 2}", "t:2:11: key \"a\" stands twice");
    assert_refused("[{\"x\": {\"a\": 1, \"a\": 1}}]", "t:1:17: key \"a\" stands twice");
    for (int index = 0; index < 100; index++) /* enough for the sorted search */
        used += (size_t)snprintf(text + used, sizeof text - used, "\"k%d\": 1,", index);
    snprintf(text + used, sizeof text - used, "\n\"k7\": 1}");
    struct json_document document;
    struct error error;
    assert_false(parse(&document, text, &error));
    assert_non_null(strstr(error.text, "key \"k7\" stands twice"));
    assert_string_is("{\"a\": \"x\", \"A\": 1, \"b\": {\"a\": 1}}", "x");
}

static void test_nesting_is_bounded(void **state) {
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH);
    struct json_document document;
    struct error error;

    (void)state;
    assert_non_null(text);
    memset(text, '[', DEPTH);
    assert_false(json_parse(&document, "t", text, DEPTH, &error));
    assert_non_null(strstr(error.text, "nested"));
    free(text);
}

static void test_position_of_every_node(void **state) {
    static const char text[] = "{ // first\n"
                               "  \"a\" : -1.5e3 ,\n"
                               "  \"b,]}\": [ true,null ,\"x\\\"]\", {}, [] , {\"c\" :\n"
                               "\t\t\"\xc3\xa9\"} ],\n"
                               "\"d\": {\"e\": {}}, \"f\":false}";
    struct json_document document;
    struct error error = {0};

    (void)state;
    assert_true(parse(&document, text, &error));
    const cJSON *list = member(document.root, "b,]}");
    const cJSON *c = member(cJSON_GetArrayItem(list, 5), "c");
    const cJSON *d = member(document.root, "d");
    const struct {
        const cJSON *node;
        const char *value;
        const char *key;
    } cases[] = {
        {document.root, "t:1:1: !", "t:1:1: !"},
        {member(document.root, "a"), "t:2:9: !", "t:2:3: !"},
        {list, "t:3:11: !", "t:3:3: !"},
        {cJSON_GetArrayItem(list, 0), "t:3:13: !", "t:3:13: !"},
        {cJSON_GetArrayItem(list, 1), "t:3:18: !", "t:3:18: !"},
        {cJSON_GetArrayItem(list, 2), "t:3:24: !", "t:3:24: !"},
        {cJSON_GetArrayItem(list, 3), "t:3:32: !", "t:3:32: !"},
        {cJSON_GetArrayItem(list, 4), "t:3:36: !", "t:3:36: !"},
        {cJSON_GetArrayItem(list, 5), "t:3:41: !", "t:3:41: !"},
        {c, "t:4:3: !", "t:3:42: !"},
        {d, "t:5:6: !", "t:5:1: !"},
        {member(d, "e"), "t:5:12: !", "t:5:7: !"},
        {member(document.root, "f"), "t:5:21: !", "t:5:17: !"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        json_error_at(&document, cases[index].node, &error, "%c", '!');
        assert_string_equal(error.text, cases[index].value);
        json_error_at_key(&document, cases[index].node, &error, "!");
        assert_string_equal(error.text, cases[index].key);
    }
    json_deinit(&document);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_scalar(const struct json_document *document, const char *key,
                          const char *expected) {
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(document->root, key);
    size_t length;
    const char *text = json_scalar_text(document, node, &length);

    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
}

static void test_numbers_are_had_as_they_stand(void **state) {
    static const char text[] = "{\"a\":9007199254740993.10, \"b\" : /* c */ 1e400\n,\"c\":-0}";
    struct json_document document;
    struct error error;

    (void)state;
    assert_true(json_parse(&document, "t", text, strlen(text), &error));
    expect_scalar(&document, "a", "9007199254740993.10");
    expect_scalar(&document, "b", "1e400");
    expect_scalar(&document, "c", "-0");
    json_deinit(&document);
}

static void test_load_takes_small_regular_files_only(void **state) {
    char dir[] = "/tmp/fpmux-json-XXXXXX";
    char path[64];
    struct json_document document;
    struct error error = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.json", dir);
    write_file(path, "{\"a\": 1}");
    assert_true(json_load(&document, path, 8, &error));
    json_deinit(&document);
    assert_false(json_load(&document, path, 7, &error));
    assert_non_null(strstr(error.text, "/x.json: larger than 7 bytes"));
    write_file(path, "{\n!");
    assert_false(json_load(&document, path, 8, &error));
    assert_non_null(strstr(error.text, "/x.json:2:1: unexpected !"));
    unlink(path);
    assert_false(json_load(&document, path, 8, &error));
    assert_non_null(strstr(error.text, "/x.json: No such file or directory"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(json_load(&document, path, 8, &error));
    assert_non_null(strstr(error.text, "not a regular file"));
    unlink(path);
    rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comments_are_blanked_out),
        cmocka_unit_test(test_comment_marks_inside_strings_are_text),
        cmocka_unit_test(test_comments_keep_positions),
        cmocka_unit_test(test_syntax_errors_say_where),
        cmocka_unit_test(test_bytes_that_cjson_would_take_are_refused),
        cmocka_unit_test(test_invalid_utf8_is_refused),
        cmocka_unit_test(test_key_that_stands_twice_is_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_position_of_every_node),
        cmocka_unit_test(test_numbers_are_had_as_they_stand),
        cmocka_unit_test(test_load_takes_small_regular_files_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
