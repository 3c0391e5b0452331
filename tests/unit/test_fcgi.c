/* The codec. Several of these are bugs that other FastCGI programs had; each says which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/fcgi.h"

/* ---- Decoding records ---- */

/* Everything the decoder says, as text: "B4:1:5:0 " for BEGIN (type, id, content, padding), the
 * content's bytes, "E " for END, "X" for BROKEN. Pieces of content run together, so that the text
 * does not depend on how the input was cut. */
struct transcript {
    char text[4096];
    size_t length;
    bool is_broken;
};

static void say_content(struct transcript *transcript, const uint8_t *piece, size_t length) {
    for (size_t i = 0; i < length && transcript->length < sizeof(transcript->text) - 64; i++)
        transcript->text[transcript->length++] = (char)piece[i];
    transcript->text[transcript->length] = '\0';
}

static void say(struct transcript *transcript, const char *text) {
    say_content(transcript, (const uint8_t *)text, strlen(text));
}

static void say_begin(struct transcript *transcript, const struct fcgi_header *header) {
    char text[64];

    snprintf(text, sizeof(text), "B%u:%u:%u:%u ", header->type, header->request_id,
             header->content_length, header->padding_length);
    say(transcript, text);
}

/* Feeds all of input; fails when the decoder neither takes a byte nor says anything (a busy loop)
 * or claims more than it was given. */
static void feed(struct fcgi_decoder *decoder, const uint8_t *input, size_t length,
                 struct transcript *transcript) {
    enum fcgi_event event;

    do {
        size_t used = SIZE_MAX;
        const uint8_t *piece = NULL;
        size_t piece_length = 0;
        event = fcgi_decode(decoder, input, length, &used, &piece, &piece_length);
        assert_true(used <= length);
        if (event == FCGI_EVENT_CONTENT) {
            assert_true(piece == input && piece_length == used && used > 0);
            say_content(transcript, piece, piece_length);
        }
        if (event == FCGI_EVENT_BEGIN)
            say_begin(transcript, &decoder->header);
        if (event == FCGI_EVENT_END)
            say(transcript, "E ");
        input += used;
        length -= used;
    } while (event != FCGI_EVENT_NONE && event != FCGI_EVENT_BROKEN);
    if (event == FCGI_EVENT_BROKEN) {
        say(transcript, "X");
        transcript->is_broken = true;
        return;
    }
    assert_int_equal(length, 0);
}

static const uint8_t stream[] = {
    1, 1, 0, 7, 0, 8, 0, 0, 0,   1,   1,   0,   0,   0,   0,   0,   /* BEGIN, id 7 */
    1, 4, 0, 7, 0, 3, 5, 0, 'a', 'b', 'c', 'p', 'p', 'p', 'p', 'p', /* PARAMS, padded */
    1, 4, 0, 7, 0, 0, 0, 0,                                         /* empty PARAMS */
    1, 5, 0, 7, 0, 0, 3, 9, 1,   5,   1,                            /* empty STDIN, padded */
    1, 9, 0, 0, 0, 1, 0, 0, 'z',                                    /* GET_VALUES, id 0 */
};
static const char stream_text[] =
    "B1:7:8:0 \0\1\1\0\0\0\0\0E B4:7:3:5 abcE B4:7:0:0 E B5:7:0:3 E B9:0:1:0 zE ";

static void assert_stream_text(const struct transcript *transcript) {
    assert_int_equal(transcript->length, sizeof(stream_text) - 1);
    assert_memory_equal(transcript->text, stream_text, sizeof(stream_text) - 1);
}

static void test_decoder_reads_headers_content_and_ends(void **state) {
    struct fcgi_decoder decoder;
    struct transcript transcript = {0};

    (void)state;
    fcgi_decoder_init(&decoder);
    feed(&decoder, stream, sizeof(stream), &transcript);
    assert_stream_text(&transcript);
    assert_true(fcgi_decoder_is_between_records(&decoder));
}

