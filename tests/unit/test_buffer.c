/* Buffers on a real loop and a real directory. What they write is asked of the file system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/buffer.h"

enum { MEMORY = 4096, CAP = 1 << 20, LARGE = 300000 };

struct scene {
    uv_loop_t loop;
    struct spool spool;
    struct buffer buffer;
    unsigned progress; /* calls of on_progress */
    char dir[64];
    uint8_t data[LARGE];
};

static void on_progress(void *context) {
    struct scene *scene = context;
    scene->progress++;
}

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);

    uv_loop_init(&scene->loop);
    snprintf(scene->dir, sizeof scene->dir, "/tmp/fpmux-spool-XXXXXX");
    assert_non_null(mkdtemp(scene->dir));
    scene->spool = (struct spool){
        .loop = &scene->loop, .dir = scene->dir, .memory_bytes = MEMORY, .cap_bytes = CAP};
    for (size_t i = 0; i < LARGE; i++)
        scene->data[i] = (uint8_t)(i * 31 % 251);
    *state = scene;
    return 0;
}

static void begin(struct scene *scene, bool keeps) {
    buffer_init(&scene->buffer, &scene->spool, keeps, on_progress, scene);
}

/* Whatever was done to it, a buffer that is gone has left nothing behind. */
static int tear_down(void **state) {
    struct scene *scene = *state;

    buffer_deinit(&scene->buffer);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&scene->loop), 0);
    assert_int_equal(scene->spool.used_bytes, 0);
    assert_int_equal(rmdir(scene->dir), 0);
    free(scene);
    return 0;
}

/* Waits for the file operation that is under way. */
static void wait_for_progress(struct scene *scene) {
    unsigned before = scene->progress;

    while (scene->progress == before) {
        bool is_alive = uv_run(&scene->loop, UV_RUN_ONCE) != 0;
        assert_true(is_alive || scene->progress != before);
    }
}

static void settle(struct scene *scene) {
    while (scene->buffer.io != NULL)
        wait_for_progress(scene);
}

static void append(struct scene *scene, size_t from, size_t length) {
    assert_true(buffer_append(&scene->buffer, scene->data + from, length));
}

/* Appends as a producer does that heeds buffer_is_full(). */
static void append_all(struct scene *scene, size_t length, size_t piece) {
    for (size_t at = 0; at < length; at += piece) {
        append(scene, at, at + piece < length ? piece : length - at);
        while (buffer_is_full(&scene->buffer))
            wait_for_progress(scene);
    }
}

/* Reads length bytes and holds them against what was appended from `from` on. */
static void must_read(struct scene *scene, size_t from, size_t length) {
    while (length > 0) {
        size_t got = 0;
        const uint8_t *piece = buffer_peek(&scene->buffer, &got);
        if (got == 0) {
            wait_for_progress(scene);
            continue;
        }
        if (got > length)
            got = length;
        assert_memory_equal(piece, scene->data + from, got);
        buffer_consume(&scene->buffer, got);
        from += got;
        length -= got;
    }
}

static void test_buffer_that_is_small_never_leaves_memory(void **state) {
    struct scene *scene = *state;

    begin(scene, true);
    append(scene, 0, 1000);
    append(scene, 1000, MEMORY - 1000);
    assert_int_equal(scene->buffer.file, -1);
    assert_false(buffer_is_full(&scene->buffer));
    assert_int_equal(buffer_left(&scene->buffer), MEMORY);
    must_read(scene, 0, MEMORY);
    assert_int_equal(buffer_left(&scene->buffer), 0);
    assert_int_equal(buffer_total(&scene->buffer), MEMORY);
    assert_int_equal(scene->progress, 0);
}

static void test_buffer_that_is_empty_has_nothing_to_read(void **state) {
    struct scene *scene = *state;
    size_t length = 1;

    begin(scene, false);
    assert_null(buffer_peek(&scene->buffer, &length));
    assert_int_equal(length, 0);
    append(scene, 0, 0);
    assert_int_equal(buffer_left(&scene->buffer), 0);
}

