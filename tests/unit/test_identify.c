/* Who is asking. The registry is a fake with three tenants, so that this depends on nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shim/identify.h"
#include "tests/support/wire.h"

enum { NOW = 1000 };

static struct tenant one = {.id = "one"};
static struct tenant two = {.id = "two"};
static struct tenant locked = {.id = "locked", .token = "s3cret"};

static struct tenant *fake_find(const char *key, size_t length, const char *suffix) {
    struct tenant *const all[] = {&one, &two, &locked};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        size_t id_length = strlen(all[i]->id);
        if (length == id_length + strlen(suffix) && memcmp(key, all[i]->id, id_length) == 0 &&
            memcmp(key + id_length, suffix, strlen(suffix)) == 0)
            return all[i];
    }
    return NULL;
}

struct tenant *registry_find(const struct registry *registry, const char *id, size_t length) {
    (void)registry;
    return fake_find(id, length, "");
}

struct tenant *registry_find_host(const struct registry *registry, const char *host,
                                  size_t length) {
    (void)registry;
    return fake_find(host, length, ".local");
}

static const struct config all_sources = {
    .identify = {IDENTITY_SOCKET, IDENTITY_PARAM, IDENTITY_HOST}, .identify_count = 3};
static const struct config no_sockets = {.identify = {IDENTITY_PARAM, IDENTITY_HOST},
                                         .identify_count = 2};
static const struct config host_first = {
    .identify = {IDENTITY_HOST, IDENTITY_PARAM, IDENTITY_SOCKET}, .identify_count = 3};
static const struct config host_only = {.identify = {IDENTITY_HOST}, .identify_count = 1};

#define SENT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING ((const char *const[]){NULL})

static struct identity ask(const struct config *config, const char *socket_tenant,
                           const char *const *sent, time_t now) {
    static struct params params;
    struct bytes wire;

    bytes_init(&wire, 1 << 16);
    wire_put_texts(&wire, sent);
    assert_int_equal(params_decode(wire.data, wire.length, &params).status, 0);
    struct identity identity = identify(config, NULL, socket_tenant, &params, now);
    bytes_deinit(&wire);
    return identity;
}

static void assert_is(struct identity identity, const struct tenant *tenant) {
    assert_ptr_equal(identity.tenant, tenant);
    assert_int_equal(identity.refusal.status, 0);
}

static void assert_nobody(struct identity identity) {
    assert_null(identity.tenant);
    assert_int_equal(identity.refusal.status, 404);
    assert_non_null(identity.refusal.reason);
}

static int reset(void **state) {
    (void)state;
    one.state = TENANT_ACTIVE;
    one.plan.paid_until = 0;
    return 0;
}

/* ---- Sources ---- */

static void test_identify_by_the_tenants_own_socket(void **state) {
    (void)state;
    assert_is(ask(&all_sources, "one", NOTHING, NOW), &one);
    assert_nobody(ask(&all_sources, "gone", SENT("SERVER_NAME", "two.local"), NOW));
}

static void test_identify_on_a_tenants_socket_believes_nothing_that_is_sent(void **state) {
    const char *const *forged = SENT("FPMUX_TENANT", "two", "SERVER_NAME", "two.local");

    (void)state;
    assert_is(ask(&all_sources, "one", forged, NOW), &one);
    assert_is(ask(&host_first, "one", forged, NOW), &one);
}

static void test_identify_by_socket_needs_no_token(void **state) {
    (void)state;
    assert_is(ask(&all_sources, "locked", NOTHING, NOW), &locked);
    assert_is(ask(&all_sources, "locked", SENT("FPMUX_TOKEN", "wrong"), NOW), &locked);
}

static void
test_identify_treats_a_tenants_socket_as_shared_when_sockets_do_not_count(void **state) {
    (void)state;
    assert_is(ask(&no_sockets, "one", SENT("FPMUX_TENANT", "two"), NOW), &two);
    assert_nobody(ask(&no_sockets, "one", NOTHING, NOW));
    assert_nobody(ask(&no_sockets, "locked", SENT("FPMUX_TENANT", "locked"), NOW));
}

static void test_identify_by_param(void **state) {
    (void)state;
    assert_is(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "two", "SERVER_NAME", "one.local"), NOW),
              &two);
    assert_nobody(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "TWO"), NOW));
    assert_nobody(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "two "), NOW));
}

static void test_identify_by_host(void **state) {
    static const char *const names[] = {"one.local",  "One.LOCAL",      "one.local:8080",
                                        "one.local.", "one.local.:443", "one.local:"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_is(ask(&all_sources, NULL, SENT("SERVER_NAME", names[i]), NOW), &one);
}

static void test_identify_by_host_that_is_nobodys(void **state) {
    static const char *const names[] = {
        "[::1]",           "[::1]:80", "one.local..", "one.local:80x", "xone.local",
        "one.local:80:80", ".",        ":80",         " one.local",    "one.local/"};
    char long_name[300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_nobody(ask(&all_sources, NULL, SENT("SERVER_NAME", names[i]), NOW));
    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_nobody(ask(&all_sources, NULL, SENT("SERVER_NAME", long_name), NOW));
}

static void test_identify_never_falls_through_from_a_source_that_applies(void **state) {
    (void)state;
    assert_nobody(
        ask(&all_sources, NULL, SENT("FPMUX_TENANT", "gone", "SERVER_NAME", "one.local"), NOW));
    assert_nobody(
        ask(&host_first, NULL, SENT("FPMUX_TENANT", "one", "SERVER_NAME", "gone.local"), NOW));
}

static void test_identify_goes_on_from_a_source_that_does_not_apply(void **state) {
    (void)state;
    assert_is(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "", "SERVER_NAME", "one.local"), NOW),
              &one);
    assert_is(ask(&host_first, NULL, SENT("SERVER_NAME", "", "FPMUX_TENANT", "two"), NOW), &two);
}

