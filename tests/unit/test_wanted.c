/* Which containers there should be, and when one is no longer what it should be. */
#include "tests/support/containers_fixture.h"

/* "fpm default, shim, …" in their order. */
static void expect_wanted(const struct setting_up *setting, const char *expected) {
    char text[TEXT_MAX] = "";

    for (size_t i = 0; i < setting->wanted.count; i++) {
        const struct wanted *wanted = &setting->wanted.items[i];
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s%s ", role_name(wanted->role),
                 wanted->id[0] != '\0' ? "-" : "", wanted->id);
    }
    assert_string_equal(text, expected);
}

static void test_one_container_for_each_pool_role_and_tenant_in_order(void **state) {
    struct setting_up setting;

    (void)state;
    begin_setting(&setting);
    write_tenant_file(&setting, "b", TENANT_B);
    write_tenant_file(&setting, "a", TENANT_A);
    write_tenant_file(&setting, "10", "{\"hosts\": [\"ten.example.org\"]}");
    make_wanted_of(&setting, CONFIGURATION);
    expect_wanted(&setting, "fpm-default shim proxy tenant-10 tenant-a tenant-b ");
    assert_string_equal(need(&setting, ROLE_FPM, "default")->name, "sys-fpm-default");
    assert_string_equal(need(&setting, ROLE_SHIM, "")->name, "sys-shim");
    assert_string_equal(need(&setting, ROLE_PROXY, "")->name, "sys-proxy");
    assert_string_equal(need(&setting, ROLE_TENANT, "a")->name, "sys-tenant-a");
    assert_null(wanted_find(&setting.wanted, ROLE_TENANT, "c"));
    assert_null(wanted_find(&setting.wanted, ROLE_FPM, "a"));
    end_setting(&setting);
}

static void test_without_tenants_the_rest_is_wanted(void **state) {
    struct setting_up setting;

    (void)state;
    begin_setting(&setting);
    make_wanted_of(&setting, CONFIGURATION);
    expect_wanted(&setting, "fpm-default shim proxy ");
    assert_null(need(&setting, ROLE_SHIM, "")->socket);
    end_setting(&setting);
}

static void test_pool_over_tcp_is_somebody_elses(void **state) {
    char *text =
        replaced(CONFIGURATION, "\"unix:/run/php/default/fpm.sock\"", "\"tcp:[::1]:9000\"");
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    expect_wanted(&setting, "shim proxy tenant-a tenant-b ");
    end_setting(&setting);
    free(text);
}

static void test_tenant_without_a_host_has_no_container(void **state) {
    static const char *const texts[] = {"{}", "{\"hosts\": []}"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct setting_up setting;
        begin_setting(&setting);
        write_tenant_file(&setting, "a", texts[i]);
        write_tenant_file(&setting, "b", TENANT_B);
        make_wanted_of(&setting, CONFIGURATION);
        expect_wanted(&setting, "fpm-default shim proxy tenant-b ");
        end_setting(&setting);
    }
}

