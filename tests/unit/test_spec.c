/* What each container is made of, and what it is not given. */
#include "tests/support/containers_fixture.h"

/* ---- Reading a body ---- */

static const cJSON *host_of(const cJSON *body) {
    return cJSON_GetObjectItem(body, "HostConfig");
}

static const char *text_at(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL ? text : "";
}

/* "type source target ro|rw" of each mount, one per line, in their order. */
static char *describe_mounts(const cJSON *body) {
    char *text = calloc(1, TEXT_MAX);
    const cJSON *mount;

    assert_non_null(text);
    cJSON_ArrayForEach(mount, cJSON_GetObjectItem(host_of(body), "Mounts")) {
        size_t used = strlen(text);
        snprintf(text + used, TEXT_MAX - used, "%s %s %s %s\n", text_at(mount, "Type"),
                 text_at(mount, "Source"), text_at(mount, "Target"),
                 cJSON_IsTrue(cJSON_GetObjectItem(mount, "ReadOnly")) ? "ro" : "rw");
    }
    return text;
}

static void expect_mounts(const struct wanted *wanted, const char *expected) {
    char *text = describe_mounts(wanted->body);

    assert_string_equal(text, expected);
    free(text);
}

static void append(char text[TEXT_MAX], const char *word) {
    size_t used = strlen(text);

    snprintf(text + used, TEXT_MAX - used, "%s ", word);
}

/* The words of an array, each with a space behind. */
static void expect_words(const cJSON *array, const char *expected) {
    char text[TEXT_MAX] = "";
    const cJSON *item;

    cJSON_ArrayForEach(item, array) {
        append(text, cJSON_GetStringValue(item));
    }
    assert_string_equal(text, expected);
}

/* The names of an object's members, each with a space behind. */
static void expect_keys(const cJSON *object, const char *expected) {
    char text[TEXT_MAX] = "";
    const cJSON *item;

    cJSON_ArrayForEach(item, object) {
        append(text, item->string);
    }
    assert_string_equal(text, expected);
}

static const cJSON *endpoints_of(const cJSON *body) {
    return cJSON_GetObjectItem(cJSON_GetObjectItem(body, "NetworkingConfig"), "EndpointsConfig");
}

/* ---- All of them ---- */

static void test_no_body_knows_what_a_tenants_file_keeps(void **state) {
    static const char *const kept[] = {"pass-of-a",  "db-of-a",       "DBPASS",   "DBHOST",
                                       "token-of-a", "label-of-a",    "School A", "precision",
                                       "cron-of-a",  "requests_per_", "weight"};
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    assert_int_equal(setting.wanted.count, 5);
    for (size_t i = 0; i < setting.wanted.count; i++) {
        char *text = cJSON_Print(setting.wanted.items[i].body);
        assert_non_null(text);
        for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
            if (strstr(text, kept[k]) != NULL)
                fail_msg("%s has %s: %s", setting.wanted.items[i].name, kept[k], text);
        cJSON_free(text);
    }
    end_setting(&setting);
}

static void test_each_container_can_do_nothing_but_its_work(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    for (size_t i = 0; i < setting.wanted.count; i++) {
        const struct wanted *wanted = &setting.wanted.items[i];
        const cJSON *host = host_of(wanted->body);
        expect_words(cJSON_GetObjectItem(host, "CapDrop"), "ALL ");
        expect_words(cJSON_GetObjectItem(host, "CapAdd"),
                     wanted->role == ROLE_FPM ? "SETUID SETGID CHOWN KILL " : "");
        expect_words(cJSON_GetObjectItem(host, "SecurityOpt"), "no-new-privileges ");
        assert_true(cJSON_IsTrue(cJSON_GetObjectItem(host, "ReadonlyRootfs")));
        assert_false(cJSON_IsTrue(cJSON_GetObjectItem(host, "Privileged")));
        assert_string_equal(text_at(cJSON_GetObjectItem(host, "RestartPolicy"), "Name"),
                            "unless-stopped");
        assert_string_equal(text_at(host, "PidMode"), wanted->role == ROLE_SHIM ? "host" : "");
        assert_int_equal(cJSON_GetObjectItem(host, "PortBindings") != NULL,
                         wanted->role == ROLE_PROXY);
    }
    end_setting(&setting);
}

static void test_no_container_gets_the_engines_socket(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    for (size_t i = 0; i < setting.wanted.count; i++) {
        char *mounts = describe_mounts(setting.wanted.items[i].body);
        assert_null(strstr(mounts, "docker.sock"));
        free(mounts);
    }
    end_setting(&setting);
}

