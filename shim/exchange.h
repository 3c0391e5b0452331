/* What is said over a backend: the request out, the response in. */
#ifndef FPMUX_SHIM_EXCHANGE_H
#define FPMUX_SHIM_EXCHANGE_H

#include <stdint.h>

struct backend;
struct watch;
struct request;

/* Hands a request to an IDLE backend. */
void exchange_start(struct backend *backend, struct request *request);

/* Goes on sending the body, when more of it can be had. */
void exchange_send(struct backend *backend);

/* Goes on reading, when the response's buffer has room again. */
void exchange_resume(struct backend *backend);

/* Reads and drops what an abandoned worker says; closes the backend when that has ended. */
void exchange_drain(struct backend *backend);

/* The socket has news: EPOLL* bits. */
void exchange_on_events(struct watch *watch, uint32_t events);

#endif
