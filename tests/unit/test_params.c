/* What reaches PHP-FPM of what a web server sends. Facts about PHP and PHP-FPM that these tests
 * rest on were tried on PHP-FPM 8.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/params.h"
#include "tests/support/wire.h"

enum { REQUEST_ID = 0xabcd, OUT_CAP = 1 << 20 };

/* ---- A pool, a tenant, a request ---- */

static char *php_only[] = {".php"};
static char *pass_names[] = {"eppn",       "Shib-Session-ID", "DB.HOST",    "DB HOST",
                             " DBHOST",    "DBHOST[x]",       "PHP.VALUE",  "http_proxy",
                             "CUSTOM.SET", "SITE[NAME",       "CUSTOM[0]",  "SCRIPT.NAME",
                             "",           "FPMUX.X",         "Http.Proxy", "ok.name[1]"};
static struct setting pool_php[] = {{"memory_limit", "128M"}, {"open_basedir", "/var/www/html"}};

static const struct pool_config pool = {
    .root = "/var/www/html",
    .suffixes = {php_only, 1},
    .status_path = "/status",
    .pass = {pass_names, sizeof(pass_names) / sizeof(pass_names[0])},
    .php = {pool_php, 2},
};

static struct tenant_param tenant_params[] = {
    {"DBHOST", "10.200.16.27", false}, {"DBNAME", "moodle_one", false},
    {"DBUSER", "one", false},          {"DBPASS", "pa;ss\"'=", true},
    {"WWWROOT", "http://one", false},  {"DATAROOT", "/data/one", false},
    {"CUSTOM_SET", "", false},         {"SITE_NAME", "site", false},
    {"CUSTOM", "plain", false},        {"DB_HOST", "two words", false},
};
static struct setting tenant_php[] = {{"memory_limit", "256M"}};
static const struct tenant tenant = {
    .id = "one",
    .params = tenant_params,
    .param_count = sizeof(tenant_params) / sizeof(tenant_params[0]),
    .php = {tenant_php, 1},
};

static struct params params; /* large; one per event loop in the daemon, too */

struct fixture {
    struct params_rules *rules;
    struct params_block *block;
    struct params_request request;
    struct bytes wire;
    struct bytes out;
    struct wire_pairs got;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL)
        return -1;
    fixture->rules = params_rules_new(&pool);
    fixture->block = params_block_new(&tenant, &pool);
    fixture->request = (struct params_request){.rules = fixture->rules,
                                               .block = fixture->block,
                                               .body_cap = 1000,
                                               .request_id = REQUEST_ID};
    bytes_init(&fixture->wire, 1 << 22);
    bytes_init(&fixture->out, OUT_CAP);
    *state = fixture;
    return fixture->rules != NULL && fixture->block != NULL ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;

    params_rules_free(fixture->rules);
    params_block_free(fixture->block);
    bytes_deinit(&fixture->wire);
    bytes_deinit(&fixture->out);
    wire_pairs_deinit(&fixture->got);
    free(fixture);
    return 0;
}

#define SENT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NECESSARY "REQUEST_METHOD", "GET", "SCRIPT_FILENAME", "/var/www/html/x.php"

static struct refusal build_wire(struct fixture *fixture) {
    struct refusal refusal = params_decode(fixture->wire.data, fixture->wire.length, &params);

    if (refusal.status == 0)
        refusal = params_build(&params, &fixture->request, &fixture->out);
    return refusal;
}

static void read_out(struct fixture *fixture) {
    wire_pairs_deinit(&fixture->got);
    assert_true(wire_read(fixture->out.data, fixture->out.length, REQUEST_ID, &fixture->got));
    fixture->out.length = 0;
}

static void assert_builds(struct fixture *fixture) {
    struct refusal refusal = build_wire(fixture);

    assert_int_equal(refusal.status, 0);
    read_out(fixture);
}

static void build(struct fixture *fixture, const char *const *sent) {
    fixture->wire.length = 0;
    wire_put_texts(&fixture->wire, sent);
    assert_builds(fixture);
}