static void test_suspended_tenant_keeps_its_container_unless_its_plan_says_stop(void **state) {
    static const struct {
        const char *text;
        bool is_wanted;
    } cases[] = {
        {"{\"hosts\": [\"a.test\"], \"state\": \"suspended\"}", true},
        {"{\"hosts\": [\"a.test\"], \"plan\": {\"suspended\": \"stop\"}}", true},
        {"{\"hosts\": [\"a.test\"], \"state\": \"suspended\", \"plan\": {\"suspended\": "
         "\"stop\"}}",
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setting_up setting;
        begin_setting(&setting);
        write_tenant_file(&setting, "a", cases[i].text);
        make_wanted_of(&setting, CONFIGURATION);
        assert_int_equal(wanted_find(&setting.wanted, ROLE_TENANT, "a") != NULL,
                         cases[i].is_wanted);
        end_setting(&setting);
    }
}

/* The day is the last one that is paid: 2026-12-02T00:00:00Z is the first second that is not. */
static void test_unpaid_tenant_counts_as_suspended_from_the_very_second(void **state) {
    static const struct {
        time_t now;
        bool is_wanted;
    } cases[] = {{1796169599, true}, {1796169600, false}, {1796169601, false}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct setting_up setting;
        begin_setting(&setting);
        setting.around.now = cases[i].now;
        write_tenant_file(&setting, "a",
                          "{\"hosts\": [\"a.test\"], \"plan\": "
                          "{\"paid_until\": \"2026-12-01\", \"suspended\": \"stop\"}}");
        write_tenant_file(&setting, "b",
                          "{\"hosts\": [\"b.test\"], \"plan\": {\"paid_until\": \"2026-12-01\"}}");
        make_wanted_of(&setting, CONFIGURATION);
        const struct tenant *tenant = registry_find(setting.registry, "a", 1);
        assert_int_equal(tenant->plan.paid_until, 1796169600);
        assert_int_equal(wanted_is_suspended(tenant, cases[i].now), !cases[i].is_wanted);
        assert_int_equal(wanted_find(&setting.wanted, ROLE_TENANT, "a") != NULL,
                         cases[i].is_wanted);
        need(&setting, ROLE_TENANT, "b");
        end_setting(&setting);
    }
}

static void test_who_never_has_to_pay_is_never_suspended(void **state) {
    const struct tenant tenant = {.state = TENANT_ACTIVE};

    (void)state;
    assert_false(wanted_is_suspended(&tenant, 0));
    assert_false(wanted_is_suspended(&tenant, INT64_MAX));
}

static void test_tenant_is_known_by_its_socket_and_first_host(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_TENANT, "a");
    assert_string_equal(wanted->socket, "/run/fpmux/tenants/a/fpmux.sock");
    assert_string_equal(wanted->host, "a.example.org");
    assert_int_equal(wanted->volumes.count, 0);
    assert_non_null(strstr(need(&setting, ROLE_SHIM, "")->socket, "/run/fpmux/tenants/"));
    end_setting(&setting);
}

static void test_volumes_of_a_pool_are_made_before(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_FPM, "default");
    assert_int_equal(wanted->volumes.count, 2);
    assert_string_equal(wanted->volumes.items[0], "sys-fpm-default");
    assert_string_equal(wanted->volumes.items[1], "sys-tmp-default");
    end_setting(&setting);
}

/* Docker's DNS also resolves CONTAINER.NETWORK: a network called fpmux would give names to all. */
static void test_networks_keep_web_servers_inside_and_none_is_called_fpmux(void **state) {
    char *text = replaced(CONFIGURATION, "\"sys\"", "\"fpmux\"");
    static const char *const names[] = {"fpmux-edge", "fpmux-public", "fpmux-app"};
    struct wanted_network networks[WANTED_NETWORKS];
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    wanted_networks(setting.config, networks);
    for (int i = 0; i < WANTED_NETWORKS; i++) {
        assert_string_equal(networks[i].name, names[i]);
        assert_int_equal(networks[i].is_internal, i == 0);
    }
    wanted_networks_deinit(networks);
    end_setting(&setting);
    free(text);
}

static void test_roles_are_found_by_their_names(void **state) {
    (void)state;
    for (int role = 0; role < ROLES; role++)
        assert_int_equal(role_find(role_name((enum role)role)), role);
    assert_int_equal(role_find(""), ROLES);
    assert_int_equal(role_find("FPM"), ROLES);
    assert_int_equal(role_find("shims"), ROLES);
}

/* ---- The hash ---- */

static void test_digest_is_the_beginning_of_sha256(void **state) {
    char hash[WANTED_HASH_BYTES];

    (void)state;
    wanted_digest("", hash);
    assert_string_equal(hash, "e3b0c44298fc1c14");
    wanted_digest("abc", hash);
    assert_string_equal(hash, "ba7816bf8f01cfea");
}

static void test_hash_is_the_same_for_the_same(void **state) {
    struct setting_up one;
    struct setting_up other;

    (void)state;
    begin_usual(&one, CONFIGURATION);
    begin_setting(&other); /* another order of making, another directory */
    write_tenant_file(&other, "b", TENANT_B);
    write_tenant_file(&other, "c", "{\"hosts\": [\"c.test\"]}");
    write_tenant_file(&other, "a", TENANT_A);
    other.around.now += 1000;
    make_wanted_of(&other, CONFIGURATION);
    for (size_t i = 0; i < one.wanted.count; i++) {
        const struct wanted *wanted = &one.wanted.items[i];
        if (wanted->role != ROLE_SHIM) /* which mounts the registry's directory */
            assert_string_equal(wanted->hash, need(&other, wanted->role, wanted->id)->hash);
    }
    end_setting(&one);
    end_setting(&other);
}

