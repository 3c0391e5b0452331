#include "shim/fcgi.h"

#include <string.h>

static uint16_t read_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write_u16(uint8_t *out, unsigned value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void write_u32(uint8_t *out, uint32_t value) {
    write_u16(out, value >> 16);
    write_u16(out + 2, value & 0xffff);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void fcgi_decoder_init(struct fcgi_decoder *decoder) {
    *decoder = (struct fcgi_decoder){0};
}

bool fcgi_decoder_is_between_records(const struct fcgi_decoder *decoder) {
    return !decoder->in_content && decoder->header_fill == 0 && decoder->padding_left == 0;
}

static void parse_header(struct fcgi_decoder *decoder) {
    const uint8_t *bytes = decoder->header_bytes;

    decoder->header = (struct fcgi_header){
        .type = bytes[1],
        .request_id = read_u16(bytes + 2),
        .content_length = read_u16(bytes + 4),
        .padding_length = bytes[6],
    };
    decoder->header_fill = 0;
    decoder->in_content = true;
    decoder->content_left = decoder->header.content_length;
    decoder->padding_left = decoder->header.padding_length;
}

static enum fcgi_event decode_header(struct fcgi_decoder *decoder, const uint8_t *input,
                                     size_t length, size_t *used) {
    size_t taken = least(length, FCGI_HEADER_LEN - (size_t)decoder->header_fill);

    if (taken == 0)
        return FCGI_EVENT_NONE;
    memcpy(decoder->header_bytes + decoder->header_fill, input, taken);
    decoder->header_fill = (uint8_t)(decoder->header_fill + taken);
    *used += taken;
    /* Judged at the first byte: whoever speaks something else is not kept waiting for eight. */
    if (decoder->header_bytes[0] != FCGI_VERSION_1)
        return FCGI_EVENT_BROKEN;
    if (decoder->header_fill < FCGI_HEADER_LEN)
        return FCGI_EVENT_NONE;
    parse_header(decoder);
    return FCGI_EVENT_BEGIN;
}

enum fcgi_event fcgi_decode(struct fcgi_decoder *decoder, const uint8_t *input, size_t length,
                            size_t *used, const uint8_t **piece, size_t *piece_length) {
    *used = 0;
    if (decoder->in_content && decoder->content_left == 0) {
        decoder->in_content = false;
        return FCGI_EVENT_END;
    }
    if (length == 0)
        return FCGI_EVENT_NONE;
    if (decoder->in_content) {
        *piece = input;
        *piece_length = least(length, decoder->content_left);
        *used = *piece_length;
        decoder->content_left = (uint16_t)(decoder->content_left - *piece_length);
        return FCGI_EVENT_CONTENT;
    }
    size_t padding = least(length, decoder->padding_left);
    decoder->padding_left = (uint8_t)(decoder->padding_left - padding);
    *used = padding;
    return decode_header(decoder, input + padding, length - padding, used);
}

void fcgi_encode_header(uint8_t out[FCGI_HEADER_LEN], uint8_t type, uint16_t request_id,
                        uint16_t content_length) {
    out[0] = FCGI_VERSION_1;
    out[1] = type;
    write_u16(out + 2, request_id);
    write_u16(out + 4, content_length);
    out[6] = 0; /* padding */
    out[7] = 0; /* reserved */
}

void fcgi_encode_begin(uint8_t out[FCGI_BEGIN_BYTES], uint16_t request_id, uint16_t role,
                       bool keep_connection) {
    fcgi_encode_header(out, FCGI_BEGIN_REQUEST, request_id, 8);
    memset(out + FCGI_HEADER_LEN, 0, 8);
    write_u16(out + FCGI_HEADER_LEN, role);
    out[FCGI_HEADER_LEN + 2] = keep_connection ? FCGI_KEEP_CONN : 0;
}

void fcgi_encode_end(uint8_t out[FCGI_END_BYTES], uint16_t request_id, uint32_t app_status,
                     uint8_t protocol_status) {
    fcgi_encode_header(out, FCGI_END_REQUEST, request_id, 8);
    memset(out + FCGI_HEADER_LEN, 0, 8);
    write_u32(out + FCGI_HEADER_LEN, app_status);
    out[FCGI_HEADER_LEN + 4] = protocol_status;
}

void fcgi_encode_unknown_type(uint8_t out[FCGI_UNKNOWN_BYTES], uint8_t type) {
    fcgi_encode_header(out, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, 8);
    memset(out + FCGI_HEADER_LEN, 0, 8);
    out[FCGI_HEADER_LEN] = type;
}

/* One length: one byte below 128, else four bytes with the top bit set. Returns how many; 0 when
 * they are cut off. */
static size_t read_length(const uint8_t *bytes, size_t left, uint32_t *value) {
    if (left > 0 && bytes[0] < 0x80) {
        *value = bytes[0];
        return 1;
    }
    if (left < 4)
        return 0;
    *value = (uint32_t)(bytes[0] & 0x7f) << 24 | (uint32_t)bytes[1] << 16 |
             (uint32_t)bytes[2] << 8 | bytes[3];
    return 4;
}

static size_t read_lengths(const uint8_t *bytes, size_t left, struct fcgi_pair *pair) {
    if (left >= 2 && (bytes[0] | bytes[1]) < 0x80) { /* nearly all */
        pair->name_length = bytes[0];
        pair->value_length = bytes[1];
        return 2;
    }
    size_t first = read_length(bytes, left, &pair->name_length);
    if (first == 0)
        return 0;
    size_t second = read_length(bytes + first, left - first, &pair->value_length);
    return second == 0 ? 0 : first + second;
}

int fcgi_next_pair(const uint8_t *data, size_t length, size_t *offset, struct fcgi_pair *pair) {
    size_t left = length - *offset;

    if (left == 0)
        return 0;
    size_t lengths = read_lengths(data + *offset, left, pair);
    if (lengths == 0)
        return -1;
    /* Widened, so that the sum of two lengths below 2^31 can't wrap. */
    uint64_t content = (uint64_t)pair->name_length + pair->value_length;
    if (content > left - lengths)
        return -1;
    pair->name = data + *offset + lengths;
    pair->value = pair->name + pair->name_length;
    *offset += lengths + (size_t)content;
    return 1;
}

static size_t length_size(size_t length) {
    return length < 0x80 ? 1 : 4;
}

size_t fcgi_pair_size(size_t name_length, size_t value_length) {
    return length_size(name_length) + length_size(value_length) + name_length + value_length;
}

static uint8_t *write_length(uint8_t *out, size_t length) {
    if (length < 0x80) {
        *out = (uint8_t)length;
        return out + 1;
    }
    write_u32(out, (uint32_t)length | 0x80000000U);
    return out + 4;
}

size_t fcgi_encode_pair(uint8_t *out, const void *name, size_t name_length, const void *value,
                        size_t value_length) {
    uint8_t *at = write_length(write_length(out, name_length), value_length);

    if (name_length > 0)
        memcpy(at, name, name_length);
    at += name_length;
    if (value_length > 0)
        memcpy(at, value, value_length);
    return (size_t)(at + value_length - out);
}
