/* Which script runs. The forms are what Apache 2.4, nginx and HAProxy really send; the expected
 * SCRIPT_NAME and PATH_INFO are what PHP-FPM 8.2 shows in $_SERVER when it gets these directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/script.h"
#include "tests/support/wire.h"

static char *php_only[] = {".php"};
static char *two_suffixes[] = {".php", ".phar"};

static struct pool_config make_pool(const char *root) {
    return (struct pool_config){
        .root = (char *)root,
        .suffixes = {php_only, 1},
        .status_path = "/status",
        .ping_path = "/ping",
    };
}

/* What a web server sends; NULL: not sent. */
struct sent {
    const char *filename;
    const char *name;
    const char *path_info;
};

static struct refusal resolve_in(const struct pool_config *pool, struct sent sent,
                                 struct script *script) {
    static struct params params;
    struct bytes wire;

    bytes_init(&wire, 1 << 20);
    if (sent.filename != NULL)
        wire_put_text(&wire, "SCRIPT_FILENAME", sent.filename);
    if (sent.name != NULL)
        wire_put_text(&wire, "SCRIPT_NAME", sent.name);
    if (sent.path_info != NULL)
        wire_put_text(&wire, "PATH_INFO", sent.path_info);
    assert_int_equal(params_decode(wire.data, wire.length, &params).status, 0);
    struct refusal refusal = script_resolve(&params, pool, script);
    bytes_deinit(&wire);
    return refusal;
}

static void assert_script(const struct pool_config *pool, struct sent sent, struct sent expected) {
    static struct script script;
    struct refusal refusal = resolve_in(pool, sent, &script);

    assert_int_equal(refusal.status, 0);
    assert_string_equal(script.filename, expected.filename);
    assert_int_equal(script.filename_length, strlen(expected.filename));
    assert_string_equal(script.name, expected.name);
    assert_int_equal(script.name_length, strlen(expected.name));
    assert_string_equal(script.path_info, expected.path_info);
    assert_int_equal(script.path_info_length, strlen(expected.path_info));
}

static void assert_filename(const struct pool_config *pool, const char *filename,
                            const char *expected) {
    static struct script script;
    struct refusal refusal = resolve_in(pool, (struct sent){.filename = filename}, &script);

    assert_int_equal(refusal.status, 0);
    assert_string_equal(script.filename, expected);
}

static void assert_refused(const struct pool_config *pool, struct sent sent, int status) {
    static struct script script;
    struct refusal refusal = resolve_in(pool, sent, &script);

    assert_int_equal(refusal.status, status);
    assert_non_null(refusal.reason);
}

/* ---- What web servers send ---- */