static void test_labels_tell_whose_and_what_it_is(void **state) {
    static const struct {
        enum role role;
        const char *id;
        const char *key;
    } cases[] = {{ROLE_FPM, "default", LABEL_POOL},
                 {ROLE_SHIM, "", NULL},
                 {ROLE_PROXY, "", NULL},
                 {ROLE_TENANT, "a", LABEL_TENANT}};
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct wanted *wanted = need(&setting, cases[i].role, cases[i].id);
        const cJSON *labels = cJSON_GetObjectItem(wanted->body, "Labels");
        assert_string_equal(text_at(labels, LABEL_SYSTEM), "sys");
        assert_string_equal(text_at(labels, LABEL_ROLE), role_name(cases[i].role));
        assert_string_equal(text_at(labels, LABEL_HASH), wanted->hash);
        assert_int_equal(strlen(wanted->hash), WANTED_HASH_BYTES - 1);
        if (cases[i].key != NULL)
            assert_string_equal(text_at(labels, cases[i].key), cases[i].id);
    }
    end_setting(&setting);
}

/* ---- A tenant's ---- */

static void test_tenant_gets_its_own_socket_and_the_code_read_only(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_TENANT, "a");
    expect_mounts(wanted, "bind /run/fpmux/tenants/a /run/fpmux ro\n"
                          "bind /srv/code /srv/app ro\n");
    expect_words(cJSON_GetObjectItem(wanted->body, "Env"),
                 "FPMUX_ROOT=/srv/app FPMUX_HOST=a.example.org "
                 "VIRTUAL_HOST=a.example.org,www.a.example.org ");
    expect_keys(cJSON_GetObjectItem(host_of(wanted->body), "Tmpfs"), "/tmp ");
    end_setting(&setting);
}

static void test_tenant_is_found_by_its_hosts_in_the_network_of_the_proxy_alone(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_TENANT, "a");
    expect_keys(endpoints_of(wanted->body), "sys-edge ");
    assert_string_equal(text_at(host_of(wanted->body), "NetworkMode"), "sys-edge");
    expect_words(
        cJSON_GetObjectItem(cJSON_GetObjectItem(endpoints_of(wanted->body), "sys-edge"), "Aliases"),
        "a.example.org.fpmux www.a.example.org.fpmux ");
    assert_int_equal(wanted->networks.count, 0);
    end_setting(&setting);
}

static void test_tenants_own_image_and_memory_are_taken(void **state) {
    struct setting_up setting;

    (void)state;
    begin_setting(&setting);
    write_tenant_file(&setting, "a",
                      "{\"hosts\": [\"a.example.org\"], \"container\": "
                      "{\"image\": \"school/apache:7\", \"memory_bytes\": 268435456}}");
    write_tenant_file(&setting, "b", TENANT_B);
    make_wanted_of(&setting, CONFIGURATION);
    const struct wanted *own = need(&setting, ROLE_TENANT, "a");
    const struct wanted *usual = need(&setting, ROLE_TENANT, "b");
    assert_string_equal(own->image, "school/apache:7");
    assert_string_equal(text_at(own->body, "Image"), "school/apache:7");
    assert_int_equal(cJSON_GetObjectItem(host_of(own->body), "Memory")->valuedouble, 268435456);
    assert_string_equal(usual->image, "fpmux/apache");
    assert_null(cJSON_GetObjectItem(host_of(usual->body), "Memory"));
    end_setting(&setting);
}

/* ---- PHP-FPM's ---- */

static void test_fpm_gets_its_volumes_the_code_and_what_it_may_write(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_FPM, "default");
    expect_mounts(wanted, "volume sys-fpm-default /run/php/default rw\n"
                          "volume sys-tmp-default /tmp rw\n"
                          "bind /srv/code /srv/app ro\n"
                          "bind /srv/data /srv/data rw\n");
    expect_words(cJSON_GetObjectItem(wanted->body, "Env"),
                 "FPMUX_LISTEN=/run/php/default/fpm.sock FPMUX_UID=33 FPMUX_WORKERS=8 "
                 "FPMUX_STATUS_PATH=/status FPMUX_TERMINATE_SECONDS=306 ");
    /* A command that forks without end must not take the host's pids. */
    assert_int_equal(cJSON_GetObjectItem(host_of(wanted->body), "PidsLimit")->valueint, 8 + 1024);
    expect_keys(endpoints_of(wanted->body), "sys-app ");
    assert_int_equal(wanted->networks.count, 1);
    assert_string_equal(wanted->networks.items[0], "databases");
    assert_string_equal(wanted->client, "33");
    end_setting(&setting);
}