static void test_buffer_gives_back_what_went_through_a_file(void **state) {
    struct scene *scene = *state;

    for (int keeps = 0; keeps < 2; keeps++) {
        begin(scene, keeps != 0);
        append_all(scene, LARGE, 1000);
        settle(scene);
        assert_true(scene->buffer.file >= 0);
        assert_int_equal(buffer_total(&scene->buffer), LARGE);
        assert_true(scene->spool.used_bytes > LARGE - 3 * MEMORY);
        must_read(scene, 0, LARGE);
        assert_int_equal(buffer_left(&scene->buffer), 0);
        if (keeps == 0)
            buffer_deinit(&scene->buffer);
    }
}

static void test_buffer_keeps_its_memory_bounded(void **state) {
    struct scene *scene = *state;

    begin(scene, false);
    for (size_t at = 0; at < LARGE; at += 1000) {
        append(scene, at, 1000);
        assert_true(scene->buffer.tail.length <= MEMORY + 1000);
        while (buffer_is_full(&scene->buffer))
            wait_for_progress(scene);
    }
    for (size_t at = 0; at < LARGE; at += 100) {
        must_read(scene, at, 100);
        assert_true(scene->buffer.window.room <= MEMORY);
    }
}

static void test_buffer_file_is_of_no_name_and_for_nobody_else(void **state) {
    struct scene *scene = *state;
    struct stat stat;

    begin(scene, true);
    append_all(scene, 3 * MEMORY, 1000);
    settle(scene);
    assert_int_equal(fstat(scene->buffer.file, &stat), 0);
    assert_int_equal(stat.st_nlink, 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    assert_int_not_equal(fcntl(scene->buffer.file, F_GETFD) & FD_CLOEXEC, 0);
}

static void test_buffer_that_keeps_is_read_again_after_rewind(void **state) {
    struct scene *scene = *state;

    begin(scene, true);
    append_all(scene, LARGE, 7000);
    for (size_t read = 0; read <= LARGE; read += LARGE / 4) {
        must_read(scene, 0, read);
        buffer_rewind(&scene->buffer);
        assert_int_equal(buffer_left(&scene->buffer), LARGE);
    }
    must_read(scene, 0, LARGE);
}

static void test_buffer_rewound_while_it_reads_gives_the_first_bytes(void **state) {
    struct scene *scene = *state;
    size_t length = 0;

    begin(scene, true);
    append_all(scene, LARGE, 1000);
    settle(scene);
    must_read(scene, 0, LARGE / 2);
    while (buffer_peek(&scene->buffer, &length) != NULL)
        buffer_consume(&scene->buffer, length);
    assert_non_null(scene->buffer.io);
    buffer_rewind(&scene->buffer);
    must_read(scene, 0, LARGE);
}

static void test_buffer_reader_and_writer_may_take_turns(void **state) {
    struct scene *scene = *state;
    size_t written = 0;
    size_t read = 0;

    srand(3);
    begin(scene, false);
    while (read < LARGE) {
        size_t piece = (size_t)rand() % 6000;
        if (written < LARGE && !buffer_is_full(&scene->buffer)) {
            piece = piece < LARGE - written ? piece : LARGE - written;
            append(scene, written, piece);
            written += piece;
        }
        piece = (size_t)rand() % 6000;
        piece = piece < written - read ? piece : written - read;
        must_read(scene, read, piece);
        read += piece;
        if (rand() % 3 == 0)
            uv_run(&scene->loop, UV_RUN_NOWAIT);
        assert_int_equal(buffer_left(&scene->buffer), written - read);
    }
}

static void test_buffer_gives_its_spool_back_once_all_was_read(void **state) {
    struct scene *scene = *state;
    struct stat stat;

    begin(scene, false);
    append_all(scene, LARGE, 1000);
    settle(scene);
    must_read(scene, 0, LARGE);
    settle(scene);
    assert_int_equal(scene->spool.used_bytes, 0);
    assert_int_equal(fstat(scene->buffer.file, &stat), 0);
    assert_int_equal(stat.st_size, 0);
    append_all(scene, LARGE, 1000); /* and starts again */
    must_read(scene, 0, LARGE);
}

static void test_buffer_whose_reader_is_ahead_of_the_file_becomes_empty(void **state) {
    struct scene *scene = *state;

    begin(scene, false);
    append(scene, 0, 2 * MEMORY); /* is being written */
    append(scene, 2 * MEMORY, 2 * MEMORY);
    assert_true(buffer_is_full(&scene->buffer));
    must_read(scene, 0, 4 * MEMORY); /* from memory, all of it */
    assert_int_equal(scene->progress, 0);
    settle(scene);
    assert_false(buffer_is_full(&scene->buffer));
    assert_int_equal(scene->spool.used_bytes, 0);
}

static void test_buffer_that_keeps_fails_when_the_spool_is_full(void **state) {
    struct scene *scene = *state;
    size_t at = 0;

    begin(scene, true);
    scene->spool.cap_bytes = 10 * MEMORY;
    while (at < LARGE && buffer_append(&scene->buffer, scene->data + at, 1000)) {
        at += 1000;
        settle(scene);
    }
    assert_int_equal(scene->buffer.failure, ENOSPC);
    assert_in_range(at, 9 * MEMORY, 12 * MEMORY);
    assert_true(scene->spool.used_bytes <= scene->spool.cap_bytes);
    assert_false(buffer_append(&scene->buffer, scene->data, 1));
}

static void test_buffer_that_does_not_keep_only_pauses_when_the_spool_is_full(void **state) {
    struct scene *scene = *state;
    size_t at = 0;

    begin(scene, false);
    scene->spool.cap_bytes = 10 * MEMORY;
    while (!buffer_is_full(&scene->buffer)) {
        append(scene, at, 1000);
        at += 1000;
        settle(scene);
    }
    assert_int_equal(scene->buffer.failure, 0);
    assert_true(scene->spool.used_bytes <= scene->spool.cap_bytes);
    must_read(scene, 0, at);
    assert_false(buffer_is_full(&scene->buffer));
    assert_int_equal(scene->spool.used_bytes, 0);
}

static void test_buffers_share_the_cap_of_the_spool(void **state) {
    struct scene *scene = *state;
    struct buffer other;

    begin(scene, true);
    buffer_init(&other, &scene->spool, true, on_progress, scene);
    scene->spool.cap_bytes = 10 * MEMORY;
    append_all(scene, 8 * MEMORY, MEMORY + 1);
    settle(scene);
    assert_false(buffer_append(&other, scene->data, 4 * MEMORY));
    assert_int_equal(other.failure, ENOSPC);
    buffer_deinit(&other);
    append(scene, 0, 10);
}

static void test_buffer_may_go_while_it_writes(void **state) {
    struct scene *scene = *state;

    begin(scene, true);
    append(scene, 0, LARGE);
    assert_non_null(scene->buffer.io);
    buffer_deinit(&scene->buffer);
    memset(&scene->buffer, 0xee, sizeof scene->buffer); /* it is not touched any more */
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->progress, 0);
    assert_int_equal(scene->spool.used_bytes, 0);
    begin(scene, true);
}

