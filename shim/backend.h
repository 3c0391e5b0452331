/* A persistent connection to PHP-FPM, and with it one of its workers: PHP-FPM pins the process that
 * accepted a connection to it until it is closed.
 *
 *   CONNECTING ──> ASKING ──> IDLE <──> RUNNING ──> FINISHING ──> IDLE (or closed)
 *                                          └──> ABANDONED ──> closed
 *
 * Facts about PHP-FPM this rests on:
 *   - Every request ends with an empty STDIN record that stays unread in the socket until the
 * worker comes back for its next request. So ioctl(SIOCOUTQ) on our end of a unix socket tells
 * whether the worker is free, and an EPOLLOUT edge tells the moment.
 *   - END_REQUEST does not mean that the worker is free (fastcgi_finish_request(), tear-down).
 *   - A connection waits in the backlog until a worker accepts it. FCGI_GET_VALUES is answered by
 *     the worker that did. Asking first, and sending a request only after the answer, has three
 *     uses: a request is never stuck behind a busy worker, the worker's pid and clock are known
 *     before the request, and what does not answer has cost no request.
 *   - Output may come after END_REQUEST, with the old request id.
 *   - A worker whose connection we close goes on with its script. */
#ifndef FPMUX_SHIM_BACKEND_H
#define FPMUX_SHIM_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/bytes.h"
#include "shim/fcgi.h"
#include "shim/poller.h"

struct account;
struct pool;
struct request;
struct site;
struct worker;

enum backend_state {
    BACKEND_CONNECTING, /* TCP handshake; ends with ASKING or failure */
    BACKEND_ASKING,     /* GET_VALUES sent; ends when a worker answers */
    BACKEND_IDLE,       /* its worker waits for a request */
    BACKEND_RUNNING,    /* has a request; ends with END_REQUEST, a failure or abandon */
    BACKEND_FINISHING,  /* END_REQUEST seen, worker still busy; ends when SIOCOUTQ falls, or EOF */
    BACKEND_ABANDONED,  /* we left it, the worker may go on; ends like FINISHING, then closed */
    BACKEND_STATES
};

struct backend {
    struct watch watch; /* watch.fd is the socket */
    struct pool *pool;
    enum backend_state state;
    struct backend *next; /* in pool->backends[state] */
    struct backend *previous;
    struct fcgi_decoder decoder;
    uint16_t request_id;     /* of the request that runs */
    bool keeps_connection;   /* FCGI_KEEP_CONN was set for it */
    bool has_answered;       /* a byte of its response came */
    bool has_sent_any;       /* the kernel took a byte of the request */
    bool has_sent_all;       /* the whole request was written, terminator included */
    bool has_told;           /* FCGI_GET_VALUES was answered */
    bool is_paused;          /* not read, because the response's buffer is full */
    struct request *request; /* RUNNING only */
    struct site *site;       /* held; who is charged until the worker is at rest */
    struct account *last;    /* who ran on it last, or NULL */
    struct worker *worker;   /* held; NULL while its pid is not known */
    char *php;               /* the PHP_ADMIN_VALUE this connection's worker got last, or NULL */
    uint64_t started_ns;     /* when the request was sent */
    uint64_t since_ns;       /* of the state */
    struct bytes unsent;     /* of the request */
};

/* Opens a connection and asks. 0, or a negative errno: nothing was opened. */
int backend_open(struct pool *pool);

/* Charges what is owed, gives everything back, closes and frees. A request that runs must have been
 * taken away. */
void backend_close(struct backend *backend);

/* Leaves the request that runs: its worker stays taken until it is really free. */
void backend_abandon(struct backend *backend);

/* Whether the connection is dead although nobody told us yet. */
bool backend_is_stale(const struct backend *backend);

/* FINISHING and ABANDONED: looks whether the worker is free meanwhile. May close the backend. */
void backend_check(struct backend *backend);

/* ---- For exchange.c ---- */

void backend_set_state(struct backend *backend, enum backend_state state);

/* Connected: asks which worker is at the other end. */
void backend_ask(struct backend *backend);

/* A worker with that pid has answered. */
void backend_learn_worker(struct backend *backend, pid_t pid);

/* Whether the kernel took the whole request, its terminator included. */
bool backend_has_delivered(const struct backend *backend);

/* The worker is free, or gone: what it burned is charged, the tenant's place is given back. */
void backend_settle(struct backend *backend);

#endif
