/* The context of an image's build: a directory, without what its .dockerignore names, as a tar
 * archive that is made while it is read. Never whole in memory or on disk. */
#ifndef FPMUX_TENANTS_CLI_BUILD_CONTEXT_H
#define FPMUX_TENANTS_CLI_BUILD_CONTEXT_H

#include <stddef.h>

#include "tenants/error.h"

struct build_context;

/* dockerfile lies below directory; it belongs to the context whatever .dockerignore says. NULL on
 * failure. */
struct build_context *build_context_open(const char *directory, const char *dockerfile,
                                         struct error *error);
void build_context_close(struct build_context *context); /* NULL is allowed */

/* The archive's next bytes; 0 at its end, -1 with error set on failure. */
long build_context_read(struct build_context *context, char *buffer, size_t room,
                        struct error *error);

#endif
