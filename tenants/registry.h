/* The set of all tenants, in memory, and its source: today a directory of ID.json files.
 *
 * The source is an interface with two duties: load everything, tell what changed. The registry
 * keeps the last good version of every tenant: a file that can't be read or contradicts another
 * tenant (a host claimed twice) changes nothing for anyone, and its error is kept until it is
 * mended. Look-ups are hash look-ups: the cost is the same for 10 tenants and for 100,000.
 *
 * Not thread-safe; all calls from one thread. No event loop in here: the caller watches
 * registry_watch_fd() and calls registry_process() when it is readable. */
#ifndef FPMUX_TENANTS_REGISTRY_H
#define FPMUX_TENANTS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/tenant.h"

struct registry;

/* Told of every change after it took effect. before is NULL for a tenant that is new, after is NULL
 * for one that is gone. Both borrowed for the call. */
typedef void registry_change_fn(void *context, struct tenant *before, struct tenant *after);

/* Opens config->registry. Starts watching before anything is read, so no change is missed. Nothing
 * is loaded yet. NULL when the source itself is unusable. config is borrowed for the lifetime.
 * on_change may be NULL for who only takes one look and asks for the errors: nothing is logged
 * then. */
struct registry *registry_open(const struct config *config, registry_change_fn *on_change,
                               void *context, struct error *error);
void registry_close(struct registry *registry);

/* Reads everything, in order of the ids; each tenant is told to on_change. Returns the number of
 * files in error (see registry_each_error), or -1 when the source can't be listed. */
int registry_load(struct registry *registry, struct error *error);

/* Readable when the source has news. Owned by the registry. */
int registry_watch_fd(const struct registry *registry);

/* Applies the news. Never fails: what can't be applied becomes an error of that tenant. */
void registry_process(struct registry *registry);

/* Borrowed until the next registry_process() or registry_load(); tenant_ref() to keep one.
 * NULL: no such tenant. The host is compared in lower case, without port, without trailing dot. */
struct tenant *registry_find(const struct registry *registry, const char *id, size_t length);
struct tenant *registry_find_host(const struct registry *registry, const char *host, size_t length);

size_t registry_count(const struct registry *registry);
size_t registry_error_count(const struct registry *registry);

/* Calls visit for each tenant in order of the ids / for each file that is in error, with its id.
 * Where there is no tenant id, it is the file's name; for the source as a whole it is "(source)".
 */
void registry_each(const struct registry *registry,
                   void (*visit)(void *context, struct tenant *tenant), void *context);
void registry_each_error(const struct registry *registry,
                         void (*visit)(void *context, const char *id, const char *text),
                         void *context);

#endif
