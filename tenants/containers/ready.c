#include "tenants/containers/ready.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/spec.h"
#include "tenants/containers_config.h"

enum { PROBE_MS = 2000, COMMAND_MS = 5000, PAUSE_MS = 100, URL_BYTES = 256, PATH_BYTES = 512 };

static int64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum engine_result ready_pause(const struct ready *ready, int ms, struct error *error) {
    static const struct timespec moment = {.tv_nsec = PAUSE_MS * 1000000L};
    int64_t end = now_ms() + ms;

    do {
        if (ready->stop != NULL && atomic_load(ready->stop)) {
            error_set(error, "interrupted");
            return ENGINE_INTERRUPTED;
        }
        nanosleep(&moment, NULL);
    } while (now_ms() < end);
    return ENGINE_OK;
}

enum engine_result ready_wait_for_socket(const struct ready *ready, const char *path,
                                         struct error *error) {
    unsigned limit_ms = ready->config->containers->ready_ms;
    int64_t end = now_ms() + limit_ms;
    struct stat status;

    while (stat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        if (now_ms() >= end) {
            error_set(error,
                      "%s: no such socket after %g s; does the shim run? see fpmuxctl ps and "
                      "docker logs %s-shim",
                      path, limit_ms / 1000.0, ready->config->containers->name);
            return ENGINE_REFUSED;
        }
        if (ready_pause(ready, PAUSE_MS, error) != ENGINE_OK)
            return ENGINE_INTERRUPTED;
    }
    return ENGINE_OK;
}

/* ---- Probes: each returns whether the container answers, and else says how it was asked ---- */

static size_t drop(char *data, size_t size, size_t count, void *context) {
    (void)data;
    (void)context;
    return size * count;
}

static bool answers_http(const char *url, const char *host) {
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    char line[URL_BYTES + 8];
    long code = 0;

    if (curl == NULL)
        abort();
    if (host != NULL) {
        snprintf(line, sizeof line, "Host: %s", host);
        headers = curl_slist_append(NULL, line);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PROBE_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* never through a proxy of the environment */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return code == 200;
}

static void format_proxy_url(const struct containers_config *containers, const char *path,
                             char url[URL_BYTES]) {
    const char *address = containers->proxy_address;
    bool is_any = address == NULL || strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    bool is_v6 = !is_any && strchr(address, ':') != NULL;

    snprintf(url, URL_BYTES, "http://%s%s%s:%u%s", is_v6 ? "[" : "", is_any ? "127.0.0.1" : address,
             is_v6 ? "]" : "", containers->proxy_port, path);
}

static bool answers_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    bool is_connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_connected;
}

/* Reads what a command says until it ends; false when that takes too long. */
static bool drain(const struct ready *ready, int fd) {
    struct pollfd output = {.fd = fd, .events = POLLIN};
    int64_t end = now_ms() + COMMAND_MS;
    char bytes[256];
    ssize_t count = 1;

    while (count > 0) {
        if (now_ms() >= end || (ready->stop != NULL && atomic_load(ready->stop)))
            return false;
        if (poll(&output, 1, PAUSE_MS) == 1)
            count = read(fd, bytes, sizeof bytes);
    }
    return count == 0;
}

/* The socket is in a volume, where only the container sees it, and for its client alone. */
static bool answers_fpm(const struct ready *ready, const struct wanted *wanted, const char *id) {
    const struct pool_config *pool = config_find_pool(ready->config, wanted->id);
    char address[PATH_BYTES];
    const char *const command[] = {
        "php", "-r", "exit(@stream_socket_client($argv[1], $code, $text, 1) ? 0 : 1);", address,
        NULL};
    struct error ignored;
    char *exec_id;
    int code = -1;
    int fd;

    snprintf(address, sizeof address, "unix://%s", strchr(pool->address, ':') + 1);
    if (engine_exec(ready->engine, id, wanted->client, command, &fd, &exec_id, &ignored) !=
        ENGINE_OK)
        return false;
    if (drain(ready, fd))
        engine_exec_exit_code(ready->engine, exec_id, &code, &ignored);
    close(fd);
    free(exec_id);
    return code == 0;
}

