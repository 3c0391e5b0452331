/* What the engine lists (GET /containers/json?all=1), read into typed objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/actual.h"

/* As Docker 20.10 answers, but for the addresses. */
static const char sample[] =
    "[{\"Id\":\"8d12a9ed26a6c0f5a9a6b1a3d1b5b2a7ddb6f1b1f0c0e3e1c2b3a4958677869d\","
    "\"Names\":[\"/sys-tenant-centro1\"],\"Image\":\"fpmux/apache\","
    "\"ImageID\":\"sha256:6ab1f2cba1\",\"Command\":\"/usr/local/bin/start\","
    "\"Created\":1795375406,\"Ports\":[],\"Labels\":{\"fpmux.hash\":\"0123456789abcdef\","
    "\"fpmux.role\":\"tenant\",\"fpmux.system\":\"sys\",\"fpmux.tenant\":\"centro1\","
    "\"maintainer\":\"somebody\"},\"State\":\"running\",\"Status\":\"Up 3 minutes\","
    "\"HostConfig\":{\"NetworkMode\":\"sys-edge\"},\"NetworkSettings\":{\"Networks\":{}},"
    "\"Mounts\":[]},"
    "{\"Id\":\"1111\",\"Names\":[\"/web/database\",\"/database\"],\"Image\":\"mariadb:10\","
    "\"ImageID\":\"sha256:2222\",\"Created\":1795375000,\"Ports\":[{\"IP\":\"0.0.0.0\","
    "\"PrivatePort\":3306,\"PublicPort\":3306,\"Type\":\"tcp\"}],\"Labels\":{},"
    "\"State\":\"exited\",\"Status\":\"Exited (1) 2 hours ago\"}]";

static void read_text(struct actual_set *set, const char *text) {
    cJSON *list = cJSON_Parse(text);

    assert_non_null(list);
    actual_read(set, list, "sys");
    cJSON_Delete(list); /* nothing is borrowed from it */
}

static void test_container_of_ours_is_read_whole(void **state) {
    struct actual_set set;

    (void)state;
    read_text(&set, sample);
    assert_int_equal(set.count, 2);
    const struct actual *ours = &set.items[0];
    assert_string_equal(ours->id,
                        "8d12a9ed26a6c0f5a9a6b1a3d1b5b2a7ddb6f1b1f0c0e3e1c2b3a4958677869d");
    assert_string_equal(ours->name, "sys-tenant-centro1");
    assert_true(ours->is_ours);
    assert_int_equal(ours->role, ROLE_TENANT);
    assert_string_equal(ours->unit, "centro1");
    assert_string_equal(ours->hash, "0123456789abcdef");
    assert_string_equal(ours->image, "fpmux/apache");
    assert_string_equal(ours->image_id, "sha256:6ab1f2cba1");
    assert_int_equal(ours->state, CONTAINER_RUNNING);
    assert_string_equal(ours->status, "Up 3 minutes");
    assert_int_equal(ours->created, 1795375406);
    actual_deinit(&set);
    assert_int_equal(set.count, 0);
}

/* --link gives a container a second name, below the one that links it. */
static void test_name_is_the_one_without_a_link(void **state) {
    struct actual_set set;

    (void)state;
    read_text(&set, sample);
    assert_string_equal(set.items[1].name, "database");
    assert_false(set.items[1].is_ours);
    assert_int_equal(set.items[1].state, CONTAINER_EXITED);
    actual_deinit(&set);
}

static void test_each_state_of_the_engine_is_known(void **state) {
    static const struct {
        const char *word;
        enum container_state state;
    } cases[] = {{"created", CONTAINER_CREATED},
                 {"running", CONTAINER_RUNNING},
                 {"paused", CONTAINER_PAUSED},
                 {"restarting", CONTAINER_RESTARTING},
                 {"exited", CONTAINER_EXITED},
                 {"dead", CONTAINER_GONE},
                 {"removing", CONTAINER_GONE},
                 {"frozen", CONTAINER_GONE},
                 {"", CONTAINER_GONE}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct actual_set set;
        char text[128];
        snprintf(text, sizeof text, "[{\"Id\":\"1\",\"State\":\"%s\"}]", cases[i].word);
        read_text(&set, text);
        assert_int_equal(set.items[0].state, cases[i].state);
        actual_deinit(&set);
    }
    for (int i = 0; i < CONTAINER_STATES; i++)
        assert_non_null(container_state_name((enum container_state)i));
}

#define OURS "\"fpmux.system\":\"sys\""

