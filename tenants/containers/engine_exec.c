/* Running a command in a container: one ordinary call makes the exec, a second one starts it and
 * turns its connection into a plain stream (Upgrade: tcp).
 *
 * libcurl does not hand over the connection of a transfer, upgraded or not, and may have read
 * beyond the head of the answer. So the second call goes over a handle of its own that only
 * connects (CURLOPT_CONNECT_ONLY): request and head are sent and read here, the head byte by byte,
 * so that the first byte of the command's output is the first one that the caller reads. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tenants/containers/engine_codec.h"
#include "tenants/containers/engine_connection.h"

enum { HEAD_BYTES_MAX = 16 << 10, REFUSAL_BYTES_MAX = 64 << 10, LOOK_UP_MS = 250 };

/* ---- The first call: making the exec ---- */

static cJSON *describe_exec(const char *user, const char *const *command) {
    cJSON *body = cJSON_CreateObject();
    cJSON *words = cJSON_AddArrayToObject(body, "Cmd");

    cJSON_AddTrueToObject(body, "AttachStdin");
    cJSON_AddTrueToObject(body, "AttachStdout");
    cJSON_AddTrueToObject(body, "AttachStderr");
    cJSON_AddFalseToObject(body, "Tty");
    cJSON_AddStringToObject(body, "User", user);
    for (; *command != NULL; command++) {
        if (!cJSON_AddItemToArray(words, cJSON_CreateString(*command)))
            abort();
    }
    return body;
}

static enum engine_result create_exec(struct engine *engine, const char *container,
                                      const char *user, const char *const *command, char **exec_id,
                                      struct error *error) {
    cJSON *body = describe_exec(user, command);
    cJSON *reply = NULL;
    char *path = NULL;

    if (asprintf(&path, "/containers/%s/exec", container) < 0)
        abort();
    enum engine_result result = engine_call(engine, "POST", path, body, &reply, error);
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "Id"));
    if (result == ENGINE_OK && id == NULL) {
        error_set(error, "POST %s: the answer has no Id", path);
        result = ENGINE_REFUSED;
    }
    if (result == ENGINE_OK && (*exec_id = strdup(id)) == NULL)
        abort();
    cJSON_Delete(reply);
    cJSON_Delete(body);
    free(path);
    return result;
}

/* ---- The second call: starting it, by hand ---- */

struct start {
    const struct engine *engine;
    CURL *curl; /* owned; connected */
    curl_socket_t socket;
    char *path; /* owned */
    time_t deadline;
};

static time_t now_seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Waits until the socket is ready for events. CURLE_OK, or why not. */
static CURLcode wait_ready(const struct start *start, short events) {
    struct pollfd waited = {.fd = start->socket, .events = events};

    while (poll(&waited, 1, LOOK_UP_MS) <= 0) {
        if (engine_is_stopped(start->engine))
            return CURLE_ABORTED_BY_CALLBACK;
        if (now_seconds() >= start->deadline)
            return CURLE_OPERATION_TIMEDOUT;
    }
    return CURLE_OK;
}

static CURLcode send_request(const struct start *start) {
    static const char content[] = "{\"Detach\":false,\"Tty\":false}";
    char *request = NULL;
    CURLcode code = CURLE_OK;
    int length = asprintf(&request,
                          "POST %s%s HTTP/1.1\r\n"
                          "Host: docker\r\n"
                          "Connection: Upgrade\r\n"
                          "Upgrade: tcp\r\n"
                          "Content-Type: application/json\r\n"
                          "Content-Length: %zu\r\n"
                          "\r\n%s",
                          start->engine->base + strlen("http://docker"), start->path,
                          sizeof content - 1, content);

    if (length < 0)
        abort();
    for (size_t sent = 0, count = 0; sent < (size_t)length; sent += count) {
        count = 0;
        code = curl_easy_send(start->curl, request + sent, (size_t)length - sent, &count);
        if (code == CURLE_AGAIN)
            code = wait_ready(start, POLLOUT);
        if (code != CURLE_OK)
            break;
    }
    free(request);
    return code;
}

static CURLcode read_byte(const struct start *start, char *byte) {
    CURLcode code = CURLE_AGAIN;
    size_t count = 0;

    while (code == CURLE_AGAIN) {
        code = curl_easy_recv(start->curl, byte, 1, &count);
        if (code == CURLE_AGAIN && (code = wait_ready(start, POLLIN)) == CURLE_OK)
            code = CURLE_AGAIN;
    }
    if (code == CURLE_OK && count == 0)
        return CURLE_GOT_NOTHING; /* the engine closed */
    return code;
}