/* The container's own address in the network of the web servers, or NULL. Borrowed. */
static const char *address_of(const struct ready *ready, const cJSON *container) {
    char *edge = spec_name(ready->config, "edge");
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(container, "NetworkSettings");
    const cJSON *networks = cJSON_GetObjectItemCaseSensitive(settings, "Networks");
    const cJSON *endpoint = cJSON_GetObjectItemCaseSensitive(networks, edge);
    const char *address =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(endpoint, "IPAddress"));

    free(edge);
    return address != NULL && address[0] != '\0' ? address : NULL;
}

static bool answers(const struct ready *ready, const struct wanted *wanted, const cJSON *container,
                    const char *id, enum ready_for whom) {
    char url[URL_BYTES];

    switch (wanted->role) {
    case ROLE_FPM:
        return answers_fpm(ready, wanted, id);
    case ROLE_SHIM:
        return wanted->socket == NULL || answers_socket(wanted->socket);
    case ROLE_PROXY:
        format_proxy_url(ready->config->containers, "/.fpmux/proxy", url);
        return answers_http(url, NULL);
    case ROLE_TENANT:
        if (whom == READY_ITSELF && address_of(ready, container) == NULL)
            return false;
        if (whom == READY_ITSELF)
            snprintf(url, sizeof url, "http://%s/.fpmux/alive", address_of(ready, container));
        else
            format_proxy_url(ready->config->containers, "/.fpmux/alive", url);
        return answers_http(url, wanted->host);
    case ROLES:
        break;
    }
    return false;
}

/* ---- Waiting ---- */

static bool is_true(const cJSON *object, const char *key) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* Why it will never answer, or false. */
static bool has_ended(const cJSON *container, const struct wanted *wanted, struct error *error) {
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(container, "State");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(state, "ExitCode");

    if (is_true(state, "Running") && !is_true(state, "Restarting"))
        return false;
    error_set(error, "it ended with code %d; the reason is in: docker logs %s",
              cJSON_IsNumber(code) ? code->valueint : -1, wanted->name);
    return true;
}

static enum engine_result look(const struct ready *ready, const struct wanted *wanted,
                               const char *id, enum ready_for whom, bool *is_ready,
                               struct error *error) {
    char path[PATH_BYTES];
    cJSON *container = NULL;

    *is_ready = false;
    snprintf(path, sizeof path, "/containers/%s/json", id);
    enum engine_result result = engine_call(ready->engine, "GET", path, NULL, &container, error);
    if (result == ENGINE_OK && has_ended(container, wanted, error))
        result = ENGINE_REFUSED;
    if (result == ENGINE_OK)
        *is_ready = answers(ready, wanted, container, id, whom);
    cJSON_Delete(container);
    return result;
}

enum engine_result ready_wait(const struct ready *ready, const struct wanted *wanted,
                              const char *id, enum ready_for whom, struct error *error) {
    unsigned limit_ms = ready->config->containers->ready_ms;
    int64_t end = now_ms() + limit_ms;
    bool is_ready;

    for (;;) {
        enum engine_result result = look(ready, wanted, id, whom, &is_ready, error);
        if (result != ENGINE_OK || is_ready)
            return result;
        if (now_ms() >= end)
            break;
        result = ready_pause(ready, PAUSE_MS, error);
        if (result != ENGINE_OK)
            return result;
    }
    error_set(error, "it runs, but did not answer within %g s; see docker logs %s%s",
              limit_ms / 1000.0, wanted->name,
              wanted->role == ROLE_TENANT && whom == READY_FOR_CLIENTS
                  ? " and whether the proxy runs (fpmuxctl ps)"
                  : "");
    return ENGINE_REFUSED;
}