static void assert_refuses(struct fixture *fixture, const char *const *sent, int status) {
    size_t before = fixture->out.length;

    fixture->wire.length = 0;
    wire_put_texts(&fixture->wire, sent);
    struct refusal refusal = build_wire(fixture);
    assert_int_equal(refusal.status, status);
    assert_non_null(refusal.reason);
    assert_int_equal(fixture->out.length, before);
}

static void assert_value(const struct fixture *fixture, const char *name, const char *value) {
    if (wire_count(&fixture->got, name) != 1 ||
        !wire_is_value(wire_find(&fixture->got, name), value))
        fail_msg("%s is not, exactly once, %s", name, value);
}

static void assert_absent(const struct fixture *fixture, const char *name) {
    if (wire_count(&fixture->got, name) != 0)
        fail_msg("%s came through", name);
}

static void assert_tenants_own_values(const struct fixture *fixture) {
    for (size_t i = 0; i < tenant.param_count; i++)
        assert_value(fixture, tenant.params[i].name, tenant.params[i].value);
}

/* ---- What passes and what does not ---- */

static void test_params_of_a_request_pass(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "QUERY_STRING", "a=b", "REMOTE_ADDR", "10.0.0.1", "REQUEST_URI",
                        "/x.php", "SERVER_NAME", "one.local", "HTTP_HOST", "one.local:80",
                        "HTTP_COOKIE", "", "HTTPS", "on", "REMOTE_USER", "me", "_X9", "9",
                        "REDIRECT_URL", "/y", "GATEWAY_INTERFACE", "CGI/1.1", "PATHS", "x"));
    assert_value(fixture, "REQUEST_METHOD", "GET");
    assert_value(fixture, "QUERY_STRING", "a=b");
    assert_value(fixture, "REMOTE_ADDR", "10.0.0.1");
    assert_value(fixture, "REQUEST_URI", "/x.php");
    assert_value(fixture, "SERVER_NAME", "one.local");
    assert_value(fixture, "HTTP_HOST", "one.local:80");
    assert_value(fixture, "HTTP_COOKIE", "");
    assert_value(fixture, "HTTPS", "on");
    assert_value(fixture, "REMOTE_USER", "me");
    assert_value(fixture, "_X9", "9");
    assert_value(fixture, "REDIRECT_URL", "/y");
    assert_value(fixture, "GATEWAY_INTERFACE", "CGI/1.1");
    assert_value(fixture, "PATHS", "x");
}

static void test_params_with_forbidden_names_are_dropped(void **state) {
    struct fixture *fixture = *state;
    static const char *const forbidden[] = {
        "PHP_VALUE",
        "PHP_ADMIN_VALUE",
        "REQUEST_BODY_FILE",
        "FCGI_ROLE",
        "ORIG_SCRIPT_NAME",
        "ORIG_PATH_INFO",
        "ORIG_",
        "PATH_TRANSLATED",
        "REDIRECT_STATUS",
        "HTTP_REDIRECT_STATUS",
        "HTTP_PROXY",
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_",
        "FPMUX_TENANT",
        "FPMUX_TOKEN",
        "FPMUX_ANYTHING",
        "FPMUX_",
        "HTTP_TRANSFER_ENCODING",
    };

    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        build(fixture, SENT(NECESSARY, forbidden[i], "evil", "AFTER", "x"));
        assert_absent(fixture, forbidden[i]);
        assert_value(fixture, "AFTER", "x");
    }
}

static void test_params_that_only_tenants_have_are_dropped_also_when_it_has_none(void **state) {
    struct fixture *fixture = *state;
    static const char *const names[] = {"DBHOST", "DBNAME",  "DBUSER",
                                        "DBPASS", "WWWROOT", "DATAROOT"};
    struct tenant bare = {.id = "bare"};
    struct params_block *block = params_block_new(&bare, &pool);

    assert_non_null(block);
    fixture->request.block = block;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        build(fixture, SENT(NECESSARY, names[i], "evil"));
        assert_absent(fixture, names[i]);
    }
    params_block_free(block);
}

