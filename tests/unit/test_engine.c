/* What the engine's answers are made of; calls themselves are tested with a fake engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/engine_codec.h"

/* ---- Objects ---- */

struct seen {
    int numbers[8];
    int count;
    int enough; /* after so many; 0: never */
};

static bool on_object(void *context, const cJSON *object) {
    struct seen *seen = context;

    assert_true(seen->count < 8);
    seen->numbers[seen->count++] =
        (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, "n"));
    return seen->count != seen->enough;
}

/* Feeds text in two pieces, cut at. */
static enum engine_objects_result feed(struct seen *seen, const char *text, size_t at) {
    struct engine_objects objects;

    engine_objects_init(&objects, on_object, seen);
    enum engine_objects_result result = engine_objects_feed(&objects, text, at);
    if (result == ENGINE_OBJECTS_MORE)
        result = engine_objects_feed(&objects, text + at, strlen(text) - at);
    engine_objects_deinit(&objects);
    return result;
}

static void test_objects_are_found_wherever_the_bytes_are_cut(void **state) {
    static const char text[] = "{\"n\":1}\r\n{\"n\":2,\"s\":\"}{\\\"\\\\\"}\n\n {\"o\":{\"n\":9},"
                               "\"a\":[{},[\"]\"]],\n \"n\":3}{\"n\":4}";
    (void)state;

    for (size_t at = 0; at <= strlen(text); at++) {
        struct seen seen = {.count = 0};
        assert_int_equal(feed(&seen, text, at), ENGINE_OBJECTS_MORE);
        assert_int_equal(seen.count, 4);
        for (int i = 0; i < 4; i++)
            assert_int_equal(seen.numbers[i], i + 1);
    }
}

static void test_object_that_is_cut_is_not_passed_on(void **state) {
    static const char text[] = "{\"s\":\"a\\\"b\",\"n\":1}";
    (void)state;

    for (size_t length = 0; length < strlen(text); length++) {
        struct seen seen = {.count = 0};
        char *cut = strndup(text, length);
        assert_int_equal(feed(&seen, cut, length), ENGINE_OBJECTS_MORE);
        assert_int_equal(seen.count, 0);
        free(cut);
    }
}

static void test_objects_end_when_there_are_enough(void **state) {
    struct seen seen = {.enough = 2};
    (void)state;

    assert_int_equal(feed(&seen, "{\"n\":1}{\"n\":2}{\"n\":3} rubbish", 9), ENGINE_OBJECTS_ENOUGH);
    assert_int_equal(seen.count, 2);
}

static void test_what_is_no_object_is_refused_at_once(void **state) {
    static const char *const wrong[] = {"<html>", "[1]",     "{]",        "{\"n\":1}x",
                                        "null",   "{\"n\"}", "{\"n\":1]", "{\"n\":01a}"};
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct seen seen = {.count = 0};
        assert_int_equal(feed(&seen, wrong[i], 1), ENGINE_OBJECTS_WRONG);
    }
}

static void test_object_without_end_is_refused(void **state) {
    struct seen seen = {.count = 0};
    struct engine_objects objects;
    enum engine_objects_result result;
    char piece[65536];
    size_t fed = 1;
    (void)state;

    memset(piece, 'x', sizeof piece);
    engine_objects_init(&objects, on_object, &seen);
    result = engine_objects_feed(&objects, "{\"", 2);
    while (result == ENGINE_OBJECTS_MORE && fed < 64 << 20) {
        result = engine_objects_feed(&objects, piece, sizeof piece);
        fed += sizeof piece;
    }
    assert_int_equal(result, ENGINE_OBJECTS_WRONG);
    engine_objects_deinit(&objects);
}

/* ---- Bytes ---- */

static void test_bytes_grow_up_to_their_cap_and_no_further(void **state) {
    struct engine_bytes bytes = {.cap = 10000};
    char piece[4096] = {0};
    (void)state;

    assert_true(engine_bytes_append(&bytes, piece, sizeof piece));
    assert_true(engine_bytes_append(&bytes, piece, sizeof piece));
    assert_false(engine_bytes_append(&bytes, piece, sizeof piece));
    assert_true(engine_bytes_append(&bytes, piece, 10000 - 2 * sizeof piece));
    assert_false(engine_bytes_append(&bytes, piece, 1));
    assert_int_equal(bytes.length, 10000);
    assert_int_equal(bytes.data[bytes.length], 0);
    engine_bytes_deinit(&bytes);
}

