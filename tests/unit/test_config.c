#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tenants/config.h"
#include "tenants/containers_config.h"

#define POOL                                                                                       \
    "\"pools\": {\"default\": {\"address\": \"unix:/x\", \"workers\": 8, \"root\": \"/w\"}}"

static struct config *parse(const char *text) {
    struct error error = {0};
    struct config *config = config_parse("t", text, strlen(text), &error);

    if (config == NULL)
        fail_msg("%s", error.text);
    return config;
}

static void assert_refused(const char *text, const char *expected) {
    struct error error = {0};

    assert_null(config_parse("t", text, strlen(text), &error));
    assert_string_equal(error.text, expected);
}

/* The text inside a pool that is otherwise complete. */
static void assert_pool_refused(const char *inside, const char *expected) {
    char text[512];

    snprintf(
        text, sizeof text,
        "{\"pools\": {\"p\": {\"address\": \"unix:/x\", \"workers\": 8, \"root\": \"/w\",\n%s}}}",
        inside);
    assert_refused(text, expected);
}

static void assert_refused_beside_pools(const char *inside, const char *expected) {
    char text[1024];

    snprintf(text, sizeof text, "{%s}", inside);
    assert_refused(text, expected);
}

static bool allows(const struct config *config, const char *text) {
    struct in6_addr address;
    char mapped[64];

    snprintf(mapped, sizeof mapped, "%s%s", strchr(text, ':') == NULL ? "::ffff:" : "", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, &address), 1);
    return config_allows(config, &address);
}

static void test_defaults(void **state) {
    struct config *config = parse("{" POOL "}");

    (void)state;
    assert_string_equal(config->path, "t");
    assert_int_equal(config->listen.count, 1);
    assert_string_equal(config->listen.items[0], "unix:/run/fpmux/fpmux.sock");
    assert_string_equal(config->tenant_sockets, "/var/lib/fpmux/sockets");
    assert_int_equal(config->identify_count, 3);
    assert_int_equal(config->identify[0], IDENTITY_SOCKET);
    assert_int_equal(config->identify[1], IDENTITY_PARAM);
    assert_int_equal(config->identify[2], IDENTITY_HOST);
    assert_string_equal(config->registry, "dir:/etc/fpmux/tenants");
    assert_string_equal(config->ledger, "sqlite:/var/lib/fpmux/usage.db");
    assert_int_equal(config->limits.concurrency, 0);
    assert_int_equal(config->limits.queue, 64);
    assert_int_equal(config->limits.queue_ms, 10000);
    assert_int_equal(config->limits.request_ms, 300000);
    assert_int_equal(config->limits.body_bytes, 1073741824);
    assert_int_equal(config->limits.params_bytes, 262144);
    assert_string_equal(config->spool.dir, "/var/lib/fpmux/spool");
    assert_int_equal(config->spool.memory_bytes, 65536);
    assert_int_equal(config->spool.bytes, 17179869184);
    assert_null(config->pages);
    assert_string_equal(config->admin.items[0], "unix:/run/fpmux/admin.sock");
    assert_null(config->request_log);
    assert_null(config->containers);
    assert_true(allows(config, "127.9.9.9"));
    assert_true(allows(config, "::1"));
    assert_false(allows(config, "128.0.0.1"));
    assert_false(allows(config, "::2"));
    config_free(config);
}

static void test_pool_defaults_and_lookup(void **state) {
    struct config *config = parse("{" POOL "}");
    const struct pool_config *pool = config_find_pool(config, "default");

    (void)state;
    assert_non_null(pool);
    assert_null(config_find_pool(config, "other"));
    assert_string_equal(pool->address, "unix:/x");
    assert_int_equal(pool->workers, 8);
    assert_string_equal(pool->root, "/w");
    assert_int_equal(pool->suffixes.count, 1);
    assert_string_equal(pool->suffixes.items[0], ".php");
    assert_null(pool->status_path);
    assert_null(pool->ping_path);
    assert_int_equal(pool->pass.count, 0);
    assert_int_equal(pool->idle_ms, 1000);
    assert_false(pool->keep_bodies);
    assert_int_equal(pool->php.count, 0);
    config_free(config);
}

