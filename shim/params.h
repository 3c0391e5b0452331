/* The parameters of a request: what may pass, what is replaced, what is refused.
 *
 *   web server's PARAMS --params_decode()--> pairs --params_build()--> PARAMS records for PHP-FPM
 *
 * Nothing of what the web server sent is forwarded as it is: pairs are decoded, judged by name,
 * and encoded again together with the tenant's own, which are encoded once per registry change
 * (struct params_block). Pure: no I/O, no clock, no state between requests. */
#ifndef FPMUX_SHIM_PARAMS_H
#define FPMUX_SHIM_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/bytes.h"
#include "shim/fcgi.h"
#include "tenants/config.h"
#include "tenants/tenant.h"

enum { PARAMS_PAIRS_MAX = 1024 };

/* The names that somebody asks for by name, found in one pass while decoding. Of exact duplicates
 * the last one counts, as in PHP-FPM. */
enum param {
    PARAM_CONTENT_LENGTH,
    PARAM_FPMUX_TENANT,
    PARAM_FPMUX_TOKEN,
    PARAM_PATH_INFO,
    PARAM_REDIRECT_URL,
    PARAM_REMOTE_ADDR,
    PARAM_REQUEST_METHOD,
    PARAM_REQUEST_URI,
    PARAM_SCRIPT_FILENAME,
    PARAM_SCRIPT_NAME,
    PARAM_SERVER_NAME,
    PARAM_COUNT
};

struct params {
    const struct fcgi_pair *known[PARAM_COUNT]; /* NULL: not sent; points into pairs */
    struct fcgi_pair pairs[PARAMS_PAIRS_MAX];   /* pointing into the decoded bytes */
    size_t count;
    /* For params_build() only. */
    size_t length;                     /* of the decoded bytes */
    const uint8_t *data;               /* the decoded bytes */
    uint32_t hashes[PARAMS_PAIRS_MAX]; /* of names that param_name.h does not know */
    uint8_t classes[PARAMS_PAIRS_MAX]; /* enum param or enum name_class (param_name.h) */
};

/* Why a request is refused. */
struct refusal {
    int status;         /* HTTP status; 0: not refused */
    const char *reason; /* for the log; a constant */
};

/* Reads all pairs of data, which must outlive params. A struct params is large (29 KiB): one per
 * event loop, reused. Refused: malformed pairs, NUL in a name or value (400), more than
 * PARAMS_PAIRS_MAX pairs (431). */
struct refusal params_decode(const uint8_t *data, size_t length, struct params *params);

/* What a pool's configuration makes of names and paths, prepared once. */
struct params_rules;
struct params_rules *params_rules_new(const struct pool_config *pool); /* pool is borrowed */
void params_rules_free(struct params_rules *rules);

/* A tenant's own parameters, encoded once. Knows the names that the tenant sets, so that they are
 * dropped from what the web server sent. */
struct params_block;
struct params_block *params_block_new(const struct tenant *tenant, const struct pool_config *pool);
void params_block_free(struct params_block *block);

/* The tenant's `php` settings over the pool's defaults, one PHP_ADMIN_VALUE text with values
 * escaped; the same keys for every tenant of a pool. NULL when the pool lists none. Two tenants
 * with equal settings have equal texts. */
const char *params_block_php(const struct params_block *block);

/* The same as an encoded pair named PHP_ADMIN_VALUE; *length is 0 when there is none. */
const uint8_t *params_block_php_pair(const struct params_block *block, size_t *length);

struct params_request {
    const struct params_rules *rules;
    const struct params_block *block;
    uint64_t body_length; /* what STDIN brought */
    uint64_t body_cap;    /* bytes; above: 413 */
    bool with_php;        /* send the block of PHP_ADMIN_VALUE, too */
    uint16_t request_id;  /* on the backend */
};

/* Appends the PARAMS records for PHP-FPM (pairs never span records, no padding) and the empty
 * PARAMS record that ends them to out. Refuses (400, 403, 413, 431), leaving out as it was. */
struct refusal params_build(const struct params *params, const struct params_request *request,
                            struct bytes *out);

#endif
