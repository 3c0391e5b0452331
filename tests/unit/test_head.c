#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/head.h"

/* From memory of exactly that size, so that a sanitizer sees a read beyond it. */
static struct head scan(const char *text, size_t length) {
    uint8_t *data = malloc(length + 1);

    memcpy(data, text, length);
    uint8_t *exact = realloc(data, length > 0 ? length : 1);
    struct head head = head_scan(exact, length);
    free(exact);
    return head;
}

static struct head scan_text(const char *text) {
    return scan(text, strlen(text));
}

static const struct {
    const char *text;
    size_t length;
    int status;
} heads[] = {
    {"Content-Type: text/html\r\n\r\nbody", 27, 200},
    {"Content-Type: text/html\n\nbody\n\n", 25, 200},
    {"A: b\r\n\nbody", 7, 200},
    {"A: b\n\r\nbody", 7, 200},
    {"\r\nbody", 2, 200},
    {"\nbody", 1, 200},
    {"Status: 404 Not Found\r\n\r\n", 25, 404},
    {"A: b\r\nStatus: 503\r\nC: d\r\n\r\n", 27, 503},
    {"sTaTuS: 201 Created\n\n", 21, 201},
    {"STATUS:302\r\n\r\n", 14, 302},
    {"Status:    500 x\n\n", 18, 500},
    {"Status: 2\n\n", 11, 200},
    {"Status: abc\n\n", 13, 200},
    {"Status: 50\n\n", 12, 200},
    {"Status:\n\n", 9, 200},
    {"X-Status: 500\n\n", 15, 200},
    {"Status : 500\n\n", 14, 200},
    {"A: Status: 500\n\n", 16, 200},
    {"A: b\n\nStatus: 500\n\n", 6, 200},
    {"A: b\rC: d\n\n", 11, 200},
};

static void test_head_ends_with_the_first_empty_line(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct head head = scan_text(heads[i].text);
        if (head.length != heads[i].length || head.status != heads[i].status)
            fail_msg("\"%s\": %zu, %d", heads[i].text, head.length, head.status);
    }
}

static void test_head_is_incomplete_until_its_last_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        for (size_t cut = 0; cut <= strlen(heads[i].text); cut++) {
            struct head head = scan(heads[i].text, cut);
            assert_int_equal(head.length, cut < heads[i].length ? 0 : heads[i].length);
            if (cut >= heads[i].length)
                assert_int_equal(head.status, heads[i].status);
        }
}

static void test_head_without_an_empty_line_never_ends(void **state) {
    (void)state;
    assert_int_equal(scan_text("A: b\r\nC: d\r\n").length, 0);
    assert_int_equal(scan_text("<html>\n <body>\n \n").length, 0);
    assert_int_equal(scan_text("\r\r\r\r").length, 0);
    assert_int_equal(scan("A: b\n\0\n", 7).length, 0);
}

static void test_head_may_hold_any_other_byte(void **state) {
    (void)state;
    assert_int_equal(scan("A: \0\xff\x80\n\nx", 9).length, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_ends_with_the_first_empty_line),
        cmocka_unit_test(test_head_is_incomplete_until_its_last_byte),
        cmocka_unit_test(test_head_without_an_empty_line_never_ends),
        cmocka_unit_test(test_head_may_hold_any_other_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
