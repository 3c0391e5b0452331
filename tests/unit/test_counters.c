/* The mapped counters: what is in a file at every moment, whatever happens to the writer. */
#include "tests/support/counters_fixture.h"

static void test_counters_are_read_as_they_were_added(void **state) {
    struct counters *counters = must_open(HOUR_14 + 100);
    struct counters_account account;
    struct counters_file *files;

    (void)state;
    counters_account_init(&account, "centro1");
    for (int i = 0; i < 1000; i++) {
        counters_add(counters, &account, COUNTER_REQUESTS, 1);
        counters_add(counters, &account, COUNTER_CPU_NS, 7);
    }
    counters_add(counters, &account, COUNTER_REJECTED, 3);
    struct sum sum = read_all("centro1");
    assert_int_equal(sum.values[COUNTER_REQUESTS], 1000);
    assert_int_equal(sum.values[COUNTER_CPU_NS], 7000);
    assert_int_equal(sum.values[COUNTER_REJECTED], 3);
    assert_int_equal(sum.values[COUNTER_WALL_NS], 0);
    assert_int_equal(list(&files), 1);
    assert_int_equal(files[0].hour, HOUR_14);
    assert_false(files[0].is_final);
    free(files);
    counters_close(counters);
    assert_int_equal(list(&files), 1);
    assert_true(files[0].is_final);
    free(files);
}

static void test_two_accounts_of_one_name_share_a_slot(void **state) {
    struct counters *counters = must_open(HOUR_14);

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 1);
    add_to(counters, "centro1", COUNTER_REQUESTS, 2);
    struct sum sum = read_all("centro1");
    assert_int_equal(sum.accounts, 1);
    assert_int_equal(sum.values[COUNTER_REQUESTS], 3);
    counters_close(counters);
}

static void test_file_grows_beyond_its_first_size(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct worker_record *workers = counters_workers(counters);
    struct counters_account accounts[3000];
    char name[32];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3000; i++) {
            snprintf(name, sizeof name, "t%u", i);
            if (round == 0)
                counters_account_init(&accounts[i], name);
            counters_add(counters, &accounts[i], COUNTER_BYTES_OUT, i);
        }
    }
    assert_ptr_equal(counters_workers(counters), workers);
    assert_int_equal(read_all(NULL).accounts, 3000);
    for (unsigned i = 0; i < 3000; i += 100) {
        snprintf(name, sizeof name, "t%u", i);
        assert_int_equal(read_all(name).values[COUNTER_BYTES_OUT], 2 * i);
    }
    counters_close(counters);
}

/* A reader that sees n slots sees n whole names: here, while a child makes them. */
static void test_names_are_there_before_they_are_counted(void **state) {
    struct counters_file *files = NULL;
    struct error error = {""};
    size_t seen = 0;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct counters *counters = counters_open(dir, HOUR_14, &error);
        for (unsigned i = 0; i < 20000; i++) {
            char name[COUNTERS_NAME_BYTES];
            snprintf(name, sizeof name, "t%062u", i);
            add_to(counters, name, COUNTER_REQUESTS, 1);
        }
        _exit(0);
    }
    while (waitpid(child, NULL, WNOHANG) == 0) {
        size_t count = list(&files);
        struct sum sum = {0};
        if (count > 0 && counters_read(&files[0], sum_up, &sum, &error) < 0)
            fail_msg("%s", error.text);
        assert_true(sum.accounts >= seen);
        seen = sum.accounts;
        free(files);
    }
    assert_int_equal(read_all(NULL).accounts, 20000);
    assert_int_equal(read_all(NULL).values[COUNTER_REQUESTS], 20000);
}

/* The order of the two stores, seen from the file: a slot beyond the count is no account. */
static void test_slot_beyond_the_count_is_not_seen(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 1);
    list(&files);
    int fd = open(files[0].path, O_RDWR);
    assert_int_equal(
        pwrite(fd, "half", 4, COUNTERS_SLOTS_OFFSET + (off_t)sizeof(struct counters_slot)), 4);
    close(fd);
    free(files);
    assert_int_equal(read_all(NULL).accounts, 1);
    add_to(counters, "b", COUNTER_REQUESTS, 1);
    assert_int_equal(read_all("b").values[COUNTER_REQUESTS], 1);
    counters_close(counters);
}

