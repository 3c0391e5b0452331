#include "tenants/containers/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tenants/containers/engine_codec.h"
#include "tenants/containers/engine_connection.h"

enum { REPLY_BYTES_MAX = 64 << 20 };

/* One request and its answer on the way. */
struct transfer {
    const char *method;
    const char *path;
    struct engine_bytes reply;      /* a whole answer, or a refusal */
    struct engine_objects *objects; /* where a success goes instead, or NULL */
    long (*read)(void *context, char *buffer, size_t room); /* gives the body, or NULL */
    void *read_context;
    bool has_head;                                                        /* of the answer, whole */
    enum { BROKEN_BY_NOBODY, ENOUGH, TOO_LONG, NO_JSON, UNREADABLE } cut; /* why we broke it off */
};

/* ---- The connection ---- */

bool engine_is_stopped(const struct engine *engine) {
    return engine->stop != NULL && atomic_load(engine->stop);
}

/* Asked about once a second while nothing happens. */
static int on_progress(void *context, curl_off_t to_read, curl_off_t have_read, curl_off_t to_write,
                       curl_off_t have_written) {
    const struct engine *engine = context;

    (void)to_read, (void)have_read, (void)to_write, (void)have_written;
    return engine_is_stopped(engine);
}

void engine_set_address(const struct engine *engine, CURL *curl) {
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, engine->socket_path);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever $http_proxy says */
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)ENGINE_CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)engine);
}

static void tell_no_connection(const char *socket_path, int number, struct error *error) {
    if (number == EACCES || number == EPERM)
        error_set(error,
                  "cannot reach the Docker Engine at %s: %s; run this as root or as a member of "
                  "the socket's group (docker)",
                  socket_path, strerror(number));
    else
        error_set(error,
                  "cannot reach the Docker Engine at %s: %s; start it (systemctl start docker) or "
                  "set containers.engine in fpmux.json",
                  socket_path, strerror(number));
}

enum engine_result engine_tell_failure(const struct engine *engine, CURL *curl, CURLcode code,
                                       const char *method, const char *path, struct error *error) {
    long number = 0;

    if (code == CURLE_ABORTED_BY_CALLBACK) {
        error_set(error, "interrupted");
        return ENGINE_INTERRUPTED;
    }
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT)
        tell_no_connection(engine->socket_path, number != 0 ? (int)number : ECONNREFUSED, error);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        error_set(error, "the Docker Engine at %s does not answer %s %s within %d s; is it hung?",
                  engine->socket_path, method, path, ENGINE_ANSWER_SECONDS);
    else
        error_set(error, "lost the Docker Engine at %s during %s %s: %s", engine->socket_path,
                  method, path, curl_easy_strerror(code));
    return ENGINE_UNREACHABLE;
}

/* ---- One transfer ---- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    (void)size; /* 1 */

    if (transfer->objects == NULL) {
        if (engine_bytes_append(&transfer->reply, bytes, count))
            return count;
        transfer->cut = TOO_LONG;
        return 0;
    }
    enum engine_objects_result result = engine_objects_feed(transfer->objects, bytes, count);
    if (result == ENGINE_OBJECTS_MORE)
        return count;
    transfer->cut = result == ENGINE_OBJECTS_ENOUGH ? ENOUGH : NO_JSON;
    return 0;
}

static size_t on_head_line(char *line, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    const char *status = memchr(line, ' ', count);

    transfer->has_head = count == 2; /* the empty line */
    /* A refusal is a message, also where objects were expected. */
    if (count > 5 && memcmp(line, "HTTP/", 5) == 0 && status != NULL && status[1] > '2')
        transfer->objects = NULL;
    return size * count;
}

static size_t on_room(char *buffer, size_t size, size_t room, void *context) {
    struct transfer *transfer = context;
    long count = transfer->read(transfer->read_context, buffer, size * room);

    if (count >= 0)
        return (size_t)count;
    transfer->cut = UNREADABLE;
    return CURL_READFUNC_ABORT;
}

