/* Mapped counters in a directory of their own, for their tests. */
#ifndef FPMUX_TESTS_SUPPORT_COUNTERS_FIXTURE_H
#define FPMUX_TESTS_SUPPORT_COUNTERS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tenants/counters_format.h"

#define HOUR_14 ((time_t)1795356000) /* 2026-11-22T14:00:00Z */

static char dir[64];

static inline int set_up(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-counters-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static inline int tear_down(void **state) {
    (void)state;
    DIR *stream = opendir(dir);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    return rmdir(dir);
}

static inline struct counters *must_open(time_t now) {
    struct error error = {""};
    struct counters *counters = counters_open(dir, now, &error);

    if (counters == NULL)
        fail_msg("%s", error.text);
    return counters;
}

static inline void add_to(struct counters *counters, const char *name, enum counter counter,
                          uint64_t amount) {
    struct counters_account account;

    counters_account_init(&account, name);
    counters_add(counters, &account, counter, amount);
}

struct sum {
    const char *name; /* NULL: all */
    uint64_t values[COUNTER_COUNT];
    size_t accounts;
};

static inline void sum_up(void *context, const char *account,
                          const uint64_t values[COUNTER_COUNT]) {
    struct sum *sum = context;

    if (sum->name != NULL && strcmp(sum->name, account) != 0)
        return;
    sum->accounts++;
    for (int i = 0; i < COUNTER_COUNT; i++)
        sum->values[i] += values[i];
}

static inline size_t list(struct counters_file **files) {
    struct error error = {""};
    ssize_t count = counters_list(dir, files, &error);

    if (count < 0)
        fail_msg("%s", error.text);
    return (size_t)count;
}

/* What the files of all hours and instances say about one account. */
static inline struct sum read_all(const char *name) {
    struct sum sum = {.name = name};
    struct counters_file *files;
    struct error error = {""};

    for (size_t count = list(&files), i = 0; i < count; i++)
        if (counters_read(&files[i], sum_up, &sum, &error) < 0)
            fail_msg("%s", error.text);
    free(files);
    return sum;
}

static inline void add_to_many(struct counters *counters, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%u", i);
        add_to(counters, name, COUNTER_WALL_NS, 5);
    }
}

static inline void expect_damage(const char *what) {
    struct counters_file *files;
    struct error error = {""};
    struct sum sum = {0};

    assert_int_equal(list(&files), 1);
    assert_int_equal(counters_read(&files[0], sum_up, &sum, &error), -1);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
    free(files);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
