/* What there should be and what there is, as a test of plans puts it together. */
#ifndef FPMUX_TESTS_SUPPORT_PLAN_WORLD_H
#define FPMUX_TESTS_SUPPORT_PLAN_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/containers/plan.h"

#define HASH "0123456789abcdef"
#define OLD_HASH "fedcba9876543210"
#define IMAGE_ID "sha256:new"
#define OLD_IMAGE_ID "sha256:old"

enum { ITEMS_MAX = 64 };

/* What plan_make() is asked; everything in it is static text but for the plan. */
struct world {
    struct wanted wanted[ITEMS_MAX];
    struct actual actual[ITEMS_MAX];
    struct image images[ITEMS_MAX];
    struct wanted_set wanted_set;
    struct actual_set actual_set;
    struct image_set image_set;
    struct plan plan;
};

static inline void init_world(struct world *world) {
    memset(world, 0, sizeof *world);
    world->wanted_set.items = world->wanted;
    world->actual_set.items = world->actual;
    world->image_set.items = world->images;
}

static inline struct wanted *want(struct world *world, enum role role, const char *id, char *name) {
    static char image[] = "fpmux/some";
    struct wanted *wanted = &world->wanted[world->wanted_set.count++];

    *wanted = (struct wanted){.role = role, .name = name, .image = image};
    snprintf(wanted->id, sizeof wanted->id, "%s", id);
    snprintf(wanted->hash, sizeof wanted->hash, HASH);
    return wanted;
}

/* Runs, and is as it should be. */
static inline struct actual *have(struct world *world, enum role role, const char *unit,
                                  char *name) {
    static char image[] = "fpmux/some";
    static char image_id[] = IMAGE_ID;
    static char status[] = "";
    struct actual *actual = &world->actual[world->actual_set.count++];

    *actual = (struct actual){.id = name,
                              .name = name,
                              .is_ours = true,
                              .role = role,
                              .image = image,
                              .image_id = image_id,
                              .status = status,
                              .state = CONTAINER_RUNNING};
    snprintf(actual->unit, sizeof actual->unit, "%s", unit);
    snprintf(actual->hash, sizeof actual->hash, HASH);
    return actual;
}

static inline void have_image(struct world *world, char *id) {
    static char name[] = "fpmux/some";

    world->images[world->image_set.count++] = (struct image){.name = name, .id = id};
}

#endif
