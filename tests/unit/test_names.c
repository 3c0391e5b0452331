#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tenants/json.h"
#include "tenants/names.h"

#define SCHEMA "../tenants/schema/tenant.schema.json"

static void test_tenant_id(void **state) {
    static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";

    (void)state;
    assert_true(is_tenant_id("a", 1));
    assert_true(is_tenant_id("0-a-", 4));
    assert_true(is_tenant_id(longest, 63));
    assert_false(
        is_tenant_id("a234567890123456789012345678901234567890123456789012345678901234", 64));
    assert_false(is_tenant_id("", 0));
    assert_false(is_tenant_id("-a", 2));
    assert_false(is_tenant_id("A", 1));
    assert_false(is_tenant_id("a.b", 3));
    assert_false(is_tenant_id("a/b", 3));
    assert_false(is_tenant_id("a\0b", 3));
}

static void test_param_name(void **state) {
    (void)state;
    assert_true(is_param_name("DBHOST"));
    assert_true(is_param_name("_A"));
    assert_true(is_param_name("A_19"));
    assert_false(is_param_name("ABC"));
    assert_false(is_param_name("9ABC"));
    assert_false(is_param_name("DBhost"));
    assert_false(is_param_name("DB.HOST"));
    assert_false(is_param_name("DB HOST"));
    assert_false(is_param_name(""));
}

static void test_what_the_web_server_and_php_set_is_reserved(void **state) {
    static const char *const reserved[] = {"SCRIPT_FILENAME",
                                           "PHP_VALUE",
                                           "PHP_ADMIN_VALUE",
                                           "HTTP_HOST",
                                           "HTTP_PROXY",
                                           "CONTENT_LENGTH",
                                           "HTTPS",
                                           "REMOTE_USER",
                                           "FPMUX_TENANT",
                                           "REQUEST_BODY_FILE",
                                           "PATH",
                                           "LD_PRELOAD",
                                           "DOCUMENT_ROOT",
                                           "FCGI_ROLE",
                                           "REDIRECT_STATUS",
                                           "QUERY_STRING",
                                           "PATH_INFO",
                                           "ORIG_PATH_INFO",
                                           "H",
                                           "UNIQUE_ID",
                                           "USER",
                                           "AUTH_TYPE",
                                           "PATH_TRANSLATED",
                                           "SERVER_NAME",
                                           "CONTEXT_PREFIX",
                                           "PHP_AUTH_USER",
                                           "HTTPS_PROXY",
                                           "BASH_ENV",
                                           "PHP_SELF",
                                           "GATEWAY_INTERFACE"};
    static const char *const free_names[] = {
        "DBHOST", "DBNAME", "DBUSER",   "DBPASS",   "WWWROOT", "DATAROOT", "AUTH_KEY",
        "PATHS",  "USERS",  "HOMEPAGE", "PHP_TEAM", "A",       "ZZZZ",     "HTML_DIR"};

    (void)state;
    for (size_t index = 0; index < sizeof reserved / sizeof *reserved; index++)
        if (!is_reserved_param(reserved[index]))
            fail_msg("%s is not reserved", reserved[index]);
    for (size_t index = 0; index < sizeof free_names / sizeof *free_names; index++)
        if (is_reserved_param(free_names[index]))
            fail_msg("%s is reserved", free_names[index]);
}

static void test_tables_are_sorted_so_that_each_name_is_found(void **state) {
    (void)state;
    for (size_t index = 0; index < reserved_param_count; index++)
        assert_true(is_reserved_param(reserved_params[index]));
    for (size_t index = 1; index < reserved_param_count; index++)
        assert_true(strcmp(reserved_params[index - 1], reserved_params[index]) < 0);
    for (size_t index = 1; index < reserved_prefix_count; index++)
        assert_true(strcmp(reserved_prefixes[index - 1], reserved_prefixes[index]) < 0);
}

static const char *const settings[] = {
    "memory_limit", "open_basedir",  "disable_functions", "disable_classes", "extension",
    "enable_dl",    "extension_dir", "zend_extension",    "opcache.enable",  "extensions",
    "opcache",      "session.name",  "auto_prepend_file", "my.disable_x",    "zend.assertions"};