/* ---- Answers ---- */

static enum engine_result judge(long status, const char *body, struct error *error) {
    return engine_judge(status, body, body != NULL ? strlen(body) : 0, error);
}

static void test_statuses_become_results(void **state) {
    struct error error;
    (void)state;

    assert_int_equal(judge(200, "{}", &error), ENGINE_OK);
    assert_int_equal(judge(204, NULL, &error), ENGINE_OK);
    assert_int_equal(judge(304, NULL, &error), ENGINE_OK);
    assert_int_equal(judge(404, NULL, &error), ENGINE_MISSING);
    assert_int_equal(judge(409, NULL, &error), ENGINE_CONFLICT);
    assert_int_equal(judge(500, NULL, &error), ENGINE_REFUSED);
    assert_int_equal(judge(302, NULL, &error), ENGINE_REFUSED);
    assert_string_equal(error.text, "status 302");
}

static void test_refusal_is_told_in_the_engines_words(void **state) {
    struct error error;
    (void)state;

    judge(500, "{\"message\":\"no space left on device\"}\n", &error);
    assert_string_equal(error.text, "no space left on device");
    judge(502, "Bad Gateway\nmore", &error);
    assert_string_equal(error.text, "status 502: Bad Gateway");
    judge(500, "{\"message\":1}", &error);
    assert_string_equal(error.text, "status 500: {\"message\":1}");
}

static void test_head_gives_status_and_length(void **state) {
    struct engine_head head;
    (void)state;

    assert_true(engine_head_parse("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n", &head));
    assert_int_equal(head.status, 101);
    assert_int_equal(head.body_bytes, 0);
    assert_true(engine_head_parse(
        "HTTP/1.0 409 Conflict\r\nX-Content-Length: 7\r\ncontent-length: 42\r\n\r\n", &head));
    assert_int_equal(head.status, 409);
    assert_int_equal(head.body_bytes, 42);
}

static void test_what_is_no_head_is_refused(void **state) {
    static const char *const wrong[] = {"",
                                        "HTTP/1.1",
                                        "HTTP/1.1 ",
                                        "HTTP/1.1 20\r\n\r\n",
                                        "HTTP/2.0 200\r\n\r\n",
                                        "HTTP/1.1 -10\r\n\r\n",
                                        "HTTP/1.1 099 x\r\n\r\n",
                                        "SSH-2.0-OpenSSH_9.2\r\n\r\n"};
    struct engine_head head;
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(engine_head_parse(wrong[i], &head));
}

/* ---- Paths ---- */

static void check_path(const char *path, const char *key, cJSON *value, const char *expected) {
    char *whole = engine_path(path, key, value);

    assert_string_equal(whole, expected);
    free(whole);
    cJSON_Delete(value);
}

static void test_query_is_escaped_and_put_behind_the_path(void **state) {
    (void)state;

    check_path("/containers/json?all=1", "filters", cJSON_Parse("{\"label\":[\"a=b\"]}"),
               "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D");
    check_path("/build", "t", cJSON_CreateString("me/x:1 &?#%\n"),
               "/build?t=me%2Fx%3A1%20%26%3F%23%25%0A");
    check_path("/build", "t", cJSON_CreateString(""), "/build?t=");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_found_wherever_the_bytes_are_cut),
        cmocka_unit_test(test_object_that_is_cut_is_not_passed_on),
        cmocka_unit_test(test_objects_end_when_there_are_enough),
        cmocka_unit_test(test_what_is_no_object_is_refused_at_once),
        cmocka_unit_test(test_object_without_end_is_refused),
        cmocka_unit_test(test_bytes_grow_up_to_their_cap_and_no_further),
        cmocka_unit_test(test_statuses_become_results),
        cmocka_unit_test(test_refusal_is_told_in_the_engines_words),
        cmocka_unit_test(test_head_gives_status_and_length),
        cmocka_unit_test(test_what_is_no_head_is_refused),
        cmocka_unit_test(test_query_is_escaped_and_put_behind_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