static void test_script_of_apache_proxypassmatch(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://10.0.0.1:9000/var/www/html/x.php", "/x.php", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", ""});
    assert_script(
        &pool,
        (struct sent){"proxy:fcgi://10.0.0.1:9000/var/www/html/x.php/pi/q", "/x.php/pi/q", NULL},
        (struct sent){"/var/www/html/x.php", "/x.php", "/pi/q"});
    assert_script(&pool, (struct sent){"proxy:fcgi://h:9000/var/www/html/x.php/", "/x.php/", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/"});
}

/* SCRIPT_FILENAME is percent-encoded there, SCRIPT_NAME is not; FPM's PATH_INFO is as in the path.
 */
static void test_script_of_apache_proxypassmatch_with_encoded_path_info(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://h:9000/var/www/html/x.php/a%20b", "/x.php/a b", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/a%20b"});
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://h:9000/var/www/html/x.php/p%3Fq", "/x.php/p?q", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/p%3Fq"});
}

/* ProxyPassMatch ^/(.*(/.*)?)$ fcgi://HOST:9000/var/www/html/$1/index.php */
static void test_script_of_apache_proxypassmatch_with_index(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://h:9000/var/www/html/sub/index.php", "/sub", NULL},
                  (struct sent){"/var/www/html/sub/index.php", "/sub", ""});
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://h:9000/var/www/html/x.php/index.php", "/x.php", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/index.php"});
    assert_script(&pool, (struct sent){"proxy:fcgi://h:9000/var/www/html//index.php", "/", NULL},
                  (struct sent){"/var/www/html/index.php", "/", ""});
}

static void test_script_of_apache_sethandler(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://localhost//var/www/html/x.php", "/x.php", "/a b?c"},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/a b?c"});
    assert_script(&pool,
                  (struct sent){"proxy:fcgi://localhost/var/www/html/d/x.php", "/d/x.php", NULL},
                  (struct sent){"/var/www/html/d/x.php", "/d/x.php", ""});
}

static void test_script_of_apache_with_other_proxy_prefixes(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_filename(&pool, "proxy:balancer://php/var/www/html/x.php", "/var/www/html/x.php");
    assert_filename(&pool, "proxy:unix:/run/x.sock|fcgi://localhost/var/www/html/x.php",
                    "/var/www/html/x.php");
    assert_filename(&pool, "proxy:unix:/run/x.sock|fcgi://php:80//var/www/html/x.php",
                    "/var/www/html/x.php");
    assert_filename(&pool, "PROXY:Fcgi://h/var/www/html/x.php", "/var/www/html/x.php");
    assert_filename(&pool, "proxy:fcgi://[::1]:9000/var/www/html/x.php", "/var/www/html/x.php");
}

static void test_script_of_nginx(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool, (struct sent){"/var/www/html/x.php", "/x.php", ""},
                  (struct sent){"/var/www/html/x.php", "/x.php", ""});
    assert_script(&pool, (struct sent){"/var/www/html/x.php", "/x.php", "/pi"},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/pi"});
    assert_script(&pool, (struct sent){"/var/www/html/x.php/pi", "/x.php/pi", NULL},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/pi"});
}

static void test_script_name_follows_from_the_path_when_none_is_sent(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool, (struct sent){"/var/www/html/d/x.php/pi", NULL, NULL},
                  (struct sent){"/var/www/html/d/x.php", "/d/x.php", "/pi"});
    assert_script(&pool, (struct sent){"/var/www/html/d/x.php", "", NULL},
                  (struct sent){"/var/www/html/d/x.php", "/d/x.php", ""});
}

static void test_script_query_is_cut_only_behind_a_proxy_prefix(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_filename(&pool, "proxy:fcgi://h/var/www/html/x.php?a=/../../b", "/var/www/html/x.php");
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/x.php?a"}, 403);
    assert_refused(&pool, (struct sent){.filename = "proxy:fcgi://h/var/www/html/x?y.php"}, 403);
}

/* ---- The jail ---- */

static void test_script_dots_and_double_slashes_are_resolved(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_filename(&pool, "//var//www/html///x.php", "/var/www/html/x.php");
    assert_filename(&pool, "/var/www/html/./a/../x.php", "/var/www/html/x.php");
    assert_filename(&pool, "/../var/www/html/a/b/../../x.php", "/var/www/html/x.php");
    assert_filename(&pool, "/var/www/other/../html/x.php", "/var/www/html/x.php");
    assert_filename(&pool, "/var/www/html/...php", "/var/www/html/...php");
    assert_filename(&pool, "/var/www/html/x.php/../y.php", "/var/www/html/y.php");
}

static void test_script_outside_the_root_is_refused(void **state) {
    static const char *const outside[] = {
        "/etc/x.php",
        "/var/www/html2/x.php",
        "/var/www/htm/x.php",
        "/var/www/html/../x.php",
        "/var/www/html/../html2/x.php",
        "/var/www/html/a/../../../x.php",
        "/var/www/html",
        "/var/www/html.php",
        "proxy:fcgi://h/etc/x.php",
        "proxy:fcgi://h/var/www/html/../../../etc/x.php",
        "proxy:unix:/var/www/html/x.php|fcgi://h/etc/x.php",
        "/",
        "var/www/html/x.php",
        "x.php",
        "",
        " /var/www/html/x.php",
        "proxy:http://h/var/www/html/x.php",
        "proxy:fcgi://",
        "proxy:fcgi://h",
        "proxy:fcgi:/var/www/html/x.php",
        "proxy:unix:/run/x.sock",
        "proxy:unix:/run/x.sock|",
        "proxy:unix:/run/x.sock|fcgi://",
        "proxy:",
        "proxy:proxy:fcgi://h/var/www/html/x.php",
    };
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_refused(&pool, (struct sent){.filename = outside[i]}, 403);
    assert_refused(&pool, (struct sent){NULL, "/x.php", NULL}, 403);
}

/* PHP-FPM decodes with fastcgi.script_path_encoded=0. */
static void test_script_outside_the_root_only_when_decoded_is_refused(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/%2e%2e/x.php"}, 403);
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/a%2F..%2f..%2Fx.php"}, 403);
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/x.php/.%2E/../../x.php"}, 403);
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/%00/x.php"}, 400);
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/x.txt%00.php"}, 400);
    assert_refused(&pool, (struct sent){.filename = "/var/www/html/x.php/%0a"}, 400);
    assert_filename(&pool, "/var/www/html/a%2fb/%2e/x.php", "/var/www/html/a%2fb/%2e/x.php");
    assert_filename(&pool, "/var/www/html/50%.php", "/var/www/html/50%.php");
    assert_filename(&pool, "/var/www/html/%zz%4/%.php", "/var/www/html/%zz%4/%.php");
}

static void test_script_without_an_allowed_suffix_is_refused(void **state) {
    static const char *const refused[] = {
        "/var/www/html/",         "/var/www/html/x",         "/var/www/html/x.phps",
        "/var/www/html/x.PHP",    "/var/www/html/x.php.txt", "/var/www/html/php",
        "/var/www/html/xphp/pi",  "/var/www/html/x.php~",    "/var/www/html/x.ph\xc3\xbd",
        "/var/www/html/x.php /y",
    };
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(&pool, (struct sent){.filename = refused[i]}, 403);
}

static void test_script_is_the_first_component_with_an_allowed_suffix(void **state) {
    struct pool_config pool = make_pool("/srv/app.php/html");

    (void)state;
    pool.suffixes = (struct string_list){two_suffixes, 2};
    assert_script(&pool, (struct sent){"/srv/app.php/html/a.phps/b.phar/c.php", NULL, NULL},
                  (struct sent){"/srv/app.php/html/a.phps/b.phar", "/a.phps/b.phar", "/c.php"});
}

static void test_script_root_may_be_the_root_directory(void **state) {
    struct pool_config pool = make_pool("/");

    (void)state;
    assert_script(&pool, (struct sent){"/a/x.php/pi", NULL, NULL},
                  (struct sent){"/a/x.php", "/a/x.php", "/pi"});
    assert_filename(&pool, "/../x.php", "/x.php");
    assert_refused(&pool, (struct sent){.filename = "/"}, 403);
}

static void test_script_with_line_break_is_refused(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_refused(&pool, (struct sent){"/var/www/html/x.php/\n", "/x.php", NULL}, 400);
    assert_refused(&pool, (struct sent){"/var/www/html/a\rb.php", "/x.php", NULL}, 400);
    assert_refused(&pool, (struct sent){"/var/www/html/x.php", "/x.php", "/a\nb"}, 400);
    assert_refused(&pool, (struct sent){"/var/www/html/x.php", "/x.php", "/a\rb"}, 400);
    assert_refused(&pool, (struct sent){"/var/www/html/x.php", "/x.php\n", NULL}, 400);
}

static void test_script_path_that_is_too_long_is_refused(void **state) {
    struct pool_config pool = make_pool("/r");
    char path[SCRIPT_PATH_MAX + 1];

    (void)state;
    memset(path, 'a', sizeof(path));
    path[0] = path[2] = '/';
    path[1] = 'r';
    memcpy(path + SCRIPT_PATH_MAX - 5, ".php", 5);
    assert_filename(&pool, path, path);
    memset(path + SCRIPT_PATH_MAX - 5, 'a', 5);
    memcpy(path + SCRIPT_PATH_MAX - 4, ".php", 5);
    assert_refused(&pool, (struct sent){path, "/x.php", NULL}, 400);
    assert_refused(&pool, (struct sent){"/r/x.php", path, NULL}, 400);
    assert_refused(&pool, (struct sent){"/r/x.php", "/x.php", path}, 400);
}

/* ---- FPM's own pages, which show what other tenants do ---- */

static void test_script_name_of_a_page_of_fpm_is_refused(void **state) {
    static const char *const pages[] = {"/status", "/ping", "//status", "/./ping", "/a/../status"};
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        assert_refused(&pool, (struct sent){"/var/www/html/x.php", pages[i], NULL}, 403);
}

static void test_script_name_that_becomes_a_page_of_fpm_when_cut_is_refused(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    pool.status_path = "/status.php";
    assert_refused(&pool, (struct sent){"/var/www/html/status.php/x", "/status.php/x", NULL}, 403);
    assert_refused(&pool, (struct sent){"/var/www/html/x.php/x", "//status.php/x", NULL}, 403);
    assert_refused(&pool, (struct sent){"/var/www/html/status.php", NULL, NULL}, 403);
    pool.status_path = "/fpm.php/status";
    assert_refused(&pool, (struct sent){"/var/www/html/fpm.php/status", "/fpm.php/status", NULL},
                   403);
}

/* Where /var/www/html/robots.txt is a file, PHP-FPM takes the first of these for
 * SCRIPT_NAME=/status: as many bytes off PATH_INFO as "/b.php" has. With cgi.fix_pathinfo=0 it
 * takes the third. */
static void test_script_path_info_that_begins_like_a_page_of_fpm_is_refused(void **state) {
    static const struct sent all[] = {
        {"proxy:fcgi://h/var/www/html/robots.txt/b.php/status/b.php", "/robots.txt/b.php", NULL},
        {"/var/www/html/robots.txt/b.php", "/robots.txt/b.php", "/statusXXXXXX"},
        {"/var/www/html/x.php", "/x.php", "/status"},
        {"/var/www/html/x.php/ping", "/x.php/ping", NULL},
    };
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_refused(&pool, all[i], 403);
    assert_script(&pool, (struct sent){"/var/www/html/x.php", "/x.php", "/a/status"},
                  (struct sent){"/var/www/html/x.php", "/x.php", "/a/status"});
    pool.status_path = NULL;
    assert_script(&pool, all[2], (struct sent){"/var/www/html/x.php", "/x.php", "/status"});
}

static void test_script_name_like_a_page_of_fpm_that_is_off_runs(void **state) {
    struct pool_config pool = make_pool("/var/www/html");

    (void)state;
    assert_script(&pool, (struct sent){"/var/www/html/x.php", "/status/", NULL},
                  (struct sent){"/var/www/html/x.php", "/status/", ""});
    pool.status_path = NULL;
    pool.ping_path = NULL;
    assert_script(&pool, (struct sent){"/var/www/html/x.php", "/status", NULL},
                  (struct sent){"/var/www/html/x.php", "/status", ""});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script_of_apache_proxypassmatch),
        cmocka_unit_test(test_script_of_apache_proxypassmatch_with_encoded_path_info),
        cmocka_unit_test(test_script_of_apache_proxypassmatch_with_index),
        cmocka_unit_test(test_script_of_apache_sethandler),
        cmocka_unit_test(test_script_of_apache_with_other_proxy_prefixes),
        cmocka_unit_test(test_script_of_nginx),
        cmocka_unit_test(test_script_name_follows_from_the_path_when_none_is_sent),
        cmocka_unit_test(test_script_query_is_cut_only_behind_a_proxy_prefix),
        cmocka_unit_test(test_script_dots_and_double_slashes_are_resolved),
        cmocka_unit_test(test_script_outside_the_root_is_refused),
        cmocka_unit_test(test_script_outside_the_root_only_when_decoded_is_refused),
        cmocka_unit_test(test_script_without_an_allowed_suffix_is_refused),
        cmocka_unit_test(test_script_is_the_first_component_with_an_allowed_suffix),
        cmocka_unit_test(test_script_root_may_be_the_root_directory),
        cmocka_unit_test(test_script_with_line_break_is_refused),
        cmocka_unit_test(test_script_path_that_is_too_long_is_refused),
        cmocka_unit_test(test_script_name_of_a_page_of_fpm_is_refused),
        cmocka_unit_test(test_script_name_that_becomes_a_page_of_fpm_when_cut_is_refused),
        cmocka_unit_test(test_script_path_info_that_begins_like_a_page_of_fpm_is_refused),
        cmocka_unit_test(test_script_name_like_a_page_of_fpm_that_is_off_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