static void test_example_has_every_key(void **state) {
    struct error error = {0};
    struct config *config = config_load("../tenants/examples/fpmux.json", &error);

    (void)state;
    if (config == NULL) {
        fail_msg("%s", error.text);
        return;
    }
    const struct pool_config *pool = config_find_pool(config, "default");
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(pool->status_path, "/status");
    assert_string_equal(pool->ping_path, "/ping");
    assert_string_equal(pool->pass.items[1], "Shib-Session-ID");
    assert_int_equal(pool->php.count, 3);
    assert_string_equal(pool->php.items[0].key, "max_execution_time"); /* sorted */
    assert_string_equal(pool->php.items[0].value, "300");
    assert_int_equal(config->limits.concurrency, 7);
    assert_string_equal(config->pages, "/etc/fpmux/pages");
    assert_string_equal(config->timezone, "Europe/Madrid");
    assert_int_equal(config->containers->proxy_port, 8080);
    assert_string_equal(config->containers->images.php_fpm, "fpmux/php-fpm");
    assert_string_equal(config->containers->fallback, "/index.php");
    assert_string_equal(config->containers->proxy_address, "0.0.0.0");
    assert_string_equal(config->containers->trusted_proxies.items[0], "10.0.0.5");
    assert_string_equal(containers_config_pool_image(config->containers, "default"),
                        "fpmux/php-fpm");
    assert_string_equal(config->containers->mounts.fpm.items[0], "/moodledata");
    assert_string_equal(config->containers->mounts.shim.items[0], "/run/secrets");
    assert_string_equal(config->containers->networks.items[0], "databases");
    config_free(config);
}

static void test_switches(void **state) {
    struct config *config =
        parse("{\"tenant_sockets\": false, \"log\": {\"requests\": \"stderr\"}, \"listen\": [],"
              " \"identify\": [\"host\"], \"version\": 1, " POOL "}");

    (void)state;
    assert_null(config->tenant_sockets);
    assert_string_equal(config->request_log, "stderr");
    assert_int_equal(config->listen.count, 0);
    assert_int_equal(config->identify_count, 1);
    assert_int_equal(config->identify[0], IDENTITY_HOST);
    config_free(config);
}

static void test_allow_compares_prefixes(void **state) {
    struct config *config = parse(
        "{\"allow\": [\"10.1.0.0/15\", \"192.168.7.7\", \"2001:db8::/33\", \"fe80::1\"], " POOL
        "}");

    (void)state;
    assert_true(allows(config, "10.0.255.255"));
    assert_true(allows(config, "10.1.0.1"));
    assert_false(allows(config, "10.2.0.1"));
    assert_true(allows(config, "192.168.7.7"));
    assert_false(allows(config, "192.168.7.6"));
    assert_true(allows(config, "2001:db8:7fff::1"));
    assert_false(allows(config, "2001:db8:8000::1"));
    assert_true(allows(config, "fe80::1"));
    assert_false(allows(config, "127.0.0.1"));
    config_free(config);
    config = parse("{\"allow\": [\"0.0.0.0/0\"], " POOL "}");
    assert_true(allows(config, "8.8.8.8"));
    assert_false(allows(config, "2001:db8::1"));
    config_free(config);
    config = parse("{\"allow\": [], " POOL "}");
    assert_false(allows(config, "127.0.0.1"));
    config_free(config);
}

static void test_counters_lie_beside_the_ledger(void **state) {
    struct config *config = parse("{\"ledger\": \"sqlite:/a/b/usage.db\", " POOL "}");
    char *dir = config_counters_dir(config);

    (void)state;
    assert_string_equal(dir, "/a/b/counters");
    free(dir);
    config_free(config);
}

static void test_path_comes_from_the_environment(void **state) {
    struct error error = {0};

    (void)state;
    setenv("FPMUX_CONFIG", "/nowhere/x.json", 1);
    assert_null(config_load(NULL, &error));
    assert_string_equal(error.text, "/nowhere/x.json: No such file or directory");
    unsetenv("FPMUX_CONFIG");
}

static void test_a_pool_is_needed(void **state) {
    static const char none[] = "\"pools\" must be an object with at least one pool: "
                               "{\"default\": {...}}";
    char expected[128];

    (void)state;
    assert_refused("{}", "t:1:1: \"pools\" is missing here");
    snprintf(expected, sizeof expected, "t:1:11: %s", none);
    assert_refused("{\"pools\": {}}", expected);
    assert_refused("{\"pools\": []}", expected);
    assert_refused("{\"pools\": {\"p\": {}}}", "t:1:17: \"address\" is missing here");
    assert_refused("{\"pools\": {\"p\": {\"address\": \"unix:/x\"}}}",
                   "t:1:17: \"workers\" is missing here");
    assert_refused("{\"pools\": {\"p\": {\"address\": \"unix:/x\", \"workers\": 1}}}",
                   "t:1:17: \"root\" is missing here");
    assert_refused("{\"pools\": {\"P\": {}}}",
                   "t:1:12: the name of a pool must be made of a-z, 0-9 "
                   "and -, at most 63 of them");
    assert_refused("{\"pools\": {\"p\": 1}}", "t:1:17: p must be an object: {...}");
}

