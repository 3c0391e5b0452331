/* One run as fpmuxctl sees it. The connection is a pair of sockets that keep records apart, so that
 * a test decides where what the engine sends is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tenants/containers/runner_protocol.h"
#include "tenants/containers/session.h"

/* What the engine sends. */
struct wire {
    uint8_t bytes[8192];
    size_t used;
};

struct heard {
    char output[256];
    char errors[256];
    uint64_t cpu_ns;
};

static char *variables[] = {"PATH=/bin", "SECRET=a\nb"};
static char *words[] = {"php", "-v"};
static const struct string_list environment = {.items = variables, .count = 2};
static const struct string_list command = {.items = words, .count = 2};

static void put_number(struct wire *wire, uint64_t value, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;)
        wire->bytes[wire->used++] = (uint8_t)(value >> (8 * i));
}

static void put_bytes(struct wire *wire, const void *bytes, size_t length) {
    memcpy(wire->bytes + wire->used, bytes, length);
    wire->used += length;
}

/* Bytes of stream 1 or 2, as the engine wraps them. */
static void put_stream(struct wire *wire, uint8_t stream, const void *bytes, size_t length) {
    put_number(wire, (uint64_t)stream << 24, 4);
    put_number(wire, length, 4);
    put_bytes(wire, bytes, length);
}

static void put_runner_frame(struct wire *wire, enum runner_frame type, const void *payload,
                             size_t length) {
    struct wire frame = {.used = 0};

    put_number(&frame, type, 1);
    put_number(&frame, length, 4);
    put_bytes(&frame, payload, length);
    put_stream(wire, 1, frame.bytes, frame.used);
}

static void put_cpu(struct wire *wire, uint64_t ns) {
    struct wire payload = {.used = 0};

    put_number(&payload, ns, 8);
    put_runner_frame(wire, RUNNER_USAGE, payload.bytes, payload.used);
}

static void put_exit(struct wire *wire, enum runner_outcome outcome, uint32_t value,
                     const char *text) {
    struct wire payload = {.used = 0};

    put_number(&payload, outcome, 1);
    put_number(&payload, value, 4);
    put_bytes(&payload, text, strlen(text));
    put_runner_frame(wire, RUNNER_EXIT, payload.bytes, payload.used);
}

static void on_output(void *context, bool is_error, const char *bytes, size_t length) {
    struct heard *heard = context;

    strncat(is_error ? heard->errors : heard->output, bytes, length);
}

static void on_cpu(void *context, uint64_t ns) {
    struct heard *heard = context;

    heard->cpu_ns += ns;
}

static const atomic_int go_on = SESSION_GO_ON;

static struct session_request make_request(struct heard *heard) {
    *heard = (struct heard){0};
    return (struct session_request){.environment = &environment,
                                    .command = &command,
                                    .directory = "/srv",
                                    .limit_ms = 5000,
                                    .input = -1,
                                    .urgency = &go_on,
                                    .on_output = on_output,
                                    .on_cpu = on_cpu,
                                    .context = heard};
}

/* Runs a session against an engine that sends wire in two records, cut there, and then closes. What
 * the session sent is in *sent (if not NULL). */
static struct session_result run(const struct session_request *request, const struct wire *wire,
                                 size_t cut, struct wire *sent) {
    struct session_result result;
    ssize_t length;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    if (cut > 0)
        assert_int_equal(send(ends[1], wire->bytes, cut, 0), cut);
    if (wire->used > cut)
        assert_int_equal(send(ends[1], wire->bytes + cut, wire->used - cut, 0), wire->used - cut);
    shutdown(ends[1], SHUT_WR);
    session_run(ends[0], request, &result);
    close(ends[0]);
    while (sent != NULL && (length = recv(ends[1], sent->bytes + sent->used,
                                          sizeof sent->bytes - sent->used, 0)) > 0)
        sent->used += (size_t)length;
    close(ends[1]);
    return result;
}

static void test_run_is_understood_wherever_it_is_cut(void **state) {
    struct wire wire = {.used = 0};

    (void)state;
    put_runner_frame(&wire, RUNNER_OUTPUT, "out", 3);
    put_cpu(&wire, UINT64_C(5000000000));
    put_runner_frame(&wire, RUNNER_ERRORS, "err", 3);
    put_cpu(&wire, UINT64_C(7000000001));
    put_exit(&wire, RUNNER_EXITED, 3, "");
    for (size_t cut = 0; cut <= wire.used; cut++) {
        struct heard heard;
        struct session_request request = make_request(&heard);
        struct session_result result = run(&request, &wire, cut, NULL);
        assert_int_equal(result.end, SESSION_EXITED);
        assert_int_equal(result.value, 3);
        assert_string_equal(heard.output, "out");
        assert_string_equal(heard.errors, "err");
        assert_int_equal(heard.cpu_ns, 7000000001);
    }
}

/* The engine reads the runner's output as it comes: a frame may lie in two of its own. */
static void test_frame_may_come_in_pieces_of_the_stream(void **state) {
    static const char frame[] = {RUNNER_EXIT, 0, 0, 0, 5, RUNNER_KILLED, 0, 0, 0, 9};
    struct heard heard;
    struct session_request request = make_request(&heard);

    (void)state;
    for (size_t cut = 1; cut < sizeof frame; cut++) {
        struct wire wire = {.used = 0};
        put_stream(&wire, 1, frame, cut);
        put_stream(&wire, 1, frame + cut, sizeof frame - cut);
        struct session_result result = run(&request, &wire, 0, NULL);
        assert_int_equal(result.end, SESSION_KILLED);
        assert_int_equal(result.value, 9);
    }
}

