/* A ledger in a directory of its own, for its tests. */
#ifndef FPMUX_TESTS_SUPPORT_LEDGER_FIXTURE_H
#define FPMUX_TESTS_SUPPORT_LEDGER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tenants/ledger.h"

#define HOUR_14 ((time_t)1795356000) /* 2026-11-22T14:00:00Z */
#define DAY_22 (HOUR_14 - 14 * 3600)
#define MONTH_11 (DAY_22 - 21 * 86400)

static char dir[64];
static char counters_dir[80];
static char source[96];
static char database[80];

static inline int set_up(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fpmux-ledger-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(counters_dir, sizeof counters_dir, "%s/counters", dir);
    snprintf(database, sizeof database, "%s/usage.db", dir);
    snprintf(source, sizeof source, "sqlite:%s", database);
    return 0;
}

static inline void remove_files(const char *path) {
    DIR *stream = opendir(path);

    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
}

static inline int tear_down(void **state) {
    (void)state;
    remove_files(counters_dir);
    rmdir(counters_dir);
    remove_files(dir);
    return rmdir(dir);
}

static inline struct ledger *must_open(void) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(source, &error);

    if (ledger == NULL)
        fail_msg("%s", error.text);
    return ledger;
}

static inline void must_fold(struct ledger *ledger) {
    struct error error = {""};

    if (ledger_fold(ledger, counters_dir, &error) < 0)
        fail_msg("%s", error.text);
}

static inline struct counters *must_count(time_t now) {
    struct error error = {""};
    struct counters *counters = counters_open(counters_dir, now, &error);

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

/* One final file with that many requests of one tenant. */
static inline void leave_file(time_t hour, const char *name, uint64_t requests) {
    struct counters *counters = must_count(hour);

    add_to(counters, name, COUNTER_REQUESTS, requests);
    counters_close(counters);
}

static inline size_t count_files(void) {
    struct counters_file *files;
    struct error error;
    ssize_t count = counters_list(counters_dir, &files, &error);

    free(files);
    return (size_t)count;
}

enum { ROWS_MAX = 256 };
struct rows {
    struct ledger_row rows[ROWS_MAX];
    char tenants[ROWS_MAX][TENANT_ID_MAX + 1];
    size_t count;
};

static inline int keep_row(void *context, const struct ledger_row *row) {
    struct rows *rows = context;

    assert_true(rows->count < ROWS_MAX);
    rows->rows[rows->count] = *row;
    snprintf(rows->tenants[rows->count], sizeof rows->tenants[0], "%s", row->tenant);
    rows->count++;
    return 0;
}

static inline struct rows ask(struct ledger *ledger, struct ledger_query query) {
    struct rows rows = {.count = 0};
    struct error error = {""};

    if (ledger_query(ledger, &query, keep_row, &rows, &error) < 0)
        fail_msg("%s", error.text);
    return rows;
}

static inline void expect_refused(const char *what, const char *text) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(what, &error);

    assert_null(ledger);
    if (strstr(error.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, text);
}

static inline void run_sql(const char *sql) {
    sqlite3 *db;

    assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static inline void as_user(uid_t uid, void (*act)(void)) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (setegid(uid) < 0 || seteuid(uid) < 0)
            _exit(1);
        act();
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