static void test_pool_members_are_checked(void **state) {
    static const char *const roots[] = {"/", "/w/", "w", "/w/../x", "/w/./x", "/w//x", "/w/.."};
    char inside[64];

    (void)state;
    for (size_t index = 0; index < sizeof roots / sizeof *roots; index++) {
        char text[256];
        struct error error = {0};
        snprintf(text, sizeof text, "{\"pools\": {\"p\": {\"root\": \"%s\"}}}", roots[index]);
        assert_null(config_parse("t", text, strlen(text), &error));
        assert_non_null(strstr(error.text, "t:1:26: \"root\" must be an absolute path"));
    }
    assert_pool_refused("\"idle_ms\": 0",
                        "t:2:12: \"idle_ms\" must be a whole number from 1 to 3600000");
    assert_pool_refused("\"keep_bodies\": 1", "t:2:16: \"keep_bodies\" must be true or false");
    assert_pool_refused("\"suffixes\": [\"php\"]",
                        "t:2:14: each item of \"suffixes\" must be a suffix like \".php\"");
    assert_pool_refused("\"status_path\": \"status\"",
                        "t:2:16: \"status_path\" must be a path that begins with a slash");
    assert_pool_refused("\"ping_path\": 1",
                        "t:2:14: \"ping_path\" must be a path that begins with a slash");
    assert_pool_refused("\"pass\": \"eppn\"", "t:2:9: \"pass\" must be a list of strings");
    assert_pool_refused("\"worker\": 1",
                        "t:2:1: unknown key \"worker\"; did you mean \"workers\"?");
    assert_pool_refused("\"php\": {\"opcache.enable\": 0}",
                        "t:2:9: \"opcache.enable\" can't be set per tenant: it changes the worker "
                        "for all; set it in PHP-FPM's own configuration");
    assert_pool_refused("\"php\": {\"a=b\": 0}",
                        "t:2:9: \"a=b\" is no php.ini key: use letters, digits, _ and .");
    assert_pool_refused("\"php\": []",
                        "t:2:8: \"php\" must be an object: {\"KEY\": \"VALUE\", ...}");
    snprintf(inside, sizeof inside, "\"php\": {\"memory_limit\": null}");
    assert_pool_refused(inside,
                        "t:2:25: \"memory_limit\" must be a string, a number, true or false");
    assert_refused("{\"pools\": {\"p\": {\"workers\": 10001}}}",
                   "t:1:29: \"workers\" must be a whole number from 1 to 10000");
}

#define ADDRESS_RULE "\"tcp:HOST:PORT\" or \"unix:/PATH\" with a path of at most 107 bytes"

static void test_addresses_are_checked(void **state) {
    static const char *const good[] = {"tcp:127.0.0.1:9000", "tcp:[::1]:1", "tcp:fpm:65535",
                                       "unix:/x"};
    static const char *const bad[] = {"127.0.0.1:9000", "tcp:9000",     "tcp::9000", "tcp:a:0",
                                      "tcp:a:65536",    "tcp:::1:9000", "tcp:[::1]", "unix:x",
                                      "unix:",          "udp:a:1",      "tcp:[x]:1", "tcp:a:1x",
                                      "tcp:a:",         "tcp:a b:1",    "tcp:[::1:1"};
    char text[512];

    (void)state;
    for (size_t index = 0; index < sizeof good / sizeof *good; index++) {
        snprintf(text, sizeof text, "{\"listen\": [\"%s\"], " POOL "}", good[index]);
        config_free(parse(text));
    }
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        snprintf(text, sizeof text, "\"listen\": [\"%s\"]", bad[index]);
        assert_refused_beside_pools(text, "t:1:13: each item of \"listen\" must be " ADDRESS_RULE);
    }
}

static void test_unix_paths_must_fit_a_socket_address(void **state) {
    char text[512];

    (void)state;
    snprintf(text, sizeof text, "{\"listen\": [\"unix:/%0106d\"], " POOL "}", 0);
    config_free(parse(text));
    snprintf(text, sizeof text, "\"listen\": [\"unix:/%0107d\"]", 0);
    assert_refused_beside_pools(text, "t:1:13: each item of \"listen\" must be " ADDRESS_RULE);
    snprintf(text, sizeof text, "{\"tenant_sockets\": \"/%031d\", " POOL "}", 0);
    config_free(parse(text));
    snprintf(text, sizeof text, "\"tenant_sockets\": \"/%032d\"", 0);
    assert_refused_beside_pools(text,
                                "t:1:20: \"tenant_sockets\" must not be longer than 32 bytes: "
                                "sockets below it could not be reached");
}

