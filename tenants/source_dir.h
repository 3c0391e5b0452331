/* "dir:PATH": a directory with one file ID.json for each tenant, watched with inotify.
 *
 * Names that begin with a dot and names that do not end in ".json" (temporary files, editors' swap
 * and backup files) are none of our business; another *.json whose name is no tenant id is an error
 * that is shown. When the directory is deleted or moved away, everybody keeps the last good version
 * until it is back. */
#ifndef FPMUX_TENANTS_SOURCE_DIR_H
#define FPMUX_TENANTS_SOURCE_DIR_H

#include "tenants/source.h"

extern const struct source_ops source_dir;

#endif
