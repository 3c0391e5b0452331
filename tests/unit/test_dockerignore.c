#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tenants/containers/dockerignore.h"

static bool excludes(const char *text, const char *path) {
    struct dockerignore ignore;

    dockerignore_init(&ignore, text);
    bool result = dockerignore_excludes(&ignore, path);
    dockerignore_deinit(&ignore);
    return result;
}

static bool may_hold(const char *text, const char *directory) {
    struct dockerignore ignore;

    dockerignore_init(&ignore, text);
    bool result = dockerignore_may_hold(&ignore, directory);
    dockerignore_deinit(&ignore);
    return result;
}

static void test_nothing_is_excluded_without_rules(void **state) {
    (void)state;
    assert_false(excludes("", "a"));
    assert_false(excludes("# a\n\n  \n/\n.\n", "a"));
}

static void test_entry_excludes_itself_and_what_is_below(void **state) {
    (void)state;
    assert_true(excludes("build", "build"));
    assert_true(excludes("/build/\r\n", "build/release/fpmux"));
    assert_true(excludes("./a/b", "a/b/c"));
    assert_false(excludes("build", "building"));
    assert_false(excludes("build", "docker/build"));
    assert_false(excludes("a/b", "a"));
}

static void test_star_does_not_match_a_slash(void **state) {
    (void)state;
    assert_true(excludes("*.o", "x.o"));
    assert_false(excludes("*.o", "dir/x.o"));
    assert_true(excludes("*/*.o", "dir/x.o"));
    assert_true(excludes("dir/?", "dir/x"));
}

static void test_two_stars_match_any_depth(void **state) {
    (void)state;
    assert_true(excludes("**/*.o", "x.o"));
    assert_true(excludes("**/*.o", "a/b/x.o"));
    assert_true(excludes("a/**", "a/b/c"));
    assert_false(excludes("a/**", "b/a/c"));
}

static void test_last_rule_that_matches_decides(void **state) {
    static const char text[] = "*\n!docker/apache\n!tenants\ntenants/*.5\n!tenants/x.5";
    (void)state;

    assert_true(excludes(text, "README.md"));
    assert_true(excludes(text, "docker"));
    assert_true(excludes(text, "docker/demo"));
    assert_false(excludes(text, "docker/apache/httpd.conf"));
    assert_false(excludes(text, "tenants/cli/main.c"));
    assert_true(excludes(text, "tenants/fpmux.json.5"));
    assert_false(excludes(text, "tenants/x.5"));
}

static void test_directory_is_looked_into_where_something_is_taken_back(void **state) {
    (void)state;
    assert_true(may_hold("*\n!docker/apache", "docker"));
    assert_false(may_hold("*\n!docker/apache", "dock"));
    assert_false(may_hold("*\n!docker/apache", "build"));
    assert_false(may_hold("build\n*.o", "build"));
    assert_true(may_hold("*\n!**/keep", "build"));
    assert_true(may_hold("*\n!b*/keep", "build"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_excluded_without_rules),
        cmocka_unit_test(test_entry_excludes_itself_and_what_is_below),
        cmocka_unit_test(test_star_does_not_match_a_slash),
        cmocka_unit_test(test_two_stars_match_any_depth),
        cmocka_unit_test(test_last_rule_that_matches_decides),
        cmocka_unit_test(test_directory_is_looked_into_where_something_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