static void test_decoder_says_the_same_wherever_input_is_split(void **state) {
    (void)state;
    for (size_t first = 0; first <= sizeof(stream); first++) {
        for (size_t second = first; second <= sizeof(stream); second++) {
            struct fcgi_decoder decoder;
            struct transcript transcript = {0};
            fcgi_decoder_init(&decoder);
            feed(&decoder, stream, first, &transcript);
            feed(&decoder, stream + first, second - first, &transcript);
            feed(&decoder, stream + second, sizeof(stream) - second, &transcript);
            assert_stream_text(&transcript);
        }
    }
}

static void test_decoder_reads_byte_by_byte(void **state) {
    struct fcgi_decoder decoder;
    struct transcript transcript = {0};

    (void)state;
    fcgi_decoder_init(&decoder);
    for (size_t i = 0; i < sizeof(stream); i++)
        feed(&decoder, stream + i, 1, &transcript);
    assert_stream_text(&transcript);
}

/* lighttpd's "hang": an end of file inside a record has to be seen as such. */
static void test_decoder_knows_at_every_byte_whether_the_end_cuts_a_record(void **state) {
    static const size_t borders[] = {0, 16, 32, 40, 51, 60};

    (void)state;
    for (size_t cut = 0; cut <= sizeof(stream); cut++) {
        struct fcgi_decoder decoder;
        struct transcript transcript = {0};
        bool is_border = false;
        for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++)
            is_border = is_border || borders[i] == cut;
        fcgi_decoder_init(&decoder);
        feed(&decoder, stream, cut, &transcript);
        assert_int_equal(fcgi_decoder_is_between_records(&decoder), is_border);
    }
}

static void test_decoder_ends_a_record_before_its_padding_has_come(void **state) {
    struct fcgi_decoder decoder;
    struct transcript transcript = {0};

    (void)state;
    fcgi_decoder_init(&decoder);
    feed(&decoder, stream, 16 + FCGI_HEADER_LEN + 3, &transcript);
    assert_string_equal(transcript.text + transcript.length - 5, "abcE ");
    assert_false(fcgi_decoder_is_between_records(&decoder));
}

/* HAProxy 598527673: content plus padding does not fit into 16 bits. */
static void test_decoder_takes_the_longest_record_with_the_longest_padding(void **state) {
    size_t length = FCGI_HEADER_LEN + 65535 + 255;
    uint8_t *record = calloc(1, length + sizeof(stream));
    struct fcgi_decoder decoder;
    struct transcript transcript = {0};
    uint8_t header[] = {1, 5, 255, 255, 255, 255, 255, 0};

    (void)state;
    assert_non_null(record);
    memcpy(record, header, sizeof(header));
    memset(record + sizeof(header), 'x', 65535 + 255);
    memcpy(record + length, stream, sizeof(stream));
    fcgi_decoder_init(&decoder);
    feed(&decoder, record, length + sizeof(stream), &transcript);
    assert_memory_equal(transcript.text, "B5:65535:65535:255 xxx", 22);
    assert_true(fcgi_decoder_is_between_records(&decoder));

    struct transcript after = {0};
    feed(&decoder, stream, sizeof(stream), &after);
    assert_stream_text(&after);
    free(record);
}

/* h2o never looked at the version. */
static void test_decoder_breaks_on_any_version_but_one(void **state) {
    (void)state;
    for (unsigned version = 0; version < 256; version++) {
        uint8_t record[FCGI_HEADER_LEN] = {(uint8_t)version, 5, 0, 1, 0, 0, 0, 0};
        struct fcgi_decoder decoder;
        struct transcript transcript = {0};
        fcgi_decoder_init(&decoder);
        feed(&decoder, record, sizeof(record), &transcript);
        assert_int_equal(transcript.is_broken, version != 1);
    }
}

