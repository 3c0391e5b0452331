/* Which script a request runs: SCRIPT_FILENAME as the web servers write it (with or without
 * Apache's proxy: prefixes) brought to a plain path, jailed below the pool's root, cut where
 * PATH_INFO begins. The jail is lexical: the files may live in another container. Pure. */
#ifndef FPMUX_SHIM_SCRIPT_H
#define FPMUX_SHIM_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "shim/params.h"

enum { SCRIPT_PATH_MAX = 4096 };

struct script {
    char filename[SCRIPT_PATH_MAX]; /* absolute, under the root, '.', '..' and '//' resolved */
    size_t filename_length;
    char path_info[SCRIPT_PATH_MAX]; /* what stood behind the script, "" for nothing */
    size_t path_info_length;
    char name[SCRIPT_PATH_MAX]; /* SCRIPT_NAME that fits to both */
    size_t name_length;
};

/* Resolves what params says against the pool. 400: CR or LF in a path (params_decode()
 * refused NUL), too long; 403: outside the root,
 * no allowed suffix, FPM's status or ping path as SCRIPT_NAME or
 * as the beginning of PATH_INFO. */
struct refusal script_resolve(const struct params *params, const struct pool_config *pool,
                              struct script *script);

#endif