static void test_fpm_without_status_says_so(void **state) {
    char *text = replaced(CONFIGURATION, " \"status_path\": \"/status\",", "");
    struct setting_up setting;
    bool is_there = false;
    const cJSON *item;

    (void)state;
    begin_usual(&setting, text);
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItem(need(&setting, ROLE_FPM, "default")->body, "Env")) {
        is_there |= strcmp(item->valuestring, "FPMUX_STATUS_PATH=") == 0;
    }
    assert_true(is_there);
    end_setting(&setting);
    free(text);
}

/* ---- The proxy's ---- */

static void test_proxy_alone_is_published(void **state) {
    char *text = replaced(CONFIGURATION, "\"proxy_port\": 8081,",
                          "\"proxy_port\": 8081, \"proxy_address\": \"127.0.0.1\","
                          " \"trusted_proxies\": [\"10.0.0.0/8\", \"::1\"],");
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    const struct wanted *wanted = need(&setting, ROLE_PROXY, "");
    const cJSON *ports = cJSON_GetObjectItem(host_of(wanted->body), "PortBindings");
    expect_keys(ports, "8080/tcp ");
    const cJSON *binding = cJSON_GetArrayItem(cJSON_GetObjectItem(ports, "8080/tcp"), 0);
    assert_string_equal(text_at(binding, "HostIp"), "127.0.0.1");
    assert_string_equal(text_at(binding, "HostPort"), "8081");
    expect_keys(endpoints_of(wanted->body), "sys-public ");
    assert_int_equal(wanted->networks.count, 1);
    assert_string_equal(wanted->networks.items[0], "sys-edge");
    expect_words(cJSON_GetObjectItem(wanted->body, "Env"), "FPMUX_TRUSTED=10.0.0.0/8 ::1 ");
    end_setting(&setting);
    free(text);
}

/* ---- The shim's ---- */

static void test_shim_runs_as_the_owner_of_the_sockets_without_a_network(void **state) {
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, CONFIGURATION);
    const struct wanted *wanted = need(&setting, ROLE_SHIM, "");
    assert_string_equal(text_at(wanted->body, "User"), "33:34");
    expect_words(cJSON_GetObjectItem(wanted->body, "Cmd"), "fpmux --config /etc/fpmux/fpmux.json ");
    assert_string_equal(text_at(host_of(wanted->body), "NetworkMode"), "none");
    assert_null(endpoints_of(wanted->body));
    end_setting(&setting);
}

static void test_shim_that_listens_on_tcp_is_in_the_network_of_the_web_servers(void **state) {
    char *text = replaced(CONFIGURATION, "\"listen\": []", "\"listen\": [\"tcp:0.0.0.0:9000\"]");
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    expect_keys(endpoints_of(need(&setting, ROLE_SHIM, "")->body), "sys-edge ");
    end_setting(&setting);
    free(text);
}

/* What a path is inside of a container: the innermost mount counts. */
enum access { NOTHING, READ, WRITE, MEMORY };

static bool lies_in(const char *path, const char *dir) {
    size_t length = strlen(dir);

    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static enum access access_to(const cJSON *body, const char *path) {
    enum access access = NOTHING;
    size_t longest = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItem(host_of(body), "Mounts")) {
        const char *target = text_at(item, "Target");
        if (!lies_in(path, target) || strlen(target) < longest)
            continue;
        longest = strlen(target);
        access = cJSON_IsTrue(cJSON_GetObjectItem(item, "ReadOnly")) ? READ : WRITE;
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(host_of(body), "Tmpfs")) {
        if (lies_in(path, item->string) && strlen(item->string) > longest) {
            longest = strlen(item->string);
            access = MEMORY;
        }
    }
    return access;
}

/* Docker refuses two of the same target. */
static void expect_distinct_targets(const cJSON *body) {
    const char *targets[64];
    size_t count = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItem(host_of(body), "Mounts")) {
        targets[count++] = text_at(item, "Target");
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(host_of(body), "Tmpfs")) {
        targets[count++] = item->string;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(targets[i], targets[k]) == 0)
                fail_msg("%s is mounted twice", targets[i]);
}