static void test_decoder_breaks_on_the_first_byte_that_is_not_fastcgi(void **state) {
    struct fcgi_decoder decoder;
    struct transcript transcript = {0};

    (void)state;
    fcgi_decoder_init(&decoder);
    feed(&decoder, stream, sizeof(stream), &transcript);
    assert_false(transcript.is_broken);
    feed(&decoder, (const uint8_t *)"GET / HTTP/1.1\r\n", 1, &transcript);
    assert_true(transcript.is_broken);
}

/* ---- Encoding records ---- */

static void test_encoders_write_any_request_id(void **state) {
    static const unsigned ids[] = {1, 255, 256, 257, 32768, 65535};

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        uint16_t id = (uint16_t)ids[i];
        uint8_t high = (uint8_t)(id >> 8);
        uint8_t low = (uint8_t)id;
        uint8_t out[16];
        fcgi_encode_header(out, FCGI_STDOUT, id, 65528);
        assert_memory_equal(out, ((uint8_t[]){1, 6, high, low, 0xff, 0xf8, 0, 0}), 8);
        fcgi_encode_begin(out, id, FCGI_RESPONDER, true);
        assert_memory_equal(out, ((uint8_t[]){1, 1, high, low, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0}),
                            16);
        fcgi_encode_end(out, id, 0, FCGI_REQUEST_COMPLETE);
        assert_memory_equal(out, ((uint8_t[]){1, 3, high, low, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
                            16);
    }
}

/* HAProxy 2e6bf0a27 sent what lay on its stack; PHP-FPM still does in END_REQUEST. */
static void test_encoders_write_every_byte_reserved_ones_as_zero(void **state) {
    uint8_t out[16];

    (void)state;
    memset(out, 0xaa, sizeof(out));
    fcgi_encode_begin(out, 0x1234, FCGI_FILTER, false);
    assert_memory_equal(out, ((uint8_t[]){1, 1, 0x12, 0x34, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0}),
                        16);
    memset(out, 0xaa, sizeof(out));
    fcgi_encode_end(out, 1, 0xfedcba98, FCGI_UNKNOWN_ROLE);
    assert_memory_equal(
        out, ((uint8_t[]){1, 3, 0, 1, 0, 8, 0, 0, 0xfe, 0xdc, 0xba, 0x98, 3, 0, 0, 0}), 16);
    memset(out, 0xaa, sizeof(out));
    fcgi_encode_unknown_type(out, 99);
    assert_memory_equal(out, ((uint8_t[]){1, 11, 0, 0, 0, 8, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0}), 16);
}

/* ---- Pairs ---- */

/* HAProxy 96286b2a8 and kcgi: a length that is cut off, or one that points past the record. The
 * bytes lie at the very end of an allocation, so that sanitizers see a byte read too far. */
static int decode_copy(const uint8_t *data, size_t length, size_t *offset) {
    uint8_t *copy = malloc(length > 0 ? length : 1);
    struct fcgi_pair pair;
    int outcome = 0;

    assert_non_null(copy);
    if (length > 0)
        memcpy(copy, data, length);
    *offset = 0;
    do {
        outcome = fcgi_next_pair(copy, length, offset, &pair);
    } while (outcome == 1);
    free(copy);
    return outcome;
}

static void test_pairs_cut_anywhere_are_refused(void **state) {
    uint8_t data[512];
    size_t offset;

    (void)state;
    memset(data, 'x', sizeof(data));
    memcpy(data, (uint8_t[]){0x80, 0, 0, 130, 0x80, 0, 0, 140}, 8);
    assert_int_equal(decode_copy(data, 278, &offset), 0);
    for (size_t cut = 1; cut < 278; cut++) {
        assert_int_equal(decode_copy(data, cut, &offset), -1);
        assert_int_equal(offset, 0);
    }
}

static void test_pairs_with_lengths_past_the_end_are_refused(void **state) {
    static const uint8_t huge[][16] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0xff, 0xff, 0xff, 0},
        {0, 0xff, 0xff, 0xff, 0xff},
        {0x80, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
        {0x80, 0, 0, 9, 0},
        {0x80, 0, 0, 8, 1},
        {127, 127},
        {5, 10},
    };
    size_t offset;

    (void)state;
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
        assert_int_equal(decode_copy(huge[i], 12, &offset), -1);
}