enum {
    FPM = 1 << ROLE_FPM,
    SHIM = 1 << ROLE_SHIM,
    PROXY = 1 << ROLE_PROXY,
    TENANT = 1 << ROLE_TENANT
};

static void expect_changed(const struct setting_up *before, const struct setting_up *after,
                           const char *what, unsigned changed) {
    static const char *const ids[ROLES] = {"default", "", "", "a"};

    for (int role = 0; role < ROLES; role++) {
        const char *old = need(before, (enum role)role, ids[role])->hash;
        const char *new = need(after, (enum role)role, ids[role])->hash;
        if ((strcmp(old, new) != 0) != ((changed >> role & 1) != 0))
            fail_msg("%s: the hash of %s is %s", what, role_name((enum role)role),
                     strcmp(old, new) == 0 ? "the same" : "another");
    }
}

/* The digest of what the daemon reads stays, so that what else decides is seen. */
static void test_hash_changes_with_what_matters_in_the_configuration_alone(void **state) {
    static const struct {
        const char *from;
        const char *to;
        unsigned changed;
    } cases[] = {
        {"\"workers\": 8", "\"workers\": 9", FPM},
        {"\"/status\"", "\"/state\"", FPM},
        {"\"request_seconds\": 300", "\"request_seconds\": 301", FPM},
        {"/run/php/default/fpm.sock", "/run/php/default/other.sock", FPM},
        {"/run/php/default/fpm.sock", "/run/php/else/fpm.sock", FPM | SHIM},
        {"\"precision\": 14", "\"precision\": 15", 0},
        {"\"workers\": 2", "\"workers\": 3", 0},
        {"tcp:10.0.0.9:9000", "tcp:10.0.0.10:9000", 0},
        {"/srv/code", "/srv/code2", FPM | TENANT},
        {"/srv/data", "/srv/data2", FPM},
        {"\"databases\"", "\"databases\", \"mail\"", FPM},
        {"\"databases\"", "", FPM},
        {"\"proxy_port\": 8081", "\"proxy_port\": 8082", PROXY},
        {"\"proxy_port\": 8081", "\"proxy_address\": \"127.0.0.1\", \"proxy_port\": 8081", PROXY},
        {"\"name\": \"sys\"", "\"name\": \"sys2\"", FPM | SHIM | PROXY | TENANT},
        {"\"name\": \"sys\"", "\"parallel\": 3, \"ready_seconds\": 9, \"name\": \"sys\"", 0},
        {"\"name\": \"sys\"", "\"engine\": \"unix:/x/docker.sock\", \"name\": \"sys\"", 0},
        {"\"name\": \"sys\"", "\"images\": {\"apache\": \"x/apache\"}, \"name\": \"sys\"", TENANT},
        {"\"name\": \"sys\"", "\"images\": {\"shim\": \"x/shim\"}, \"name\": \"sys\"", SHIM},
        {"\"name\": \"sys\"", "\"images\": {\"proxy\": \"x/proxy\"}, \"name\": \"sys\"", PROXY},
        {"\"name\": \"sys\"", "\"pool_images\": {\"default\": \"x/fpm\"}, \"name\": \"sys\"", FPM},
        {"\"name\": \"sys\"", "\"pool_images\": {\"far\": \"x/fpm\"}, \"name\": \"sys\"", 0},
        {"\"name\": \"sys\"", "\"trusted_proxies\": [\"::1\"], \"name\": \"sys\"", PROXY},
        {"/var/spool/fpmux", "/var/spool/other", SHIM},
        {"/run/fpmux/tenants", "/run/fpmux/others", SHIM | TENANT},
        {"\"admin\": []", "\"admin\": [\"unix:/run/adm/a.sock\"]", SHIM},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setting_up before;
        struct setting_up after;
        char *text = replaced(CONFIGURATION, cases[i].from, cases[i].to);
        begin_usual(&before, CONFIGURATION);
        begin_setting(&after);
        assert_int_equal(rmdir(after.dir), 0);
        /* One registry: its path is in the shim's body. */
        snprintf(after.dir, sizeof after.dir, "%s", before.dir);
        make_wanted_of(&after, text);
        expect_changed(&before, &after, cases[i].to, cases[i].changed);
        wanted_deinit(&after.wanted);
        registry_close(after.registry);
        config_free(after.config);
        end_setting(&before);
        free(text);
    }
}

