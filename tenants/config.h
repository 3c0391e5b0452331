/* The configuration of both programs: /etc/fpmux/fpmux.json, or --config FILE, or $FPMUX_CONFIG.
 * Read strictly (an unknown key or a wrong type is an error with file:line:column), defaults filled
 * in, then never changed. Reads one file and decides nothing; what a key means is in
 * fpmux.json(5). */
#ifndef FPMUX_TENANTS_CONFIG_H
#define FPMUX_TENANTS_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenants/error.h"

#define CONFIG_DEFAULT_PATH "/etc/fpmux/fpmux.json"

struct string_list {
    char **items; /* owned, each NUL-terminated */
    size_t count;
};

/* One `php` setting: a key of php.ini and its value. */
struct setting {
    char *key;
    char *value;
};

struct settings {
    struct setting *items; /* sorted by key */
    size_t count;
};

/* A network from `allow`, as 16 bytes (IPv4 mapped into IPv6) and the length of its prefix. */
struct network {
    struct in6_addr address;
    unsigned prefix_bits; /* 0..128; 96 + n for an IPv4 /n */
};

/* One PHP-FPM. */
struct pool_config {
    char *name;
    char *address;               /* "unix:/path" or "tcp:host:port" */
    unsigned workers;            /* backends at most; ≤ pm.max_children */
    char *root;                  /* absolute, no trailing slash; scripts must lie below */
    struct string_list suffixes; /* what a script may end in; default [".php"] */
    char *status_path;           /* or NULL; SCRIPT_NAME equal to it is refused */
    char *ping_path;             /* or NULL; the same */
    struct string_list pass;     /* parameter names let through besides [A-Z_][A-Z0-9_]* */
    unsigned idle_ms;            /* an idle backend is closed after this; default 1000 */
    bool keep_bodies;            /* FPM is fixed: bodies may travel on kept connections */
    struct settings php;         /* the keys that tenants may set, with their defaults */
};

struct containers_config;

enum identity_source { IDENTITY_SOCKET, IDENTITY_PARAM, IDENTITY_HOST, IDENTITY_SOURCES };

/* Bounds of limits, the same in the configuration and in a tenant's file. */
enum {
    LIMIT_CONCURRENCY_MAX = 10000,
    LIMIT_QUEUE_MAX = 1000000,
    LIMIT_QUEUE_MS_MAX = 3600000,
    LIMIT_REQUEST_MS_MAX = 86400000
};

/* What a tenant's file does not set. */
struct default_limits {
    unsigned concurrency; /* 0: one less than the pool's workers, at least 1 */
    unsigned queue;       /* requests */
    unsigned queue_ms;
    unsigned request_ms;
    uint64_t body_bytes;
    uint64_t params_bytes;
};

struct spool_config {
    char *dir;
    uint64_t memory_bytes; /* of one body or response, before it goes to a file */
    uint64_t bytes;        /* of all spool files together */
};

struct config {
    char *path;                /* where it was read */
    struct string_list listen; /* "tcp:HOST:PORT", "unix:PATH" */
    char *tenant_sockets;      /* directory, or NULL when the file says false */
    struct network *allow;     /* who may connect over TCP */
    size_t allow_count;
    enum identity_source identify[IDENTITY_SOURCES];
    size_t identify_count;
    char *registry; /* "dir:PATH" */
    char *ledger;   /* "sqlite:PATH" */
    char *timezone; /* whose days and months reports are of (timezone.h) */
    struct pool_config *pools;
    size_t pool_count;
    struct default_limits limits;
    struct spool_config spool;
    char *pages;              /* directory of the operator's own pages, or NULL */
    struct string_list admin; /* listen addresses of the admin interface */
    char *rates;              /* rates.h; NULL: RATES_DEFAULT_PATH, if there is such a file */
    char *request_log;        /* NULL (off), "stderr" or a path */
    struct containers_config
        *containers; /* containers_config.h; NULL: nothing runs in containers */
};

/* Reads PATH, or $FPMUX_CONFIG, or the default path when path is NULL. NULL on failure. */
struct config *config_load(const char *path, struct error *error);

/* The same from text in memory; name stands for the path in messages. */
struct config *config_parse(const char *name, const char *text, size_t length, struct error *error);

void config_free(struct config *config); /* NULL is allowed */

/* The pool of that name, or NULL. Borrowed from config. */
const struct pool_config *config_find_pool(const struct config *config, const char *name);

/* "10.0.0.0/8", "::1". */
bool config_parse_network(const char *text, struct network *network);

/* Whether a TCP peer (IPv4 ones mapped into IPv6) may connect. */
bool config_allows(const struct config *config, const struct in6_addr *peer);

/* The directory of the mapped counters: "counters" beside the ledger's file. Owned by the caller.
 */
char *config_counters_dir(const struct config *config);

#endif
