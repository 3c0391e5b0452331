/* One FastCGI request, from BEGIN_REQUEST to END_REQUEST: the unit of scheduling and charging.
 *
 *   READING ──> QUEUED ──> RUNNING ──> ANSWERED ──> freed
 *      └───────────┴──────────┴──(refused)──┘
 *
 * The front feeds it, the pool runs it, the backend brings its response; what it has to say goes to
 * the front. When the front is slower than PHP-FPM, the response waits in a buffer, so that a slow
 * reader holds no worker. */
#ifndef FPMUX_SHIM_REQUEST_H
#define FPMUX_SHIM_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/buffer.h"
#include "shim/bytes.h"
#include "shim/page.h"
#include "shim/schedule.h"

struct backend;
struct front;
struct site;

enum request_state {
    REQUEST_READING, /* records still come in; ends when the body is complete */
    REQUEST_QUEUED,  /* waits for a worker */
    REQUEST_RUNNING, /* on request->backend */
    REQUEST_ANSWERED /* its response is complete, but not all of it with the front */
};

struct request {
    struct ticket ticket; /* first: the schedule's tickets are requests */
    enum request_state state;
    struct front *front;
    struct request *next; /* in the front's list */
    struct request *previous;
    uint16_t id;         /* on the front */
    uint16_t backend_id; /* on the backend */
    bool keeps_connection;
    bool has_params; /* PARAMS are complete */
    bool has_body;   /* STDIN is complete */
    bool is_built;   /* records are made */
    bool is_safe;    /* GET or HEAD: may be run again */
    bool has_head;   /* the response's head is with the front or in the buffer */
    bool is_counted;
    unsigned retries;
    int status;
    struct site *site; /* held; NULL until the tenant is known */
    struct backend *backend;
    uint64_t serial;
    uint64_t queue_ns; /* waited so far */
    uint64_t ended_ns;
    uint64_t deadline_ns; /* for the response, once it runs */
    uint64_t bytes_out;
    struct bytes params;  /* as they came */
    struct bytes records; /* PARAMS for PHP-FPM */
    struct bytes head;    /* of the response, while it is not complete; or a page */
    struct buffer body;
    struct buffer response; /* what the front could not take yet */
};

/* ---- The front's side ---- */

/* NULL: out of memory. */
struct request *request_new(struct front *front, uint16_t id, bool keeps_connection);

/* Each of these may end the request: it must not be touched afterwards. */
void request_on_params(struct request *request, const uint8_t *data, size_t length);
void request_on_params_end(struct request *request);
void request_on_body(struct request *request, const uint8_t *data, size_t length);
void request_on_body_end(struct request *request);
void request_on_abort(struct request *request);

/* The front is gone: nothing can be said any more. */
void request_on_front_gone(struct request *request);

/* Writes more of the buffered response. false: nothing to write at present. */
bool request_write_more(struct request *request);

/* ---- The pool's and the backend's side ---- */

void request_on_started(struct request *request, struct backend *backend);
void request_on_stdout(struct request *request, const uint8_t *data, size_t length);
void request_on_stderr(struct request *request, const uint8_t *data, size_t length);
void request_on_end(struct request *request);

enum request_failure {
    FAILURE_DRAINED, /* EOF without a byte: PHP-FPM did not run it */
    FAILURE_RESET,   /* reset without a byte: it may have run */
    FAILURE_CUT,     /* died in the middle of the response, or sent nonsense */
};
/* The backend failed; the request runs again, is refused or is cut off. */
void request_on_failure(struct request *request, enum request_failure failure, const char *reason);

/* Answers with a page, if nothing of the response is with the front yet, else cuts it off. The
 * backend, if there is one, is abandoned. reason goes to the log. */
void request_refuse(struct request *request, enum page_kind kind, const char *reason);

#endif
