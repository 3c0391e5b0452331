/* The table of the verbs, with what --help says of each, and the names that the paper's own script
 * had for some of them. */
#ifndef FPMUX_TENANTS_CLI_VERBS_H
#define FPMUX_TENANTS_CLI_VERBS_H

#include <stddef.h>

struct cli;

struct verb {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *summary;
    const char *help; /* what follows "usage: fpmuxctl " */
};

enum { VERBS_MAX = 32 };
extern const struct verb verbs[];
extern const size_t verb_count;

struct verb_alias {
    const char *name;
    const char *words[3]; /* what it stands for, NULL at the end */
};

/* NULL when there is none of that name. */
const struct verb *verb_find(const char *name);
const struct verb_alias *verb_find_alias(const char *name);

#endif