static void test_params_with_odd_names_are_dropped(void **state) {
    struct fixture *fixture = *state;
    static const char *const odd[] = {
        "proxy-nokeepalive", "HTTP_X.Y", "HTTP_X Y",  "http_host",    "HTTP_proxy", "Http_Proxy",
        "HTTP-HOST",         "9LIVES",   "DBHOST[0]", "EPPN\xc3\x84", "Eppn",       "eppn ",
        "HTTP_X[a]",         "HTTP_X=Y", "HTTP_X\n",
    };

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        build(fixture, SENT(NECESSARY, odd[i], "evil", "AFTER", "x"));
        assert_absent(fixture, odd[i]);
        assert_value(fixture, "AFTER", "x");
    }
}

static bool is_allowed_byte(unsigned byte, bool is_first) {
    return (byte >= 'A' && byte <= 'Z') || byte == '_' || (byte >= '0' && byte <= '9' && !is_first);
}

/* Names are looked at eight bytes at a time: every byte at every place, in names of many lengths.
 */
static void test_params_names_pass_only_with_allowed_bytes_anywhere(void **state) {
    struct fixture *fixture = *state;
    char name[32];

    for (size_t length = 1; length < sizeof(name); length++) {
        for (size_t place = 0; place < length; place++) {
            fixture->wire.length = 0;
            wire_put_texts(&fixture->wire, SENT(NECESSARY));
            memset(name, 'Q', sizeof(name));
            for (unsigned byte = 1; byte < 256; byte++) {
                name[place] = (char)byte;
                wire_put(&fixture->wire, name, length, "v", 1);
            }
            assert_builds(fixture);
            name[length] = '\0';
            for (unsigned byte = 1; byte < 256; byte++) {
                name[place] = (char)byte;
                assert_int_equal(wire_count(&fixture->got, name),
                                 is_allowed_byte(byte, place == 0));
            }
        }
    }
}

static void test_params_with_an_empty_name_are_dropped(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT("", "evil", NECESSARY, "", ""));
    assert_absent(fixture, "");
}

static void test_params_in_pass_are_let_through(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "eppn", "me@home", "Shib-Session-ID", "_1", "ok.name[1]", "x"));
    assert_value(fixture, "eppn", "me@home");
    assert_value(fixture, "Shib-Session-ID", "_1");
    assert_value(fixture, "ok.name[1]", "x");
}

/* PHP makes DB_HOST of "DB.HOST", an array DBHOST of "DBHOST[x]": $_SERVER would have what the web
 * server sent. */
static void
test_params_in_pass_that_php_turns_into_a_tenants_or_forbidden_name_are_dropped(void **state) {
    struct fixture *fixture = *state;
    static const char *const names[] = {
        "DB.HOST",    "DB HOST",    " DBHOST",   "DBHOST[x]", "PHP.VALUE",   "http_proxy",
        "Http.Proxy", "CUSTOM.SET", "SITE[NAME", "CUSTOM[0]", "SCRIPT.NAME", "FPMUX.X",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        build(fixture, SENT(NECESSARY, names[i], "evil"));
        assert_absent(fixture, names[i]);
        assert_tenants_own_values(fixture);
    }
}

static void test_params_of_the_tenant_stand_exactly_once_and_exactly(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT("DBHOST", "evil", NECESSARY, "DBPASS", "evil", "DBPASS", "evil",
                        "CUSTOM_SET", "evil", "DB_HOST", "evil", "WWWROOT", ""));
    assert_tenants_own_values(fixture);
}

static void test_params_of_the_tenant_replace_well_known_names_too(void **state) {
    struct fixture *fixture = *state;
    struct tenant_param own[] = {{"HTTPS", "on", false}, {"REMOTE_ADDR", "10.1.1.1", false}};
    struct tenant setter = {.id = "setter", .params = own, .param_count = 2};
    struct params_block *block = params_block_new(&setter, &pool);

    assert_non_null(block);
    fixture->request.block = block;
    build(fixture, SENT(NECESSARY, "HTTPS", "evil", "REMOTE_ADDR", "evil"));
    assert_value(fixture, "HTTPS", "on");
    assert_value(fixture, "REMOTE_ADDR", "10.1.1.1");
    params_block_free(block);
}