static void test_settings_that_change_the_worker_are_refused(void **state) {
    (void)state;
    for (size_t index = 0; index < sizeof settings / sizeof *settings; index++)
        assert_int_equal(is_refused_setting(settings[index]), index >= 2 && index <= 8);
}

static void test_setting_key_can_not_break_out_of_its_line(void **state) {
    (void)state;
    assert_true(is_setting_key("session.save_path"));
    assert_false(is_setting_key(""));
    assert_false(is_setting_key("a=b"));
    assert_false(is_setting_key("a\nb"));
    assert_false(is_setting_key("a b"));
    assert_false(is_setting_key("[a]"));
}

static void test_host_name(void **state) {
    char text[300];

    (void)state;
    assert_true(is_host_name("localhost"));
    assert_true(is_host_name("centro1.sed.local"));
    assert_true(is_host_name("10.0.0.1"));
    assert_false(is_host_name(""));
    assert_false(is_host_name("Centro1.sed.local"));
    assert_false(is_host_name("a.b:80"));
    assert_false(is_host_name("a..b"));
    assert_false(is_host_name(".a"));
    assert_false(is_host_name("a."));
    assert_false(is_host_name("a_b"));
    for (size_t index = 0; index < sizeof text - 1; index++)
        text[index] = index % 2 == 0 ? 'a' : '.';
    text[253] = '\0';
    assert_true(is_host_name(text));
    memcpy(text + 253, ".a", 3);
    assert_false(is_host_name(text));
    memset(text, 'a', 64);
    text[64] = '\0';
    assert_false(is_host_name(text));
    assert_true(is_host_name(text + 1));
}

/* ---- The schema says the same ---- */

static const cJSON *definition(const struct json_document *schema, const char *name,
                               const char *key) {
    const cJSON *definitions = cJSON_GetObjectItemCaseSensitive(schema->root, "definitions");
    const cJSON *found =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(definitions, name), key);

    assert_non_null(found);
    return found;
}

static void test_schema_lists_the_reserved_names(void **state) {
    struct json_document schema;
    struct error error;
    char pattern[1024];
    size_t used = 0;

    (void)state;
    assert_true(json_load(&schema, SCHEMA, 1 << 20, &error));
    const cJSON *names = definition(&schema, "reserved_name", "enum");
    assert_int_equal(cJSON_GetArraySize(names), (int)reserved_param_count);
    for (size_t index = 0; index < reserved_param_count; index++)
        assert_string_equal(cJSON_GetArrayItem(names, (int)index)->valuestring,
                            reserved_params[index]);
    for (size_t index = 0; index < reserved_prefix_count; index++)
        used += (size_t)snprintf(pattern + used, sizeof pattern - used, "%s%s",
                                 index > 0 ? "|" : "^(", reserved_prefixes[index]);
    snprintf(pattern + used, sizeof pattern - used, ")");
    assert_string_equal(definition(&schema, "reserved_prefix", "pattern")->valuestring, pattern);
    json_deinit(&schema);
}

static void test_schema_refuses_the_same_settings(void **state) {
    struct json_document schema;
    struct error error;
    regex_t pattern;

    (void)state;
    assert_true(json_load(&schema, SCHEMA, 1 << 20, &error));
    const char *text = definition(&schema, "refused_setting", "pattern")->valuestring;
    assert_int_equal(regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB), 0);
    for (size_t index = 0; index < sizeof settings / sizeof *settings; index++)
        assert_int_equal(regexec(&pattern, settings[index], 0, NULL, 0) == 0,
                         is_refused_setting(settings[index]));
    regfree(&pattern);
    json_deinit(&schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenant_id),
        cmocka_unit_test(test_param_name),
        cmocka_unit_test(test_what_the_web_server_and_php_set_is_reserved),
        cmocka_unit_test(test_tables_are_sorted_so_that_each_name_is_found),
        cmocka_unit_test(test_settings_that_change_the_worker_are_refused),
        cmocka_unit_test(test_setting_key_can_not_break_out_of_its_line),
        cmocka_unit_test(test_host_name),
        cmocka_unit_test(test_schema_lists_the_reserved_names),
        cmocka_unit_test(test_schema_refuses_the_same_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
