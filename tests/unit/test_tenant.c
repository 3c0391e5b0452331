#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenants/tenant.h"

static const char configuration[] =
    "{\"limits\": {\"queue\": 5, \"queue_seconds\": 2.5, \"request_seconds\": 30},"
    " \"pools\": {\"default\": {\"address\": \"unix:/x\", \"workers\": 8, \"root\": \"/w\","
    "  \"php\": {\"memory_limit\": \"128M\", \"open_basedir\": \"/w\", \"precision\": 14}},"
    "  \"one\": {\"address\": \"unix:/y\", \"workers\": 1, \"root\": \"/w\"}}}";

struct fixture {
    struct config *config;
    char dir[64];
    char secret[96];
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;

    assert_non_null(fixture);
    strcpy(fixture->dir, "/tmp/fpmux-tenant-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->secret, sizeof fixture->secret, "%s/secret", fixture->dir);
    fixture->config = config_parse("c", configuration, strlen(configuration), &error);
    assert_non_null(fixture->config);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;

    unlink(fixture->secret);
    rmdir(fixture->dir);
    config_free(fixture->config);
    free(fixture);
    return 0;
}

static void write_bytes(const char *path, const char *text, size_t length, mode_t mode) {
    unlink(path);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static struct tenant *parse(const struct fixture *fixture, const char *text) {
    struct error error = {0};
    struct tenant *tenant = tenant_parse("t1", "t", text, strlen(text), fixture->config, &error);

    if (tenant == NULL)
        fail_msg("%s", error.text);
    return tenant;
}

static void assert_refused(const struct fixture *fixture, const char *text, const char *expected) {
    struct error error = {0};

    assert_null(tenant_parse("t1", "t", text, strlen(text), fixture->config, &error));
    assert_string_equal(error.text, expected);
}

/* What tenant_print() writes; owned. */
static char *print(const struct tenant *tenant, bool as_json) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    tenant_print(tenant, NULL, out, as_json);
    fclose(out);
    return text;
}

static void test_defaults_come_from_the_configuration(void **state) {
    struct tenant *tenant = parse(*state, "{}");

    assert_string_equal(tenant->id, "t1");
    assert_string_equal(tenant->name, "t1");
    assert_int_equal(tenant->state, TENANT_ACTIVE);
    assert_int_equal(tenant->hosts.count, 0);
    assert_string_equal(tenant->pool, "default");
    assert_null(tenant->token);
    assert_int_equal(tenant->param_count, 0);
    assert_int_equal(tenant->limits.concurrency, 7);
    assert_int_equal(tenant->limits.queue, 5);
    assert_int_equal(tenant->limits.queue_ms, 2500);
    assert_int_equal(tenant->limits.request_ms, 30000);
    assert_int_equal(tenant->limits.weight, 1);
    assert_null(tenant->plan.name);
    assert_int_equal(tenant->plan.paid_until, 0);
    assert_int_equal(tenant->plan.over, PLAN_OVER_REFUSE);
    assert_false(tenant->plan.stop_container);
    assert_null(tenant->container.image);
    assert_null(tenant->cron);
    tenant_unref(tenant);
    tenant = parse(*state, "{\"pool\": \"one\"}");
    assert_int_equal(tenant->limits.concurrency, 1); /* not one less than one */
    tenant_unref(tenant);
}

static const char whole[] =
    "{ // all keys\n"
    " \"name\": \"IES \xc3\x81vila\", \"state\": \"suspended\",\n"
    " \"hosts\": [\"Centro1.SED.local\", \"b.example\"], \"pool\": \"default\", \"token\": "
    "\"t0ken\",\n"
    " \"params\": {\"DBHOST\": \"10.0.0.1\", \"DBPASS\": \"\", \"WWWROOT\": \"http://x\"},\n"
    " \"php\": {\"precision\": 17, \"memory_limit\": \"256M\"},\n"
    " \"limits\": {\"concurrency\": 4, \"queue\": 0, \"queue_seconds\": 0.25,\n"
    "  \"request_seconds\": 300, \"weight\": 2},\n"
    " \"plan\": {\"name\": \"basic\", \"paid_until\": \"2028-02-29\", \"cpu_seconds_per_month\": "
    "36000,\n"
    "  \"requests_per_month\": 7, \"over\": \"slow\", \"suspended\": \"stop\"},\n"
    " \"container\": {\"image\": \"x\"}, \"cron\": {\"every_seconds\": 60, \"command\": [\"php\", "
    "\"x\"]},\n"
    " \"labels\": {\"region\": \"madrid\"} }\n";

static void assert_whole(const struct fixture *fixture, const struct tenant *tenant) {
    const struct pool_config *pool = config_find_pool(fixture->config, "default");

    assert_string_equal(tenant->name, "IES \xc3\x81vila");
    assert_int_equal(tenant->state, TENANT_SUSPENDED);
    assert_int_equal(tenant->hosts.count, 2);
    assert_string_equal(tenant->hosts.items[0], "centro1.sed.local");
    assert_int_equal(tenant->param_count, 3);
    assert_string_equal(tenant->params[0].name, "DBHOST");
    assert_false(tenant->params[1].is_secret);
    assert_string_equal(tenant->params[2].value, "http://x");
    assert_string_equal(tenant_setting(tenant, pool, "memory_limit"), "256M");
    assert_string_equal(tenant_setting(tenant, pool, "precision"), "17");
    assert_string_equal(tenant_setting(tenant, pool, "open_basedir"), "/w");
    assert_null(tenant_setting(tenant, pool, "session.name"));
    assert_int_equal(tenant->limits.concurrency, 4);
    assert_int_equal(tenant->limits.queue, 0);
    assert_int_equal(tenant->limits.queue_ms, 250);
    assert_int_equal(tenant->limits.weight, 2);
    assert_string_equal(tenant->plan.name, "basic");
    assert_int_equal(tenant->plan.paid_until, 1835481600); /* 2028-03-01T00:00:00Z */
    assert_int_equal(tenant->plan.cpu_seconds_per_month, 36000);
    assert_int_equal(tenant->plan.requests_per_month, 7);
    assert_int_equal(tenant->plan.over, PLAN_OVER_SLOW);
    assert_true(tenant->plan.stop_container);
    assert_string_equal(tenant->container.image, "x");
    assert_int_equal(tenant->cron->every_seconds, 60);
    assert_int_equal(tenant->cron->limit_ms, 3600000);
    assert_string_equal(tenant->cron->command.items[1], "x");
    assert_string_equal(tenant->labels.items[0].value, "madrid");
}

static void test_every_key_is_read(void **state) {
    struct tenant *tenant = parse(*state, whole);

    assert_whole(*state, tenant);
    assert_string_equal(tenant->token, "t0ken");
    assert_string_equal(tenant->params[1].value, "");
    tenant_unref(tenant);
}

static void test_json_print_is_a_registry_file_again(void **state) {
    struct tenant *tenant = parse(*state, whole);
    char *text = print(tenant, true);

    tenant_unref(tenant);
    tenant = parse(*state, text);
    assert_whole(*state, tenant);
    assert_string_equal(tenant->token, "(secret)");
    assert_string_equal(tenant->params[1].value, "(secret)");
    free(text);
    tenant_unref(tenant);
}

static void test_text_cut_at_any_byte_gives_an_error_with_a_position(void **state) {
    const struct fixture *fixture = *state;
    struct error error;

    for (size_t length = 0; length < sizeof whole - 2; length++) {
        char *text = malloc(length + 1); /* its own block: a sanitizer sees reads past the end */
        assert_non_null(text);
        memcpy(text, whole, length);
        error.text[0] = '\0';
        assert_null(tenant_parse("t1", "t", text, length, fixture->config, &error));
        if (strncmp(error.text, "t:", 2) != 0 || strspn(error.text + 2, "0123456789") == 0)
            fail_msg("cut at %zu: %s", length, error.text);
        free(text);
    }
}

static void test_any_byte_changed_gives_a_tenant_or_a_position(void **state) {
    static const char bytes[] = {'\0', '"', '\\', '{', '}', ',', '/', '*', '9', '\n', (char)0xff};
    const struct fixture *fixture = *state;
    char text[sizeof whole];

    for (size_t index = 0; index < sizeof whole - 1; index++) {
        for (size_t byte = 0; byte < sizeof bytes; byte++) {
            struct error error = {0};
            memcpy(text, whole, sizeof whole);
            text[index] = bytes[byte];
            struct tenant *tenant =
                tenant_parse("t1", "t", text, sizeof whole - 1, fixture->config, &error);
            if (tenant == NULL && strspn(error.text + 2, "0123456789") == 0)
                fail_msg("byte %zu: %s", index, error.text);
            tenant_unref(tenant);
        }
    }
}

static void test_wrong_types_are_refused_for_every_key(void **state) {
    static const char *const keys[] = {"name", "state",  "hosts", "pool", "token",  "params",
                                       "php",  "limits", "plan",  "cron", "labels", "container"};
    char text[64];
    char expected[32];

    for (size_t index = 0; index < sizeof keys / sizeof *keys; index++) {
        const struct fixture *fixture = *state;
        struct error error = {0};
        snprintf(text, sizeof text, "{\n\"%s\": 7}", keys[index]);
        snprintf(expected, sizeof expected, "t:2:%zu: ", strlen(keys[index]) + 5);
        assert_null(tenant_parse("t1", "t", text, strlen(text), fixture->config, &error));
        if (strncmp(error.text, expected, strlen(expected)) != 0)
            fail_msg("%s: %s", keys[index], error.text);
        assert_non_null(strstr(error.text, " must be "));
    }
}

static void test_errors_say_where_and_what_would_be_right(void **state) {
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"{\"hots\": []}", "t:1:2: unknown key \"hots\"; did you mean \"hosts\"?"},
        {"{\"state\": \"maintenance\"}", "t:1:11: \"state\" must be \"active\" or \"suspended\""},
        {"{\"hosts\": [\"a.b\", \"A.B\"]}", "t:1:19: host \"a.b\" stands twice"},
        {"{\"hosts\": [\"a:80\"]}", "t:1:12: each item of \"hosts\" must be a host name like "
                                    "\"centro1.example.org\", without a port"},
        {"{\"hosts\": [1]}", "t:1:12: each item of \"hosts\" must be a host name like "
                             "\"centro1.example.org\", without a port"},
        {"{\"pool\": \"x\"}",
         "t:1:10: the configuration has no pool \"x\"; its first is \"default\""},
        {"{\"token\": \"\"}", "t:1:11: \"token\" must have 1 to 1024 bytes"},
        {"{\"token\": {\"file\": \"x\"}}", "t:1:20: \"file\" must be an absolute path"},
        {"{\"token\": {}}", "t:1:11: \"file\" is missing here"},
        {"{\"params\": {\"DBPORT\": 3306}}",
         "t:1:23: \"DBPORT\" must be a string in quotes or, for "
         "a secret, {\"file\": PATH}"},
        {"{\"params\": {\"HTTP_HOST\": \"x\"}}",
         "t:1:13: \"HTTP_HOST\" is reserved: the web server, PHP or fpmux sets it"},
        {"{\"params\": {\"ABC\": \"x\"}}",
         "t:1:13: \"ABC\" can't be a parameter: use A-Z, 0-9 and _, no digit first, and not three "
         "letters (PHP-FPM can't find those)"},
        {"{\"params\": {\"DBPASS\": {\"path\": \"/x\"}}}",
         "t:1:24: unknown key \"path\"; known here: file"},
        {"{\"php\": {\"session.name\": \"x\"}}", "t:1:10: \"session.name\" is not among the php "
                                                 "settings of pool \"default\": list it there "
                                                 "with its default first"},
        {"{\"php\": {\"disable_functions\": \"x\"}}",
         "t:1:10: \"disable_functions\" can't be set per tenant: it changes the worker for all"},
        {"{\"php\": {\"precision\": []}}",
         "t:1:23: \"precision\" must be a string, a number, true or false"},
        {"{\"limits\": {\"concurrency\": 0}}",
         "t:1:28: \"concurrency\" must be a whole number from 1 to 10000"},
        {"{\"limits\": {\"weight\": 1001}}",
         "t:1:23: \"weight\" must be a whole number from 1 to 1000"},
        {"{\"plan\": {\"name\": \"Big one\"}}", "t:1:19: \"name\" must be " PLAN_NAME_RULE},
        {"{\"plan\": {\"over\": \"fast\"}}", "t:1:19: \"over\" must be \"refuse\" or \"slow\""},
        {"{\"plan\": {\"suspended\": true}}", "t:1:24: \"suspended\" must be \"keep\" or \"stop\""},
    };

    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++)
        assert_refused(*state, cases[index].text, cases[index].expected);
}

