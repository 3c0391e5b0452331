/* What a client sees when fpmux itself answers: a complete CGI response with a short page, or with
 * the operator's own page where the directory `pages` has one. Web servers take anything less than
 * a complete response for something else (a bare END_REQUEST is an empty 200 on Apache). */
#ifndef FPMUX_SHIM_PAGE_H
#define FPMUX_SHIM_PAGE_H

#include <stdint.h>

#include "shim/bytes.h"

enum page_kind {
    PAGE_BAD_REQUEST,      /* 400 */
    PAGE_FORBIDDEN,        /* 403 */
    PAGE_NOT_FOUND,        /* 404 */
    PAGE_TOO_LARGE,        /* 413 */
    PAGE_OVER_QUOTA,       /* 429 */
    PAGE_FIELDS_TOO_LARGE, /* 431 */
    PAGE_BAD_GATEWAY,      /* 502 */
    PAGE_UNAVAILABLE,      /* 503 */
    PAGE_SUSPENDED,        /* 503, too; suspended.html */
    PAGE_GATEWAY_TIMEOUT,  /* 504 */
    PAGE_KINDS
};

struct pages;

/* Reads the operator's pages (404.html, 503.html, suspended.html, …) from dir, each at most 48 KiB;
 * one that is missing is not an error. dir may be NULL. NULL: out of memory. */
struct pages *pages_new(const char *dir);
void pages_free(struct pages *pages);

int page_status(enum page_kind kind);

/* Appends a complete response that fits one record. retry_seconds > 0 adds Retry-After. request_id
 * is shown to the client, so that a report can be found in the log. */
void page_write(const struct pages *pages, enum page_kind kind, const char *request_id,
                unsigned retry_seconds, struct bytes *out);

#endif
