/* One look at everything: what there should be (configuration, registry), what there is (engine),
 * and the plan that leads from one to the other. */
#ifndef FPMUX_TENANTS_CONTAINERS_SURVEY_H
#define FPMUX_TENANTS_CONTAINERS_SURVEY_H

#include <time.h>

#include "tenants/config.h"
#include "tenants/containers/actual.h"
#include "tenants/containers/engine.h"
#include "tenants/containers/plan.h"
#include "tenants/containers/wanted.h"
#include "tenants/registry.h"

struct survey {
    struct wanted_set wanted;
    struct actual_set actual;
    struct image_set images;
    struct plan plan; /* borrows from the three */
};

enum survey_result {
    SURVEY_OK,
    SURVEY_CONFIGURATION, /* what the configuration names is not there, or not as it must be */
    SURVEY_UNREACHABLE,   /* the engine */
    SURVEY_REFUSED        /* by the engine */
};

/* scope may be empty: everything. On failure there is nothing to free. */
enum survey_result survey_take(struct survey *survey, struct engine *engine,
                               const struct config *config, const struct registry *registry,
                               const struct plan_scope *scope, time_t now, struct error *error);
void survey_deinit(struct survey *survey);

/* Whether the configuration is one for containers. */
bool survey_check_config(const struct config *config, struct error *error);

/* Whether what containers are to mount is there: for who is about to start some. */
bool survey_check_directories(const struct config *config, struct error *error);

#endif
