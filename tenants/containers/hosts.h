/* Which hosts there are, for the proxy: a directory with an empty file for each, which its
 * container mounts. Docker's DNS forgets the name of a container that ended, so without it the
 * proxy could not tell a web server that is down (502) from a host that is nobody's (404). */
#ifndef FPMUX_TENANTS_CONTAINERS_HOSTS_H
#define FPMUX_TENANTS_CONTAINERS_HOSTS_H

#include "tenants/config.h"
#include "tenants/error.h"
#include "tenants/registry.h"

/* Where: beside the ledger. Owned by the caller. */
char *hosts_directory(const struct config *config);

/* Makes the directory and brings it up to date. 0, or -1 with the reason. */
int hosts_publish(const struct config *config, const struct registry *registry,
                  struct error *error);

#endif
