/* Where web servers connect: the addresses of the configuration's `listen`, and one unix socket per
 * tenant. A tenant's socket lies in a directory of its own, which is never removed: a container
 * that has it mounted would else keep an empty one for ever. Only the socket comes and goes. */
#ifndef FPMUX_SHIM_LISTENER_H
#define FPMUX_SHIM_LISTENER_H

#include "tenants/error.h"
#include "tenants/tenant.h"

struct daemon;
struct listener;

/* Listens on everything that `listen` names. 0, or -1 with the reason. */
int listeners_open(struct daemon *daemon, struct error *error);

/* Makes the directory for the tenants' sockets, where they are switched on. */
int listeners_prepare_tenants(struct daemon *daemon, struct error *error);

/* Follows the registry: a tenant that is new gets its socket, one that is gone loses it. */
void listeners_on_change(struct daemon *daemon, const struct tenant *before,
                         const struct tenant *after);

/* Descriptors were short: tries again. */
void listeners_resume(struct daemon *daemon);

/* No new connections; removes the sockets' names. */
void listeners_close(struct daemon *daemon);

#endif
