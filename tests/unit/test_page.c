#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/fcgi.h"
#include "shim/head.h"
#include "shim/page.h"

static const int statuses[PAGE_KINDS] = {
    [PAGE_BAD_REQUEST] = 400,     [PAGE_FORBIDDEN] = 403,   [PAGE_NOT_FOUND] = 404,
    [PAGE_TOO_LARGE] = 413,       [PAGE_OVER_QUOTA] = 429,  [PAGE_FIELDS_TOO_LARGE] = 431,
    [PAGE_BAD_GATEWAY] = 502,     [PAGE_UNAVAILABLE] = 503, [PAGE_SUSPENDED] = 503,
    [PAGE_GATEWAY_TIMEOUT] = 504,
};

static char dir[64];

static int set_up(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-pages-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static void put(const char *name, const char *text, size_t length) {
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static int tear_down(void **state) {
    static const char *const names[] = {"404.html", "503.html", "suspended.html"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

/* The response, as text that the caller frees. */
static char *write_page(const char *pages_dir, enum page_kind kind, unsigned retry_seconds) {
    struct pages *pages = pages_new(pages_dir);
    struct bytes out;

    bytes_init(&out, FCGI_CONTENT_MAX);
    page_write(pages, kind, "0123abcd-7", retry_seconds, &out);
    assert_true(bytes_append(&out, "", 1));
    pages_free(pages);
    return (char *)out.data;
}

static void test_page_is_a_complete_response_with_its_status(void **state) {
    (void)state;
    for (int kind = 0; kind < PAGE_KINDS; kind++) {
        char *text = write_page(NULL, (enum page_kind)kind, 0);
        struct head head = head_scan((const uint8_t *)text, strlen(text));
        assert_int_equal(page_status((enum page_kind)kind), statuses[kind]);
        assert_int_equal(head.status, statuses[kind]);
        assert_true(head.length > 0 && head.length < strlen(text));
        const char *id = strstr(text, "\r\nX-Fpmux-Request-Id: 0123abcd-7\r\n");
        assert_true(id != NULL && id < text + head.length);
        assert_non_null(strstr(text, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
        assert_non_null(strstr(text, "\r\nCache-Control: no-store\r\n"));
        assert_non_null(strstr(text + head.length, "</html>"));
        free(text);
    }
}

static void test_page_tells_when_to_come_back_only_if_known(void **state) {
    (void)state;
    char *text = write_page(NULL, PAGE_UNAVAILABLE, 5);
    assert_non_null(strstr(text, "\r\nRetry-After: 5\r\n"));
    free(text);
    text = write_page(NULL, PAGE_UNAVAILABLE, 0);
    assert_null(strstr(text, "Retry-After"));
    free(text);
}

static void test_page_of_the_operator_takes_the_place_of_the_built_in_one(void **state) {
    (void)state;
    put("suspended.html", "<p>own</p>", 10);
    char *text = write_page(dir, PAGE_SUSPENDED, 3600);
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, "<p>own</p>");
    assert_non_null(strstr(text, "X-Fpmux-Request-Id: 0123abcd-7"));
    free(text);
    text = write_page(dir, PAGE_UNAVAILABLE, 0); /* the other 503 */
    assert_null(strstr(text, "own"));
    free(text);
}

static void test_page_of_the_operator_fits_a_record_or_is_not_used(void **state) {
    enum { MOST = 48 * 1024 };
    char *large = malloc(MOST + 1);

    (void)state;
    memset(large, 'x', MOST + 1);
    put("404.html", large, MOST);
    put("503.html", large, MOST + 1);
    char *text = write_page(dir, PAGE_NOT_FOUND, 0);
    assert_int_equal(strlen(strstr(text, "\r\n\r\n") + 4), MOST);
    free(text);
    text = write_page(dir, PAGE_UNAVAILABLE, 0);
    assert_null(strstr(text, "xxxx"));
    assert_non_null(strstr(text, "</html>"));
    free(text);
    free(large);
}

static void test_page_directory_may_be_missing(void **state) {
    (void)state;
    char *text = write_page("/nonexistent", PAGE_NOT_FOUND, 0);
    assert_non_null(strstr(text, "</html>"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_is_a_complete_response_with_its_status),
        cmocka_unit_test(test_page_tells_when_to_come_back_only_if_known),
        cmocka_unit_test_setup_teardown(
            test_page_of_the_operator_takes_the_place_of_the_built_in_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page_of_the_operator_fits_a_record_or_is_not_used,
                                        set_up, tear_down),
        cmocka_unit_test(test_page_directory_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