static void test_whose_it_is_is_told_by_the_label_of_the_system_and_a_known_role(void **state) {
    static const struct {
        const char *labels;
        bool is_ours;
        enum role role;
        const char *unit;
    } cases[] = {
        {"{" OURS ",\"fpmux.role\":\"shim\"}", true, ROLE_SHIM, ""},
        {"{" OURS ",\"fpmux.role\":\"proxy\",\"fpmux.tenant\":\"x\"}", true, ROLE_PROXY, ""},
        {"{" OURS ",\"fpmux.role\":\"fpm\",\"fpmux.pool\":\"p\",\"fpmux.tenant\":\"x\"}", true,
         ROLE_FPM, "p"},
        {"{" OURS ",\"fpmux.role\":\"tenant\",\"fpmux.tenant\":\"x\",\"fpmux.pool\":\"p\"}", true,
         ROLE_TENANT, "x"},
        {"{" OURS ",\"fpmux.role\":\"database\"}", false, ROLE_FPM, ""},
        {"{" OURS "}", false, ROLE_FPM, ""},
        {"{\"fpmux.system\":\"sys2\",\"fpmux.role\":\"shim\"}", false, ROLE_FPM, ""},
        {"{\"fpmux.system\":\"SYS\",\"fpmux.role\":\"shim\"}", false, ROLE_FPM, ""},
        {"{\"fpmux.system\":\"\",\"fpmux.role\":\"shim\"}", false, ROLE_FPM, ""},
        {"{\"fpmux.role\":\"shim\"}", false, ROLE_FPM, ""},
        {"{\"fpmux.system\":[\"sys\"],\"fpmux.role\":\"shim\"}", false, ROLE_FPM, ""},
        {"[\"fpmux.system\"]", false, ROLE_FPM, ""},
        {"null", false, ROLE_FPM, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct actual_set set;
        char text[512];
        snprintf(text, sizeof text, "[{\"Id\":\"1\",\"Names\":[\"/sys-shim\"],\"Labels\":%s}]",
                 cases[i].labels);
        read_text(&set, text);
        if (set.items[0].is_ours != cases[i].is_ours)
            fail_msg("%s", text);
        if (cases[i].is_ours) {
            assert_int_equal(set.items[0].role, cases[i].role);
            assert_string_equal(set.items[0].unit, cases[i].unit);
        }
        actual_deinit(&set);
    }
}

/* A label that somebody set by hand may be of any length. */
static void test_labels_that_are_too_long_are_no_unit_and_no_hash_of_ours(void **state) {
    char text[1024];
    char longest[300];
    struct actual_set set;

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    snprintf(text, sizeof text,
             "[{\"Id\":\"1\",\"Labels\":{" OURS ",\"fpmux.role\":\"tenant\","
             "\"fpmux.tenant\":\"%s\",\"fpmux.hash\":\"%s\"}}]",
             longest, longest);
    read_text(&set, text);
    assert_true(strlen(set.items[0].unit) <= TENANT_ID_MAX);
    assert_true(strlen(set.items[0].hash) < WANTED_HASH_BYTES);
    actual_deinit(&set);
}

/* Every text is there, and empty. */
static void expect_blank(const struct actual *actual) {
    assert_string_equal(actual->id, "");
    assert_string_equal(actual->name, "");
    assert_string_equal(actual->image, "");
    assert_string_equal(actual->image_id, "");
    assert_string_equal(actual->status, "");
    assert_int_equal(actual->created, 0);
    assert_int_equal(actual->state, CONTAINER_GONE);
    assert_false(actual->is_ours);
}

static void test_members_that_are_missing_or_of_another_kind_are_empty(void **state) {
    static const char *const texts[] = {
        "[{}]",
        "[null]",
        "[7]",
        "[\"text\"]",
        "[[]]",
        "[{\"Id\":7,\"Names\":\"/x\",\"Image\":null,\"ImageID\":{},\"State\":true}]",
        "[{\"Status\":[],\"Created\":\"yesterday\",\"Labels\":\"fpmux.system=sys\"}]",
        "[{\"Names\":[]}]",
        "[{\"Names\":[null,7,{}]}]",
        "[{\"Names\":[\"\",\"no-slash\",\"/a/b\"]}]",
        "[{\"id\":\"1\",\"names\":[\"/x\"],\"state\":\"running\"}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct actual_set set;
        read_text(&set, texts[i]);
        assert_int_equal(set.count, 1);
        expect_blank(&set.items[0]);
        actual_deinit(&set);
    }
}

static void test_what_is_no_list_has_no_container(void **state) {
    static const char *const texts[] = {"[]", "null", "7", "\"text\"", "{}", "true"};
    struct actual_set set;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        read_text(&set, texts[i]);
        assert_int_equal(set.count, 0);
        actual_deinit(&set);
    }
    actual_read(&set, NULL, "sys"); /* an empty answer */
    assert_int_equal(set.count, 0);
    actual_deinit(&set);
}

static void test_all_are_read_in_the_engines_order(void **state) {
    cJSON *list = cJSON_CreateArray();
    struct actual_set set;

    (void)state;
    for (int i = 0; i < 500; i++) {
        cJSON *item = cJSON_CreateObject();
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        cJSON_AddStringToObject(item, "Id", id);
        cJSON_AddItemToArray(list, item);
    }
    actual_read(&set, list, "sys");
    cJSON_Delete(list);
    assert_int_equal(set.count, 500);
    for (size_t i = 0; i < set.count; i++)
        assert_int_equal(strtoul(set.items[i].id, NULL, 10), i);
    actual_deinit(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container_of_ours_is_read_whole),
        cmocka_unit_test(test_name_is_the_one_without_a_link),
        cmocka_unit_test(test_each_state_of_the_engine_is_known),
        cmocka_unit_test(test_whose_it_is_is_told_by_the_label_of_the_system_and_a_known_role),
        cmocka_unit_test(test_labels_that_are_too_long_are_no_unit_and_no_hash_of_ours),
        cmocka_unit_test(test_members_that_are_missing_or_of_another_kind_are_empty),
        cmocka_unit_test(test_what_is_no_list_has_no_container),
        cmocka_unit_test(test_all_are_read_in_the_engines_order),
    };
    return cmocka_run_group_tests_name("actual", tests, NULL, NULL);
}