/* The head up to and with its empty line, and not one byte more. */
static CURLcode read_head(const struct start *start, struct engine_head *head) {
    struct engine_bytes text = {.cap = HEAD_BYTES_MAX};
    CURLcode code = CURLE_OK;
    char byte;

    do {
        code = read_byte(start, &byte);
        if (code == CURLE_OK && !engine_bytes_append(&text, &byte, 1))
            code = CURLE_WEIRD_SERVER_REPLY;
    } while (code == CURLE_OK &&
             (text.length < 4 || memcmp(text.data + text.length - 4, "\r\n\r\n", 4) != 0));
    if (code == CURLE_OK && !engine_head_parse(text.data, head))
        code = CURLE_WEIRD_SERVER_REPLY;
    engine_bytes_deinit(&text);
    return code;
}

/* Sets error to the words of an answer that is no success. */
static enum engine_result read_refusal(const struct start *start, const struct engine_head *head,
                                       struct error *error) {
    struct engine_bytes body = {.cap = REFUSAL_BYTES_MAX};
    char byte;

    while (body.length < head->body_bytes && read_byte(start, &byte) == CURLE_OK &&
           engine_bytes_append(&body, &byte, 1))
        ;
    enum engine_result result = engine_judge(head->status, body.data, body.length, error);
    engine_bytes_deinit(&body);
    return result;
}

static CURLcode connect_only(struct start *start) {
    engine_set_address(start->engine, start->curl);
    curl_easy_setopt(start->curl, CURLOPT_URL, "http://docker/");
    curl_easy_setopt(start->curl, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode code = curl_easy_perform(start->curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(start->curl, CURLINFO_ACTIVESOCKET, &start->socket);
    return code;
}

/* A descriptor of the connection that outlives libcurl's, blocking as callers expect. */
static enum engine_result take_over(curl_socket_t socket, int *fd, struct error *error) {
    *fd = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    if (*fd < 0) {
        error_set(error, "the connection of a command: %s", strerror(errno));
        return ENGINE_REFUSED;
    }
    fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) & ~O_NONBLOCK);
    return ENGINE_OK;
}

static enum engine_result start_exec(const struct engine *engine, const char *exec_id, int *fd,
                                     struct error *error) {
    struct start start = {.engine = engine,
                          .curl = curl_easy_init(),
                          .deadline = now_seconds() + ENGINE_ANSWER_SECONDS};
    struct engine_head head = {0};
    enum engine_result result = ENGINE_OK;

    if (start.curl == NULL || asprintf(&start.path, "/exec/%s/start", exec_id) < 0)
        abort();
    CURLcode code = connect_only(&start);
    if (code == CURLE_OK)
        code = send_request(&start);
    if (code == CURLE_OK)
        code = read_head(&start, &head);
    if (code != CURLE_OK)
        result = engine_tell_failure(engine, start.curl, code, "POST", start.path, error);
    else if (head.status == 101 || head.status == 200) /* 200: an engine that only hijacks */
        result = take_over(start.socket, fd, error);
    else
        result = read_refusal(&start, &head, error);
    curl_easy_cleanup(start.curl);
    free(start.path);
    return result;
}

enum engine_result engine_exec(struct engine *engine, const char *container, const char *user,
                               const char *const *command, int *fd, char **exec_id,
                               struct error *error) {
    *fd = -1;
    *exec_id = NULL;
    enum engine_result result = create_exec(engine, container, user, command, exec_id, error);
    if (result == ENGINE_OK)
        result = start_exec(engine, *exec_id, fd, error);
    if (result != ENGINE_OK) {
        free(*exec_id);
        *exec_id = NULL;
    }
    return result;
}

enum engine_result engine_exec_exit_code(struct engine *engine, const char *exec_id, int *code,
                                         struct error *error) {
    cJSON *reply = NULL;
    char *path = NULL;

    if (asprintf(&path, "/exec/%s/json", exec_id) < 0)
        abort();
    enum engine_result result = engine_call(engine, "GET", path, NULL, &reply, error);
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(reply, "ExitCode");
    bool runs = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "Running"));
    *code = !runs && cJSON_IsNumber(number) ? number->valueint : -1;
    cJSON_Delete(reply);
    free(path);
    return result;
}
