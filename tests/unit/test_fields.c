#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tenants/fields.h"

struct inner {
    unsigned depth;
};

struct target {
    char *string;
    bool flag;
    unsigned small;
    uint64_t large;
    unsigned wait_ms;
    unsigned choice;
    struct string_list list;
    struct settings texts;
    struct settings scalars;
    struct inner inner;
};

static bool is_path(const char *text) {
    return text[0] == '/';
}

static const char *const choices[] = {"red", "green", NULL};

static const struct field inner_fields[] = {
    {"depth", FIELD_UNSIGNED, .offset = offsetof(struct inner, depth), .max = 9},
};

#define MEMBER(name) .offset = offsetof(struct target, name)
static const struct field table[] = {
    {"string", FIELD_STRING, MEMBER(string)},
    {"path", FIELD_STRING, MEMBER(string), .is_valid = is_path, .rule = "an absolute path"},
    {"flag", FIELD_BOOL, MEMBER(flag)},
    {"small", FIELD_UNSIGNED, MEMBER(small), .min = 1, .max = 100},
    {"large", FIELD_UINT64, MEMBER(large), .max = FIELD_WHOLE_MAX},
    {"wait", FIELD_SECONDS, MEMBER(wait_ms), .min = 1, .max = 60000},
    {"choice", FIELD_CHOICE, MEMBER(choice), .choices = choices},
    {"list", FIELD_STRINGS, MEMBER(list), .is_valid = is_path, .rule = "an absolute path"},
    {"texts", FIELD_STRING_MAP, MEMBER(texts)},
    {"scalars", FIELD_SCALAR_MAP, MEMBER(scalars)},
    {"inner", FIELD_OBJECT, MEMBER(inner), .fields = inner_fields,
     .count = FIELD_COUNT(inner_fields)},
};

static void deinit(struct target *target) {
    free(target->string);
    string_list_deinit(&target->list);
    settings_deinit(&target->texts);
    settings_deinit(&target->scalars);
}

static bool read_text(const char *text, struct target *target, struct error *error) {
    struct json_document document;

    if (!json_parse(&document, "t", text, strlen(text), error))
        return false;
    struct field_reader reader = {.document = &document, .error = error};
    bool done = fields_read(&reader, document.root, table, FIELD_COUNT(table), target);
    json_deinit(&document);
    return done;
}

static void assert_refused(const char *text, const char *expected) {
    struct target target = {0};
    struct error error = {0};

    assert_false(read_text(text, &target, &error));
    assert_string_equal(error.text, expected);
    deinit(&target);
}

static void test_every_kind_is_read(void **state) {
    struct target target = {0};
    struct error error = {0};

    (void)state;
    if (!read_text(
            "{\"string\": \"x\", \"flag\": true, \"small\": 100, \"large\": 9007199254740991,"
            " \"wait\": 1.5, \"choice\": \"green\", \"list\": [\"/a\", \"/b\"],"
            " \"texts\": {\"b\": \"2\", \"a\": \"\"}, \"inner\": {\"depth\": 9}}",
            &target, &error))
        fail_msg("%s", error.text);
    assert_string_equal(target.string, "x");
    assert_true(target.flag);
    assert_int_equal(target.small, 100);
    assert_true(target.large == FIELD_WHOLE_MAX);
    assert_int_equal(target.wait_ms, 1500);
    assert_int_equal(target.choice, 1);
    assert_int_equal(target.list.count, 2);
    for (size_t index = 0; index < target.list.count; index++)
        assert_string_equal(target.list.items[index], index == 0 ? "/a" : "/b");
    assert_int_equal(target.texts.count, 2);
    for (size_t index = 0; index < target.texts.count; index++)
        assert_string_equal(target.texts.items[index].key, index == 0 ? "a" : "b");
    assert_string_equal(settings_find(&target.texts, "b"), "2");
    assert_null(settings_find(&target.texts, "c"));
    assert_null(settings_find(&target.scalars, "c"));
    assert_int_equal(target.inner.depth, 9);
    deinit(&target);
}

static void test_second_reading_replaces_the_first(void **state) {
    struct target target = {0};
    struct error error = {0};

    (void)state;
    assert_true(read_text("{\"string\": \"x\", \"list\": [\"/a\"], \"texts\": {\"a\": \"1\"}}",
                          &target, &error));
    assert_true(read_text("{\"string\": \"y\", \"list\": [], \"texts\": {}}", &target, &error));
    assert_string_equal(target.string, "y");
    assert_int_equal(target.list.count, 0);
    assert_int_equal(target.texts.count, 0);
    deinit(&target);
}

static void test_scalars_become_text_as_php_reads_it(void **state) {
    static const struct {
        const char *key;
        const char *value;
    } expected[] = {{"big", "4294967296"},
                    {"e", "1000000000000000"},
                    {"f", "0"},
                    {"h", "0.1"},
                    {"n", "-5"},
                    {"s", "128M"},
                    {"t", "1"}};
    struct target target = {0};
    struct error error = {0};

    (void)state;
    assert_true(read_text("{\"scalars\": {\"t\": true, \"f\": false, \"n\": -5, \"h\": 0.1,"
                          " \"big\": 4294967296, \"e\": 1e15, \"s\": \"128M\"}}",
                          &target, &error));
    assert_int_equal(target.scalars.count, 7);
    for (size_t index = 0; index < target.scalars.count; index++) {
        assert_string_equal(target.scalars.items[index].key, expected[index].key);
        assert_string_equal(target.scalars.items[index].value, expected[index].value);
    }
    deinit(&target);
}