static void test_buffer_may_go_while_it_reads(void **state) {
    struct scene *scene = *state;
    size_t length;

    begin(scene, true);
    append_all(scene, LARGE, 1000);
    settle(scene);
    assert_null(buffer_peek(&scene->buffer, &length));
    assert_non_null(scene->buffer.io);
    int file = scene->buffer.file;
    buffer_deinit(&scene->buffer);
    memset(&scene->buffer, 0xee, sizeof scene->buffer);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(fcntl(file, F_GETFD), -1); /* closed by what was under way */
    begin(scene, true);
}

static void test_buffer_says_why_it_has_no_file(void **state) {
    struct scene *scene = *state;

    begin(scene, true);
    scene->spool.dir = "/nonexistent";
    assert_false(buffer_append(&scene->buffer, scene->data, LARGE));
    assert_int_equal(scene->buffer.failure, ENOENT);
    assert_false(buffer_append(&scene->buffer, scene->data, 1));
}

/* From now on writes to the buffer's file fail. */
static void break_file(struct scene *scene) {
    int reader = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(dup3(reader, scene->buffer.file, O_CLOEXEC), scene->buffer.file);
    close(reader);
}

static void test_buffer_says_that_a_write_failed(void **state) {
    struct scene *scene = *state;

    begin(scene, true);
    append(scene, 0, 2 * MEMORY);
    settle(scene);
    break_file(scene);
    append(scene, 0, 2 * MEMORY);
    wait_for_progress(scene);
    assert_int_equal(scene->buffer.failure, EBADF);
    assert_false(buffer_append(&scene->buffer, scene->data, 1));
    assert_int_equal(scene->spool.used_bytes, 2 * MEMORY);
}

