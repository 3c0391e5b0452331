/* What the name of a parameter alone decides: whether it may come from a web server, never may, or
 * only when a pool's `pass` lists it. Pure. */
#ifndef FPMUX_SHIM_PARAM_NAME_H
#define FPMUX_SHIM_PARAM_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shim/params.h"

/* Below NAME_PLAIN: the enum param that it is. From NAME_WELL_KNOWN on: a name that nearly every
 * request has. A number instead of a name makes it cheap: no look at its characters, no hash. */
enum name_class {
    NAME_PLAIN = PARAM_COUNT, /* [A-Z_][A-Z0-9_]* and nothing special */
    NAME_FORBIDDEN,           /* dropped always */
    NAME_ODD,                 /* other characters: dropped unless `pass` lists it */
    NAME_WELL_KNOWN,
    NAME_CONTENT_TYPE = NAME_WELL_KNOWN,
    NAME_CONTEXT_DOCUMENT_ROOT,
    NAME_CONTEXT_PREFIX,
    NAME_GATEWAY_INTERFACE,
    NAME_HTTPS,
    NAME_HTTP_ACCEPT,
    NAME_HTTP_ACCEPT_ENCODING,
    NAME_HTTP_ACCEPT_LANGUAGE,
    NAME_HTTP_CONNECTION,
    NAME_HTTP_COOKIE,
    NAME_HTTP_HOST,
    NAME_HTTP_REFERER,
    NAME_HTTP_USER_AGENT,
    NAME_HTTP_X_FORWARDED_FOR,
    NAME_QUERY_STRING,
    NAME_REMOTE_PORT,
    NAME_REQUEST_SCHEME,
    NAME_SERVER_ADDR,
    NAME_SERVER_ADMIN,
    NAME_SERVER_PORT,
    NAME_SERVER_PROTOCOL,
    NAME_SERVER_SIGNATURE,
    NAME_SERVER_SOFTWARE,
    NAME_CLASS_COUNT
};

/* One of the values of enum name_class or of enum param. Sets the hash for NAME_PLAIN and NAME_ODD
 * only. */
uint8_t name_classify(const uint8_t *name, size_t length, uint32_t *hash);

/* The same hash for any name. Good enough to spread names over a table; not keyed: an enemy who
 * makes a thousand names collide costs a few milliseconds, less than any request of his. */
uint32_t name_hash(const uint8_t *name, size_t length);

/* Whether a web server's parameter of that class is sent on as it is. NAME_ODD is not. */
extern const bool name_class_passes[NAME_CLASS_COUNT];

static inline bool is_same_name(const uint8_t *a, size_t a_length, const uint8_t *b,
                                size_t b_length) {
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

/* What PHP makes of a name when it fills $_SERVER (php_register_variable_ex): leading spaces go,
 * '.' and ' ' become '_'; from a '[' on it is an index of an array that is named by what stands
 * before, or, without a ']', that '[' is a '_', too. Writes at most length bytes to out. */
enum name_bracket { BRACKET_CUTS, BRACKET_IS_UNDERSCORE };
size_t name_mangle(const uint8_t *name, size_t length, enum name_bracket bracket, uint8_t *out);

#endif