static void test_members_are_checked(void **state) {
    static const struct {
        const char *inside;
        const char *expected;
    } cases[] = {
        {"\"version\": 2", "t:1:13: \"version\" must be 1"},
        {"\"version\": \"1\"", "t:1:13: \"version\" must be 1"},
        {"\"listen\": 1", "t:1:12: \"listen\" must be a list of strings"},
        {"\"tenant_sockets\": true",
         "t:1:20: \"tenant_sockets\" must be an absolute path without a "
         "slash at its end, or false"},
        {"\"tenant_sockets\": \"x\"", "t:1:20: \"tenant_sockets\" must be an absolute path without "
                                      "a slash at its end, or false"},
        {"\"allow\": [\"10.0.0.0/33\"]", "t:1:12: each item of \"allow\" must be a network like "
                                         "\"10.0.0.0/8\" or an address like \"::1\""},
        {"\"allow\": [\"::/129\"]", "t:1:12: each item of \"allow\" must be a network like "
                                    "\"10.0.0.0/8\" or an address like \"::1\""},
        {"\"allow\": [\"10.0.0/8\"]", "t:1:12: each item of \"allow\" must be a network like "
                                      "\"10.0.0.0/8\" or an address like \"::1\""},
        {"\"allow\": [\"::1/\"]", "t:1:12: each item of \"allow\" must be a network like "
                                  "\"10.0.0.0/8\" or an address like \"::1\""},
        {"\"allow\": \"::1\"", "t:1:11: \"allow\" must be a list of networks"},
        {"\"identify\": []", "t:1:14: \"identify\" must be a list of \"socket\", \"param\" and "
                             "\"host\", with at least one of them"},
        {"\"identify\": [\"ip\"]", "t:1:15: each item must be \"socket\" or \"param\" or \"host\""},
        {"\"identify\": [\"host\", \"host\"]", "t:1:23: \"host\" stands twice"},
        {"\"registry\": \"etcd:/x\"", "t:1:14: \"registry\" must be \"dir:\" and an absolute path"},
        {"\"ledger\": \"postgres:/x\"",
         "t:1:12: \"ledger\" must be \"sqlite:\" and the absolute path of a file"},
        {"\"limits\": {\"weight\": 1}",
         "t:1:13: unknown key \"weight\"; known here: concurrency, queue, queue_seconds, "
         "request_seconds, body_bytes, params_bytes"},
        {"\"limits\": {\"queue_seconds\": 3601}",
         "t:1:30: \"queue_seconds\" must be a number of seconds from 0 to 3600"},
        {"\"spool\": {\"dir\": \"x\"}", "t:1:19: \"dir\" must be an absolute path"},
        {"\"pages\": \"x\"", "t:1:11: \"pages\" must be an absolute path"},
        {"\"admin\": [\"x\"]", "t:1:12: each item of \"admin\" must be " ADDRESS_RULE},
        {"\"log\": {\"requests\": \"on\"}",
         "t:1:22: \"requests\" must be \"off\", \"stderr\" or an absolute path"},
        {"\"containers\": 1", "t:1:16: containers must be an object: {...}"},
        {"\"containers\": {}", "t:1:16: \"code\" is missing here"},
        {"\"containers\": {\"code\": \"/srv/a:b\"}",
         "t:1:25: \"code\" must be an absolute path of a directory, without : and ,"},
        {"\"containers\": {\"name\": \"a-\"}",
         "t:1:25: \"name\" must be at most 32 of a-z, 0-9 and -, no - at either end"},
        {"\"containers\": {\"proxy_address\": \"10.0.0.0/8\"}",
         "t:1:34: \"proxy_address\" must be an address of this host like \"127.0.0.1\""},
        {"\"containers\": {\"trusted_proxies\": [\"x\"]}",
         "t:1:37: each item of \"trusted_proxies\" must be a network like \"10.0.0.0/8\" or an "
         "address like \"::1\""},
        {"\"pool\": 1", "t:1:2: unknown key \"pool\"; did you mean \"pools\"?"},
    };

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++)
        assert_refused_beside_pools(cases[index].inside, cases[index].expected);
}

static void test_pool_images_name_pools_wherever_they_stand(void **state) {
    (void)state;
    assert_refused(
        "{\"containers\": {\"code\": \"/srv\", \"pool_images\": {\"old\": \"x\"}},\n"
        " \"pools\": {\"p\": {\"address\": \"unix:/x\", \"workers\": 8, \"root\": \"/w\"}}}",
        "t:1:48: \"old\" is no pool of this configuration");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_pool_defaults_and_lookup),
        cmocka_unit_test(test_example_has_every_key),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_allow_compares_prefixes),
        cmocka_unit_test(test_counters_lie_beside_the_ledger),
        cmocka_unit_test(test_path_comes_from_the_environment),
        cmocka_unit_test(test_a_pool_is_needed),
        cmocka_unit_test(test_pool_members_are_checked),
        cmocka_unit_test(test_addresses_are_checked),
        cmocka_unit_test(test_unix_paths_must_fit_a_socket_address),
        cmocka_unit_test(test_members_are_checked),
        cmocka_unit_test(test_pool_images_name_pools_wherever_they_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
