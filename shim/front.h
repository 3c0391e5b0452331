/* A connection from a web server: bytes <-> requests. May carry many requests at once, told apart
 * by their ids. FastCGI has no flow control per request: a front that does not read what it is sent
 * stalls its own requests, and nobody else's. */
#ifndef FPMUX_SHIM_FRONT_H
#define FPMUX_SHIM_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shim/bytes.h"
#include "shim/fcgi.h"
#include "shim/poller.h"
#include "tenants/names.h"

struct daemon;
struct request;

/* What one read from a backend makes for a front is gathered and leaves in one system call. */
enum { CORK_PIECES = 64 };
struct cork {
    struct front *front; /* NULL: nothing is being gathered */
    unsigned count;
    struct iovec pieces[CORK_PIECES];
    uint8_t framing[CORK_PIECES][FCGI_END_BYTES]; /* headers and END_REQUESTs among the pieces */
};

struct front {
    struct watch watch; /* watch.fd is the socket */
    struct daemon *daemon;
    struct front *next; /* in daemon->fronts */
    struct front *previous;
    struct front *next_broken; /* in daemon->broken_fronts */
    bool is_broken;            /* to be closed at the end of the turn */
    bool is_lingering;         /* answered and shut down; reads on until the peer closes */
    bool closes_when_sent;     /* the last request did not ask to keep the connection */
    bool must_linger; /* then its body is still coming: read on, or the peer sees a reset */
    bool is_tcp;
    struct fcgi_decoder decoder;
    struct bytes values;      /* content of a GET_VALUES record */
    struct bytes unsent;      /* what the peer did not take yet: the rest of at most one writev */
    struct request *current;  /* that the record being read belongs to, or NULL */
    struct request *requests; /* list, in the order in which they are written */
    struct request *last;
    unsigned request_count;
    uint64_t lingers_until_ms;
    char tenant[TENANT_ID_MAX + 1]; /* whose socket it came in by; "" on a shared listener */
};

/* Takes fd over. false: closed it, for want of memory. */
bool front_open(struct daemon *daemon, int fd, bool is_tcp, const char *tenant);

/* Marks it for the end of the turn; reason is logged unless NULL. Nothing more is sent. */
void front_break(struct front *front, const char *reason);

/* Closes it now: only from daemon_turn() and when the daemon ends. */
void front_close(struct front *front);

/* Whether everything sent so far was taken, so that more may be sent. */
bool front_can_send(const struct front *front);

/* Sends content for that request as records of type, and END_REQUEST behind it when ends. Only
 * while front_can_send(). What the peer does not take at once is copied. */
struct front_message {
    uint16_t request_id;
    uint8_t type;
    const uint8_t *content; /* NULL with length 0: none */
    size_t length;
    bool ends;
    uint8_t protocol_status; /* of END_REQUEST */
};
void front_send(struct front *front, const struct front_message *message);

/* Requests that wait with something to say say it, as far as the peer takes it. Any of them may be
 * gone afterwards. */
void front_write_more(struct front *front);

/* Between these two, what is sent to front from the daemon's read buffer is gathered. */
void front_cork(struct front *front);
void front_uncork(struct daemon *daemon);

/* END_REQUEST of that request was sent: the front knows it no more. */
void front_forget(struct front *front, struct request *request);

/* ---- For intake.c ---- */

/* The request with that id, or NULL. */
struct request *front_find(const struct front *front, uint16_t id);
/* A new request belongs to it now. */
void front_adopt(struct front *front, struct request *request);
/* Records that belong to no request. */
void front_send_bytes(struct front *front, const uint8_t *data, size_t length);
/* The peer did not ask to keep the connection. must_linger: it may still be sending. */
void front_close_when_sent(struct front *front, bool must_linger);

/* ---- For requests ---- */

/* The request's body takes no more for now / takes more again. */
void front_pause(struct front *front);
void front_resume(struct front *front);

/* Who is at the other end, for the log. */
void front_describe(const struct front *front, char *text, size_t size);

#endif
