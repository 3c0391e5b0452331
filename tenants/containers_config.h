/* The section `containers` of the configuration: what fpmuxctl needs to run the whole system in
 * containers. Read by config.c through the table here; what a key means is in fpmux.json(5). */
#ifndef FPMUX_TENANTS_CONTAINERS_CONFIG_H
#define FPMUX_TENANTS_CONTAINERS_CONFIG_H

#include "tenants/config.h"
#include "tenants/fields.h"

struct container_images {
    char *apache;
    char *php_fpm;
    char *shim;
    char *proxy;
};

struct container_mounts {
    struct string_list fpm; /* host directories that php-fpm may write to, at the same path */
    struct string_list
        shim; /* that the shim may read, besides those that the configuration names */
};

struct containers_config {
    char *engine;   /* "unix:/PATH" of the Docker Engine */
    char *name;     /* in front of every name of a container, network, volume */
    char *code;     /* host directory of the application; mounted at each pool's root */
    char *fallback; /* what an Apache serves for a path that is no file ("/index.php"), or NULL */
    char *proxy_address; /* of the host, where the proxy listens; NULL: all */
    unsigned proxy_port;
    struct string_list trusted_proxies; /* networks whose X-Forwarded-* are believed */
    struct container_images images;
    struct settings pool_images; /* a pool's own image of php-fpm */
    struct container_mounts mounts;
    struct string_list networks; /* that exist and that php-fpm joins, such as the database's */
    unsigned parallel;           /* containers that are started at the same time */
    unsigned ready_ms;           /* how long `up` waits for one to answer */
    unsigned exec_parallel;      /* commands (exec --all, cron) that run at the same time */
};

/* A reader for a table of fields: target is the struct config. */
bool containers_config_read(struct field_reader *reader, cJSON *node, void *target);

void containers_config_free(struct containers_config *containers); /* NULL is allowed */

/* The image of the pool's php-fpm. Borrowed. */
const char *containers_config_pool_image(const struct containers_config *containers,
                                         const char *pool);

#endif