/* Sets the method and the body: read()'s, or text, or none. Returns the header lines, which must
 * live as long as the transfer. */
static struct curl_slist *set_body(CURL *curl, const struct transfer *transfer, const char *text) {
    /* No "Expect: 100-continue", for which libcurl waits a second in vain. */
    struct curl_slist *lines = curl_slist_append(NULL, "Expect:");

    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, transfer->method);
    if (transfer->read != NULL) {
        lines = curl_slist_append(lines, "Content-Type: application/x-tar");
        lines = curl_slist_append(lines, "Transfer-Encoding: chunked");
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_room);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
    } else if (strcmp(transfer->method, "POST") == 0) {
        lines = curl_slist_append(lines, "Content-Type: application/json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text != NULL ? text : "");
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    return lines;
}

/* How a transfer came out that libcurl finished, or that we broke off. */
static enum engine_result judge_transfer(const struct engine *engine,
                                         const struct transfer *transfer, struct error *error) {
    long status = 0;

    switch (transfer->cut) {
    case BROKEN_BY_NOBODY:
        break;
    case ENOUGH:
        return ENGINE_OK;
    case TOO_LONG:
        error_set(error, "%s %s: the answer is longer than %d MiB", transfer->method,
                  transfer->path, REPLY_BYTES_MAX >> 20);
        return ENGINE_REFUSED;
    case NO_JSON:
        error_set(error, "%s %s: the answer is no JSON; is a Docker Engine behind %s?",
                  transfer->method, transfer->path, engine->socket_path);
        return ENGINE_REFUSED;
    case UNREADABLE:
        error_set(error, "%s %s: what is to be sent can't be read", transfer->method,
                  transfer->path);
        return ENGINE_REFUSED;
    }
    curl_easy_getinfo(engine->curl, CURLINFO_RESPONSE_CODE, &status);
    return engine_judge(status, transfer->reply.data, transfer->reply.length, error);
}

/* seconds is the limit for all of it; 0 is none. */
static enum engine_result perform(const struct engine *engine, struct transfer *transfer,
                                  const char *text, long seconds, struct error *error) {
    CURL *curl = engine->curl;
    char *url = NULL;

    if (engine_is_stopped(engine))
        return engine_tell_failure(engine, curl, CURLE_ABORTED_BY_CALLBACK, transfer->method,
                                   transfer->path, error);
    if (asprintf(&url, "%s%s", engine->base, transfer->path) < 0)
        abort();
    transfer->reply.cap = REPLY_BYTES_MAX;
    curl_easy_reset(curl); /* keeps the connection */
    engine_set_address(engine, curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, seconds);
    /* When a kept connection turns out dead, libcurl repeats the request by itself. What changes
     * something may have been carried out already, so that is for the caller to decide. */
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, strcmp(transfer->method, "GET") != 0 ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    struct curl_slist *lines = set_body(curl, transfer, text);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    free(url);
    if (code == CURLE_OK && !transfer->has_head)
        code = CURLE_PARTIAL_FILE; /* libcurl takes the beginning of a head for all of it */
    if (code != CURLE_OK && transfer->cut == BROKEN_BY_NOBODY)
        return engine_tell_failure(engine, curl, code, transfer->method, transfer->path, error);
    return judge_transfer(engine, transfer, error);
}

/* ---- Opening ---- */

static void init_libcurl(void) {
    if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
        abort();
}

/* Becomes part of every path, so only what a version is made of passes. */
static bool is_version(const char *text) {
    return text != NULL && *text != '\0' && strlen(text) < 16 &&
           text[strspn(text, "0123456789.")] == '\0';
}

/* The engine's own version is what it surely speaks: the oldest that we need is 1.41. */
static bool ask_version(struct engine *engine, struct error *error) {
    cJSON *reply = NULL;
    enum engine_result result = engine_call(engine, "GET", "/version", NULL, &reply, error);
    const char *version =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "ApiVersion"));

    if (result == ENGINE_OK && !is_version(version)) {
        error_set(error, "what answers at %s is no Docker Engine", engine->socket_path);
        result = ENGINE_REFUSED;
    }
    if (result == ENGINE_OK)
        snprintf(engine->base, sizeof engine->base, "http://docker/v%s", version);
    cJSON_Delete(reply);
    return result == ENGINE_OK;
}