static void test_kill_at_any_moment_loses_nothing_that_was_added(void **state) {
    uint64_t total = 0;

    (void)state;
    for (int round = 0; round < 50; round++) {
        int pipe_ends[2];
        assert_int_equal(pipe(pipe_ends), 0);
        pid_t child = fork();
        if (child == 0) {
            struct error error;
            struct counters *counters = counters_open(dir, HOUR_14 + round * 3600, &error);
            for (uint32_t i = 1;; i++) {
                add_to(counters, "killed", COUNTER_REQUESTS, 1);
                if (write(pipe_ends[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(pipe_ends[1]);
        uint32_t answered = 0;
        for (int i = 0; i <= round * 7; i++)
            assert_int_equal(read(pipe_ends[0], &answered, sizeof answered), sizeof answered);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipe_ends[0], &answered, sizeof answered) == sizeof answered)
            ;
        close(pipe_ends[0]);
        total += answered;
        uint64_t counted = read_all("killed").values[COUNTER_REQUESTS];
        assert_true(total <= counted && counted <= total + (uint64_t)round + 1);
    }
}

static void test_next_hour_begins_a_new_file(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_account account;
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    counters_account_init(&account, "centro1");
    counters_add(counters, &account, COUNTER_REQUESTS, 1);
    assert_true(counters_tick(counters, HOUR_14 + 3599, &error));
    assert_int_equal(list(&files), 1);
    free(files);
    counters_workers(counters)[5] = (struct worker_record){.pid = 77, .start_ticks = 8};
    assert_true(counters_tick(counters, HOUR_14 + 3600, &error));
    assert_int_equal(counters_workers(counters)[5].pid, 77);
    counters_add(counters, &account, COUNTER_REQUESTS, 10);
    assert_int_equal(list(&files), 2);
    assert_true(files[0].is_final);
    assert_false(files[0].is_unclaimed);
    assert_false(files[1].is_final);
    assert_int_equal(files[1].hour, HOUR_14 + 3600);
    struct sum sum = {.name = "centro1"};
    assert_int_equal(counters_read(&files[1], sum_up, &sum, &error), 0);
    assert_int_equal(sum.values[COUNTER_REQUESTS], 10);
    free(files);
    counters_close(counters);
}

static void test_account_that_rests_for_hours_finds_its_slot_again(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_account account;
    struct error error = {""};

    (void)state;
    counters_account_init(&account, "rare");
    counters_add(counters, &account, COUNTER_REQUESTS, 1);
    for (int hour = 1; hour < 5; hour++) {
        assert_true(counters_tick(counters, HOUR_14 + 3600 * hour, &error));
        add_to(counters, "busy", COUNTER_REQUESTS, 1);
    }
    counters_add(counters, &account, COUNTER_REQUESTS, 1);
    assert_int_equal(read_all("rare").values[COUNTER_REQUESTS], 2);
    assert_int_equal(read_all("busy").values[COUNTER_REQUESTS], 4);
    counters_close(counters);
}

static void test_hour_never_steps_back(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    assert_true(counters_tick(counters, HOUR_14 - 7200, &error));
    add_to(counters, "centro1", COUNTER_REQUESTS, 1);
    assert_int_equal(list(&files), 1);
    assert_int_equal(files[0].hour, HOUR_14);
    free(files);
    assert_true(counters_tick(counters, HOUR_14 + 3600, &error));
    assert_int_equal(list(&files), 2);
    free(files);
    counters_close(counters);
}

/* RLIMIT_FSIZE makes posix_fallocate() fail as a full disk does. */
static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk_counts_in_memory_until_there_is_room(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct error error = {""};

    (void)state;
    limit_file_size(COUNTERS_SLOTS_OFFSET + 300 * sizeof(struct counters_slot));
    add_to_many(counters, 1000);
    add_to_many(counters, 1000);
    assert_int_equal(read_all(NULL).accounts, 256);
    assert_false(counters_tick(counters, HOUR_14 + 1, &error));
    assert_non_null(strstr(error.text, "744 more tenants"));
    limit_file_size(RLIM_INFINITY);
    assert_true(counters_tick(counters, HOUR_14 + 2, &error));
    assert_int_equal(read_all(NULL).accounts, 1000);
    assert_int_equal(read_all(NULL).values[COUNTER_WALL_NS], 10000);
    assert_int_equal(read_all("t999").values[COUNTER_WALL_NS], 10);
    counters_close(counters);
}

static void test_full_disk_at_the_hour_keeps_the_old_file(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    add_to_many(counters, 10);
    limit_file_size(4096);
    assert_false(counters_tick(counters, HOUR_14 + 3600, &error));
    add_to_many(counters, 1000);
    assert_int_equal(list(&files), 1);
    assert_false(files[0].is_final);
    free(files);
    limit_file_size(RLIM_INFINITY);
    assert_true(counters_tick(counters, HOUR_14 + 3601, &error));
    assert_int_equal(list(&files), 2);
    free(files);
    assert_int_equal(read_all(NULL).values[COUNTER_WALL_NS], 1010 * 5);
    counters_close(counters);
}

static void leave_worker(time_t now, int32_t pid, uint64_t start, uint64_t cpu) {
    struct counters *counters = must_open(now);

    counters_workers(counters)[3] =
        (struct worker_record){.pid = pid, .start_ticks = start, .cpu_ns = cpu, .account = "a"};
    counters_close(counters);
}

static void test_workers_of_all_predecessors_are_merged(void **state) {
    static struct worker_record found[COUNTERS_WORKERS_MAX];
    (void)state;

    leave_worker(HOUR_14, 10, 1, 500);
    leave_worker(HOUR_14, 10, 1, 900);
    leave_worker(HOUR_14, 10, 2, 5);
    leave_worker(HOUR_14, 11, 1, 6);
    struct counters *counters = must_open(HOUR_14);
    assert_int_equal(counters_predecessors(counters, found), 3);
    assert_int_equal(found[0].cpu_ns, 900);
    assert_int_equal(found[1].start_ticks, 2);
    assert_int_equal(found[2].pid, 11);
    assert_string_equal(found[2].account, "a");
    struct counters *second = must_open(HOUR_14);
    assert_int_equal(counters_predecessors(second, found), 3); /* not the living one's */
    counters_close(second);
    counters_close(counters);
}

static void test_worker_that_left_in_a_later_hour_is_not_remembered(void **state) {
    static struct worker_record found[COUNTERS_WORKERS_MAX];
    struct counters *counters = must_open(HOUR_14);
    struct error error = {""};

    (void)state;
    counters_workers(counters)[0] = (struct worker_record){.pid = 10, .start_ticks = 1};
    counters_workers(counters)[1] = (struct worker_record){.pid = 11, .start_ticks = 1};
    assert_true(counters_tick(counters, HOUR_14 + 3600, &error));
    counters_workers(counters)[0] = (struct worker_record){0};
    counters_close(counters);
    counters = must_open(HOUR_14);
    assert_int_equal(counters_predecessors(counters, found), 1);
    assert_int_equal(found[0].pid, 11);
    counters_close(counters);
}

static void test_workers_are_unclaimed_until_a_successor_runs(void **state) {
    struct counters_file *files;

    (void)state;
    leave_worker(HOUR_14, 10, 1, 500);
    assert_int_equal(list(&files), 1);
    assert_true(files[0].is_unclaimed);
    free(files);
    struct counters *counters = must_open(HOUR_14);
    assert_int_equal(list(&files), 2);
    assert_false(files[0].is_unclaimed || files[1].is_unclaimed);
    free(files);
    counters_close(counters);
}

static void test_writer_without_workers_is_nobodys_successor(void **state) {
    static struct worker_record found[COUNTERS_WORKERS_MAX];
    struct counters_file *files;
    struct error error = {""};
    size_t unclaimed = 0;

    (void)state;
    leave_worker(HOUR_14, 10, 1, 500);
    struct counters *beside = counters_open_without_workers(dir, HOUR_14, &error);
    assert_non_null(beside);
    add_to(beside, "centro1", COUNTER_CPU_NS, 5);
    assert_int_equal(counters_predecessors(beside, found), 0);
    assert_int_equal(list(&files), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_false(files[i].is_unclaimed && !files[i].is_final);
        unclaimed += files[i].is_unclaimed;
    }
    assert_int_equal(unclaimed, 1);
    free(files);
    struct counters *successor = must_open(HOUR_14);
    assert_int_equal(counters_predecessors(successor, found), 1);
    assert_int_equal(list(&files), 3);
    for (size_t i = 0; i < 3; i++)
        assert_false(files[i].is_unclaimed);
    free(files);
    counters_close(beside);
    counters_close(successor);
    assert_int_equal(read_all("centro1").values[COUNTER_CPU_NS], 5);
}

/* A daemon that is not root must be able to fold and unlink what root's fpmuxctl counted. */
static void test_what_root_makes_belongs_to_the_owner_of_the_directory(void **state) {
    struct error error = {""};
    struct counters_file *files;
    struct stat status;
    char below[96];

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(dir, 4321, 4322), 0);
    snprintf(below, sizeof below, "%s/counters", dir);
    struct counters *counters = counters_open_without_workers(below, HOUR_14, &error);
    assert_non_null(counters);
    assert_int_equal(stat(below, &status), 0);
    assert_int_equal(status.st_uid, 4321);
    assert_int_equal(counters_list(below, &files, &error), 1);
    assert_int_equal(stat(files[0].path, &status), 0);
    assert_int_equal(status.st_uid, 4321);
    assert_int_equal(status.st_gid, 4322);
    counters_close(counters);
    unlink(files[0].path);
    rmdir(below);
    free(files);
}

static void test_only_the_newest_file_of_a_dead_writer_is_unclaimed(void **state) {
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;
    struct error error = {""};

    (void)state;
    counters_workers(counters)[0] = (struct worker_record){.pid = 10, .start_ticks = 1};
    assert_true(counters_tick(counters, HOUR_14 + 3600, &error));
    counters_close(counters);
    assert_int_equal(list(&files), 2);
    assert_false(files[0].is_unclaimed);
    assert_true(files[1].is_unclaimed);
    free(files);
}

static void test_workers_of_another_boot_are_forgotten(void **state) {
    static struct worker_record found[COUNTERS_WORKERS_MAX];
    struct counters_file *files;

    (void)state;
    leave_worker(HOUR_14, 10, 1, 500);
    list(&files);
    int fd = open(files[0].path, O_RDWR);
    assert_int_equal(pwrite(fd, "other", 5, offsetof(struct counters_header, boot)), 5);
    close(fd);
    free(files);
    struct counters *counters = must_open(HOUR_14);
    assert_int_equal(counters_predecessors(counters, found), 0);
    counters_close(counters);
}

static void test_damaged_files_are_refused(void **state) {
    static const struct {
        off_t offset;
        const char *bytes;
        const char *what;
    } cases[] = {
        {0, "X", "does not begin"},
        {offsetof(struct counters_header, version), "\x02", "newer version"},
        {offsetof(struct counters_header, counter_count), "\x20", "newer version"},
        {offsetof(struct counters_header, hour), "\x01", "disagree"},
        {offsetof(struct counters_header, slot_count) + 1, "\x7f", "cut"},
        {offsetof(struct counters_header, slot_count) + 5, "\x7f", "too many"},
        {COUNTERS_SLOTS_OFFSET, "\x01", "no proper name"},
        {COUNTERS_SLOTS_OFFSET + COUNTERS_NAME_BYTES + 7, "\xff", "out of range"},
    };
    struct counters *counters = must_open(HOUR_14);
    struct counters_file *files;

    (void)state;
    add_to(counters, "centro1", COUNTER_REQUESTS, 1);
    counters_close(counters);
    list(&files);
    int fd = open(files[0].path, O_RDWR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char before;
        assert_int_equal(pread(fd, &before, 1, cases[i].offset), 1);
        assert_int_equal(pwrite(fd, cases[i].bytes, 1, cases[i].offset), 1);
        expect_damage(cases[i].what);
        assert_int_equal(pwrite(fd, &before, 1, cases[i].offset), 1);
    }
    assert_int_equal(read_all("centro1").values[COUNTER_REQUESTS], 1);
    assert_int_equal(ftruncate(fd, COUNTERS_SLOTS_OFFSET + 10), 0);
    expect_damage("cut");
    assert_int_equal(ftruncate(fd, 0), 0);
    expect_damage("cut");
    close(fd);
    free(files);
}

static void make_file(const char *name, time_t changed) {
    char path[128];
    struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};

    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool exists(const char *name) {
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void test_leftovers_of_a_killed_writer_are_removed(void **state) {
    struct counters_file *files;

    (void)state;
    make_file(".00000000000000000000000000000001-2026112214.tmp", HOUR_14 - 3600);
    make_file(".00000000000000000000000000000002-2026112214.tmp", HOUR_14 - 5);
    make_file("notes.txt", HOUR_14 - 3600);
    struct counters *counters = must_open(HOUR_14);
    assert_false(exists(".00000000000000000000000000000001-2026112214.tmp"));
    assert_true(exists(".00000000000000000000000000000002-2026112214.tmp"));
    assert_true(exists("notes.txt"));
    assert_int_equal(list(&files), 1);
    free(files);
    counters_close(counters);
}

static void test_two_writers_share_a_directory(void **state) {
    struct counters *one = must_open(HOUR_14);
    struct counters *two = must_open(HOUR_14);
    struct counters_file *files;

    (void)state;
    add_to(one, "centro1", COUNTER_REQUESTS, 1);
    add_to(two, "centro1", COUNTER_REQUESTS, 2);
    assert_int_equal(list(&files), 2);
    assert_string_not_equal(files[0].instance, files[1].instance);
    free(files);
    assert_int_equal(read_all("centro1").values[COUNTER_REQUESTS], 3);
    counters_close(one);
    counters_close(two);
}

static void test_opening_fails_with_the_reason(void **state) {
    struct error error = {""};

    (void)state;
    assert_null(counters_open("/tmp/fpmux-no/such/directory", HOUR_14, &error));
    assert_non_null(strstr(error.text, "/tmp/fpmux-no/such/directory: No such file"));
    limit_file_size(4096);
    assert_null(counters_open(dir, HOUR_14, &error));
    limit_file_size(RLIM_INFINITY);
    assert_non_null(strstr(error.text, "no room"));
    DIR *stream = opendir(dir);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        assert_null(strstr(entry->d_name, ".tmp"));
    closedir(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_counters_are_read_as_they_were_added),
        TEST(test_two_accounts_of_one_name_share_a_slot),
        TEST(test_file_grows_beyond_its_first_size),
        TEST(test_names_are_there_before_they_are_counted),
        TEST(test_slot_beyond_the_count_is_not_seen),
        TEST(test_kill_at_any_moment_loses_nothing_that_was_added),
        TEST(test_next_hour_begins_a_new_file),
        TEST(test_account_that_rests_for_hours_finds_its_slot_again),
        TEST(test_hour_never_steps_back),
        TEST(test_full_disk_counts_in_memory_until_there_is_room),
        TEST(test_full_disk_at_the_hour_keeps_the_old_file),
        TEST(test_workers_of_all_predecessors_are_merged),
        TEST(test_worker_that_left_in_a_later_hour_is_not_remembered),
        TEST(test_workers_are_unclaimed_until_a_successor_runs),
        TEST(test_writer_without_workers_is_nobodys_successor),
        TEST(test_what_root_makes_belongs_to_the_owner_of_the_directory),
        TEST(test_only_the_newest_file_of_a_dead_writer_is_unclaimed),
        TEST(test_workers_of_another_boot_are_forgotten),
        TEST(test_damaged_files_are_refused),
        TEST(test_leftovers_of_a_killed_writer_are_removed),
        TEST(test_two_writers_share_a_directory),
        TEST(test_opening_fails_with_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