static void test_params_document_root_is_the_pools(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY));
    assert_value(fixture, "DOCUMENT_ROOT", "/var/www/html");
    build(fixture, SENT(NECESSARY, "DOCUMENT_ROOT", "/etc", "DOCUMENT_ROOT", "/tmp"));
    assert_value(fixture, "DOCUMENT_ROOT", "/var/www/html");
}

/* As PHP-FPM does: the place of the first, the value of the last. */
static void test_params_duplicates_become_one_with_the_last_value(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT("HTTP_COOKIE", "a", NECESSARY, "HTTP_COOKIE", "b", "HTTP_COOKIE", "c"));
    assert_value(fixture, "HTTP_COOKIE", "c");
    assert_true(wire_is_named(&fixture->got.items[0], "HTTP_COOKIE"));
    build(fixture, SENT(NECESSARY, "REQUEST_METHOD", "POST", "eppn", "1", "eppn", "2"));
    assert_value(fixture, "REQUEST_METHOD", "POST");
    assert_value(fixture, "eppn", "2");
}

static void test_params_names_with_a_common_start_are_not_duplicates(void **state) {
    struct fixture *fixture = *state;
    char name[32];

    wire_put_texts(&fixture->wire, SENT(NECESSARY));
    for (int i = 0; i < 1000; i++) {
        int length = snprintf(name, sizeof(name), "HTTP_X%0*d", i % 12 + 3, i);
        wire_put(&fixture->wire, name, (size_t)length, name, (size_t)length);
    }
    assert_builds(fixture);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "HTTP_X%0*d", i % 12 + 3, i);
        assert_value(fixture, name, name);
    }
}

static void test_params_names_of_127_and_128_bytes_pass(void **state) {
    struct fixture *fixture = *state;
    char name[130];

    for (size_t length = 126; length < 130; length++) {
        memset(name, 'N', length);
        name[length] = '\0';
        build(fixture, SENT(NECESSARY, name, name));
        assert_value(fixture, name, name);
    }
}

/* ---- Script ---- */

static void test_params_script_is_resolved(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT("REQUEST_METHOD", "GET", "SCRIPT_FILENAME",
                        "proxy:fcgi://h:9000/var/www/html/a/../x.php/pi?q", "SCRIPT_NAME",
                        "/x.php/pi", "PATH_INFO", "/other"));
    assert_value(fixture, "SCRIPT_FILENAME", "/var/www/html/x.php");
    assert_value(fixture, "SCRIPT_NAME", "/x.php");
    assert_value(fixture, "PATH_INFO", "/pi");
}

static void test_params_path_info_is_left_out_when_there_is_none(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "PATH_INFO", ""));
    assert_absent(fixture, "PATH_INFO");
}

/* PHP-FPM drops PATH_INFO when there is a REDIRECT_URL and SCRIPT_FILENAME is a plain path. */
static void test_params_path_info_survives_a_rewrite_in_apache(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "REDIRECT_URL", "/a", "PATH_INFO", "/a"));
    assert_value(fixture, "SCRIPT_FILENAME", "proxy:fcgi://localhost/var/www/html/x.php");
    assert_value(fixture, "PATH_INFO", "/a");
    assert_value(fixture, "REDIRECT_URL", "/a");
    build(fixture, SENT(NECESSARY, "REDIRECT_URL", "/a"));
    assert_value(fixture, "SCRIPT_FILENAME", "/var/www/html/x.php");
}

/* It would run /var/www/html/a, which is not what was judged. */
static void test_params_path_with_a_question_mark_gets_no_prefix(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "SCRIPT_FILENAME", "/var/www/html/a?b.php", "REDIRECT_URL", "/a",
                        "PATH_INFO", "/a"));
    assert_value(fixture, "SCRIPT_FILENAME", "/var/www/html/a?b.php");
}

