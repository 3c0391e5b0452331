/* What the verbs for containers share: the registry, the engine, the units that are named on the
 * command line, one at a time who changes something, Ctrl-C. */
#ifndef FPMUX_TENANTS_CLI_DOCK_H
#define FPMUX_TENANTS_CLI_DOCK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tenants/cli/cli.h"
#include "tenants/containers/engine.h"
#include "tenants/containers/plan.h"
#include "tenants/containers/survey.h"
#include "tenants/registry.h"

enum { EX_INTERRUPTED = 130, EX_SOME_FAILED = 1 };

struct dock {
    struct cli *cli;
    const struct config *config;
    struct registry *registry;
    struct engine *engine;
    struct plan_scope scope; /* borrowed from argv */
    const atomic_bool *stop; /* becomes true at SIGINT and SIGTERM */
    int lock;                /* of who changes containers; -1: not held */
};

/* units are the words of the command line that name units, NULL at the end. EX_OK, or the exit
 * code of a failure that was told; dock_close() either way. */
int dock_open(struct dock *dock, struct cli *cli, const char *const *units);
void dock_close(struct dock *dock);

/* Names the tenants in scope whose files are in error, and whose containers are therefore left as
 * they are. EX_OK when there are none, else EX_DATAERR. */
int dock_tell_unclear(const struct dock *dock);

/* Names the containers in scope that are as they should be, but end again and again. EX_OK when
 * there are none, else EX_SOME_FAILED. */
int dock_tell_restarting(const struct dock *dock, const struct survey *survey);

/* Waits until no other fpmuxctl changes containers of this system. */
int dock_take_lock(struct dock *dock);
void dock_drop_lock(struct dock *dock);

/* A look at everything. EX_OK, or an exit code that was told. */
int dock_survey(struct dock *dock, struct survey *survey);

/* The exit code for what the engine said, told. */
int dock_fail(const struct dock *dock, enum engine_result result, const struct error *error);

/* Makes *stop true at SIGINT and SIGTERM; a second one ends the program at once. */
const atomic_bool *dock_catch_signals(void);

#endif
