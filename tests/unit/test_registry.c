/* The registry on real directories with real inotify. */
#include "tests/support/registry_fixture.h"

/* ---- Loading and looking up ---- */

static void test_load_tells_tenants_in_order_of_ids(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "b", "B", "b.local");
    write_tenant(fixture, "a-1", "A1", "a1.local");
    write_tenant(fixture, "a", "A", "a.local");
    assert_int_equal(load(fixture), 0);
    assert_string_equal(fixture->changes, "+a +a-1 +b ");
    assert_int_equal(registry_count(fixture->registry), 3);
    assert_string_equal(find(fixture, "a-1")->name, "A1");
    assert_null(find(fixture, "c"));
    assert_null(registry_find(fixture->registry, "a-1", 2));
}

static void test_host_is_found_in_any_case_with_port_and_dot(void **state) {
    struct fixture *fixture = *state;
    char longest[400];

    write_tenant(fixture, "a", "A", "www.a.local");
    load(fixture);
    assert_string_equal(host_owner(fixture, "www.a.local"), "a");
    assert_string_equal(host_owner(fixture, "WWW.A.Local:8080"), "a");
    assert_string_equal(host_owner(fixture, "www.a.local."), "a");
    assert_string_equal(host_owner(fixture, "www.a.local.:80"), "a");
    assert_string_equal(host_owner(fixture, "a.local"), "nobody");
    assert_string_equal(host_owner(fixture, ""), "nobody");
    assert_string_equal(host_owner(fixture, ":"), "nobody");
    memset(longest, 'a', sizeof longest);
    assert_null(registry_find_host(fixture->registry, longest, sizeof longest));
}

static void test_only_names_of_tenants_are_read(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, ".hidden", "H", "h.local");
    write_file(fixture, "a.json~", "not JSON");
    write_file(fixture, "a.tmp", "not JSON");
    write_file(fixture, ".a.json.swp", "not JSON");
    write_file(fixture, ".json", "not JSON");
    write_tenant(fixture, "Upper", "U", "u.local");
    assert_int_equal(load(fixture), 1);
    assert_string_equal(fixture->changes, "");
    expect_error(fixture, "[Upper.json] ");
    expect_error(fixture, "/Upper.json:1:1: the name is no tenant id");
    rename_file(fixture, "Upper.json", "lower.json");
    expect_changes(fixture, "+lower ");
    expect_error(fixture, "");
}

