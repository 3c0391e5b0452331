/* The head of a CGI response (RFC 3875 section 6): where it ends and which status it tells. Pure.
 */
#ifndef FPMUX_SHIM_HEAD_H
#define FPMUX_SHIM_HEAD_H

#include <stddef.h>
#include <stdint.h>

enum { HEAD_BYTES_MAX = 65536 - 1024 };

struct head {
    size_t length; /* with the empty line that ends it; 0: not complete yet */
    int status;    /* 200 where no Status line says otherwise */
};

/* Looks for the end of the head in data, which begins with it. Lines end with LF or CR LF. */
struct head head_scan(const uint8_t *data, size_t length);

#endif
