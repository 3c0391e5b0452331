#include "shim/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

#include "shim/daemon.h"
#include "shim/fcgi.h"
#include "shim/pool.h"
#include "tenants/log.h"

enum { ASK_AGAIN_MS = 10000, TIMEOUT_SECONDS = 5, ANSWER_BYTES_MAX = 4096 };

/* No name is a literal argument of ini_get(): it would be folded, too. */
static const char script[] = "<?php /* Written by fpmux, run by it at its start: see fpmux(8). */\n"
                             "[$on, $level] = ['opcache.enable', 'opcache.optimization_level'];\n"
                             "$folds = extension_loaded('Zend OPcache') && (int) ini_get($on)\n"
                             "    && (intval(ini_get($level), 0) & 0x81);\n"
                             "echo $folds ? 'fpmux-unsafe' : 'fpmux-safe';\n";

enum verdict { VERDICT_UNREACHABLE, VERDICT_UNSEEN, VERDICT_SAFE, VERDICT_UNSAFE };

struct probe {
    uv_work_t work;
    struct pool *pool;
    struct address address;
    char path[4096];
    enum verdict verdict;
};

static char *script_dir(const struct daemon *daemon) {
    char *dir = config_counters_dir(daemon->config); /* lies beside the ledger */
    char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
    char *result = NULL;

    if (slash != NULL && asprintf(&result, "%.*s/probe", (int)(slash - dir), dir) < 0)
        result = NULL;
    free(dir);
    return result;
}

int probe_write_script(struct daemon *daemon, struct error *error) {
    char *dir = script_dir(daemon);
    char path[4096];
    int result = -1;

    if (dir == NULL) {
        error_set(error, "out of memory");
        return -1;
    }
    snprintf(path, sizeof path, "%s/opcache.php", dir);
    mkdir(dir, 0755);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file >= 0) {
        fchmod(file, 0644);
        if (write(file, script, sizeof script - 1) == (ssize_t)(sizeof script - 1))
            result = 0;
    }
    if (result != 0)
        error_set(error, "%s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    free(dir);
    return result;
}

/* ---- On the thread ---- */

static size_t put(uint8_t *out, const char *name, const char *value) {
    return fcgi_encode_pair(out, name, strlen(name), value, strlen(value));
}

static size_t encode_request(const char *path, uint8_t *out) {
    uint8_t *params = out + FCGI_BEGIN_BYTES + FCGI_HEADER_LEN;
    size_t length = 0;

    fcgi_encode_begin(out, 1, FCGI_RESPONDER, false);
    length += put(params + length, "REQUEST_METHOD", "GET");
    length += put(params + length, "SCRIPT_NAME", "/opcache.php");
    length += put(params + length, "SCRIPT_FILENAME", path);
    fcgi_encode_header(out + FCGI_BEGIN_BYTES, FCGI_PARAMS, 1, (uint16_t)length);
    length += FCGI_BEGIN_BYTES + FCGI_HEADER_LEN;
    fcgi_encode_header(out + length, FCGI_PARAMS, 1, 0);
    fcgi_encode_header(out + length + FCGI_HEADER_LEN, FCGI_STDIN, 1, 0);
    return length + (size_t)2 * FCGI_HEADER_LEN;
}

static enum verdict converse(int fd, const struct probe *probe) {
    uint8_t request[sizeof probe->path + 256];
    char answer[ANSWER_BYTES_MAX];
    size_t length = encode_request(probe->path, request);
    size_t used = 0;
    ssize_t got = 0;

    if (connect(fd, (const struct sockaddr *)&probe->address.storage, probe->address.length) != 0 ||
        send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
        return VERDICT_UNREACHABLE;
    while (used < sizeof answer && (got = recv(fd, answer + used, sizeof answer - used, 0)) > 0)
        used += (size_t)got;
    if (memmem(answer, used, "fpmux-safe", strlen("fpmux-safe")) != NULL)
        return VERDICT_SAFE;
    if (memmem(answer, used, "fpmux-unsafe", strlen("fpmux-unsafe")) != NULL)
        return VERDICT_UNSAFE;
    return used > 0 ? VERDICT_UNSEEN : VERDICT_UNREACHABLE;
}

static void on_thread(uv_work_t *work) {
    struct probe *probe = work->data;
    struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
    int fd = socket(probe->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    probe->verdict = VERDICT_UNREACHABLE;
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    probe->verdict = converse(fd, probe);
    close(fd);
}

/* ---- On the loop ---- */

static void on_answer(uv_work_t *work, int status) {
    struct probe *probe = work->data;
    struct pool *pool = probe->pool;
    const char *name = pool->config->name;

    pool->is_probing = false;
    if (status == 0 && probe->verdict == VERDICT_UNSAFE && !pool->is_unsafe)
        log_error("pool %s: OPcache would show one tenant's `php` settings to others: its requests "
                  "are refused until opcache.optimization_level=0x7FFEBF7E is in PHP-FPM's "
                  "configuration and it was restarted",
                  name);
    if (status == 0 && probe->verdict == VERDICT_UNSEEN)
        log_warning("pool %s: PHP-FPM can't run %s, so it can't be checked that "
                    "opcache.optimization_level is 0x7FFEBF7E; with another value, tenants may see "
                    "each other's `php` settings",
                    name, probe->path);
    if (status == 0 && probe->verdict == VERDICT_SAFE && pool->is_unsafe)
        log_notice("pool %s: OPcache is set safely now", name);
    if (probe->verdict == VERDICT_SAFE || probe->verdict == VERDICT_UNSAFE)
        pool->is_unsafe = probe->verdict == VERDICT_UNSAFE;
    pool->is_probed = probe->verdict == VERDICT_SAFE || probe->verdict == VERDICT_UNSEEN;
    pool->probe_at_ms = uv_now(&pool->daemon->loop) + ASK_AGAIN_MS;
    free(probe);
}

void probe_ask(struct pool *pool) {
    struct daemon *daemon = pool->daemon;
    bool is_needed = pool->config->php.count > 0 && !pool->is_probed && !pool->is_probing;

    if (!is_needed || uv_now(&daemon->loop) < pool->probe_at_ms)
        return;
    struct probe *probe = calloc(1, sizeof *probe);
    char *dir = script_dir(daemon);
    if (probe == NULL || dir == NULL) {
        free(probe);
        free(dir);
        return;
    }
    probe->work.data = probe;
    probe->pool = pool;
    probe->address = pool->address;
    snprintf(probe->path, sizeof probe->path, "%s/opcache.php", dir);
    free(dir);
    pool->is_probing = uv_queue_work(&daemon->loop, &probe->work, on_thread, on_answer) == 0;
    if (!pool->is_probing)
        free(probe);
}
