/* Plans are carried out, whole or to some point, on an engine that is only a model: from any state
 * the next run that is not interrupted leaves nothing to do, and nothing of somebody else's is
 * touched. */
#include "tests/support/plan_world.h"

/* ---- A model of the engine, on which plans are carried out ---- */

struct model {
    struct actual boxes[ITEMS_MAX];
    size_t count;
    unsigned made;
    int steps_left; /* then it is interrupted; -1: never */
};

/* Owned by the caller. */
static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *text(const char *format, ...) {
    va_list arguments;
    char *result;

    va_start(arguments, format);
    assert_true(vasprintf(&result, format, arguments) >= 0);
    va_end(arguments);
    return result;
}

static struct actual *find_name(struct model *model, const char *name) {
    for (size_t i = 0; i < model->count; i++)
        if (strcmp(model->boxes[i].name, name) == 0)
            return &model->boxes[i];
    return NULL;
}

static struct actual *find_id(struct model *model, const char *id) {
    for (size_t i = 0; i < model->count; i++)
        if (strcmp(model->boxes[i].id, id) == 0)
            return &model->boxes[i];
    return NULL;
}

/* A name that is taken would be refused: no plan may lead to that. */
static struct actual *put(struct model *model, const char *name) {
    static char image[] = "fpmux/some";
    static char image_id[] = IMAGE_ID;
    static char status[] = "";

    if (find_name(model, name) != NULL)
        fail_msg("the name %s is taken", name);
    assert_true(model->count < ITEMS_MAX);
    struct actual *box = &model->boxes[model->count++];
    *box = (struct actual){.id = text("id-%u", ++model->made),
                           .name = text("%s", name),
                           .image = image,
                           .image_id = image_id,
                           .status = status};
    return box;
}

static void drop(struct model *model, struct actual *box) {
    assert_true(box->is_ours);
    free(box->id);
    free(box->name);
    *box = model->boxes[--model->count];
}

static void deinit_model(struct model *model) {
    for (size_t i = 0; i < model->count; i++) {
        free(model->boxes[i].id);
        free(model->boxes[i].name);
    }
}

/* False: the run was interrupted before this step. */
static bool may_step(struct model *model) {
    if (model->steps_left == 0)
        return false;
    model->steps_left -= model->steps_left > 0;
    return true;
}

static bool take_away(struct model *model, const char *id) {
    struct actual *box = find_id(model, id);

    if (box == NULL)
        return true;
    if (!may_step(model))
        return false;
    box->state = CONTAINER_EXITED;
    if (!may_step(model))
        return false;
    drop(model, box);
    return true;
}

static bool take_stale_away(struct model *model, const struct change *change) {
    for (size_t i = 0; i < change->stale_count; i++)
        if (!take_away(model, change->stale[i]->id))
            return false;
    return true;
}

static bool create(struct model *model, const struct change *change, const char *name, char **id) {
    if (!may_step(model))
        return false;
    struct actual *box = put(model, name);
    box->is_ours = true;
    box->role = change->role;
    box->state = CONTAINER_CREATED;
    snprintf(box->unit, sizeof box->unit, "%s", change->unit);
    snprintf(box->hash, sizeof box->hash, "%s", change->wanted->hash);
    *id = box->id;
    return true;
}

/* A tenant's new one stands beside the old one for a while. */
static bool create_where_there_is_room(struct model *model, const struct change *change,
                                       char **id) {
    char next[128];
    const struct actual *in_the_way;

    if (find_name(model, change->wanted->name) == NULL)
        return create(model, change, change->wanted->name, id);
    snprintf(next, sizeof next, "%s.next", change->wanted->name);
    in_the_way = find_name(model, next);
    if (in_the_way != NULL && !take_away(model, in_the_way->id))
        return false;
    return create(model, change, next, id);
}

static bool carry_out(struct model *model, const struct change *change) {
    char *id = change->kept != NULL ? change->kept->id : NULL;
    bool is_beside = change->role == ROLE_TENANT;

    if (change_is_blocked(change))
        return true;
    if (change->kind == CHANGE_REMOVE)
        return take_stale_away(model, change);
    if (!is_beside && !take_stale_away(model, change))
        return false;
    if (id == NULL && !create_where_there_is_room(model, change, &id))
        return false;
    if (change->kind != CHANGE_FINISH) {
        if (!may_step(model))
            return false;
        find_id(model, id)->state = CONTAINER_RUNNING;
    }
    if (is_beside && !take_stale_away(model, change))
        return false;
    struct actual *box = find_id(model, id);
    if (strcmp(box->name, change->wanted->name) == 0)
        return true;
    if (!may_step(model))
        return false;
    assert_null(find_name(model, change->wanted->name));
    free(box->name);
    box->name = text("%s", change->wanted->name);
    return true;
}

/* Nothing of somebody else's is ever in a change's hands, nor what belongs to another unit. */
static void check_change(const struct change *change) {
    assert_true(change->kept == NULL || change->kept->is_ours);
    for (size_t i = 0; i < change->stale_count; i++) {
        assert_true(change->stale[i]->is_ours);
        assert_int_equal(change->stale[i]->role, change->role);
        assert_string_equal(change->stale[i]->unit, change->unit);
        assert_ptr_not_equal(change->stale[i], change->kept);
    }
    assert_true(change->foreign == NULL || !change->foreign->is_ours);
    assert_int_equal(change->wanted == NULL, change->kind == CHANGE_REMOVE);
}