static void test_paid_until_must_be_a_real_day(void **state) {
    static const char *const days[] = {"2027-02-29", "2026-13-01", "2026-00-10", "2026-04-31",
                                       "2026-4-3",   "2026-12-3x", "26-12-31",   "2026-12-31 ",
                                       "2026--1-01", "1969-12-31", "",           "2026-12-311"};
    char text[64];

    for (size_t index = 0; index < sizeof days / sizeof *days; index++) {
        snprintf(text, sizeof text, "{\"plan\": {\"paid_until\": \"%s\"}}", days[index]);
        assert_refused(*state, text,
                       "t:1:25: \"paid_until\" must be a day like \"2026-12-31\"; it "
                       "is still paid");
    }
    struct tenant *tenant = parse(*state, "{\"plan\": {\"paid_until\": \"2026-12-31\"}}");
    assert_int_equal(tenant->plan.paid_until, 1798761600); /* 2027-01-01T00:00:00Z */
    tenant_unref(tenant);
}

static void test_value_must_fit_one_record(void **state) {
    const struct fixture *fixture = *state;
    char *text = malloc(70000);
    struct error error = {0};

    assert_non_null(text);
    snprintf(text, 70000, "{\"params\": {\"LONG\": \"%064996d\"}}", 0);
    tenant_unref(parse(fixture, text));
    snprintf(text, 70000, "{\"params\": {\"LONG\": \"%064997d\"}}", 0);
    assert_null(tenant_parse("t1", "t", text, strlen(text), fixture->config, &error));
    assert_string_equal(error.text, "t:1:21: \"LONG\" must be at most 65000 bytes, with its name");
    free(text);
}

