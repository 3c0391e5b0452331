/* Which file tells the CPU of a control group, by what /proc/PID/cgroup says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tenants/cgroup.h"

static void assert_path(const char *text, const char *expected) {
    char path[256] = "";

    assert_true(cgroup_parse(text, path, sizeof path));
    assert_string_equal(path, expected);
}

static void test_version_2_has_one_line(void **state) {
    (void)state;
    assert_path("0::/system.slice/php8.2-fpm.service\n",
                "/sys/fs/cgroup/system.slice/php8.2-fpm.service/cpu.stat");
    assert_path("0::/a b:c\n", "/sys/fs/cgroup/a b:c/cpu.stat");
    assert_path("0::/x", "/sys/fs/cgroup/x/cpu.stat"); /* no end of line */
}

static void test_version_1_names_its_controllers(void **state) {
    (void)state;
    assert_path("11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
                "/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpuacct.usage");
    assert_path("2:cpuacct:/fpm\n1:cpu:/other\n", "/sys/fs/cgroup/cpuacct/fpm/cpuacct.usage");
}

static void test_version_1_counts_where_both_are_mounted(void **state) {
    (void)state;
    assert_path("4:cpu,cpuacct:/one\n0::/two\n", "/sys/fs/cgroup/cpu,cpuacct/one/cpuacct.usage");
    assert_path("0::/two\n4:cpu,cpuacct:/one\n", "/sys/fs/cgroup/cpu,cpuacct/one/cpuacct.usage");
}

static void test_group_named_like_a_controller_is_none(void **state) {
    (void)state;
    assert_path("3:memory:/cpuacct\n0::/two\n", "/sys/fs/cgroup/two/cpu.stat");
    assert_path("3:memory:/a:cpuacct:/b\n0::/two\n", "/sys/fs/cgroup/two/cpu.stat");
    assert_path("1:name=cpuacct-like:/b\n0::/two\n", "/sys/fs/cgroup/two/cpu.stat");
}

static void test_what_makes_no_sense_is_refused(void **state) {
    static const char *const texts[] = {
        "",
        "\n",
        "\n\n\n",
        "0",
        "0:",
        "0:\n",
        "0::",
        "0::\n",
        "::::\n",
        "no colons",
        "4:cpuacct",
        "4:cpuacct:",
        "4:cpuacct\n5:/x\n",
        "1:memory:/x\n2:pids:/y\n",
        "0:\n:/x\n",
    };
    char path[256];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (cgroup_parse(texts[i], path, sizeof path))
            fail_msg("\"%s\" is %s", texts[i], path);
}

static void test_path_without_room_is_refused(void **state) {
    static const char expected[] = "/sys/fs/cgroup/x/cpu.stat";
    char path[sizeof expected];

    (void)state;
    assert_true(cgroup_parse("0::/x\n", path, sizeof path));
    assert_string_equal(path, expected);
    assert_false(cgroup_parse("0::/x\n", path, sizeof path - 1));
    assert_false(cgroup_parse("0::/xy\n", path, sizeof path));
    assert_false(cgroup_parse("2:cpuacct:/xyzxyz\n", path, sizeof path));
}

/* The figure of a file with that text; -1 when it can't be read. */
static int64_t cpu_of(const char *text) {
    char path[] = "/tmp/fpmux-cgroup-XXXXXX";
    int file = mkstemp(path);
    uint64_t cpu_ns = 0;

    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    bool is_read = cgroup_read_cpu(path, &cpu_ns);
    unlink(path);
    return is_read ? (int64_t)cpu_ns : -1;
}

static void test_figures_of_both_versions_are_nanoseconds(void **state) {
    uint64_t cpu_ns;

    (void)state;
    assert_int_equal(cpu_of("123456789012\n"), 123456789012);
    assert_int_equal(cpu_of("usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\n"), 123456000);
    assert_int_equal(cpu_of(""), -1);
    assert_int_equal(cpu_of("user_usec 5\n"), -1);
    assert_int_equal(cpu_of("nothing\n"), -1);
    assert_false(cgroup_read_cpu("/nonexistent", &cpu_ns));
}

/* A child of ours is in our group. */
static void test_process_in_its_parents_group_has_none_of_its_own(void **state) {
    char path[256];
    pid_t child = fork();

    (void)state;
    if (child == 0)
        for (;;)
            pause();
    bool has_own = cgroup_of_its_own(child, path, sizeof path);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(has_own);
    assert_false(cgroup_of_its_own(child, path, sizeof path)); /* it has ended */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_2_has_one_line),
        cmocka_unit_test(test_version_1_names_its_controllers),
        cmocka_unit_test(test_version_1_counts_where_both_are_mounted),
        cmocka_unit_test(test_group_named_like_a_controller_is_none),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_path_without_room_is_refused),
        cmocka_unit_test(test_figures_of_both_versions_are_nanoseconds),
        cmocka_unit_test(test_process_in_its_parents_group_has_none_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
