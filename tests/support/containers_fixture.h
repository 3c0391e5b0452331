/* A configuration and tenants in a directory of their own, and the containers that they want. */
#ifndef FPMUX_TESTS_SUPPORT_CONTAINERS_FIXTURE_H
#define FPMUX_TESTS_SUPPORT_CONTAINERS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tenants/containers/spec.h"
#include "tenants/containers/wanted.h"
#include "tenants/containers_config.h"

/* Two tenants, of which the first has all that a file can have. */
#define CONFIGURATION                                                                              \
    "{\"listen\": [], \"tenant_sockets\": \"/run/fpmux/tenants\", \"registry\": \"dir:@\","        \
    " \"ledger\": \"sqlite:/var/lib/fpmux/usage.db\", \"admin\": [],"                              \
    " \"limits\": {\"request_seconds\": 300},"                                                     \
    " \"spool\": {\"dir\": \"/var/spool/fpmux\"},"                                                 \
    " \"pools\": {\"default\": {\"address\": \"unix:/run/php/default/fpm.sock\", \"workers\": 8,"  \
    "   \"root\": \"/srv/app\", \"status_path\": \"/status\", \"php\": {\"precision\": 14}},"      \
    "  \"far\": {\"address\": \"tcp:10.0.0.9:9000\", \"workers\": 2, \"root\": \"/srv/app\"}},"    \
    " \"containers\": {\"name\": \"sys\", \"code\": \"/srv/code\", \"proxy_port\": 8081,"          \
    "   \"mounts\": {\"fpm\": [\"/srv/data\"]}, \"networks\": [\"databases\"]}}"
#define TENANT_A                                                                                   \
    "{\"name\": \"School A\", \"hosts\": [\"a.example.org\", \"www.a.example.org\"],"              \
    " \"token\": \"token-of-a\", \"params\": {\"DBHOST\": \"db-of-a\", \"DBPASS\": "               \
    "\"pass-of-a\"},"                                                                              \
    " \"php\": {\"precision\": 9}, \"labels\": {\"contract\": \"label-of-a\"},"                    \
    " \"limits\": {\"weight\": 3}, \"plan\": {\"requests_per_month\": 1000},"                      \
    " \"cron\": {\"every_seconds\": 60, \"command\": [\"php\", \"cron-of-a.php\"]}}"
#define TENANT_B "{\"hosts\": [\"b.example.org\"]}"

enum { TEXT_MAX = 16384 };

struct setting_up {
    char dir[64]; /* of the tenants' files */
    struct config *config;
    struct registry *registry;
    struct surroundings around;
    struct wanted_set wanted;
};

/* The text with its only `from` as `to`. Owned by the caller. */
static inline char *replaced(const char *text, const char *from, const char *to) {
    const char *place = strstr(text, from);
    char *result;

    if (place == NULL || strstr(place + 1, from) != NULL)
        fail_msg("\"%s\" is not there once: %s", from, text);
    assert_true(
        asprintf(&result, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from)) >= 0);
    return result;
}

static inline void write_tenant_file(const struct setting_up *setting, const char *id,
                                     const char *text) {
    char path[256];

    snprintf(path, sizeof path, "%s/%s.json", setting->dir, id);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void begin_setting(struct setting_up *setting) {
    *setting = (struct setting_up){.around = {.shim_uid = 33,
                                              .shim_gid = 34,
                                              .config_dir = "/etc/fpmux",
                                              .config_path = "/etc/fpmux/fpmux.json",
                                              .config_digest = "00112233",
                                              .now = 1795356000}};
    strcpy(setting->dir, "/tmp/fpmux-wanted-XXXXXX");
    assert_non_null(mkdtemp(setting->dir));
}

/* configuration has "@" where the registry's directory belongs. */
static inline void make_wanted_of(struct setting_up *setting, const char *configuration) {
    struct error error;
    char *text = replaced(configuration, "@", setting->dir);

    setting->config = config_parse("fpmux.json", text, strlen(text), &error);
    free(text);
    if (setting->config == NULL)
        fail_msg("%s", error.text);
    setting->registry = registry_open(setting->config, NULL, NULL, &error);
    assert_non_null(setting->registry);
    if (registry_load(setting->registry, &error) < 0)
        fail_msg("%s", error.text);
    wanted_make(&setting->wanted, setting->config, setting->registry, &setting->around);
}

static inline int remove_one(const char *path, const struct stat *status, int type,
                             struct FTW *position) {
    (void)status;
    (void)type;
    (void)position;
    return remove(path);
}

static inline void end_setting(struct setting_up *setting) {
    wanted_deinit(&setting->wanted);
    registry_close(setting->registry);
    config_free(setting->config);
    assert_int_equal(nftw(setting->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* With the tenants a and b. */
static inline void begin_usual(struct setting_up *setting, const char *configuration) {
    begin_setting(setting);
    write_tenant_file(setting, "a", TENANT_A);
    write_tenant_file(setting, "b", TENANT_B);
    make_wanted_of(setting, configuration);
}

static inline const struct wanted *need(const struct setting_up *setting, enum role role,
                                        const char *id) {
    const struct wanted *wanted = wanted_find(&setting->wanted, role, id);

    if (wanted == NULL) {
        fail_msg("no %s \"%s\" is wanted", role_name(role), id);
        abort(); /* for who does not know that it does not return */
    }
    return wanted;
}

#endif