static void test_what_is_no_regular_file_is_an_error_and_does_not_block(void **state) {
    struct fixture *fixture = *state;
    char path[512];

    path_of(fixture, "pipe.json", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    path_of(fixture, "folder.json", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(load(fixture), 2);
    expect_error(fixture, "/pipe.json:1:1: not a regular file");
    expect_error(fixture, "/folder.json:1:1: not a regular file");
}

static void test_source_that_cannot_be_used_is_refused(void **state) {
    struct fixture *fixture = *state;
    struct error error;

    snprintf(fixture->source, sizeof fixture->source, "dir:%s/missing", fixture->dir);
    assert_null(registry_open(&fixture->config, on_change, fixture, &error));
    assert_non_null(strstr(error.text, "/tenants/missing: No such file or directory"));
    snprintf(fixture->source, sizeof fixture->source, "ftp:somewhere");
    assert_null(registry_open(&fixture->config, on_change, fixture, &error));
    assert_non_null(strstr(error.text, "must be \"dir:PATH\""));
}

/* ---- Changes of files ---- */

static void test_added_changed_removed_files_take_effect(void **state) {
    struct fixture *fixture = *state;

    load(fixture);
    write_tenant(fixture, "a", "one", "a.local");
    expect_changes(fixture, "+a ");
    write_tenant(fixture, "a", "two", "b.local");
    expect_changes(fixture, "~a ");
    assert_string_equal(find(fixture, "a")->name, "two");
    assert_string_equal(host_owner(fixture, "a.local"), "nobody");
    assert_string_equal(host_owner(fixture, "b.local"), "a");
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a ");
    assert_null(find(fixture, "a"));
    assert_string_equal(host_owner(fixture, "b.local"), "nobody");
    assert_int_equal(registry_count(fixture->registry), 0);
}

static void test_change_takes_effect_within_50_ms(void **state) {
    struct fixture *fixture = *state;
    struct timespec start;
    struct timespec end;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    struct pollfd watch = {.fd = registry_watch_fd(fixture->registry), .events = POLLIN};
    clock_gettime(CLOCK_MONOTONIC, &start);
    write_tenant(fixture, "a", "two", "a.local");
    while (strcmp(find(fixture, "a")->name, "two") != 0) {
        assert_int_equal(poll(&watch, 1, 1000), 1);
        registry_process(fixture->registry);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 < 50);
}

static void test_several_events_of_one_file_are_one_change(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    for (int i = 0; i < 5; i++) {
        write_tenant(fixture, "a", "two", "a.local");
        write_tenant(fixture, "b", "new", "b.local");
    }
    expect_changes(fixture, "~a +b ");
}

static void test_editor_that_moves_the_old_file_aside_removes_nobody(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    rename_file(fixture, "a.json", "a.json~");
    write_tenant(fixture, "a", "two", "a.local");
    remove_file(fixture, "a.json~");
    expect_changes(fixture, "~a ");
    remove_file(fixture, "a.json");
    write_tenant(fixture, ".a.json", "three", "a.local");
    rename_file(fixture, ".a.json.json", "a.json");
    expect_changes(fixture, "~a ");
    assert_string_equal(find(fixture, "a")->name, "three");
}

static void test_file_that_is_still_being_written_is_not_read(void **state) {
    struct fixture *fixture = *state;
    char path[512];

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    remove_file(fixture, "a.json");
    path_of(fixture, "a.json", path);
    FILE *file = fopen(path, "w");
    fputs("{\"name\": \"half", file);
    fflush(file);
    expect_changes(fixture, "");
    expect_error(fixture, "");
    fputs("\", \"hosts\": [\"a.local\"], \"pool\": \"default\"}", file);
    fclose(file);
    expect_changes(fixture, "~a ");
    assert_string_equal(find(fixture, "a")->name, "half");
}

static void test_renamed_file_is_another_tenant(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    rename_file(fixture, "a.json", "b.json");
    expect_changes(fixture, "-a +b ");
    assert_string_equal(host_owner(fixture, "a.local"), "b");
}

static void test_linked_file_is_read(void **state) {
    struct fixture *fixture = *state;
    char path[512];

    load(fixture);
    write_tenant(fixture, ".shelf", "linked", "a.local");
    path_of(fixture, "a.json", path);
    assert_int_equal(symlink(".shelf.json", path), 0);
    expect_changes(fixture, "+a ");
}

static void test_touched_file_is_a_change(void **state) {
    struct fixture *fixture = *state;
    char path[512];

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    path_of(fixture, "a.json", path);
    assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
    expect_changes(fixture, "~a ");
}

static void test_removed_tenant_lives_while_it_is_held(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    struct tenant *held = tenant_ref(find(fixture, "a"));
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a ");
    assert_string_equal(held->name, "one");
    assert_string_equal(held->hosts.items[0], "a.local");
    assert_int_equal(held->references, 1);
    tenant_unref(held);
}

/* ---- Files in error ---- */

static void test_bad_file_keeps_the_last_good_version_until_mended(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    write_file(fixture, "a.json", "{\n  \"name\": }");
    expect_changes(fixture, "");
    expect_error(fixture, "/a.json:2:");
    assert_string_equal(find(fixture, "a")->name, "one");
    assert_string_equal(host_owner(fixture, "a.local"), "a");
    write_tenant(fixture, "a", "mended", "a.local");
    expect_changes(fixture, "~a ");
    expect_error(fixture, "");
    assert_string_equal(find(fixture, "a")->name, "mended");
}

static void test_bad_file_of_a_new_tenant_is_no_tenant(void **state) {
    struct fixture *fixture = *state;

    write_file(fixture, "a.json", "[]");
    assert_int_equal(load(fixture), 1);
    assert_null(find(fixture, "a"));
    assert_int_equal(registry_count(fixture->registry), 0);
    remove_file(fixture, "a.json");
    expect_changes(fixture, "");
    expect_error(fixture, "");
}

static void test_same_error_is_logged_once(void **state) {
    struct fixture *fixture = *state;
    char path[128];
    char log[4096];
    int lines = 0;

    load(fixture);
    snprintf(path, sizeof path, "%s/log", fixture->root);
    int saved = dup(STDERR_FILENO);
    int sink = open(path, O_RDWR | O_CREAT, 0600);
    dup2(sink, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        write_file(fixture, "a.json", "{");
        expect_changes(fixture, "");
    }
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t got = pread(sink, log, sizeof log, 0);
    close(sink);
    for (ssize_t i = 0; i < got; i++)
        lines += log[i] == '\n';
    assert_int_equal(lines, 1);
}

static void test_file_that_becomes_readable_is_read(void **state) {
    struct fixture *fixture = *state;
    char path[512];

    if (geteuid() == 0 && seteuid(65534) < 0)
        skip();
    assert_int_equal(seteuid(0), 0);
    write_tenant(fixture, "a", "one", "a.local");
    path_of(fixture, "a.json", path);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(fixture->root, 0755), 0);
    assert_int_equal(chmod(fixture->dir, 0755), 0);
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(load(fixture), 1);
    expect_error(fixture, "/a.json:1:1: Permission denied");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(seteuid(65534), 0);
    expect_changes(fixture, "+a ");
    assert_int_equal(seteuid(0), 0);
    expect_error(fixture, "");
}

/* ---- The directory ---- */

/* A file that changed within the last ticks of the clock is always read again (source_dir.c). */
static void let_files_grow_old(void) {
    struct timespec ticks = {.tv_nsec = 25000000};

    nanosleep(&ticks, NULL);
}

static long queue_length(void) {
    char text[32];
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return strtol(text, NULL, 10);
}

static void test_lost_events_are_made_good(void **state) {
    struct fixture *fixture = *state;
    char kept[512];
    char other[512];
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    long queue = queue_length();

    write_tenant(fixture, "changed", "one", "changed.local");
    write_tenant(fixture, "gone", "gone", "gone.local");
    write_tenant(fixture, "kept", "kept", "kept.local");
    let_files_grow_old();
    load(fixture);
    path_of(fixture, ".x.json", kept);
    path_of(fixture, ".y.json", other);
    write_file(fixture, ".x.json", "");
    write_file(fixture, ".y.json", "");
    for (long i = 0; i < queue; i += 2) { /* in turns, since equal neighbours become one event */
        utimensat(AT_FDCWD, kept, old, 0);
        utimensat(AT_FDCWD, other, old, 0);
    }
    write_tenant(fixture, "changed", "two", "changed.local");
    write_tenant(fixture, "new", "new", "new.local");
    write_file(fixture, "bad.json", "{");
    remove_file(fixture, "gone.json");
    let_files_grow_old(); /* or they have no version yet */
    expect_changes(fixture, "~changed +new -gone ");
    expect_error(fixture, "/bad.json:1:");
    assert_string_equal(find(fixture, "changed")->name, "two");
}

static void test_directory_that_goes_away_removes_nobody(void **state) {
    struct fixture *fixture = *state;
    char aside[160];

    snprintf(aside, sizeof aside, "%s/aside", fixture->root);
    write_tenant(fixture, "a", "one", "a.local");
    write_tenant(fixture, "b", "one", "b.local");
    let_files_grow_old();
    load(fixture);
    assert_int_equal(rename(fixture->dir, aside), 0);
    expect_changes(fixture, "");
    expect_error(fixture, "/tenants: No such file or directory");
    assert_int_equal(registry_count(fixture->registry), 2);

    assert_int_equal(rename(aside, fixture->dir), 0);
    remove_file(fixture, "b.json");
    expect_changes(fixture, "-b ");
    expect_error(fixture, "");
    write_tenant(fixture, "a", "two", "a.local");
    expect_changes(fixture, "~a ");
}

static void test_deleted_directory_keeps_everybody_until_it_is_made_again(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    remove_tree(fixture->dir);
    expect_changes(fixture, "");
    assert_int_equal(registry_error_count(fixture->registry), 1);
    assert_string_equal(find(fixture, "a")->name, "one");
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    write_tenant(fixture, "a", "two", "a.local");
    expect_changes(fixture, "~a ");
    expect_error(fixture, "");
}

static void test_whole_path_may_go_and_come_back(void **state) {
    struct fixture *fixture = *state;
    char aside[80];

    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    snprintf(aside, sizeof aside, "%s.aside", fixture->root);
    assert_int_equal(rename(fixture->root, aside), 0);
    expect_changes(fixture, "");
    assert_int_equal(registry_error_count(fixture->registry), 1);
    assert_int_equal(mkdir(fixture->root, 0700), 0);
    expect_changes(fixture, "");
    assert_int_equal(registry_count(fixture->registry), 1);
    assert_int_equal(mkdir(fixture->dir, 0700), 0);
    write_tenant(fixture, "b", "one", "a.local");
    expect_changes(fixture, "-a +b ");
    expect_error(fixture, "");
    remove_tree(aside);
}

static void test_exchanged_link_to_the_directory_is_followed(void **state) {
    struct fixture *fixture = *state;
    char first[160];
    char second[160];
    char link[160];

    snprintf(first, sizeof first, "%s/first", fixture->root);
    snprintf(second, sizeof second, "%s/second", fixture->root);
    snprintf(link, sizeof link, "%s/link", fixture->root);
    assert_int_equal(rmdir(fixture->dir), 0);
    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(mkdir(second, 0700), 0);
    assert_int_equal(symlink("first", fixture->dir), 0);
    write_tenant(fixture, "a", "one", "a.local");
    load(fixture);
    assert_string_equal(fixture->changes, "+a ");
    assert_int_equal(symlink("second", link), 0);
    assert_int_equal(rename(link, fixture->dir), 0);
    write_tenant(fixture, "b", "two", "b.local");
    expect_changes(fixture, "+b -a ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_load_tells_tenants_in_order_of_ids),
        TEST(test_host_is_found_in_any_case_with_port_and_dot),
        TEST(test_only_names_of_tenants_are_read),
        TEST(test_what_is_no_regular_file_is_an_error_and_does_not_block),
        TEST(test_source_that_cannot_be_used_is_refused),
        TEST(test_added_changed_removed_files_take_effect),
        TEST(test_change_takes_effect_within_50_ms),
        TEST(test_several_events_of_one_file_are_one_change),
        TEST(test_editor_that_moves_the_old_file_aside_removes_nobody),
        TEST(test_file_that_is_still_being_written_is_not_read),
        TEST(test_renamed_file_is_another_tenant),
        TEST(test_linked_file_is_read),
        TEST(test_touched_file_is_a_change),
        TEST(test_removed_tenant_lives_while_it_is_held),
        TEST(test_bad_file_keeps_the_last_good_version_until_mended),
        TEST(test_bad_file_of_a_new_tenant_is_no_tenant),
        TEST(test_same_error_is_logged_once),
        TEST(test_file_that_becomes_readable_is_read),
        TEST(test_lost_events_are_made_good),
        TEST(test_directory_that_goes_away_removes_nobody),
        TEST(test_deleted_directory_keeps_everybody_until_it_is_made_again),
        TEST(test_whole_path_may_go_and_come_back),
        TEST(test_exchanged_link_to_the_directory_is_followed),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