static void test_params_without_method_or_script_are_refused(void **state) {
    struct fixture *fixture = *state;

    assert_refuses(fixture, SENT("SCRIPT_FILENAME", "/var/www/html/x.php"), 400);
    assert_refuses(fixture, SENT("REQUEST_METHOD", "GET"), 400);
    assert_refuses(fixture, SENT(NECESSARY, "REQUEST_METHOD", ""), 400);
    assert_refuses(fixture, SENT(NECESSARY, "SCRIPT_FILENAME", ""), 400);
}

static void test_params_of_a_script_outside_are_refused(void **state) {
    struct fixture *fixture = *state;

    assert_refuses(fixture, SENT(NECESSARY, "SCRIPT_FILENAME", "/etc/passwd"), 403);
    assert_refuses(fixture, SENT(NECESSARY, "SCRIPT_NAME", "/status"), 403);
}

/* ---- Body ---- */

static void test_params_content_length_has_to_be_the_bodys(void **state) {
    struct fixture *fixture = *state;
    static const char *const wrong[] = {
        "4",
        "6",
        "50",
        "-5",
        "+5",
        " 5",
        "5 ",
        "5,5",
        "0x5",
        "5.0",
        "five",
        "0",
        "18446744073709551621", /* 2^64 + 5 */
        "100000000000000000000000000000000000000005",
    };

    fixture->request.body_length = 5;
    build(fixture, SENT(NECESSARY, "CONTENT_LENGTH", "5"));
    assert_value(fixture, "CONTENT_LENGTH", "5");
    build(fixture, SENT(NECESSARY, "CONTENT_LENGTH", "000000000000000000000000005"));
    assert_value(fixture, "CONTENT_LENGTH", "5");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refuses(fixture, SENT(NECESSARY, "CONTENT_LENGTH", wrong[i]), 400);
}

static void test_params_content_length_is_set_from_the_body_when_absent(void **state) {
    struct fixture *fixture = *state;

    fixture->request.body_length = UINT64_MAX;
    fixture->request.body_cap = UINT64_MAX;
    build(fixture, SENT(NECESSARY));
    assert_value(fixture, "CONTENT_LENGTH", "18446744073709551615");
    build(fixture, SENT(NECESSARY, "CONTENT_LENGTH", ""));
    assert_value(fixture, "CONTENT_LENGTH", "18446744073709551615");
}

static void test_params_content_length_without_a_body_is_as_sent(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY));
    assert_absent(fixture, "CONTENT_LENGTH");
    build(fixture, SENT(NECESSARY, "CONTENT_LENGTH", ""));
    assert_absent(fixture, "CONTENT_LENGTH");
    build(fixture, SENT(NECESSARY, "CONTENT_LENGTH", "0"));
    assert_value(fixture, "CONTENT_LENGTH", "0");
    assert_refuses(fixture, SENT(NECESSARY, "CONTENT_LENGTH", "-1"), 400);
}

static void test_params_body_above_the_cap_is_refused(void **state) {
    struct fixture *fixture = *state;

    fixture->request.body_length = 1000;
    build(fixture, SENT(NECESSARY));
    fixture->request.body_length = 1001;
    assert_refuses(fixture, SENT(NECESSARY), 413);
}

/* ---- Records ---- */

/* HAProxy 0aeae2305: more than 65,535 bytes in a record, of whose length 16 bits were sent, so that
 * the rest was read as records of the client's making. PHP-FPM also wants pairs whole. */
static void test_params_larger_than_a_record_are_cut_between_pairs(void **state) {
    struct fixture *fixture = *state;
    char name[32];
    char value[2000];

    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    wire_put_texts(&fixture->wire, SENT(NECESSARY));
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "HTTP_N%d", i);
        wire_put_text(&fixture->wire, name, value);
    }
    assert_builds(fixture);
    assert_int_equal(fixture->got.records, 7);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "HTTP_N%d", i);
        assert_value(fixture, name, value);
    }
    assert_tenants_own_values(fixture);
}

