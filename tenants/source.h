/* Where the registry's tenants come from: an interface with two duties, load everything and tell
 * what changed. A directory of files (source_dir.c) is one; a store on the network would be
 * another.
 *
 * An entry is one tenant as the source has it: an id, the text that describes it and a version,
 * which differs when the text may differ. A source keeps no list of its entries: it asks the sink
 * whether a version is the one that was read last, and passes by what is. */
#ifndef FPMUX_TENANTS_SOURCE_H
#define FPMUX_TENANTS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/error.h"

struct source_entry {
    const char *id;
    const char *name; /* for messages: the path of the file */
    uint64_t version; /* 0: not known, never current */
    const char *text; /* NUL-terminated */
    size_t length;
};

/* Who is told. All arguments are borrowed for the call. */
struct source_sink {
    void *context;
    bool (*is_current)(void *context, const char *id, uint64_t version);
    void (*on_entry)(void *context, const struct source_entry *entry);
    /* The entry can't be had. Also for things that are wrong but no tenant: id is then a name that
     * no tenant can have. */
    void (*on_failure)(void *context, const char *id, const char *text);
    void (*on_gone)(void *context, const char *id);
};

enum source_news {
    SOURCE_TOLD,  /* the sink was told what changed */
    SOURCE_RELOAD /* news were lost, or everything is new: load again */
};

struct source;

struct source_ops {
    const char *scheme; /* "dir": what stands before the colon */
    /* Starts watching. NULL when the source can't be used. */
    struct source *(*open)(const char *where, struct error *error);
    void (*close)(struct source *source);
    /* Readable when there is news. */
    int (*watch_fd)(const struct source *source);
    /* Tells every entry that is not current, in order of the ids. 0, or -1 when nothing can be
     * said about the whole. */
    int (*load)(struct source *source, const struct source_sink *sink, struct error *error);
    enum source_news (*process)(struct source *source, const struct source_sink *sink);
};

/* The id under which a source tells what is wrong with itself. No tenant can have it. */
#define SOURCE_ITSELF "(source)"

#endif
