#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shim/bytes.h"

static void test_bytes_appended_come_out_in_order(void **state) {
    struct bytes bytes;

    (void)state;
    bytes_init(&bytes, 4096);
    for (int i = 0; i < 1000; i++)
        assert_true(bytes_append(&bytes, &(uint8_t){(uint8_t)i}, 1));
    assert_int_equal(bytes.length, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bytes.data[i], (uint8_t)i);
    bytes_deinit(&bytes);
}

static void test_bytes_fill_up_to_the_cap_and_no_further(void **state) {
    struct bytes bytes;
    uint8_t block[100] = {0};

    (void)state;
    bytes_init(&bytes, 300);
    for (int i = 0; i < 3; i++)
        assert_true(bytes_append(&bytes, block, sizeof(block)));
    assert_false(bytes_append(&bytes, block, 1));
    assert_true(bytes_append(&bytes, block, 0));
    assert_null(bytes_reserve(&bytes, SIZE_MAX));
    assert_int_equal(bytes.length, 300);
    bytes_deinit(&bytes);
}

static void test_bytes_that_did_not_fit_change_nothing(void **state) {
    struct bytes bytes;

    (void)state;
    bytes_init(&bytes, 4);
    assert_true(bytes_append(&bytes, "abc", 3));
    assert_false(bytes_append(&bytes, "de", 2));
    assert_int_equal(bytes.length, 3);
    assert_memory_equal(bytes.data, "abc", 3);
    assert_true(bytes_append(&bytes, "d", 1));
    assert_memory_equal(bytes.data, "abcd", 4);
    bytes_deinit(&bytes);
}

static void test_bytes_reserved_are_not_part_until_counted(void **state) {
    struct bytes bytes;

    (void)state;
    bytes_init(&bytes, 100000);
    assert_true(bytes_append(&bytes, "ab", 2));
    uint8_t *room = bytes_reserve(&bytes, 5000);
    assert_non_null(room);
    assert_int_equal(bytes.length, 2);
    memset(room, 'x', 5000);
    bytes.length += 5000;
    assert_memory_equal(bytes.data, "abxx", 4);
    assert_int_equal(bytes.data[5001], 'x');
    bytes_deinit(&bytes);
}

static void test_bytes_consumed_are_gone_from_the_front(void **state) {
    struct bytes bytes;

    (void)state;
    bytes_init(&bytes, 100);
    bytes_consume(&bytes, 0);
    assert_true(bytes_append(&bytes, "abcdef", 6));
    bytes_consume(&bytes, 2);
    assert_int_equal(bytes.length, 4);
    assert_memory_equal(bytes.data, "cdef", 4);
    bytes_consume(&bytes, 4);
    assert_int_equal(bytes.length, 0);
    bytes_deinit(&bytes);
}

static void test_bytes_can_be_used_again_after_deinit_with_the_same_cap(void **state) {
    struct bytes bytes;

    (void)state;
    bytes_init(&bytes, 3);
    assert_true(bytes_append(&bytes, "abc", 3));
    bytes_deinit(&bytes);
    assert_null(bytes.data);
    assert_false(bytes_append(&bytes, "abcd", 4));
    assert_true(bytes_append(&bytes, "abc", 3));
    bytes_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_appended_come_out_in_order),
        cmocka_unit_test(test_bytes_fill_up_to_the_cap_and_no_further),
        cmocka_unit_test(test_bytes_that_did_not_fit_change_nothing),
        cmocka_unit_test(test_bytes_reserved_are_not_part_until_counted),
        cmocka_unit_test(test_bytes_consumed_are_gone_from_the_front),
        cmocka_unit_test(test_bytes_can_be_used_again_after_deinit_with_the_same_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
