/* A registry on a real directory with real inotify, for its tests. */
#ifndef FPMUX_TESTS_SUPPORT_REGISTRY_FIXTURE_H
#define FPMUX_TESTS_SUPPORT_REGISTRY_FIXTURE_H

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenants/registry.h"

/* What on_change was told, as text: "+a " new, "~a " changed, "-a " gone. */
struct fixture {
    char root[64];
    char dir[128]; /* root/tenants */
    char source[160];
    struct pool_config pool;
    struct config config;
    struct registry *registry;
    char changes[4096];
};

static inline void on_change(void *context, struct tenant *before, struct tenant *after) {
    struct fixture *fixture = context;
    size_t used = strlen(fixture->changes);

    snprintf(fixture->changes + used, sizeof fixture->changes - used, "%c%s ",
             before == NULL  ? '+'
             : after == NULL ? '-'
                             : '~',
             (after != NULL ? after : before)->id);
}

static inline void path_of(const struct fixture *fixture, const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", fixture->dir, name);
}

static inline void write_file(const struct fixture *fixture, const char *name, const char *text) {
    char path[512];

    path_of(fixture, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void rename_file(const struct fixture *fixture, const char *from, const char *to) {
    char old_path[512];
    char new_path[512];

    path_of(fixture, from, old_path);
    path_of(fixture, to, new_path);
    assert_int_equal(rename(old_path, new_path), 0);
}

static inline void remove_file(const struct fixture *fixture, const char *name) {
    char path[512];

    path_of(fixture, name, path);
    assert_int_equal(unlink(path), 0);
}

static inline void write_tenant(const struct fixture *fixture, const char *id, const char *name,
                                const char *host) {
    char file[128];
    char text[512];

    snprintf(file, sizeof file, "%s.json", id);
    snprintf(text, sizeof text, "{\"name\": \"%s\",\n \"hosts\": [\"%s\"], \"pool\": \"default\"}",
             name, host);
    write_file(fixture, file, text);
}

static inline int remove_entry(const char *path, const struct stat *status, int type,
                               struct FTW *position) {
    (void)status;
    (void)type;
    (void)position;
    return remove(path);
}

static inline void remove_tree(const char *path) {
    assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    static char name[] = "default";
    static char address[] = "unix:/run/php/fpm.sock";
    static char root[] = "/var/www/html";

    snprintf(fixture->root, sizeof fixture->root, "/tmp/test_registry.XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    snprintf(fixture->dir, sizeof fixture->dir, "%s/tenants", fixture->root);
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    snprintf(fixture->source, sizeof fixture->source, "dir:%s", fixture->dir);
    fixture->pool =
        (struct pool_config){.name = name, .address = address, .workers = 4, .root = root};
    fixture->config = (struct config){.registry = fixture->source,
                                      .pools = &fixture->pool,
                                      .pool_count = 1,
                                      .limits = {.queue = 64, .queue_ms = 1000}};
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *fixture = *state;

    registry_close(fixture->registry);
    remove_tree(fixture->root);
    free(fixture);
    return 0;
}

static inline void open_registry(struct fixture *fixture) {
    struct error error;

    fixture->registry = registry_open(&fixture->config, on_change, fixture, &error);
    if (fixture->registry == NULL)
        fail_msg("%s", error.text);
}

static inline int load(struct fixture *fixture) {
    struct error error;

    open_registry(fixture);
    int failed = registry_load(fixture->registry, &error);
    if (failed < 0)
        fail_msg("%s", error.text);
    return failed;
}

/* Applies all news there are, and expects exactly these changes. */
static inline void expect_changes(struct fixture *fixture, const char *changes) {
    struct pollfd watch = {.fd = registry_watch_fd(fixture->registry), .events = POLLIN};

    fixture->changes[0] = '\0';
    while (poll(&watch, 1, 0) == 1)
        registry_process(fixture->registry);
    assert_string_equal(fixture->changes, changes);
}

static inline struct tenant *find(const struct fixture *fixture, const char *id) {
    return registry_find(fixture->registry, id, strlen(id));
}

static inline const char *host_owner(const struct fixture *fixture, const char *host) {
    struct tenant *tenant = registry_find_host(fixture->registry, host, strlen(host));

    return tenant != NULL ? tenant->id : "nobody";
}

static inline void keep_error(void *context, const char *id, const char *text) {
    char *errors = context;
    size_t used = strlen(errors);

    snprintf(errors + used, 4096 - used, "[%s] %s\n", id, text);
}

/* The errors contain the text; or, for "", there are none. */
static inline void expect_error(const struct fixture *fixture, const char *text) {
    char errors[4096] = "";

    registry_each_error(fixture->registry, keep_error, errors);
    if (*text == '\0')
        assert_string_equal(errors, "");
    if (strstr(errors, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, errors);
    assert_int_equal(registry_error_count(fixture->registry) == 0, *text == '\0');
}

/* A test on a registry of its own. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
