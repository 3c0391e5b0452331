/* The configuration's addresses, "unix:PATH" and "tcp:HOST:PORT", as the kernel takes them. */
#ifndef FPMUX_SHIM_ADDRESS_H
#define FPMUX_SHIM_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "tenants/error.h"

struct address {
    struct sockaddr_storage storage;
    socklen_t length;
    bool is_unix;
};

/* Looks HOST up if need be, so it may block: at the start only. 0, or -1 with the reason. */
int address_resolve(const char *text, struct address *address, struct error *error);

/* A unix socket's path, with the check that the kernel makes and libuv leaves out. */
int address_of_path(const char *path, struct address *address, struct error *error);

#endif
