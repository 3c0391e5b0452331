#include "shim/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "shim/address.h"
#include "shim/daemon.h"
#include "shim/front.h"
#include "tenants/file.h"
#include "tenants/log.h"

enum {
    BACKLOG = 4096,  /* the kernel lowers it to net.core.somaxconn */
    ACCEPTS_MAX = 64 /* per turn of the loop, so that those who are connected get theirs */
};

struct listener {
    struct watch watch; /* watch.fd is the socket */
    struct daemon *daemon;
    bool is_tcp;
    bool is_paused;                 /* out of descriptors until the next tick */
    char *path;                     /* of a unix socket; owned */
    char tenant[TENANT_ID_MAX + 1]; /* "" for a shared one */
    struct listener *next;          /* shared ones */
    UT_hash_handle by_tenant;       /* the tenants' */
};

/* ---- Accepting ---- */

static bool is_allowed(const struct listener *listener, const struct sockaddr_storage *peer) {
    struct in6_addr address = IN6ADDR_ANY_INIT;

    if (!listener->is_tcp)
        return true;
    if (peer->ss_family == AF_INET6) {
        address = ((const struct sockaddr_in6 *)peer)->sin6_addr;
    } else {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)peer;
        address.s6_addr[10] = address.s6_addr[11] = 0xff; /* ::ffff:a.b.c.d */
        memcpy(&address.s6_addr[12], &ipv4->sin_addr, 4);
    }
    return config_allows(listener->daemon->config, &address);
}

static void take(struct listener *listener, int fd, const struct sockaddr_storage *peer) {
    if (!is_allowed(listener, peer)) {
        char name[INET6_ADDRSTRLEN] = "?";
        if (peer->ss_family == AF_INET)
            uv_ip4_name((const struct sockaddr_in *)peer, name, sizeof name);
        else
            uv_ip6_name((const struct sockaddr_in6 *)peer, name, sizeof name);
        log_notice("front %s: closed: its address is not in `allow`", name);
        close(fd);
        return;
    }
    if (listener->is_tcp) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    front_open(listener->daemon, fd, listener->is_tcp, listener->tenant);
}

static void on_connection(struct watch *watch, uint32_t events) {
    struct listener *listener = (struct listener *)watch; /* its first member */

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(listener->watch.fd, (struct sockaddr *)&peer, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(listener, fd, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_error("accept: %s; connections wait (raise LimitNOFILE)", strerror(errno));
            poller_change(&listener->daemon->poller, watch, 0);
            listener->is_paused = true;
            listener->daemon->has_paused_listeners = true;
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void resume(struct listener *listener) {
    if (!listener->is_paused)
        return;
    listener->is_paused = false;
    poller_change(&listener->daemon->poller, &listener->watch, EPOLLIN);
}

/* ---- Opening and closing ---- */

/* Whether somebody answers at a socket that is already there. */
static bool is_in_use(const struct address *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers =
        fd >= 0 && connect(fd, (const struct sockaddr *)&address->storage, address->length) == 0;

    if (fd >= 0)
        close(fd);
    return answers;
}

/* Anyone who reaches the path may connect: directories decide who does, as containers with uids of
 * their own must. */
static int bind_unix(int fd, const struct address *address, const char *path, struct error *error) {
    struct stat status;

    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode) || is_in_use(address)) {
            error_set(error, "unix:%s: %s", path,
                      S_ISSOCK(status.st_mode) ? "another process listens there"
                                               : "exists and is not a socket");
            return -1;
        }
        unlink(path);
    }
    if (bind(fd, (const struct sockaddr *)&address->storage, address->length) != 0 ||
        chmod(path, 0666) != 0) {
        error_set(error, "unix:%s: %s", path, strerror(errno));
        return -1;
    }
    return 0;
}

static int bind_tcp(int fd, const struct address *address, const char *text, struct error *error) {
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0)
        return 0;
    error_set(error, "%s: %s", text, strerror(errno));
    return -1;
}

static void close_listener(struct listener *listener) {
    poller_remove(&listener->daemon->poller, &listener->watch);
    if (listener->path != NULL)
        unlink(listener->path);
    close(listener->watch.fd);
    free(listener->path);
    free(listener);
}

