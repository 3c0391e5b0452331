/* FastCGI 1.0 on bytes: records and name-value pairs, encoded and decoded byte by byte. No I/O and
 * no policy: the same decoder reads what web servers send and what PHP-FPM answers.
 * Constants are libfcgi's (fastcgi.h). Sections named here are those of the FastCGI specification.
 */
#ifndef FPMUX_SHIM_FCGI_H
#define FPMUX_SHIM_FCGI_H

#include <fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/bytes.h"

/* Content of the records we make: a multiple of 8 near the maximum, so that content and padding
 * together never exceed 65535 whatever a peer adds to it. */
enum { FCGI_CONTENT_MAX = 65528 };

struct fcgi_header {
    uint8_t type;
    uint16_t request_id;
    uint16_t content_length;
    uint8_t padding_length;
};

/* ---- Decoding a stream of records ----
 *
 * Content is handed out as it comes, piece by piece, and never gathered: a connection needs no
 * buffer but this struct. Padding is swallowed. */
struct fcgi_decoder {
    uint8_t header_bytes[FCGI_HEADER_LEN];
    uint8_t header_fill;
    uint8_t padding_left;
    bool in_content;
    uint16_t content_left;
    struct fcgi_header header; /* of the record that is being read */
};

enum fcgi_event {
    FCGI_EVENT_NONE,    /* all input used up, in the middle of something or not */
    FCGI_EVENT_BEGIN,   /* a header is complete: decoder->header */
    FCGI_EVENT_CONTENT, /* a piece of content */
    FCGI_EVENT_END,     /* the record's content is complete */
    FCGI_EVENT_BROKEN   /* version is not 1: this is not FastCGI; do not go on */
};

void fcgi_decoder_init(struct fcgi_decoder *decoder);

/* Takes the next step over input. *used is how many bytes it took; *piece and *piece_length are
 * set for FCGI_EVENT_CONTENT only and point into input. Call again with the rest until NONE. */
enum fcgi_event fcgi_decode(struct fcgi_decoder *decoder, const uint8_t *input, size_t length,
                            size_t *used, const uint8_t **piece, size_t *piece_length);

/* Whether the stream stands between two records, so that an end of file here cuts nothing. */
bool fcgi_decoder_is_between_records(const struct fcgi_decoder *decoder);

/* ---- Encoding records ---- */

/* Writes a header with padding 0. */
void fcgi_encode_header(uint8_t out[FCGI_HEADER_LEN], uint8_t type, uint16_t request_id,
                        uint16_t content_length);

enum { FCGI_BEGIN_BYTES = 16, FCGI_END_BYTES = 16, FCGI_UNKNOWN_BYTES = 16 };

/* Whole records, reserved bytes zero. */
void fcgi_encode_begin(uint8_t out[FCGI_BEGIN_BYTES], uint16_t request_id, uint16_t role,
                       bool keep_connection);
void fcgi_encode_end(uint8_t out[FCGI_END_BYTES], uint16_t request_id, uint32_t app_status,
                     uint8_t protocol_status);
void fcgi_encode_unknown_type(uint8_t out[FCGI_UNKNOWN_BYTES], uint8_t type);

/* ---- Name-value pairs (section 3.4) ---- */

struct fcgi_pair {
    const uint8_t *name; /* both point into the decoded bytes; not NUL-terminated */
    const uint8_t *value;
    uint32_t name_length;
    uint32_t value_length;
};

/* Reads one pair at *offset and moves it on. 1: a pair; 0: the end, exactly; -1: a length is cut
 * off or points past the end. */
int fcgi_next_pair(const uint8_t *data, size_t length, size_t *offset, struct fcgi_pair *pair);

/* How many bytes a pair takes, and writing it there. Lengths below 2^31. */
size_t fcgi_pair_size(size_t name_length, size_t value_length);
size_t fcgi_encode_pair(uint8_t *out, const void *name, size_t name_length, const void *value,
                        size_t value_length);

#endif
