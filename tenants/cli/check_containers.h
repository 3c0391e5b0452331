/* What `check` looks at where everything runs in containers: names that the command line or DNS
 * would not take, and paths and times that are right on the host, but not inside. */
#ifndef FPMUX_TENANTS_CLI_CHECK_CONTAINERS_H
#define FPMUX_TENANTS_CLI_CHECK_CONTAINERS_H

#include "tenants/cli/findings.h"
#include "tenants/config.h"
#include "tenants/tenant.h"

struct container_check;

/* Both are borrowed until container_check_close(). */
struct container_check *container_check_open(const struct config *config,
                                             struct findings *findings);
void container_check_close(struct container_check *check);

void container_check_config(struct container_check *check);

/* path is the tenant's file, which was read without an error. */
void container_check_tenant(struct container_check *check, const struct tenant *tenant,
                            const char *path);

#endif