static void plan_model(const struct model *model, const struct world *world, struct model *seen,
                       struct plan *plan) {
    const struct plan_scope everything = {0};

    *seen = *model;
    for (size_t i = 0; i < seen->count; i++) {
        seen->boxes[i].id = text("%s", model->boxes[i].id);
        seen->boxes[i].name = text("%s", model->boxes[i].name);
    }
    const struct actual_set actual = {.items = seen->boxes, .count = seen->count};
    plan_make(plan, &world->wanted_set, &actual, &world->image_set, &everything);
}

/* One run of `up`. */
static void run(struct model *model, const struct world *world) {
    struct model seen;
    struct plan plan;
    bool goes_on = true;

    plan_model(model, world, &seen, &plan);
    for (int is_removal = 1; is_removal >= 0; is_removal--) {
        for (size_t i = 0; goes_on && i < plan.count; i++) {
            if ((plan.items[i].kind == CHANGE_REMOVE) != is_removal)
                continue;
            check_change(&plan.items[i]);
            goes_on = carry_out(model, &plan.items[i]);
        }
    }
    plan_deinit(&plan);
    deinit_model(&seen);
}

/* ---- From any state ---- */

static char name_a[] = "sys-tenant-a";
static char name_b[] = "sys-tenant-b";
static char other[] = "sys-tenant-gone";
static char name_fpm[] = "sys-fpm-a";
static char name_shim[] = "sys-shim";
static char name_proxy[] = "sys-proxy";
static char gone_fpm[] = "sys-fpm-gone";

static const struct {
    enum role role;
    const char *id;
    char *name;
} units[] = {
    {ROLE_FPM, "a", name_fpm},    {ROLE_SHIM, "", name_shim}, {ROLE_PROXY, "", name_proxy},
    {ROLE_TENANT, "a", name_a},   {ROLE_TENANT, "b", name_b}, {ROLE_TENANT, "gone", other},
    {ROLE_FPM, "gone", gone_fpm},
};
enum { UNITS = sizeof units / sizeof *units, WANTED_UNITS = 5, ROUNDS = 20000 };

static unsigned below(unsigned *seed, unsigned end) {
    return (unsigned)rand_r(seed) % end;
}

static void fill_box(struct actual *box, unsigned unit, unsigned *seed) {
    static char old_id[] = OLD_IMAGE_ID;

    box->state = (enum container_state)below(seed, CONTAINER_STATES);
    if (below(seed, 5) == 0)
        return; /* somebody else's */
    box->is_ours = true;
    box->role = units[unit].role;
    snprintf(box->unit, sizeof box->unit, "%s", units[unit].id);
    snprintf(box->hash, sizeof box->hash, "%s", below(seed, 2) ? HASH : OLD_HASH);
    if (below(seed, 4) == 0)
        box->image_id = old_id;
}

/* Names that a unit's containers may have: its own, the replacement's, anything. */
static void fill_model(struct model *model, unsigned *seed) {
    unsigned count = below(seed, 12);

    *model = (struct model){.steps_left = -1};
    for (unsigned i = 0; i < count; i++) {
        unsigned unit = below(seed, UNITS);
        unsigned kind = below(seed, 3);
        char *name = kind == 0   ? text("%s", units[unit].name)
                     : kind == 1 ? text("%s.next", units[unit].name)
                                 : text("stray-%u", i);
        if (find_name(model, name) == NULL)
            fill_box(put(model, name), unit, seed);
        struct actual *box = find_name(model, name);
        if (kind == 1 && !box->is_ours) { /* told by the engine alone: no plan looks for it */
            box->is_ours = true;
            drop(model, box);
        }
        free(name);
    }
}

static void fill_wanted(struct world *world, unsigned *seed) {
    static char image_id[] = IMAGE_ID;

    init_world(world);
    for (unsigned i = 0; i < WANTED_UNITS; i++)
        if (below(seed, 4) != 0)
            want(world, units[i].role, units[i].id, units[i].name);
    have_image(world, image_id);
}

static size_t count_foreign(const struct model *model) {
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++)
        count += !model->boxes[i].is_ours;
    return count;
}

static void expect_settled(const struct model *model, const struct world *world, unsigned round) {
    struct model seen;
    struct plan plan;

    plan_model(model, world, &seen, &plan);
    for (size_t i = 0; i < plan.count; i++)
        if (plan.items[i].kind != CHANGE_CONFLICT)
            fail_msg("round %u: %s %s is still to do", round, change_kind_name(plan.items[i].kind),
                     plan.items[i].name);
    plan_deinit(&plan);
    deinit_model(&seen);
}

static void test_one_run_leads_from_any_state_to_an_empty_plan(void **state) {
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned seed = round;
        struct model model;
        struct world world;
        fill_wanted(&world, &seed);
        fill_model(&model, &seed);
        size_t foreign = count_foreign(&model);
        run(&model, &world);
        expect_settled(&model, &world, round);
        assert_int_equal(count_foreign(&model), foreign);
        deinit_model(&model);
    }
}

static void test_run_after_interrupted_runs_leads_to_an_empty_plan(void **state) {
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned seed = round;
        struct model model;
        struct world world;
        fill_wanted(&world, &seed);
        fill_model(&model, &seed);
        size_t foreign = count_foreign(&model);
        for (unsigned i = below(&seed, 4); i > 0; i--) {
            model.steps_left = (int)below(&seed, 12);
            run(&model, &world);
            if (below(&seed, 2) == 0)
                fill_wanted(&world, &seed); /* the registry was edited meanwhile */
        }
        model.steps_left = -1;
        run(&model, &world);
        expect_settled(&model, &world, round);
        assert_int_equal(count_foreign(&model), foreign);
        deinit_model(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_run_leads_from_any_state_to_an_empty_plan),
        cmocka_unit_test(test_run_after_interrupted_runs_leads_to_an_empty_plan),
    };
    return cmocka_run_group_tests_name("plan_settles", tests, NULL, NULL);
}