static void test_hash_of_the_shim_changes_with_what_the_daemon_reads(void **state) {
    struct setting_up setting;
    struct wanted_set other;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    setting.around.config_digest = "44556677";
    wanted_make(&other, setting.config, setting.registry, &setting.around);
    for (size_t i = 0; i < other.count; i++) {
        const struct wanted *wanted = &other.items[i];
        bool is_same = strcmp(wanted->hash, need(&setting, wanted->role, wanted->id)->hash) == 0;
        assert_int_equal(is_same, wanted->role != ROLE_SHIM);
    }
    wanted_deinit(&other);
    end_setting(&setting);
}

static void test_hash_of_a_tenant_changes_with_what_its_container_gets_alone(void **state) {
    static const struct {
        const char *from;
        const char *to;
        bool is_changed;
    } cases[] = {
        {"pass-of-a", "another", false},
        {"\"DBHOST\": \"db-of-a\"", "\"DBHOST\": \"else\", \"DBNAME\": \"a\"", false},
        {"token-of-a", "another-token", false},
        {"School A", "School of A", false},
        {"label-of-a", "another", false},
        {"\"precision\": 9", "\"precision\": 10", false},
        {"\"weight\": 3", "\"weight\": 4", false},
        {"1000", "2000", false},
        {"cron-of-a.php", "other.php", false},
        {"\"token\"", "\"state\": \"suspended\", \"token\"", false},
        {"\"www.a.example.org\"", "\"www2.a.example.org\"", true},
        {"\"a.example.org\", \"www.a.example.org\"", "\"www.a.example.org\", \"a.example.org\"",
         true},
        {", \"www.a.example.org\"", "", true},
        {"\"token\"", "\"container\": {\"memory_bytes\": 268435456}, \"token\"", true},
        {"\"token\"", "\"container\": {\"image\": \"x/apache\"}, \"token\"", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setting_up before;
        struct setting_up after;
        char *text = replaced(TENANT_A, cases[i].from, cases[i].to);
        begin_usual(&before, CONFIGURATION);
        begin_setting(&after);
        write_tenant_file(&after, "a", text);
        write_tenant_file(&after, "b", TENANT_B);
        make_wanted_of(&after, CONFIGURATION);
        if (registry_error_count(after.registry) != 0)
            fail_msg("%s", text);
        bool is_changed = strcmp(need(&before, ROLE_TENANT, "a")->hash,
                                 need(&after, ROLE_TENANT, "a")->hash) != 0;
        if (is_changed != cases[i].is_changed)
            fail_msg("%s", text);
        assert_string_equal(need(&before, ROLE_TENANT, "b")->hash,
                            need(&after, ROLE_TENANT, "b")->hash);
        end_setting(&before);
        end_setting(&after);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_container_for_each_pool_role_and_tenant_in_order),
        cmocka_unit_test(test_without_tenants_the_rest_is_wanted),
        cmocka_unit_test(test_pool_over_tcp_is_somebody_elses),
        cmocka_unit_test(test_tenant_without_a_host_has_no_container),
        cmocka_unit_test(test_suspended_tenant_keeps_its_container_unless_its_plan_says_stop),
        cmocka_unit_test(test_unpaid_tenant_counts_as_suspended_from_the_very_second),
        cmocka_unit_test(test_who_never_has_to_pay_is_never_suspended),
        cmocka_unit_test(test_tenant_is_known_by_its_socket_and_first_host),
        cmocka_unit_test(test_volumes_of_a_pool_are_made_before),
        cmocka_unit_test(test_networks_keep_web_servers_inside_and_none_is_called_fpmux),
        cmocka_unit_test(test_roles_are_found_by_their_names),
        cmocka_unit_test(test_digest_is_the_beginning_of_sha256),
        cmocka_unit_test(test_hash_is_the_same_for_the_same),
        cmocka_unit_test(test_hash_changes_with_what_matters_in_the_configuration_alone),
        cmocka_unit_test(test_hash_of_the_shim_changes_with_what_the_daemon_reads),
        cmocka_unit_test(test_hash_of_a_tenant_changes_with_what_its_container_gets_alone),
    };
    return cmocka_run_group_tests_name("wanted", tests, NULL, NULL);
}