static void put_filler(struct fixture *fixture, size_t value_length) {
    char *value = malloc(value_length);

    assert_non_null(value);
    memset(value, 'v', value_length);
    wire_put(&fixture->wire, "FILL", 4, value, value_length);
    free(value);
}

/* Every way in which the records may end up full to the last byte, or one short of it. */
static void test_params_records_are_right_at_every_filling(void **state) {
    struct fixture *fixture = *state;

    for (size_t length = FCGI_CONTENT_MAX - 600; length <= FCGI_CONTENT_MAX - 9; length++) {
        fixture->wire.length = 0;
        wire_put_texts(&fixture->wire, SENT(NECESSARY));
        put_filler(fixture, length);
        assert_builds(fixture);
        assert_int_equal(wire_count(&fixture->got, "FILL"), 1);
        assert_tenants_own_values(fixture);
    }
}

static void test_params_pair_longer_than_a_record_is_refused(void **state) {
    struct fixture *fixture = *state;

    assert_true(bytes_append(&fixture->out, "before", 6));
    wire_put_texts(&fixture->wire, SENT(NECESSARY));
    put_filler(fixture, FCGI_CONTENT_MAX - 8);
    assert_int_equal(build_wire(fixture).status, 431);
    assert_int_equal(fixture->out.length, 6);
    assert_memory_equal(fixture->out.data, "before", 6);
}

static void test_params_pair_longer_than_a_record_that_is_dropped_is_no_harm(void **state) {
    struct fixture *fixture = *state;
    static char value[FCGI_CONTENT_MAX + 2];

    memset(value, 'v', sizeof(value) - 1);
    build(fixture, SENT(NECESSARY, "dropped", value, "DBHOST", value));
    assert_tenants_own_values(fixture);
}

static void test_params_above_the_cap_of_out_are_refused(void **state) {
    struct fixture *fixture = *state;

    bytes_deinit(&fixture->out);
    bytes_init(&fixture->out, 100);
    assert_refuses(fixture, SENT(NECESSARY), 431);
}

static void test_params_are_appended_to_what_is_there(void **state) {
    struct fixture *fixture = *state;
    struct wire_pairs got;

    assert_true(bytes_append(&fixture->out, "before", 6));
    wire_put_texts(&fixture->wire, SENT(NECESSARY));
    assert_int_equal(build_wire(fixture).status, 0);
    assert_memory_equal(fixture->out.data, "before", 6);
    assert_true(wire_read(fixture->out.data + 6, fixture->out.length - 6, REQUEST_ID, &got));
    wire_pairs_deinit(&got);
}

static void test_params_of_a_tenant_larger_than_a_record_are_cut_between_pairs(void **state) {
    struct fixture *fixture = *state;
    static char value[30001];
    struct tenant_param many[] = {
        {"BIG_A", value, false}, {"BIG_B", value, false}, {"BIG_C", value, false}};
    struct tenant large = {.id = "large", .params = many, .param_count = 3};

    memset(value, 'v', sizeof(value) - 1);
    struct params_block *block = params_block_new(&large, &pool);
    assert_non_null(block);
    fixture->request.block = block;
    build(fixture, SENT(NECESSARY, "BIG_B", "evil"));
    assert_int_equal(fixture->got.records, 2);
    for (size_t i = 0; i < 3; i++)
        assert_value(fixture, many[i].name, value);
    params_block_free(block);
}

static void test_params_of_a_tenant_that_no_record_holds_are_refused(void **state) {
    struct fixture *fixture = *state;
    static char value[FCGI_CONTENT_MAX + 1];
    struct tenant_param big[] = {{"SMALL", "x", false}, {"BIG_A", value, false}};
    struct tenant large = {.id = "large", .params = big, .param_count = 2};

    memset(value, 'v', sizeof(value) - 1);
    struct params_block *block = params_block_new(&large, &pool);
    assert_non_null(block);
    fixture->request.block = block;
    assert_refuses(fixture, SENT(NECESSARY), 431);
    params_block_free(block);
}

/* ---- php settings ---- */