/* Where everything lies on the host. */
struct layout {
    const char *ledger_dir;
    const char *sockets;
    const char *spool;
    const char *config_dir;
    const char *registry;
    const char *pages;    /* or NULL */
    const char *more;     /* of containers.mounts.shim, or NULL */
    const char *expected; /* binds as "path:ro path:rw ", in any order */
};

static cJSON *shim_of(const struct layout *layout) {
    struct surroundings around = {.shim_uid = 33,
                                  .shim_gid = 34,
                                  .config_dir = layout->config_dir,
                                  .config_path = "/x/fpmux.json",
                                  .config_digest = ""};
    struct error error;
    char text[TEXT_MAX];

    snprintf(text, sizeof text,
             "{\"listen\": [], \"tenant_sockets\": \"%s\", \"registry\": \"dir:%s\","
             " \"ledger\": \"sqlite:%s/usage.db\", \"spool\": {\"dir\": \"%s\"}, \"admin\": [],"
             " %s%s%s \"pools\": {\"p\": {\"address\": \"unix:/run/php/p/fpm.sock\","
             " \"workers\": 1, \"root\": \"/w\"}},"
             " \"containers\": {\"code\": \"/c\", \"mounts\": {\"shim\": [%s%s%s]}}}",
             layout->sockets, layout->registry, layout->ledger_dir, layout->spool,
             layout->pages ? "\"pages\": \"" : "", layout->pages ? layout->pages : "",
             layout->pages ? "\"," : "", layout->more ? "\"" : "", layout->more ? layout->more : "",
             layout->more ? "\"" : "");
    struct config *config = config_parse("c", text, strlen(text), &error);
    if (config == NULL)
        fail_msg("%s", error.text);
    cJSON *body = spec_shim(config, &around);
    config_free(config);
    return body;
}

static void expect_binds(const cJSON *body, const char *expected) {
    size_t length = 0;
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItem(host_of(body), "Mounts")) {
        char bind[512];
        if (strcmp(text_at(item, "Type"), "bind") != 0)
            continue;
        assert_string_equal(text_at(item, "Source"), text_at(item, "Target"));
        snprintf(bind, sizeof bind, "%s:%s ", text_at(item, "Target"),
                 cJSON_IsTrue(cJSON_GetObjectItem(item, "ReadOnly")) ? "ro" : "rw");
        const char *place = strstr(expected, bind);
        if (place == NULL || (place > expected && place[-1] != ' '))
            fail_msg("%sis mounted; expected: %s", bind, expected);
        length += strlen(bind);
    }
    if (length != strlen(expected))
        fail_msg("not all of %s is mounted", expected);
}

