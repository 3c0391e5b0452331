/* The Docker Engine's API over its unix socket (libcurl, cJSON). One struct engine is one
 * connection and belongs to one thread; calls block. Knows HTTP and JSON, but not what containers
 * are for: that is decided in wanted.c and plan.c, and carried out in apply.c.
 *
 * Every failure is told in one line that says what to do. "Not reachable" is apart from all other
 * failures, because whoever started work must know whether to wait or to give up. */
#ifndef FPMUX_TENANTS_CONTAINERS_ENGINE_H
#define FPMUX_TENANTS_CONTAINERS_ENGINE_H

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tenants/error.h"

struct engine;

enum engine_result {
    ENGINE_OK = 0,
    ENGINE_MISSING = 1,  /* 404: no such container, image, network */
    ENGINE_CONFLICT = 2, /* 409: the name is in use, or the state forbids it */
    ENGINE_REFUSED = -1, /* any other answer that is no success; the engine's words are the error */
    ENGINE_UNREACHABLE = -2, /* no connection, or it broke: the engine is away or was restarted */
    ENGINE_INTERRUPTED = -3  /* *stop became true */
};

/* address is "unix:/PATH". stop (may be NULL) ends every call soon after it becomes true, with
 * ENGINE_INTERRUPTED; borrowed for the lifetime. Asks the engine for its API version. NULL when it
 * can't be reached, with "cannot reach the Docker Engine at …: …; start it (…), or set
 * containers.engine". */
struct engine *engine_open(const char *address, const atomic_bool *stop, struct error *error);
void engine_close(struct engine *engine); /* NULL is allowed */

/* One call. path is below the API's version and already escaped: "/containers/json?all=1". An
 * engine that is hung counts as unreachable after two minutes; only stopping a container and
 * waiting for its end may take longer. Starting what runs and stopping what does not (304) are
 * ENGINE_OK. body (may be NULL) is sent as JSON. *reply (reply may be NULL) is the answer's JSON,
 * owned by the caller, or NULL when it has none; also set to what the engine answered with a
 * refusal. error is set for every result but ENGINE_OK. */
enum engine_result engine_call(struct engine *engine, const char *method, const char *path,
                               const cJSON *body, cJSON **reply, struct error *error);

/* path with "?key=value" behind it, or "&key=value" when it has a query; the value is escaped. A
 * string is put as it is, anything else as JSON ("filters"). Owned by the caller. */
char *engine_path(const char *path, const char *key, const cJSON *value);

/* Follows an endless answer of JSON objects (/events); on_object borrows each. Returns when the
 * answer ends (ENGINE_UNREACHABLE), when on_object returns false (ENGINE_OK), or when stopped. */
enum engine_result engine_follow(struct engine *engine, const char *path,
                                 bool (*on_object)(void *context, const cJSON *object),
                                 void *context, struct error *error);

/* Sends a tar archive that read() produces (bytes into buffer, 0 at its end, -1 on error, which
 * becomes ENGINE_REFUSED) to /build; on_object gets each line of the engine's progress, also
 * {"error": …} of a build that failed: the call itself is ENGINE_OK then. */
enum engine_result engine_upload(struct engine *engine, const char *path,
                                 long (*read)(void *context, char *buffer, size_t room),
                                 bool (*on_object)(void *context, const cJSON *object),
                                 void *context, struct error *error);

/* Starts command (NULL at the end) in a running container as user, without a terminal. *fd is the
 * connection: what is written to it is the command's standard input; what is read are the engine's
 * frames of 8 bytes (stream 1 or 2, three zeros, length, big endian) and data.
 * shutdown(*fd, SHUT_WR) ends the standard input. *fd blocks, and writing to it raises SIGPIPE
 * once the engine is gone. The caller closes it. *exec_id (owned by the caller) asks for the exit
 * code once the connection ended. */
enum engine_result engine_exec(struct engine *engine, const char *container, const char *user,
                               const char *const *command, int *fd, char **exec_id,
                               struct error *error);

/* The exit code of an exec that has ended; -1 while it runs. */
enum engine_result engine_exec_exit_code(struct engine *engine, const char *exec_id, int *code,
                                         struct error *error);

#endif