static void test_settings_together_must_fit_one_record(void **state) {
    const struct fixture *fixture = *state;
    char *text = malloc(9000);
    struct error error = {0};

    assert_non_null(text);
    snprintf(text, 9000, "{\"php\": {\"precision\": 17, \"open_basedir\": \"/%07976d\"}}", 0);
    tenant_unref(parse(fixture, text));
    snprintf(text, 9000, "{\"php\": {\"precision\": 17, \"open_basedir\": \"/%07977d\"}}", 0);
    assert_null(tenant_parse("t1", "t", text, strlen(text), fixture->config, &error));
    assert_string_equal(error.text, "t:1:9: \"php\" must have at most 8000 bytes, keys and values "
                                    "together");
    free(text);
}

/* ---- Secrets ---- */

static void test_secret_is_read_and_never_printed(void **state) {
    const struct fixture *fixture = *state;
    char text[256];

    write_bytes(fixture->secret, "hunter2 \r\n\n", 11, 0640);
    snprintf(text, sizeof text,
             "{\"params\": {\"DBPASS\": {\"file\": \"%s\"}}, \"token\": {\"file\": \"%s\"}}",
             fixture->secret, fixture->secret);
    struct tenant *tenant = parse(fixture, text);
    assert_true(tenant->params[0].is_secret);
    assert_string_equal(tenant->params[0].value, "hunter2 ");
    assert_string_equal(tenant->token, "hunter2 ");
    for (int as_json = 0; as_json < 2; as_json++) {
        char *printed = print(tenant, as_json != 0);
        assert_null(strstr(printed, "hunter2"));
        assert_non_null(strstr(printed, "DBPASS"));
        assert_non_null(strstr(printed, "(secret)"));
        free(printed);
    }
    tenant_unref(tenant);
}

