/* What is read of /proc/PID/stat, whatever a process calls itself; and of processes of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tenants/process.h"

enum { MS = 1000000 };

/* What follows the name: state, parent, …, utime 7, stime 5, cutime 300, cstime 21, …, start 90123,
 * in ticks. */
#define REST                                                                                       \
    " S 41 42 43 0 -1 4194560 1 2 3 4 7 5 300 21 20 0 1 0 90123 1000 200 18446744073709551615 1 1"

static void assert_parsed(const char *text, pid_t pid) {
    uint64_t tick_ns = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);
    struct process_stat stat;

    assert_true(process_parse_stat(text, &stat));
    assert_int_equal(stat.pid, pid);
    assert_int_equal(stat.parent, 41);
    assert_int_equal(stat.start_ticks, 90123);
    assert_int_equal(stat.own_ns, 12 * tick_ns);
    assert_int_equal(stat.children_ns, 321 * tick_ns);
}

static void test_stat_is_parsed(void **state) {
    (void)state;
    assert_parsed("77 (php-fpm8.2)" REST "\n", 77);
}

static void test_name_may_hold_anything(void **state) {
    static const char *const texts[] = {
        "78 (php-fpm: pool www)" REST,
        "78 (a) S 1 2 3 (b)" REST,
        "78 (()" REST,
        "78 ())" REST,
        "78 ())))))))))))))))" REST,
        "78 ()" REST,
        "78 (1 2 3 4 5 6 7 8)" REST,
        "78 ( S 9 9 9 9)" REST,
        "78 (new\nline)" REST,
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_parsed(texts[i], 78);
}

static void test_what_ends_too_early_is_refused(void **state) {
    static const char whole[] = "77 (php (1) fpm)" REST;
    const char *start_field = strstr(whole, " 90123");
    char text[sizeof whole];
    struct process_stat stat;

    (void)state;
    for (size_t length = 0; length <= (size_t)(start_field - whole); length++) {
        memcpy(text, whole, length);
        text[length] = '\0';
        assert_false(process_parse_stat(text, &stat));
    }
    assert_false(process_parse_stat("no such thing", &stat));
}

static void test_own_process_is_found(void **state) {
    struct process_stat stat;

    (void)state;
    assert_int_equal(prctl(PR_SET_NAME, "a) S 1 (b"), 0);
    assert_true(process_find(getpid(), &stat));
    assert_int_equal(stat.pid, getpid());
    assert_int_equal(stat.parent, getppid());
    assert_true(stat.start_ticks > 0);
    int file = process_open_stat(getpid());
    struct process_stat again;
    assert_true(process_read_stat(file, &again));
    assert_true(process_read_stat(file, &again)); /* from its beginning */
    assert_int_equal(again.start_ticks, stat.start_ticks);
    close(file);
}

static void wait_for_ever(void) {
    for (;;)
        pause();
}

static void test_ended_process_is_not_found(void **state) {
    struct process_stat stat;
    uint64_t cpu_ns;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        wait_for_ever();
    int file = process_open_stat(pid);
    assert_true(process_read_stat(file, &stat));
    assert_true(process_read_clock(pid, &cpu_ns));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(process_find(pid, &stat));
    assert_false(process_read_stat(file, &stat)); /* even if its pid is used again */
    assert_false(process_read_clock(pid, &cpu_ns));
    assert_int_equal(process_open_stat(pid), -1);
    close(file);
}

static void test_clock_is_that_of_the_process(void **state) {
    struct timespec time;
    uint64_t cpu_ns = 0;

    (void)state;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    uint64_t before_ns = (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
    assert_true(process_read_clock(getpid(), &cpu_ns));
    assert_in_range(cpu_ns, before_ns, before_ns + 100 * MS);
}

struct search {
    pid_t wanted[2];
    unsigned found[2];
};

static void look(void *context, const struct process_stat *stat) {
    struct search *search = context;

    for (int i = 0; i < 2; i++)
        search->found[i] += stat->pid == search->wanted[i];
}

static void test_each_process_is_visited_once(void **state) {
    pid_t child = fork();

    (void)state;
    if (child == 0)
        wait_for_ever();
    struct search search = {.wanted = {getpid(), child}};
    process_each(look, &search);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(search.found[0], 1);
    assert_int_equal(search.found[1], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat_is_parsed),
        cmocka_unit_test(test_name_may_hold_anything),
        cmocka_unit_test(test_what_ends_too_early_is_refused),
        cmocka_unit_test(test_own_process_is_found),
        cmocka_unit_test(test_ended_process_is_not_found),
        cmocka_unit_test(test_clock_is_that_of_the_process),
        cmocka_unit_test(test_each_process_is_visited_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
