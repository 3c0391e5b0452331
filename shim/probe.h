/* Is it safe to give each tenant its own `php` settings on this PHP-FPM?
 *
 * OPcache folds a literal ini_get('memory_limit') into bytecode that all tenants share, so that one
 * would read another's value. Two of its passes do (seen with 8.2.36): the first one (bit 0 of
 * opcache.optimization_level) and the propagation of constants (bit 7). Both must be off:
 * 0x7FFEBF7E; one alone is not enough. Only PHP itself can say how it is set: a small script of
 * ours is run once, on a thread of libuv's pool, and again every few seconds while the answer is
 * not known or bad. A pool that is known to be unsafe serves nobody until that is mended. */
#ifndef FPMUX_SHIM_PROBE_H
#define FPMUX_SHIM_PROBE_H

#include "tenants/error.h"

struct daemon;
struct pool;

/* Writes the script to where PHP-FPM may read it, beside the ledger. 0, or -1 with the reason. */
int probe_write_script(struct daemon *daemon, struct error *error);

/* Asks pool's PHP-FPM, unless that is answered, not needed or under way. */
void probe_ask(struct pool *pool);

#endif