static void assert_pair_survives(size_t name_length, size_t value_length, size_t lengths_size) {
    size_t size = fcgi_pair_size(name_length, value_length);
    uint8_t *encoded = malloc(size);
    uint8_t *text = malloc(name_length + value_length + 1);
    struct fcgi_pair pair;
    size_t offset = 0;

    assert_non_null(encoded);
    assert_non_null(text);
    for (size_t i = 0; i < name_length + value_length; i++)
        text[i] = (uint8_t)(i * 7);
    assert_int_equal(size, name_length + value_length + lengths_size);
    assert_int_equal(fcgi_encode_pair(encoded, text, name_length, text + name_length, value_length),
                     size);
    assert_int_equal(fcgi_next_pair(encoded, size, &offset, &pair), 1);
    assert_int_equal(offset, size);
    assert_int_equal(pair.name_length, name_length);
    assert_int_equal(pair.value_length, value_length);
    assert_memory_equal(pair.name, text, name_length);
    assert_memory_equal(pair.value, text + name_length, value_length);
    assert_int_equal(fcgi_next_pair(encoded, size, &offset, &pair), 0);
    free(encoded);
    free(text);
}

static void test_pairs_of_every_size_survive(void **state) {
    (void)state;
    assert_pair_survives(0, 0, 2);
    assert_pair_survives(0, 5, 2);
    assert_pair_survives(1, 0, 2);
    assert_pair_survives(127, 127, 2);
    assert_pair_survives(128, 127, 5);
    assert_pair_survives(127, 128, 5);
    assert_pair_survives(128, 128, 8);
    assert_pair_survives(300, 70000, 8);
    assert_pair_survives(3, 1 << 20, 5);
}

static void test_pairs_with_small_lengths_in_four_bytes_are_read(void **state) {
    static const uint8_t data[] = {0x80, 0, 0, 1, 0x80, 0, 0, 2, 'n', 'v', 'w', 0, 0};
    struct fcgi_pair pair;
    size_t offset = 0;

    (void)state;
    assert_int_equal(fcgi_next_pair(data, sizeof(data), &offset, &pair), 1);
    assert_int_equal(pair.name_length, 1);
    assert_int_equal(pair.value_length, 2);
    assert_memory_equal(pair.name, "nvw", 3);
    assert_int_equal(fcgi_next_pair(data, sizeof(data), &offset, &pair), 1);
    assert_int_equal(pair.name_length, 0);
    assert_int_equal(fcgi_next_pair(data, sizeof(data), &offset, &pair), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoder_reads_headers_content_and_ends),
        cmocka_unit_test(test_decoder_says_the_same_wherever_input_is_split),
        cmocka_unit_test(test_decoder_reads_byte_by_byte),
        cmocka_unit_test(test_decoder_knows_at_every_byte_whether_the_end_cuts_a_record),
        cmocka_unit_test(test_decoder_ends_a_record_before_its_padding_has_come),
        cmocka_unit_test(test_decoder_takes_the_longest_record_with_the_longest_padding),
        cmocka_unit_test(test_decoder_breaks_on_any_version_but_one),
        cmocka_unit_test(test_decoder_breaks_on_the_first_byte_that_is_not_fastcgi),
        cmocka_unit_test(test_encoders_write_any_request_id),
        cmocka_unit_test(test_encoders_write_every_byte_reserved_ones_as_zero),
        cmocka_unit_test(test_pairs_cut_anywhere_are_refused),
        cmocka_unit_test(test_pairs_with_lengths_past_the_end_are_refused),
        cmocka_unit_test(test_pairs_of_every_size_survive),
        cmocka_unit_test(test_pairs_with_small_lengths_in_four_bytes_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
