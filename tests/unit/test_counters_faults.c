/* The mapped counters where power is cut, directories vanish and clocks are set. */
#include "tests/support/counters_fixture.h"

#include "tenants/counters_sync.h"

/* Zeros in the place of what never reached the disk. */
static void blank(const char *path, off_t offset, size_t count) {
    static const char zeros[8192];
    int fd = open(path, O_WRONLY);

    for (size_t written = 0; written < count; written += sizeof zeros) {
        size_t piece = count - written < sizeof zeros ? count - written : sizeof zeros;
        assert_int_equal(pwrite(fd, zeros, piece, offset + (off_t)written), piece);
    }
    close(fd);
}

static void test_what_a_power_cut_left_unwritten_is_no_damage(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;
    struct stat status;

    (void)state;
    for (const char *name = "abc"; *name != '\0'; name++)
        add_to(counters, (const char[]){*name, '\0'}, COUNTER_REQUESTS, 1);
    counters_close(counters);
    list(&files);
    blank(files[0].path, COUNTERS_SLOTS_OFFSET + (off_t)sizeof(struct counters_slot),
          sizeof(struct counters_slot));
    assert_int_equal(read_all(NULL).accounts, 2);
    assert_int_equal(read_all("c").values[COUNTER_REQUESTS], 1);
    /* A header without a beginning, but with slots: whose they are is not known. */
    blank(files[0].path, 0, COUNTERS_SLOTS_OFFSET);
    expect_damage("does not begin");
    assert_int_equal(stat(files[0].path, &status), 0);
    blank(files[0].path, 0, (size_t)status.st_size);
    assert_int_equal(read_all(NULL).accounts, 0);
    free(files);
}

static void test_removed_file_is_written_anew_with_all_that_was_counted(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_account account;
    struct counters_file *files;
    struct error error = {""};
    char away[96];

    (void)state;
    counters_account_init(&account, "a");
    counters_add(counters, &account, COUNTER_REQUESTS, 5);
    add_to_many(counters, 300);
    counters_workers(counters)[7] = (struct worker_record){.pid = 10, .start_ticks = 1};
    list(&files);
    unlink(files[0].path);
    snprintf(away, sizeof away, "%s.away", dir);
    assert_int_equal(rename(dir, away), 0);
    assert_int_equal(symlink("/tmp/fpmux-no/such", dir), 0); /* a disk that is not mounted */
    assert_false(counters_tick(counters, HOUR_14 + 1, &error));
    counters_add(counters, &account, COUNTER_REQUESTS, 6);
    assert_false(counters_tick(counters, HOUR_14 + 3600, &error)); /* not in the next hour either */
    unlink(dir);
    assert_int_equal(rename(away, dir), 0);
    assert_true(counters_tick(counters, HOUR_14 + 2, &error));
    counters_add(counters, &account, COUNTER_REQUESTS, 7);
    assert_int_equal(read_all("a").values[COUNTER_REQUESTS], 18);
    assert_int_equal(read_all("t299").values[COUNTER_WALL_NS], 5);
    assert_int_equal(counters_workers(counters)[7].pid, 10);
    struct counters_file *again;
    assert_int_equal(list(&again), 1);
    assert_string_equal(again[0].path, files[0].path);
    assert_false(again[0].is_final);
    counters_close(counters);
    free(again);
    free(files);
}

static void test_steps_of_the_clock_count_all_once(void **state) {
    static const int steps[] = {0, 50, -7200, 3600, -86400, 90000, 0, 3600 * 24 * 40, -5};
    struct counters *counters = must_open(HOUR_14);
    struct error error;
    time_t reached = HOUR_14;

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        time_t now = HOUR_14 + steps[i];
        struct counters_file *files;
        assert_true(counters_tick(counters, now, &error));
        add_to(counters, "a", COUNTER_CPU_NS, 7);
        reached = now > reached ? now : reached;
        size_t count = list(&files);
        assert_int_equal(files[count - 1].hour, reached - reached % 3600);
        assert_int_equal(read_all("a").values[COUNTER_CPU_NS], 7 * (i + 1));
        free(files);
    }
    counters_close(counters);
}

static void test_new_files_are_synced_once(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_synced synced = {0};
    struct error error = {""};

    (void)state;
    for (int hour = 0; hour < 3; hour++) {
        assert_true(counters_tick(counters, HOUR_14 + hour * 3600, &error));
        for (int i = 0; i < 2; i++)
            assert_int_equal(counters_sync_new(&synced, dir, &error), 0);
        assert_int_equal(synced.count, 1);
        assert_int_equal(synced.files[0].hour, HOUR_14 + hour * 3600);
    }
    counters_close(counters);
    assert_int_equal(counters_sync_new(&synced, dir, &error), 0);
    assert_int_equal(synced.count, 0);
    counters_synced_deinit(&synced);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_what_a_power_cut_left_unwritten_is_no_damage),
        TEST(test_removed_file_is_written_anew_with_all_that_was_counted),
        TEST(test_steps_of_the_clock_count_all_once),
        TEST(test_new_files_are_synced_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
