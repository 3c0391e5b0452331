/* What comes back for a request, and what it is charged: the part of request.c that response.c and
 * request.c tell each other. */
#ifndef FPMUX_SHIM_RESPONSE_H
#define FPMUX_SHIM_RESPONSE_H

#include <stddef.h>
#include <stdint.h>

#include "shim/head.h"
#include "shim/request.h"

/* Adds the request to its tenant's counters, once: when its run is over, before the last byte of
 * its answer leaves. */
void request_count(struct request *request);

/* Takes the request away from where it waits or runs; what ran is counted. */
void request_detach(struct request *request);

/* Lets PHP-FPM go on where it was stopped because the buffer of the response was full. */
void response_resume(struct request *request);

/* content is the last that is said: END_REQUEST follows it, and the request is freed once all of it
 * is with the front. */
void response_end(struct request *request, const uint8_t *content, size_t length);

/* Unlinks the request from its front and frees it. */
void request_free(struct request *request);

#endif