static void test_params_php_is_sent_last_and_only_when_asked_for(void **state) {
    struct fixture *fixture = *state;

    build(fixture, SENT(NECESSARY, "PHP_ADMIN_VALUE", "evil"));
    assert_absent(fixture, "PHP_ADMIN_VALUE");
    fixture->request.with_php = true;
    build(fixture, SENT(NECESSARY, "PHP_ADMIN_VALUE", "evil"));
    assert_value(fixture, "PHP_ADMIN_VALUE", params_block_php(fixture->block));
    assert_true(wire_is_named(&fixture->got.items[fixture->got.count - 1], "PHP_ADMIN_VALUE"));
}

static void test_params_php_is_nothing_where_the_pool_lists_none(void **state) {
    struct fixture *fixture = *state;
    struct pool_config plain = pool;

    plain.php.count = 0;
    struct params_block *block = params_block_new(&tenant, &plain);
    assert_non_null(block);
    assert_null(params_block_php(block));
    fixture->request.block = block;
    fixture->request.with_php = true;
    build(fixture, SENT(NECESSARY));
    assert_absent(fixture, "PHP_ADMIN_VALUE");
    params_block_free(block);
}

#define PARAMS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        PARAMS_TEST(test_params_of_a_request_pass),
        PARAMS_TEST(test_params_with_forbidden_names_are_dropped),
        PARAMS_TEST(test_params_that_only_tenants_have_are_dropped_also_when_it_has_none),
        PARAMS_TEST(test_params_with_odd_names_are_dropped),
        PARAMS_TEST(test_params_names_pass_only_with_allowed_bytes_anywhere),
        PARAMS_TEST(test_params_with_an_empty_name_are_dropped),
        PARAMS_TEST(test_params_in_pass_are_let_through),
        PARAMS_TEST(
            test_params_in_pass_that_php_turns_into_a_tenants_or_forbidden_name_are_dropped),
        PARAMS_TEST(test_params_of_the_tenant_stand_exactly_once_and_exactly),
        PARAMS_TEST(test_params_of_the_tenant_replace_well_known_names_too),
        PARAMS_TEST(test_params_document_root_is_the_pools),
        PARAMS_TEST(test_params_duplicates_become_one_with_the_last_value),
        PARAMS_TEST(test_params_names_with_a_common_start_are_not_duplicates),
        PARAMS_TEST(test_params_names_of_127_and_128_bytes_pass),
        PARAMS_TEST(test_params_script_is_resolved),
        PARAMS_TEST(test_params_path_info_is_left_out_when_there_is_none),
        PARAMS_TEST(test_params_path_info_survives_a_rewrite_in_apache),
        PARAMS_TEST(test_params_path_with_a_question_mark_gets_no_prefix),
        PARAMS_TEST(test_params_without_method_or_script_are_refused),
        PARAMS_TEST(test_params_of_a_script_outside_are_refused),
        PARAMS_TEST(test_params_content_length_has_to_be_the_bodys),
        PARAMS_TEST(test_params_content_length_is_set_from_the_body_when_absent),
        PARAMS_TEST(test_params_content_length_without_a_body_is_as_sent),
        PARAMS_TEST(test_params_body_above_the_cap_is_refused),
        PARAMS_TEST(test_params_larger_than_a_record_are_cut_between_pairs),
        PARAMS_TEST(test_params_records_are_right_at_every_filling),
        PARAMS_TEST(test_params_pair_longer_than_a_record_is_refused),
        PARAMS_TEST(test_params_pair_longer_than_a_record_that_is_dropped_is_no_harm),
        PARAMS_TEST(test_params_above_the_cap_of_out_are_refused),
        PARAMS_TEST(test_params_are_appended_to_what_is_there),
        PARAMS_TEST(test_params_of_a_tenant_larger_than_a_record_are_cut_between_pairs),
        PARAMS_TEST(test_params_of_a_tenant_that_no_record_holds_are_refused),
        PARAMS_TEST(test_params_php_is_sent_last_and_only_when_asked_for),
        PARAMS_TEST(test_params_php_is_nothing_where_the_pool_lists_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
