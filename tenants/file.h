/* Reading a small file whole: configuration, registry files, secrets. Directories to write to. */
#ifndef FPMUX_TENANTS_FILE_H
#define FPMUX_TENANTS_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "tenants/error.h"

/* The content of a regular file of at most cap_bytes, NUL-terminated; owned by the caller. *length
 * is without that NUL; *mode (may be NULL) is that of the very file that was read. NULL with "PATH:
 * reason" on failure. Never waits: a FIFO or a device in the file's place is an error. */
char *file_read(const char *path, size_t cap_bytes, size_t *length, mode_t *mode,
                struct error *error);

/* Makes the directory unless it is there. 0 when this process may make files in it, else -1 with
 * "PATH: reason". */
int file_prepare_directory(const char *path, mode_t mode, struct error *error);

#endif