static struct listener *open_listener(struct daemon *daemon, const struct address *address,
                                      const char *text, const char *tenant, struct error *error) {
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct listener *listener = calloc(1, sizeof *listener);
    int result = -1;

    if (fd < 0 || listener == NULL)
        error_set(error, "%s: %s", text, strerror(errno));
    else if (address->is_unix)
        result = bind_unix(fd, address, text, error);
    else
        result = bind_tcp(fd, address, text, error);
    if (listener != NULL)
        listener->watch = (struct watch){.fd = fd, .events = EPOLLIN, .on_events = on_connection};
    if (result == 0 &&
        (listen(fd, BACKLOG) != 0 || poller_add(&daemon->poller, &listener->watch) != 0)) {
        error_set(error, "%s: %s", text, strerror(errno));
        result = -1;
    }
    if (result != 0) {
        if (fd >= 0)
            close(fd);
        free(listener);
        return NULL;
    }
    listener->daemon = daemon;
    listener->is_tcp = !address->is_unix;
    listener->path = address->is_unix ? strdup(text) : NULL;
    snprintf(listener->tenant, sizeof listener->tenant, "%s", tenant);
    return listener;
}

/* ---- The configuration's ---- */

int listeners_open(struct daemon *daemon, struct error *error) {
    const struct string_list *wanted = &daemon->config->listen;

    if (wanted->count == 0 && daemon->config->tenant_sockets == NULL) {
        error_set(error, "listen is empty and tenant_sockets is false: nobody could connect");
        return -1;
    }
    for (size_t i = 0; i < wanted->count; i++) {
        struct address address;
        struct listener *listener = NULL;
        const char *text = wanted->items[i];
        if (address_resolve(text, &address, error) == 0) {
            text += address.is_unix ? strlen("unix:") : 0;
            listener = open_listener(daemon, &address, text, "", error);
        }
        if (listener == NULL) {
            error_prefix(error, "listen");
            return -1;
        }
        listener->next = daemon->listeners;
        daemon->listeners = listener;
    }
    return 0;
}

/* ---- The tenants' ---- */

int listeners_prepare_tenants(struct daemon *daemon, struct error *error) {
    const char *dir = daemon->config->tenant_sockets;

    if (dir == NULL || file_prepare_directory(dir, 0710, error) == 0)
        return 0;
    error_prefix(error, "tenant_sockets");
    return -1;
}

static struct listener *find(const struct daemon *daemon, const char *id) {
    struct listener *listener;

    HASH_FIND(by_tenant, daemon->tenant_listeners, id, strlen(id), listener);
    return listener;
}

static void open_tenant(struct daemon *daemon, const char *id) {
    struct address address;
    struct error error;
    char path[512];

    snprintf(path, sizeof path, "%s/%s", daemon->config->tenant_sockets, id);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        log_error("tenant %s: its socket's directory %s: %s", id, path, strerror(errno));
        return;
    }
    snprintf(path, sizeof path, "%s/%s/fpmux.sock", daemon->config->tenant_sockets, id);
    struct listener *listener = NULL;
    if (address_of_path(path, &address, &error) == 0)
        listener = open_listener(daemon, &address, path, id, &error);
    if (listener == NULL) {
        log_error("tenant %s: its socket: %s", id, error.text);
        return;
    }
    HASH_ADD_KEYPTR(by_tenant, daemon->tenant_listeners, listener->tenant, strlen(id), listener);
}

static void close_tenant(struct daemon *daemon, struct listener *listener) {
    HASH_DELETE(by_tenant, daemon->tenant_listeners, listener);
    close_listener(listener);
}

void listeners_on_change(struct daemon *daemon, const struct tenant *before,
                         const struct tenant *after) {
    if (daemon->config->tenant_sockets == NULL)
        return;
    struct listener *listener = find(daemon, before != NULL ? before->id : after->id);
    if (after == NULL && listener != NULL)
        close_tenant(daemon, listener);
    else if (after != NULL && listener == NULL)
        open_tenant(daemon, after->id);
}

/* ---- All ---- */

void listeners_resume(struct daemon *daemon) {
    struct listener *listener;
    struct listener *next;

    if (!daemon->has_paused_listeners)
        return;
    daemon->has_paused_listeners = false;
    for (listener = daemon->listeners; listener != NULL; listener = listener->next)
        resume(listener);
    HASH_ITER(by_tenant, daemon->tenant_listeners, listener, next) {
        resume(listener);
    }
}

void listeners_close(struct daemon *daemon) {
    struct listener *listener;
    struct listener *next;

    while ((listener = daemon->listeners) != NULL) {
        daemon->listeners = listener->next;
        close_listener(listener);
    }
    HASH_ITER(by_tenant, daemon->tenant_listeners, listener, next) {
        close_tenant(daemon, listener);
    }
}
