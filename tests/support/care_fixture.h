/* Two ledgers in one directory, and what is done to take care of them. */
#ifndef FPMUX_TESTS_SUPPORT_CARE_FIXTURE_H
#define FPMUX_TESTS_SUPPORT_CARE_FIXTURE_H

#include "tests/support/ledger_fixture.h"

#include "tenants/ledger_care.h"

#define HOUR 3600
#define DAY 86400
#define SECOND INT64_C(1000000000)

static char other_database[96];
static char other_source[112];
static char copy_path[96];

static inline int set_up_two(void **state) {
    int result = set_up(state);

    snprintf(other_database, sizeof other_database, "%s/other.db", dir);
    snprintf(other_source, sizeof other_source, "sqlite:%s", other_database);
    snprintf(copy_path, sizeof copy_path, "%s/copy.db", dir);
    return result;
}

static inline struct ledger *open_other(void) {
    struct error error = {""};
    struct ledger *ledger = ledger_open(other_source, &error);

    if (ledger == NULL)
        fail_msg("%s", error.text);
    return ledger;
}

static inline uint64_t requests_by(struct ledger *ledger, const char *tenant, time_t from,
                                   time_t to) {
    struct rows rows =
        ask(ledger,
            (struct ledger_query){.tenant = tenant, .by = LEDGER_BY_ALL, .from = from, .to = to});

    return rows.count == 0 ? 0 : rows.rows[0].values[COUNTER_REQUESTS];
}

static inline uint64_t requests_of(struct ledger *ledger, const char *tenant) {
    return requests_by(ledger, tenant, 0, 0);
}

static inline struct ledger_merged must_merge(struct ledger *ledger, const char *path) {
    struct ledger_merged merged;
    struct error error = {""};

    if (ledger_merge(ledger, path, &merged, &error) < 0)
        fail_msg("%s", error.text);
    return merged;
}

static inline void expect_merge_refused(struct ledger *ledger, const char *path, const char *why) {
    struct ledger_merged merged;
    struct error error = {""};

    assert_int_equal(ledger_merge(ledger, path, &merged, &error), -1);
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
}

static inline void must_back_up(struct ledger *ledger, const char *path) {
    struct error error = {""};

    if (ledger_backup(ledger, path, true, NULL, &error) != 0)
        fail_msg("%s", error.text);
}

static inline struct ledger_pruned must_prune(struct ledger *ledger, time_t before, bool sums) {
    struct ledger_prune prune = {.before = before, .sums_to_days = sums, .zone_name = "UTC"};
    struct ledger_pruned pruned;
    struct error error = {""};

    if (ledger_prune(ledger, &prune, NULL, &pruned, &error) < 0)
        fail_msg("%s", error.text);
    return pruned;
}

/* Two hours of two tenants on each of two days, the counters being gone. */
static inline struct ledger *open_filled(void) {
    struct ledger *ledger = must_open();

    for (int hour = 0; hour < 4; hour++) {
        leave_file(DAY_22 - DAY + hour * 11 * HOUR, "a", 1);
        leave_file(DAY_22 - DAY + hour * 11 * HOUR, "b", 10);
    }
    must_fold(ledger);
    return ledger;
}

#define CARE(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

#endif