static void test_param_named_like_a_secret_is_never_printed(void **state) {
    struct tenant *tenant =
        parse(*state, "{\"params\": {\"DBPASS\": \"hunter2\", "
                      "\"SMTP_PASSWORD\": \"hunter3\", \"API_KEY\": \"hunter4\", "
                      "\"MY_SECRET_1\": \"hunter5\", \"TOKENS\": \"hunter6\", "
                      "\"DBNAME\": \"plain\"}}");

    for (int as_json = 0; as_json < 2; as_json++) {
        char *printed = print(tenant, as_json != 0);
        size_t count = 0;
        for (const char *at = printed; (at = strstr(at, "(secret)")) != NULL; at++)
            count++;
        assert_int_equal(count, 5);
        assert_null(strstr(printed, "hunter"));
        assert_non_null(strstr(printed, "plain"));
        free(printed);
    }
    tenant_unref(tenant);
}

static void assert_secret_refused(const struct fixture *fixture, const char *reason) {
    char text[256];
    char expected[256];

    snprintf(text, sizeof text, "{\"params\": {\n\"DBPASS\": {\"file\": \"%s\"}}}",
             fixture->secret);
    snprintf(expected, sizeof expected, "t:2:11: \"DBPASS\": %s: %s", fixture->secret, reason);
    assert_refused(fixture, text, expected);
}