static void test_numbers_are_whole_and_in_range(void **state) {
    static const char range[] = "t:1:11: \"small\" must be a whole number from 1 to 100";

    (void)state;
    assert_refused("{\"small\": 0}", range);
    assert_refused("{\"small\": 101}", range);
    assert_refused("{\"small\": -1}", range);
    assert_refused("{\"small\": 1.5}", range);
    assert_refused("{\"small\": 1e400}", range);
    assert_refused("{\"small\": 4294967297}", range);
    assert_refused("{\"small\": \"5\"}", range);
    assert_refused("{\"small\": null}", range);
    assert_refused("{\"large\": 9007199254740992}",
                   "t:1:11: \"large\" must be a whole number from 0 to 9007199254740991");
    assert_refused("{\"wait\": 0}",
                   "t:1:10: \"wait\" must be a number of seconds from 0.001 to 60");
    assert_refused("{\"wait\": 61}",
                   "t:1:10: \"wait\" must be a number of seconds from 0.001 to 60");
    assert_refused("{\"wait\": -1e400}",
                   "t:1:10: \"wait\" must be a number of seconds from 0.001 to 60");
    assert_refused("{\"wait\": \"1\"}",
                   "t:1:10: \"wait\" must be a number of seconds from 0.001 to 60");
}

static void test_wrong_types_say_what_would_be_right(void **state) {
    (void)state;
    assert_refused("[]", "t:1:1: the text must be an object: {...}");
    assert_refused("{\"string\": 1}",
                   "t:1:12: \"string\" must be a string of printable characters");
    assert_refused("{\"string\": \"\"}",
                   "t:1:12: \"string\" must be a string of printable characters");
    assert_refused("{\"string\": \"a\\nb\"}",
                   "t:1:12: \"string\" must be a string of printable characters");
    assert_refused("{\"path\": \"x\"}", "t:1:10: \"path\" must be an absolute path");
    assert_refused("{\"flag\": 1}", "t:1:10: \"flag\" must be true or false");
    assert_refused("{\"choice\": \"blue\"}", "t:1:12: \"choice\" must be \"red\" or \"green\"");
    assert_refused("{\"choice\": 1}", "t:1:12: \"choice\" must be \"red\" or \"green\"");
    assert_refused("{\"list\": \"/a\"}", "t:1:10: \"list\" must be a list of strings");
    assert_refused("{\"list\": [\"/a\",\n\"b\"]}",
                   "t:2:1: each item of \"list\" must be an absolute path");
    assert_refused("{\"list\": [[]]}", "t:1:11: each item of \"list\" must be an absolute path");
    assert_refused("{\"texts\": []}",
                   "t:1:11: \"texts\" must be an object: {\"KEY\": \"VALUE\", ...}");
    assert_refused("{\"texts\": {\"b\": \"\", \"a\": 1}}",
                   "t:1:26: \"a\" must be a string; put it in quotes");
    assert_refused("{\"scalars\": {\"a\": null}}",
                   "t:1:19: \"a\" must be a string, a number, true or false");
    assert_refused("{\"scalars\": {\"a\": 1e400}}",
                   "t:1:19: \"a\" must be a string, a number, true or false");
    assert_refused("{\"texts\": {\"a\": \"\\r\"}}",
                   "t:1:17: \"a\" must not have control characters");
    assert_refused("{\"texts\": {\"\": \"x\"}}",
                   "t:1:12: a key must not be empty nor have control characters");
    assert_refused("{\"inner\": 1}", "t:1:11: inner must be an object: {...}");
}

static void test_unknown_key_names_the_nearest(void **state) {
    (void)state;
    assert_refused("{\n \"sting\": 1}", "t:2:2: unknown key \"sting\"; did you mean \"string\"?");
    assert_refused("{\"scalar\": 1}", "t:1:2: unknown key \"scalar\"; did you mean \"scalars\"?");
    assert_refused("{\"Flag\": 1}", "t:1:2: unknown key \"Flag\"; did you mean \"flag\"?");
    assert_refused("{\"inner\": {\"width\": 1}}",
                   "t:1:12: unknown key \"width\"; known here: depth");
    assert_refused(
        "{\"inner\": {\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
        ": 1}}",
        "t:1:12: unknown key \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaa\"; known here: depth");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_is_read),
        cmocka_unit_test(test_second_reading_replaces_the_first),
        cmocka_unit_test(test_scalars_become_text_as_php_reads_it),
        cmocka_unit_test(test_numbers_are_whole_and_in_range),
        cmocka_unit_test(test_wrong_types_say_what_would_be_right),
        cmocka_unit_test(test_unknown_key_names_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