static void test_run_that_is_cut_off_is_broken(void **state) {
    struct wire wire = {.used = 0};
    struct heard heard;
    struct session_request request = make_request(&heard);

    (void)state;
    put_cpu(&wire, 1000);
    put_exit(&wire, RUNNER_EXITED, 0, "");
    for (wire.used--; wire.used > 0; wire.used--) {
        struct session_result result = run(&request, &wire, 0, NULL);
        assert_int_equal(result.end, SESSION_BROKEN);
        assert_true(strlen(result.error.text) > 0);
    }
}

static void test_cpu_is_charged_once_and_never_taken_back(void **state) {
    struct wire wire = {.used = 0};
    struct heard heard;
    struct session_request request = make_request(&heard);

    (void)state;
    put_cpu(&wire, 900);
    put_cpu(&wire, 900);
    put_cpu(&wire, 400);
    put_cpu(&wire, 1000);
    put_exit(&wire, RUNNER_TIMED_OUT, 0, "");
    assert_int_equal(run(&request, &wire, 0, NULL).end, SESSION_TIMED_OUT);
    assert_int_equal(heard.cpu_ns, 1000);
}

static void test_words_of_the_engine_become_the_reason(void **state) {
    static const char text[] = "OCI runtime exec failed: no such file\r\n";

    (void)state;
    for (uint8_t stream = 1; stream <= 2; stream++) {
        struct wire wire = {.used = 0};
        struct heard heard;
        struct session_request request = make_request(&heard);
        put_stream(&wire, stream, text, sizeof text - 1);
        struct session_result result = run(&request, &wire, 0, NULL);
        assert_int_equal(result.end, SESSION_BROKEN);
        assert_string_equal(result.error.text,
                            "the runner failed: OCI runtime exec failed: no such file");
    }
}

static void test_command_that_was_not_started_says_why(void **state) {
    struct wire wire = {.used = 0};
    struct heard heard;
    struct session_request request = make_request(&heard);

    (void)state;
    put_exit(&wire, RUNNER_NOT_STARTED, 127, "php: command not found");
    struct session_result result = run(&request, &wire, 0, NULL);
    assert_int_equal(result.end, SESSION_NOT_STARTED);
    assert_int_equal(result.value, 127);
    assert_string_equal(result.error.text, "php: command not found");
}

static void test_request_has_words_directory_user_limit_and_input(void **state) {
    static const char expected[] = "e\0\0\0\x09PATH=/bin"
                                   "e\0\0\0\x0aSECRET=a\nb"
                                   "a\0\0\0\x03php"
                                   "a\0\0\0\x02-v"
                                   "d\0\0\0\x04/srv"
                                   "u\0\0\0\x08www-data"
                                   "l\0\0\0\x04\0\0\x13\x88"
                                   "s\0\0\0\0"
                                   "i\0\0\0\x05hello"
                                   "c\0\0\0\0";
    struct wire wire = {.used = 0};
    struct wire sent = {.used = 0};
    struct heard heard;
    struct session_request request = make_request(&heard);
    struct session_result result;
    int input[2];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(input), 0);
    assert_int_equal(write(input[1], "hello", 5), 5);
    close(input[1]);
    request.input = input[0];
    request.user = "www-data";
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    put_exit(&wire, RUNNER_EXITED, 0, "");
    pid_t runner = fork();
    if (runner == 0) { /* answers when it has heard everything */
        while (sent.used < sizeof expected - 1 && recv(ends[1], sent.bytes + sent.used, 1, 0) == 1)
            sent.used++;
        if (memcmp(sent.bytes, expected, sizeof expected - 1) == 0)
            send(ends[1], wire.bytes, wire.used, 0);
        _exit(0);
    }
    close(ends[1]);
    session_run(ends[0], &request, &result);
    assert_int_equal(result.end, SESSION_EXITED);
    close(ends[0]);
    close(input[0]);
}

static void test_session_that_is_abandoned_returns(void **state) {
    const atomic_int abandon = SESSION_ABANDON;
    struct session_result result;
    struct heard heard;
    struct session_request request = make_request(&heard);
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    request.urgency = &abandon;
    session_run(ends[0], &request, &result);
    assert_int_equal(result.end, SESSION_BROKEN);
    close(ends[0]);
    close(ends[1]);
}

static void test_runner_that_is_silent_is_given_up(void **state) {
    struct session_result result;
    struct heard heard;
    struct session_request request = make_request(&heard);
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    request.silence_ms = 1;
    session_run(ends[0], &request, &result);
    assert_int_equal(result.end, SESSION_BROKEN);
    assert_non_null(strstr(result.error.text, "is its container paused"));
    close(ends[0]);
    close(ends[1]);
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_run_is_understood_wherever_it_is_cut),
        TEST(test_frame_may_come_in_pieces_of_the_stream),
        TEST(test_run_that_is_cut_off_is_broken),
        TEST(test_cpu_is_charged_once_and_never_taken_back),
        TEST(test_words_of_the_engine_become_the_reason),
        TEST(test_command_that_was_not_started_says_why),
        TEST(test_request_has_words_directory_user_limit_and_input),
        TEST(test_session_that_is_abandoned_returns),
        TEST(test_runner_that_is_silent_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