static void test_secret_file_must_be_private_small_and_text(void **state) {
    static char large[65537];
    const struct fixture *fixture = *state;

    unlink(fixture->secret);
    assert_secret_refused(fixture, "No such file or directory");
    write_bytes(fixture->secret, "x", 1, 0644);
    assert_secret_refused(fixture, "everybody may open this secret; chmod 640 it");
    write_bytes(fixture->secret, "x", 1, 0602);
    assert_secret_refused(fixture, "everybody may open this secret; chmod 640 it");
    write_bytes(fixture->secret, "x\0y", 3, 0600);
    assert_secret_refused(fixture, "a secret can't have a NUL byte in it");
    memset(large, 'x', sizeof large);
    write_bytes(fixture->secret, large, sizeof large, 0600);
    assert_secret_refused(fixture, "larger than 65536 bytes");
    unlink(fixture->secret);
    assert_int_equal(mkfifo(fixture->secret, 0600), 0);
    assert_secret_refused(fixture, "not a regular file");
}

static void test_secret_does_not_get_into_an_error(void **state) {
    const struct fixture *fixture = *state;
    struct error error = {0};
    char text[256];

    write_bytes(fixture->secret, "hunter2", 7, 0600);
    snprintf(text, sizeof text, "{\"params\": {\"DBPASS\": {\"file\": \"%s\"}}, \"oops\": 1}",
             fixture->secret);
    assert_null(tenant_parse("t1", "t", text, strlen(text), fixture->config, &error));
    assert_non_null(strstr(error.text, "oops"));
    assert_null(strstr(error.text, "hunter2"));
}

static void test_control_characters_do_not_reach_the_terminal(void **state) {
    struct tenant *tenant = parse(*state, "{\"params\": {\"MOTD\": \"a\\u001b[2Jb\"}}");
    char *text = print(tenant, false);

    assert_null(strchr(text, 0x1b));
    assert_non_null(strstr(text, "a?[2Jb"));
    free(text);
    tenant_unref(tenant);
}

