/* One command of one tenant, run in the php-fpm container of the tenant's pool by fpmux-exec, with
 * the tenant's parameters for an environment; its CPU is charged to the tenant. Blocks, so whoever
 * runs several has a thread for each. */
#ifndef FPMUX_TENANTS_CONTAINERS_COMMAND_H
#define FPMUX_TENANTS_CONTAINERS_COMMAND_H

#include "tenants/config.h"
#include "tenants/containers/charges.h"
#include "tenants/containers/session.h"
#include "tenants/tenant.h"

enum { COMMAND_TIMED_OUT_CODE = 124 }; /* as timeout(1) */

/* All borrowed until command_run() returns. */
struct command_request {
    const struct config *config; /* has containers */
    const struct tenant *tenant;
    const struct string_list *command;
    unsigned limit_ms; /* 0: none */
    int input;         /* -1: empty */
    const atomic_int *urgency;
    struct charges *charges;
    void (*on_output)(void *context, bool is_error, const char *bytes, size_t length);
    void *context;
};

struct command_result {
    int exit_code;   /* as a shell has it: 126, 127, 128 + signal; EX_UNAVAILABLE: was not run */
    bool has_ended;  /* the command ran, and how it ended is known */
    uint64_t cpu_ns; /* with all descendants */
    uint64_t wall_ns;
    struct error error; /* if it is not the command's own exit code: why; else empty */
};

void command_run(const struct command_request *request, struct command_result *result);

/* The whole environment of the tenant's commands: PATH, HOME (DATAROOT, where that is set), LANG,
 * USER, and the tenant's parameters. It has secrets: command_environment_deinit() wipes it. */
void command_environment(const struct tenant *tenant, struct string_list *environment);
void command_environment_deinit(struct string_list *environment);

#endif
