/* Reading what a web server sends: nothing is judged yet but that it is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/params.h"
#include "tests/support/wire.h"

#define SENT(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct params params; /* large; one per event loop in the daemon, too */

static int set_up(void **state) {
    struct bytes *wire = malloc(sizeof(*wire));

    if (wire == NULL)
        return -1;
    bytes_init(wire, 1 << 20);
    *state = wire;
    return 0;
}

static int tear_down(void **state) {
    bytes_deinit(*state);
    free(*state);
    return 0;
}

static void test_params_known_names_are_found(void **state) {
    struct bytes *wire = *state;
    static const char *const names[PARAM_COUNT] = {
        [PARAM_CONTENT_LENGTH] = "CONTENT_LENGTH",   [PARAM_FPMUX_TENANT] = "FPMUX_TENANT",
        [PARAM_FPMUX_TOKEN] = "FPMUX_TOKEN",         [PARAM_PATH_INFO] = "PATH_INFO",
        [PARAM_REDIRECT_URL] = "REDIRECT_URL",       [PARAM_REMOTE_ADDR] = "REMOTE_ADDR",
        [PARAM_REQUEST_METHOD] = "REQUEST_METHOD",   [PARAM_REQUEST_URI] = "REQUEST_URI",
        [PARAM_SCRIPT_FILENAME] = "SCRIPT_FILENAME", [PARAM_SCRIPT_NAME] = "SCRIPT_NAME",
        [PARAM_SERVER_NAME] = "SERVER_NAME",
    };

    for (int i = 0; i < PARAM_COUNT; i++) {
        wire->length = 0;
        wire_put_texts(wire, SENT("OTHER", "x", names[i], "value", "_", ""));
        assert_int_equal(params_decode(wire->data, wire->length, &params).status, 0);
        assert_int_equal(params.count, 3);
        for (int j = 0; j < PARAM_COUNT; j++)
            assert_ptr_equal(params.known[j], i == j ? &params.pairs[1] : NULL);
    }
}

static void test_params_last_of_duplicates_is_the_known_one(void **state) {
    struct bytes *wire = *state;

    wire_put_texts(wire, SENT("SERVER_NAME", "first", "SERVER_NAME", "last"));
    assert_int_equal(params_decode(wire->data, wire->length, &params).status, 0);
    assert_true(wire_is_value(params.known[PARAM_SERVER_NAME], "last"));
}

static void test_params_of_no_bytes_are_none(void **state) {
    (void)state;
    assert_int_equal(params_decode(NULL, 0, &params).status, 0);
    assert_int_equal(params.count, 0);
    assert_null(params.known[PARAM_REQUEST_METHOD]);
}

static void test_params_with_nul_are_refused(void **state) {
    struct bytes *wire = *state;
    static const struct {
        const char *name;
        size_t name_length;
        const char *value;
        size_t value_length;
        int status;
    } cases[] = {
        {"A\0B", 3, "x", 1, 400},     {"A", 1, "x\0", 2, 400}, {"A", 1, "\0x", 2, 400},
        {"\0", 1, "", 0, 400},        {"A", 1, "", 0, 0},      {"", 0, "", 0, 0},
        {"dropped", 7, "\0", 1, 400},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wire->length = 0;
        wire_put_texts(wire, SENT("EMPTY", "", "", "", "OK", "ok"));
        wire_put(wire, cases[i].name, cases[i].name_length, cases[i].value, cases[i].value_length);
        wire_put_texts(wire, SENT("EMPTY", "", "LAST", ""));
        assert_int_equal(params_decode(wire->data, wire->length, &params).status, cases[i].status);
    }
}

static void test_params_cut_anywhere_are_whole_or_refused(void **state) {
    struct bytes *wire = *state;
    char long_value[200];
    size_t borders = 0;

    memset(long_value, 'v', sizeof(long_value));
    long_value[sizeof(long_value) - 1] = '\0';
    wire_put_texts(wire, SENT("REQUEST_METHOD", "GET", "SCRIPT_FILENAME", "/x.php", "LONG",
                              long_value, "", "", "Z", "z"));
    for (size_t cut = 0; cut <= wire->length; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that reading past the end is seen */
        assert_non_null(copy);
        memcpy(copy, wire->data, cut);
        struct refusal refusal = params_decode(copy, cut, &params);
        assert_true(refusal.status == 0 || refusal.status == 400);
        borders += refusal.status == 0;
        free(copy);
    }
    assert_int_equal(borders, 6);
}

static void test_params_up_to_the_limit_are_read_and_no_more(void **state) {
    struct bytes *wire = *state;

    for (int i = 0; i < PARAMS_PAIRS_MAX; i++)
        wire_put_text(wire, "N", "");
    assert_int_equal(params_decode(wire->data, wire->length, &params).status, 0);
    assert_int_equal(params.count, PARAMS_PAIRS_MAX);
    wire_put_text(wire, "N", "");
    assert_int_equal(params_decode(wire->data, wire->length, &params).status, 431);
}

#define DECODE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        DECODE_TEST(test_params_known_names_are_found),
        DECODE_TEST(test_params_last_of_duplicates_is_the_known_one),
        DECODE_TEST(test_params_of_no_bytes_are_none),
        DECODE_TEST(test_params_with_nul_are_refused),
        DECODE_TEST(test_params_cut_anywhere_are_whole_or_refused),
        DECODE_TEST(test_params_up_to_the_limit_are_read_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