struct engine *engine_open(const char *address, const atomic_bool *stop, struct error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (strncmp(address, "unix:/", 6) != 0) {
        error_set(error, "containers.engine: \"%s\" is not unix:/PATH", address);
        return NULL;
    }
    if (strlen(address + 5) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        tell_no_connection(address + 5, ENAMETOOLONG, error);
        return NULL;
    }
    pthread_once(&once, init_libcurl);
    struct engine *engine = malloc(sizeof *engine);
    if (engine == NULL)
        abort();
    *engine = (struct engine){.curl = curl_easy_init(),
                              .socket_path = strdup(address + 5),
                              .base = "http://docker",
                              .stop = stop};
    if (engine->curl == NULL || engine->socket_path == NULL)
        abort();
    if (ask_version(engine, error))
        return engine;
    engine_close(engine);
    return NULL;
}

void engine_close(struct engine *engine) {
    if (engine == NULL)
        return;
    curl_easy_cleanup(engine->curl);
    free(engine->socket_path);
    free(engine);
}

/* ---- Calls ---- */

/* These are answered when a container has come to its end, which is the container's affair. */
static bool waits_for_container(const char *path) {
    return strstr(path, "/stop") != NULL || strstr(path, "/restart") != NULL ||
           strstr(path, "/wait") != NULL;
}

enum engine_result engine_call(struct engine *engine, const char *method, const char *path,
                               const cJSON *body, cJSON **reply, struct error *error) {
    struct transfer transfer = {.method = method, .path = path};
    char *text = body != NULL ? cJSON_PrintUnformatted(body) : NULL;

    if (body != NULL && text == NULL)
        abort();
    if (reply != NULL)
        *reply = NULL;
    enum engine_result result = perform(
        engine, &transfer, text, waits_for_container(path) ? 0 : ENGINE_ANSWER_SECONDS, error);
    if (reply != NULL && transfer.reply.length > 0)
        *reply = cJSON_ParseWithLength(transfer.reply.data, transfer.reply.length);
    if (reply != NULL && *reply == NULL && transfer.reply.length > 0 && result == ENGINE_OK) {
        transfer.cut = NO_JSON;
        result = judge_transfer(engine, &transfer, error);
    }
    engine_bytes_deinit(&transfer.reply);
    free(text);
    return result;
}

enum engine_result engine_follow(struct engine *engine, const char *path,
                                 bool (*on_object)(void *context, const cJSON *object),
                                 void *context, struct error *error) {
    struct engine_objects objects;
    struct transfer transfer = {.method = "GET", .path = path, .objects = &objects};

    engine_objects_init(&objects, on_object, context);
    enum engine_result result = perform(engine, &transfer, NULL, 0, error);
    if (result == ENGINE_OK && transfer.cut != ENOUGH) {
        error_set(error, "the Docker Engine at %s ended GET %s", engine->socket_path, path);
        result = ENGINE_UNREACHABLE;
    }
    engine_objects_deinit(&objects);
    engine_bytes_deinit(&transfer.reply);
    return result;
}

enum engine_result engine_upload(struct engine *engine, const char *path,
                                 long (*read)(void *context, char *buffer, size_t room),
                                 bool (*on_object)(void *context, const cJSON *object),
                                 void *context, struct error *error) {
    struct engine_objects objects;
    struct transfer transfer = {
        .method = "POST", .path = path, .objects = &objects, .read = read, .read_context = context};

    engine_objects_init(&objects, on_object, context);
    enum engine_result result = perform(engine, &transfer, NULL, 0, error);
    engine_objects_deinit(&objects);
    engine_bytes_deinit(&transfer.reply);
    return result;
}