/* ---- Files and references ---- */

static void test_id_is_the_name_of_the_file(void **state) {
    static const char *const bad[] = {"Centro.json", "-a.json", ".json", "a.txt", "a.json.bak"};
    const struct fixture *fixture = *state;
    struct error error = {0};
    char path[128];

    snprintf(path, sizeof path, "%s/centro-1.json", fixture->dir);
    write_bytes(path, "{}", 2, 0644);
    struct tenant *tenant = tenant_load(path, fixture->config, &error);
    assert_non_null(tenant);
    assert_string_equal(tenant->id, "centro-1");
    tenant_unref(tenant);
    unlink(path);
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        snprintf(path, sizeof path, "%s/%s", fixture->dir, bad[index]);
        write_bytes(path, "{}", 2, 0644);
        assert_null(tenant_load(path, fixture->config, &error));
        assert_non_null(strstr(error.text, path));
        unlink(path);
    }
}

static void test_examples_are_valid(void **state) {
    const struct fixture *fixture = *state;
    struct error error = {0};
    struct tenant *tenant =
        tenant_load("../tenants/examples/minimal.json", fixture->config, &error);

    if (tenant == NULL) {
        fail_msg("%s", error.text);
        return;
    }
    assert_int_equal(tenant->param_count, 4);
    tenant_unref(tenant);
    /* Its password file is on nobody's machine. With another one all of it is right. */
    assert_null(tenant_load("../tenants/examples/centro1.json", fixture->config, &error));
    assert_string_equal(error.text, "../tenants/examples/centro1.json:9:15: \"DBPASS\": "
                                    "/run/secrets/centro1: No such file or directory");
    char text[4096] = "";
    char edited[4200];
    FILE *file = fopen("../tenants/examples/centro1.json", "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    char *place = strstr(text, "/run/secrets/centro1");
    assert_non_null(place);
    write_bytes(fixture->secret, "x", 1, 0640);
    snprintf(edited, sizeof edited, "%.*s%s%s", (int)(place - text), text, fixture->secret,
             place + strlen("/run/secrets/centro1"));
    tenant = parse(fixture, edited);
    assert_string_equal(tenant->hosts.items[0], "centro1.sed.local");
    assert_int_equal(tenant->param_count, 6);
    tenant_unref(tenant);
}

static void test_tenant_lives_while_it_is_referenced(void **state) {
    struct tenant *tenant = parse(*state, "{\"name\": \"x\"}");
    struct tenant *same = tenant_ref(tenant);

    tenant_unref(tenant);
    assert_string_equal(same->name, "x"); /* a sanitizer sees it when this was freed */
    tenant_unref(same);
    tenant_unref(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_come_from_the_configuration),
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_json_print_is_a_registry_file_again),
        cmocka_unit_test(test_text_cut_at_any_byte_gives_an_error_with_a_position),
        cmocka_unit_test(test_any_byte_changed_gives_a_tenant_or_a_position),
        cmocka_unit_test(test_wrong_types_are_refused_for_every_key),
        cmocka_unit_test(test_errors_say_where_and_what_would_be_right),
        cmocka_unit_test(test_paid_until_must_be_a_real_day),
        cmocka_unit_test(test_value_must_fit_one_record),
        cmocka_unit_test(test_settings_together_must_fit_one_record),
        cmocka_unit_test(test_secret_is_read_and_never_printed),
        cmocka_unit_test(test_param_named_like_a_secret_is_never_printed),
        cmocka_unit_test(test_secret_file_must_be_private_small_and_text),
        cmocka_unit_test(test_secret_does_not_get_into_an_error),
        cmocka_unit_test(test_control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(test_id_is_the_name_of_the_file),
        cmocka_unit_test(test_examples_are_valid),
        cmocka_unit_test(test_tenant_lives_while_it_is_referenced),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
