/* Which files of a directory belong to the context of a build: the rules of its .dockerignore. One
 * pattern a line, relative to the directory; "*" and "?" don't match a slash, "**" does; "!" takes
 * back what earlier lines exclude; the last line that matches a file, or a directory above it,
 * decides. */
#ifndef FPMUX_TENANTS_CONTAINERS_DOCKERIGNORE_H
#define FPMUX_TENANTS_CONTAINERS_DOCKERIGNORE_H

#include <stdbool.h>
#include <stddef.h>

struct dockerignore_rule {
    const char *pattern; /* borrowed from text; without slashes at its ends */
    bool takes_back;     /* "!" */
};

struct dockerignore {
    char *text; /* owned */
    struct dockerignore_rule *rules;
    size_t count;
};

/* text is copied. */
void dockerignore_init(struct dockerignore *ignore, const char *text);
void dockerignore_deinit(struct dockerignore *ignore);

/* path is relative to the context, like "docker/apache/httpd.conf". */
bool dockerignore_excludes(const struct dockerignore *ignore, const char *path);

/* Whether something below an excluded directory may be taken back. */
bool dockerignore_may_hold(const struct dockerignore *ignore, const char *directory);

#endif