static void test_identify_ignores_sources_that_are_not_configured(void **state) {
    (void)state;
    assert_is(ask(&host_only, NULL, SENT("FPMUX_TENANT", "two", "SERVER_NAME", "one.local"), NOW),
              &one);
    assert_nobody(ask(&host_only, NULL, SENT("FPMUX_TENANT", "two"), NOW));
    assert_nobody(ask(&(struct config){0}, NULL, SENT("SERVER_NAME", "one.local"), NOW));
    assert_nobody(ask(&all_sources, NULL, NOTHING, NOW));
}

/* ---- Tokens ---- */

static void test_identify_with_the_right_token(void **state) {
    (void)state;
    assert_is(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "locked", "FPMUX_TOKEN", "s3cret"), NOW),
              &locked);
    assert_is(
        ask(&all_sources, NULL, SENT("SERVER_NAME", "locked.local", "FPMUX_TOKEN", "s3cret"), NOW),
        &locked);
}

static void test_identify_with_a_wrong_token_or_none_finds_nobody(void **state) {
    static const char *const wrong[] = {"",       "s3cre",  "s3crets", "S3CRET",
                                        "s3creT", "x3cret", "      ",  "s3cret "};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_nobody(
            ask(&all_sources, NULL, SENT("FPMUX_TENANT", "locked", "FPMUX_TOKEN", wrong[i]), NOW));
        assert_nobody(ask(&all_sources, NULL,
                          SENT("SERVER_NAME", "locked.local", "FPMUX_TOKEN", wrong[i]), NOW));
    }
    assert_nobody(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "locked"), NOW));
    assert_nobody(ask(&all_sources, NULL, SENT("SERVER_NAME", "locked.local"), NOW));
}

static void test_identify_logs_a_wrong_token_apart_from_an_unknown_tenant(void **state) {
    struct identity token = ask(&all_sources, NULL, SENT("FPMUX_TENANT", "locked"), NOW);
    struct identity unknown = ask(&all_sources, NULL, SENT("FPMUX_TENANT", "gone"), NOW);

    (void)state;
    assert_string_not_equal(token.refusal.reason, unknown.refusal.reason);
}

static void test_identify_needs_no_token_where_the_tenant_has_none(void **state) {
    (void)state;
    assert_is(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "one", "FPMUX_TOKEN", "x"), NOW), &one);
}

/* ---- Suspended and unpaid ---- */

static void assert_unavailable(struct identity identity, const struct tenant *tenant) {
    assert_ptr_equal(identity.tenant, tenant);
    assert_int_equal(identity.refusal.status, 503);
}

static void test_identify_refuses_a_suspended_tenant_by_its_name(void **state) {
    (void)state;
    one.state = TENANT_SUSPENDED;
    assert_unavailable(ask(&all_sources, "one", NOTHING, NOW), &one);
    assert_unavailable(ask(&all_sources, NULL, SENT("FPMUX_TENANT", "one"), NOW), &one);
    assert_unavailable(ask(&all_sources, NULL, SENT("SERVER_NAME", "one.local"), NOW), &one);
}

static void test_identify_serves_up_to_the_second_that_is_paid(void **state) {
    (void)state;
    one.plan.paid_until = NOW;
    assert_is(ask(&all_sources, "one", NOTHING, NOW - 1), &one);
    assert_unavailable(ask(&all_sources, "one", NOTHING, NOW), &one);
    assert_unavailable(ask(&all_sources, "one", NOTHING, NOW + 1), &one);
}

static void test_identify_tells_suspended_from_unpaid(void **state) {
    (void)state;
    one.plan.paid_until = NOW;
    struct identity unpaid = ask(&all_sources, "one", NOTHING, NOW);
    one.state = TENANT_SUSPENDED;
    struct identity suspended = ask(&all_sources, "one", NOTHING, NOW);
    assert_string_not_equal(unpaid.refusal.reason, suspended.refusal.reason);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identify_by_the_tenants_own_socket),
        cmocka_unit_test(test_identify_on_a_tenants_socket_believes_nothing_that_is_sent),
        cmocka_unit_test(test_identify_by_socket_needs_no_token),
        cmocka_unit_test(test_identify_treats_a_tenants_socket_as_shared_when_sockets_do_not_count),
        cmocka_unit_test(test_identify_by_param),
        cmocka_unit_test(test_identify_by_host),
        cmocka_unit_test(test_identify_by_host_that_is_nobodys),
        cmocka_unit_test(test_identify_never_falls_through_from_a_source_that_applies),
        cmocka_unit_test(test_identify_goes_on_from_a_source_that_does_not_apply),
        cmocka_unit_test(test_identify_ignores_sources_that_are_not_configured),
        cmocka_unit_test(test_identify_with_the_right_token),
        cmocka_unit_test(test_identify_with_a_wrong_token_or_none_finds_nobody),
        cmocka_unit_test(test_identify_logs_a_wrong_token_apart_from_an_unknown_tenant),
        cmocka_unit_test(test_identify_needs_no_token_where_the_tenant_has_none),
        cmocka_unit_test_setup_teardown(test_identify_refuses_a_suspended_tenant_by_its_name, reset,
                                        reset),
        cmocka_unit_test_setup_teardown(test_identify_serves_up_to_the_second_that_is_paid, reset,
                                        reset),
        cmocka_unit_test_setup_teardown(test_identify_tells_suspended_from_unpaid, reset, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
