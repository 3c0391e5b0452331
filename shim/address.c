#include "shim/address.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

int address_of_path(const char *path, struct address *address, struct error *error) {
    struct sockaddr_un *name = (struct sockaddr_un *)&address->storage;

    if (strlen(path) >= sizeof name->sun_path) {
        error_set(error, "%s: longer than the %zu bytes that a socket's path may have", path,
                  sizeof name->sun_path - 1);
        return -1;
    }
    *address = (struct address){.length = sizeof *name, .is_unix = true};
    name->sun_family = AF_UNIX;
    snprintf(name->sun_path, sizeof name->sun_path, "%s", path);
    return 0;
}

/* HOST:PORT or [HOST]:PORT, where HOST is an address or a name. */
static int resolve_tcp(const char *text, struct address *address, struct error *error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[256];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof host) {
        error_set(error, "tcp:%s: must be tcp:HOST:PORT", text);
        return -1;
    }
    bool is_bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
    int length = (int)(colon - text) - 2 * is_bracketed;
    snprintf(host, sizeof host, "%.*s", length, text + is_bracketed);
    int result = getaddrinfo(host, colon + 1, &hints, &found);
    if (result != 0) {
        error_set(error, "tcp:%s: %s", text, gai_strerror(result));
        return -1;
    }
    *address = (struct address){.length = found->ai_addrlen};
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

int address_resolve(const char *text, struct address *address, struct error *error) {
    if (strncmp(text, "unix:", 5) == 0)
        return address_of_path(text + 5, address, error);
    if (strncmp(text, "tcp:", 4) == 0)
        return resolve_tcp(text + 4, address, error);
    error_set(error, "%s: must be unix:PATH or tcp:HOST:PORT", text);
    return -1;
}