static void test_buffer_that_does_not_keep_goes_on_in_memory_without_a_file(void **state) {
    struct scene *scene = *state;

    begin(scene, false);
    scene->spool.dir = "/nonexistent";
    for (size_t at = 0; at < LARGE; at += 3 * MEMORY) {
        size_t length = LARGE - at < 3 * MEMORY ? LARGE - at : 3 * MEMORY;
        append(scene, at, length);
        assert_int_equal(buffer_is_full(&scene->buffer), length > MEMORY);
        must_read(scene, at, length);
        assert_false(buffer_is_full(&scene->buffer));
    }
    assert_int_equal(scene->spool.used_bytes, 0);
    scene->spool.dir = scene->dir;
    append_all(scene, LARGE, 1000);
    settle(scene);
    assert_true(scene->spool.used_bytes > 0);
    must_read(scene, 0, LARGE);
}

static void test_buffer_that_does_not_keep_takes_back_what_could_not_be_written(void **state) {
    struct scene *scene = *state;

    begin(scene, false);
    append(scene, 0, 2 * MEMORY);
    settle(scene);
    must_read(scene, 0, 2 * MEMORY);
    break_file(scene);
    append(scene, 0, 2 * MEMORY);
    append(scene, 2 * MEMORY, 10); /* while those before are being written */
    settle(scene);
    assert_int_equal(scene->buffer.failure, 0);
    assert_true(buffer_is_full(&scene->buffer));
    assert_int_equal(scene->spool.used_bytes, 0);
    must_read(scene, 0, 2 * MEMORY + 9);
    assert_int_equal(buffer_left(&scene->buffer), 1);
}

static void test_buffer_says_that_its_file_was_cut(void **state) {
    struct scene *scene = *state;
    size_t length;

    begin(scene, true);
    append(scene, 0, 2 * MEMORY);
    settle(scene);
    assert_int_equal(ftruncate(scene->buffer.file, 0), 0);
    assert_null(buffer_peek(&scene->buffer, &length));
    wait_for_progress(scene);
    assert_int_equal(scene->buffer.failure, EIO);
    assert_null(buffer_peek(&scene->buffer, &length));
    assert_null(scene->buffer.io); /* does not try again and again */
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(test_buffer_that_is_small_never_leaves_memory),
        SCENE(test_buffer_that_is_empty_has_nothing_to_read),
        SCENE(test_buffer_gives_back_what_went_through_a_file),
        SCENE(test_buffer_keeps_its_memory_bounded),
        SCENE(test_buffer_file_is_of_no_name_and_for_nobody_else),
        SCENE(test_buffer_that_keeps_is_read_again_after_rewind),
        SCENE(test_buffer_rewound_while_it_reads_gives_the_first_bytes),
        SCENE(test_buffer_reader_and_writer_may_take_turns),
        SCENE(test_buffer_gives_its_spool_back_once_all_was_read),
        SCENE(test_buffer_whose_reader_is_ahead_of_the_file_becomes_empty),
        SCENE(test_buffer_that_keeps_fails_when_the_spool_is_full),
        SCENE(test_buffer_that_does_not_keep_only_pauses_when_the_spool_is_full),
        SCENE(test_buffers_share_the_cap_of_the_spool),
        SCENE(test_buffer_may_go_while_it_writes),
        SCENE(test_buffer_may_go_while_it_reads),
        SCENE(test_buffer_says_why_it_has_no_file),
        SCENE(test_buffer_says_that_a_write_failed),
        SCENE(test_buffer_that_does_not_keep_goes_on_in_memory_without_a_file),
        SCENE(test_buffer_that_does_not_keep_takes_back_what_could_not_be_written),
        SCENE(test_buffer_says_that_its_file_was_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