static void test_shim_sees_what_it_needs_at_the_hosts_paths_and_each_once(void **state) {
    static const struct layout layouts[] = {
        /* apart */
        {"/l", "/s", "/t", "/e", "/r", "/p", "/m", "/l:rw /s:rw /t:rw /e:ro /r:ro /p:ro /m:ro "},
        /* as packages lay it out */
        {"/var/lib/fpmux", "/run/fpmux/t", "/var/lib/fpmux/spool", "/etc/fpmux",
         "/etc/fpmux/tenants", NULL, NULL, "/var/lib/fpmux:rw /run/fpmux/t:rw /etc/fpmux:ro "},
        /* the inner one is told first */
        {"/v/ledger", "/v/sockets", "/v", "/e/conf", "/e", NULL, NULL, "/v:rw /e:ro "},
        /* to be read within what may be written */
        {"/v", "/v/s", "/v/t", "/v/etc", "/v/etc/tenants", "/v/pages", NULL,
         "/v:rw /v/etc:ro /v/pages:ro "},
        /* to be written within what is to be read */
        {"/e/state/ledger", "/e/s", "/e/state", "/e", "/e/tenants", NULL, "/e/secrets",
         "/e:ro /e/s:rw /e/state:rw "},
        /* turn by turn */
        {"/a/b/c", "/a/b/c/d/e", "/a/b/c/t", "/a/b/c/d", "/a", NULL, "/a/b/c/d/e/f",
         "/a:ro /a/b/c:rw /a/b/c/d:ro /a/b/c/d/e:rw /a/b/c/d/e/f:ro "},
        /* all in one */
        {"/one", "/one/s", "/one", "/one", "/one/tenants", "/one", "/one",
         "/one:rw /one/tenants:ro "},
        /* names that only begin alike */
        {"/srv/a", "/srv/ab", "/srv/abc", "/srv/abcd", "/srv/abcde", NULL, NULL,
         "/srv/a:rw /srv/ab:rw /srv/abc:rw /srv/abcd:ro /srv/abcde:ro "},
        /* a slash at the end */
        {"/l", "/s", "/t", "/e", "/e/", NULL, "/l/", "/l:rw /s:rw /t:rw /e:ro "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const struct layout *layout = &layouts[i];
        cJSON *body = shim_of(layout);
        expect_distinct_targets(body);
        assert_int_equal(access_to(body, layout->ledger_dir), WRITE);
        assert_int_equal(access_to(body, layout->sockets), WRITE);
        assert_int_equal(access_to(body, layout->spool), WRITE);
        assert_int_not_equal(access_to(body, layout->config_dir), NOTHING);
        assert_int_not_equal(access_to(body, layout->registry), NOTHING);
        assert_int_equal(access_to(body, "/run/php/p"), READ);
        assert_int_equal(access_to(body, "/c"), NOTHING);
        expect_binds(body, layout->expected);
        cJSON_Delete(body);
    }
}

static void test_shims_own_sockets_outside_of_all_mounts_are_in_memory(void **state) {
    char *first = replaced(CONFIGURATION, "\"admin\": []",
                           "\"admin\": [\"unix:/run/fpmux-admin/admin.sock\","
                           " \"unix:/var/lib/fpmux/admin.sock\", \"tcp:127.0.0.1:9301\"]");
    char *text = replaced(first, "\"listen\": []",
                          "\"listen\": [\"unix:/run/fpmux-admin/fpmux.sock\","
                          " \"unix:/run/fpmux-more/fpmux.sock\"]");
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    const cJSON *body = need(&setting, ROLE_SHIM, "")->body;
    expect_keys(cJSON_GetObjectItem(host_of(body), "Tmpfs"), "/run/fpmux-admin /run/fpmux-more ");
    assert_string_equal(text_at(cJSON_GetObjectItem(host_of(body), "Tmpfs"), "/run/fpmux-more"),
                        "mode=0755,uid=33,gid=34");
    assert_int_equal(access_to(body, "/run/fpmux-admin/admin.sock"), MEMORY);
    assert_int_equal(access_to(body, "/var/lib/fpmux/admin.sock"), WRITE);
    expect_distinct_targets(body);
    end_setting(&setting);
    free(text);
    free(first);
}

static void test_shim_reaches_the_sockets_of_all_pools(void **state) {
    char *text = replaced(CONFIGURATION, "\"tcp:10.0.0.9:9000\"", "\"unix:/run/php/far/f.sock\"");
    struct setting_up setting;

    (void)state;
    begin_usual(&setting, text);
    char *mounts = describe_mounts(need(&setting, ROLE_SHIM, "")->body);
    assert_non_null(strstr(mounts, "volume sys-fpm-default /run/php/default ro\n"));
    assert_non_null(strstr(mounts, "volume sys-fpm-far /run/php/far ro\n"));
    assert_null(strstr(mounts, "sys-tmp"));
    free(mounts);
    end_setting(&setting);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_body_knows_what_a_tenants_file_keeps),
        cmocka_unit_test(test_each_container_can_do_nothing_but_its_work),
        cmocka_unit_test(test_no_container_gets_the_engines_socket),
        cmocka_unit_test(test_labels_tell_whose_and_what_it_is),
        cmocka_unit_test(test_tenant_gets_its_own_socket_and_the_code_read_only),
        cmocka_unit_test(test_tenant_is_found_by_its_hosts_in_the_network_of_the_proxy_alone),
        cmocka_unit_test(test_tenants_own_image_and_memory_are_taken),
        cmocka_unit_test(test_fpm_gets_its_volumes_the_code_and_what_it_may_write),
        cmocka_unit_test(test_fpm_without_status_says_so),
        cmocka_unit_test(test_proxy_alone_is_published),
        cmocka_unit_test(test_shim_runs_as_the_owner_of_the_sockets_without_a_network),
        cmocka_unit_test(test_shim_that_listens_on_tcp_is_in_the_network_of_the_web_servers),
        cmocka_unit_test(test_shim_sees_what_it_needs_at_the_hosts_paths_and_each_once),
        cmocka_unit_test(test_shims_own_sockets_outside_of_all_mounts_are_in_memory),
        cmocka_unit_test(test_shim_reaches_the_sockets_of_all_pools),
    };
    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
