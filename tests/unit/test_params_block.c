/* The text of PHP_ADMIN_VALUE that a tenant's `php` settings make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/params.h"

static struct setting defaults[] = {{"memory_limit", "128M"}, {"open_basedir", "/var/www/html"}};
static const struct pool_config pool = {.root = "/var/www/html", .php = {defaults, 2}};

static void assert_text(const struct pool_config *of_pool, struct setting *settings, size_t count,
                        const char *expected) {
    struct tenant tenant = {.id = "one", .php = {settings, count}};
    struct params_block *block = params_block_new(&tenant, of_pool);

    assert_non_null(block);
    if (expected == NULL)
        assert_null(params_block_php(block));
    else
        assert_string_equal(params_block_php(block), expected);
    params_block_free(block);
}

static void test_php_text_has_every_key_of_the_pool_in_its_order(void **state) {
    struct setting own[] = {{"memory_limit", "256M"}, {"open_basedir", "/data"}};

    (void)state;
    assert_text(&pool, NULL, 0, "memory_limit='128M'\nopen_basedir='/var/www/html'\n");
    assert_text(&pool, own + 1, 1, "memory_limit='128M'\nopen_basedir='/data'\n");
    assert_text(&pool, own, 2, "memory_limit='256M'\nopen_basedir='/data'\n");
}

static void test_php_text_is_the_same_whether_a_default_is_set_or_left(void **state) {
    (void)state;
    assert_text(&pool, defaults, 2, "memory_limit='128M'\nopen_basedir='/var/www/html'\n");
}

static void test_php_text_has_no_key_that_the_pool_does_not_list(void **state) {
    struct setting own[] = {{"auto_prepend_file", "/etc/passwd"}};
    const struct pool_config plain = {.root = "/var/www/html"};

    (void)state;
    assert_text(&pool, own, 1, "memory_limit='128M'\nopen_basedir='/var/www/html'\n");
    assert_text(&plain, own, 1, NULL);
}

/* Each line was tried on PHP-FPM 8.2, and thousands of random values besides: ini_get() gives back
 * the value byte by byte. */
static void test_php_values_are_quoted_so_that_none_starts_another_setting(void **state) {
    static const struct {
        const char *value;
        const char *line;
    } cases[] = {
        {"", "k=\"\"\n"},
        {"256M", "k='256M'\n"},
        {"a;b=c ${USER} $x {y} \\ \"q\"", "k='a;b=c ${USER} $x {y} \\ \"q\"'\n"},
        {"a\ndisable_functions=x\r\n[PATH=/]", "k='a\ndisable_functions=x\r\n[PATH=/]'\n"},
        {"it's", "k='it'\"'\"'s'\n"},
        {"'", "k=\"'\"\n"},
        {"''x'", "k=\"'\"\"'\"'x'\"'\"\n"},
        {"\\'", "k='\\'\"'\"\n"},
        {"on", "k='on'\n"},
    };
    struct setting key = {"k", "default"};
    const struct pool_config one_key = {.root = "/", .php = {&key, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct setting own = {"k", (char *)cases[i].value};
        assert_text(&one_key, &own, 1, cases[i].line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_php_text_has_every_key_of_the_pool_in_its_order),
        cmocka_unit_test(test_php_text_is_the_same_whether_a_default_is_set_or_left),
        cmocka_unit_test(test_php_text_has_no_key_that_the_pool_does_not_list),
        cmocka_unit_test(test_php_values_are_quoted_so_that_none_starts_another_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
