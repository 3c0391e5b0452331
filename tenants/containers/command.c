#include "tenants/containers/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "tenants/containers/engine.h"
#include "tenants/containers_config.h"

enum { SILENCE_MS = 30000 }; /* of the runner; more than any load explains */

static const char RUNNER[] = "/usr/bin/fpmux-exec";
static const char RUNNER_USER_NAME[] = "root"; /* of the container: out of the command's reach */
static const char USER[] = "www-data";         /* whom the workers of php-fpm run as */

/* ---- The environment ---- */

static const char *find_param(const struct tenant *tenant, const char *name) {
    for (size_t i = 0; i < tenant->param_count; i++)
        if (strcmp(tenant->params[i].name, name) == 0)
            return tenant->params[i].value;
    return NULL;
}

static void add_variable(struct string_list *environment, const char *name, const char *value) {
    char **grown =
        reallocarray(environment->items, environment->count + 1, sizeof *environment->items);

    if (grown == NULL || asprintf(&grown[environment->count], "%s=%s", name, value) < 0)
        abort();
    environment->items = grown;
    environment->count++;
}

/* PATH, HOME and USER are reserved names, which no parameter has; LANG is not. */
void command_environment(const struct tenant *tenant, struct string_list *environment) {
    const char *data_root = find_param(tenant, "DATAROOT");

    *environment = (struct string_list){0};
    add_variable(environment, "PATH",
                 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add_variable(environment, "HOME", data_root != NULL ? data_root : "/tmp");
    add_variable(environment, "USER", USER);
    if (find_param(tenant, "LANG") == NULL)
        add_variable(environment, "LANG", "C.UTF-8");
    for (size_t i = 0; i < tenant->param_count; i++)
        add_variable(environment, tenant->params[i].name, tenant->params[i].value);
}

void command_environment_deinit(struct string_list *environment) {
    for (size_t i = 0; i < environment->count; i++) {
        explicit_bzero(environment->items[i], strlen(environment->items[i]));
        free(environment->items[i]);
    }
    free(environment->items);
    *environment = (struct string_list){0};
}

/* ---- Running ---- */

struct run {
    const struct command_request *request;
    struct command_result *result;
};

static void on_output(void *context, bool is_error, const char *bytes, size_t length) {
    const struct run *run = context;

    run->request->on_output(run->request->context, is_error, bytes, length);
}

static void on_cpu(void *context, uint64_t ns) {
    const struct run *run = context;

    run->result->cpu_ns += ns;
    charges_add_cpu(run->request->charges, run->request->tenant->id, ns);
}

static uint64_t now_ns(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void translate(const struct session_result *session, unsigned limit_ms,
                      struct command_result *result) {
    result->has_ended = session->end != SESSION_BROKEN;
    result->error = session->error;
    switch (session->end) {
    case SESSION_EXITED:
    case SESSION_NOT_STARTED:
        result->exit_code = session->value;
        break;
    case SESSION_KILLED:
        result->exit_code = 128 + session->value;
        error_set(&result->error, "killed by signal %d (%s)", session->value,
                  sigdescr_np(session->value));
        break;
    case SESSION_TIMED_OUT:
        result->exit_code = COMMAND_TIMED_OUT_CODE;
        error_set(&result->error, "ended after its limit of %g s", limit_ms / 1000.0);
        break;
    case SESSION_BROKEN:
        result->exit_code = EX_UNAVAILABLE;
        break;
    }
}

static void talk(const struct command_request *request, const char *directory, int fd,
                 struct command_result *result) {
    struct run run = {.request = request, .result = result};
    struct session_result session;
    struct string_list environment;

    command_environment(request->tenant, &environment);
    session_run(fd,
                &(struct session_request){.environment = &environment,
                                          .command = request->command,
                                          .directory = directory,
                                          .user = USER,
                                          .limit_ms = request->limit_ms,
                                          .silence_ms = SILENCE_MS,
                                          .input = request->input,
                                          .urgency = request->urgency,
                                          .on_output = on_output,
                                          .on_cpu = on_cpu,
                                          .context = &run},
                &session);
    translate(&session, request->limit_ms, result);
    command_environment_deinit(&environment);
}

/* The connection to the runner, or -1 with the reason. */
static int connect_runner(const struct command_request *request, struct error *error) {
    const struct containers_config *containers = request->config->containers;
    const char *const command[] = {RUNNER, NULL};
    char *container = NULL;
    char *exec_id = NULL;
    int fd = -1;

    struct engine *engine = engine_open(containers->engine, NULL, error);
    if (engine == NULL)
        return -1;
    if (asprintf(&container, "%s-fpm-%s", containers->name, request->tenant->pool) < 0)
        abort();
    enum engine_result result =
        engine_exec(engine, container, RUNNER_USER_NAME, command, &fd, &exec_id, error);
    if (result == ENGINE_MISSING || result == ENGINE_CONFLICT)
        error_set(error, "the container %s does not run: fpmuxctl up fpm", container);
    engine_close(engine);
    free(exec_id);
    free(container);
    return fd;
}

void command_run(const struct command_request *request, struct command_result *result) {
    const struct pool_config *pool = config_find_pool(request->config, request->tenant->pool);
    uint64_t begin = now_ns();

    *result = (struct command_result){.exit_code = EX_UNAVAILABLE};
    int fd = connect_runner(request, &result->error);
    if (fd >= 0) {
        talk(request, pool->root, fd, result);
        close(fd);
    }
    result->wall_ns = now_ns() - begin;
}
