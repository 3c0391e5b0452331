/* The changes that lead from what there is to what there should be, one by one. */
#include "tests/support/plan_world.h"

static void make_scoped(struct world *world, const struct plan_scope *scope) {
    plan_make(&world->plan, &world->wanted_set, &world->actual_set, &world->image_set, scope);
}

static void make(struct world *world) {
    static char image_id[] = IMAGE_ID;

    if (world->image_set.count == 0)
        have_image(world, image_id);
    make_scoped(world, &(struct plan_scope){0});
}

static const struct change *only_change(const struct world *world) {
    assert_int_equal(world->plan.count, 1);
    return &world->plan.items[0];
}

/* ---- One tenant ---- */

static char name_a[] = "sys-tenant-a";
static char next_a[] = "sys-tenant-a.next";
static char other[] = "other";

static void test_nothing_is_done_about_one_that_runs_as_wanted(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    have(&world, ROLE_TENANT, "a", name_a);
    make(&world);
    assert_int_equal(world.plan.count, 0);
    assert_int_equal(world.plan.unchanged, 1);
    plan_deinit(&world.plan);
}

static void test_missing_one_is_created(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    const struct wanted *wanted = want(&world, ROLE_TENANT, "a", name_a);
    make(&world);
    const struct change *change = only_change(&world);
    assert_int_equal(change->kind, CHANGE_CREATE);
    assert_int_equal(change->role, ROLE_TENANT);
    assert_string_equal(change->unit, "a");
    assert_string_equal(change->name, name_a);
    assert_ptr_equal(change->wanted, wanted);
    assert_null(change->kept);
    assert_int_equal(change->stale_count, 0);
    assert_int_equal(world.plan.unchanged, 0);
    plan_deinit(&world.plan);
}

static void test_one_that_is_outdated_is_replaced_with_the_reason(void **state) {
    static char old_image[] = "fpmux/former";
    static char old_id[] = OLD_IMAGE_ID;
    static const char *const reasons[] = {"its configuration changed", "another image is wanted",
                                          "its image was built anew", "it is dead"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        struct actual *actual = have(&world, ROLE_TENANT, "a", name_a);
        if (i < 2)
            snprintf(actual->hash, sizeof actual->hash, OLD_HASH);
        if (i == 1)
            actual->image = old_image;
        if (i == 2)
            actual->image_id = old_id;
        if (i == 3)
            actual->state = CONTAINER_GONE;
        make(&world);
        const struct change *change = only_change(&world);
        assert_int_equal(change->kind, CHANGE_REPLACE);
        assert_string_equal(change->reason, reasons[i]);
        assert_null(change->kept);
        assert_int_equal(change->stale_count, 1);
        assert_ptr_equal(change->stale[0], actual);
        plan_deinit(&world.plan);
    }
}

/* Whose image's name was given away (docker tag) shows the image's id instead of the name. */
static void test_one_whose_image_lost_its_name_is_replaced_not_misjudged(void **state) {
    static char old_id[] = OLD_IMAGE_ID;
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    struct actual *actual = have(&world, ROLE_TENANT, "a", name_a);
    actual->image = old_id;
    actual->image_id = old_id;
    make(&world);
    assert_int_equal(only_change(&world)->kind, CHANGE_REPLACE);
    assert_string_equal(only_change(&world)->reason, "its image was built anew");
    plan_deinit(&world.plan);
}

static void test_one_that_does_not_run_is_started_with_its_state_as_reason(void **state) {
    static const enum container_state states[] = {CONTAINER_CREATED, CONTAINER_PAUSED,
                                                  CONTAINER_EXITED};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        struct actual *actual = have(&world, ROLE_TENANT, "a", name_a);
        actual->state = states[i];
        make(&world);
        const struct change *change = only_change(&world);
        assert_int_equal(change->kind, CHANGE_START);
        assert_string_equal(change->reason, container_state_name(states[i]));
        assert_ptr_equal(change->kept, actual);
        assert_int_equal(change->stale_count, 0);
        plan_deinit(&world.plan);
    }
}

static void test_one_that_the_engine_restarts_is_left_to_the_engine(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    have(&world, ROLE_TENANT, "a", name_a)->state = CONTAINER_RESTARTING;
    make(&world);
    assert_int_equal(world.plan.count, 0);
    plan_deinit(&world.plan);
}

static void test_running_replacement_is_finished(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    struct actual *old = have(&world, ROLE_TENANT, "a", name_a);
    struct actual *new = have(&world, ROLE_TENANT, "a", next_a);
    snprintf(old->hash, sizeof old->hash, OLD_HASH);
    make(&world);
    const struct change *change = only_change(&world);
    assert_int_equal(change->kind, CHANGE_FINISH);
    assert_ptr_equal(change->kept, new);
    assert_int_equal(change->stale_count, 1);
    assert_ptr_equal(change->stale[0], old);
    plan_deinit(&world.plan);
}

static void test_replacement_that_only_lacks_its_name_is_finished(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    const struct actual *actual = have(&world, ROLE_TENANT, "a", next_a);
    make(&world);
    assert_int_equal(only_change(&world)->kind, CHANGE_FINISH);
    assert_ptr_equal(only_change(&world)->kept, actual);
    assert_int_equal(only_change(&world)->stale_count, 0);
    plan_deinit(&world.plan);
}

static void test_replacement_that_was_not_started_yet_is_started(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    struct actual *old = have(&world, ROLE_TENANT, "a", name_a);
    struct actual *new = have(&world, ROLE_TENANT, "a", next_a);
    snprintf(old->hash, sizeof old->hash, OLD_HASH);
    new->state = CONTAINER_CREATED;
    make(&world);
    assert_int_equal(only_change(&world)->kind, CHANGE_START);
    assert_ptr_equal(only_change(&world)->kept, new);
    assert_ptr_equal(only_change(&world)->stale[0], old);
    plan_deinit(&world.plan);
}

/* In whatever order the engine lists them. */
static void test_of_several_as_wanted_the_running_one_with_the_right_name_stays(void **state) {
    (void)state;
    for (unsigned order = 0; order < 6; order++) {
        static char *const names[] = {other, name_a, next_a};
        static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                              {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        for (unsigned i = 0; i < 3; i++)
            have(&world, ROLE_TENANT, "a", names[orders[order][i]]);
        make(&world);
        const struct change *change = only_change(&world);
        assert_int_equal(change->kind, CHANGE_FINISH);
        assert_string_equal(change->kept->name, name_a);
        assert_int_equal(change->stale_count, 2);
        assert_string_equal(change->reason, "there is one too many");
        plan_deinit(&world.plan);
    }
}

static void test_one_that_runs_is_kept_before_one_that_has_the_name(void **state) {
    (void)state;
    for (int is_first = 0; is_first < 2; is_first++) {
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        struct actual *first = have(&world, ROLE_TENANT, "a", is_first ? name_a : next_a);
        struct actual *second = have(&world, ROLE_TENANT, "a", is_first ? next_a : name_a);
        (is_first ? first : second)->state = CONTAINER_EXITED;
        make(&world);
        assert_int_equal(only_change(&world)->kind, CHANGE_FINISH);
        assert_string_equal(only_change(&world)->kept->name, next_a);
        plan_deinit(&world.plan);
    }
}

/* ---- What can't be done ---- */

static struct actual *have_foreign(struct world *world, char *name) {
    struct actual *actual = have(world, ROLE_FPM, "", name);

    *actual = (struct actual){.id = actual->id,
                              .name = name,
                              .image = actual->image,
                              .image_id = actual->image_id,
                              .status = actual->status,
                              .state = CONTAINER_RUNNING};
    return actual;
}

static void test_name_of_somebody_elses_container_is_a_conflict(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    const struct actual *foreign = have_foreign(&world, name_a);
    make(&world);
    const struct change *change = only_change(&world);
    assert_int_equal(change->kind, CHANGE_CONFLICT);
    assert_ptr_equal(change->foreign, foreign);
    assert_null(change->kept);
    assert_int_equal(change->stale_count, 0);
    assert_true(change_is_blocked(change));
    plan_deinit(&world.plan);
}

/* What we have under another name must not go before the name can be had. */
static void test_conflict_of_names_spares_what_there_is_of_ours(void **state) {
    static const enum container_state states[] = {CONTAINER_RUNNING, CONTAINER_EXITED};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct world world;
        init_world(&world);
        want(&world, i & 1 ? ROLE_SHIM : ROLE_TENANT, i & 1 ? "" : "a", name_a);
        struct actual *ours =
            have(&world, i & 1 ? ROLE_SHIM : ROLE_TENANT, i & 1 ? "" : "a", next_a);
        snprintf(ours->hash, sizeof ours->hash, OLD_HASH);
        ours->state = states[i / 2];
        have_foreign(&world, name_a);
        make(&world);
        assert_int_equal(only_change(&world)->kind, CHANGE_CONFLICT);
        plan_deinit(&world.plan);
    }
}

static void test_foreign_container_is_of_no_interest_while_ours_is_well(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want(&world, ROLE_TENANT, "a", name_a);
    have(&world, ROLE_TENANT, "a", name_a);
    have_foreign(&world, next_a);
    have_foreign(&world, other);
    make(&world);
    assert_int_equal(world.plan.count, 0);
    plan_deinit(&world.plan);
}

static void test_missing_image_blocks_what_has_to_be_created(void **state) {
    (void)state;
    for (int is_outdated = 0; is_outdated < 2; is_outdated++) {
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        have_image(&world, NULL);
        if (is_outdated)
            snprintf(have(&world, ROLE_TENANT, "a", name_a)->hash, WANTED_HASH_BYTES, OLD_HASH);
        make(&world);
        assert_int_equal(only_change(&world)->kind, CHANGE_NO_IMAGE);
        assert_true(change_is_blocked(only_change(&world)));
        plan_deinit(&world.plan);
    }
}

static void test_missing_image_is_of_no_interest_while_the_container_is_there(void **state) {
    (void)state;
    for (int is_exited = 0; is_exited < 2; is_exited++) {
        struct world world;
        init_world(&world);
        want(&world, ROLE_TENANT, "a", name_a);
        have_image(&world, NULL);
        if (is_exited)
            have(&world, ROLE_TENANT, "a", name_a)->state = CONTAINER_EXITED;
        else
            have(&world, ROLE_TENANT, "a", name_a);
        make(&world);
        assert_int_equal(world.plan.count, is_exited);
        if (is_exited)
            assert_int_equal(world.plan.items[0].kind, CHANGE_START);
        plan_deinit(&world.plan);
    }
}

static void test_only_conflicts_and_missing_images_are_blocked(void **state) {
    (void)state;
    for (int kind = 0; kind < CHANGE_KINDS; kind++) {
        struct change change = {.kind = (enum change_kind)kind};
        assert_int_equal(change_is_blocked(&change),
                         kind == CHANGE_CONFLICT || kind == CHANGE_NO_IMAGE);
        assert_non_null(change_kind_name(change.kind));
    }
}

/* ---- Several ---- */

static char name_b[] = "sys-tenant-b";
static char name_fpm[] = "sys-fpm-a";
static char name_shim[] = "sys-shim";
static char name_proxy[] = "sys-proxy";

static void want_all(struct world *world) {
    want(world, ROLE_FPM, "a", name_fpm);
    want(world, ROLE_SHIM, "", name_shim);
    want(world, ROLE_PROXY, "", name_proxy);
    want(world, ROLE_TENANT, "a", name_a);
    want(world, ROLE_TENANT, "b", name_b);
}

static void test_changes_are_in_the_order_of_wanted_and_removals_last(void **state) {
    static const char *const order[] = {name_fpm, name_shim, name_proxy, name_a,
                                        name_b,   other,     next_a};
    struct world world;

    (void)state;
    init_world(&world);
    want_all(&world);
    have(&world, ROLE_TENANT, "gone", other);
    have(&world, ROLE_FPM, "gone", next_a)->state = CONTAINER_EXITED;
    make(&world);
    assert_int_equal(world.plan.count, 7);
    for (size_t i = 0; i < 7; i++) {
        const struct change *change = &world.plan.items[i];
        assert_string_equal(change->name, order[i]);
        assert_int_equal(change->kind, i < 5 ? CHANGE_CREATE : CHANGE_REMOVE);
        if (change->kind != CHANGE_REMOVE)
            continue;
        assert_null(change->wanted);
        assert_null(change->kept);
        assert_int_equal(change->stale_count, 1);
        assert_string_equal(change->unit, "gone");
    }
    plan_deinit(&world.plan);
}

/* A tenant and a pool may have the same name, also the name of a role. */
static void test_units_of_different_roles_are_not_taken_for_each_other(void **state) {
    struct world world;

    (void)state;
    init_world(&world);
    want_all(&world);
    have(&world, ROLE_TENANT, "a", name_a);
    make(&world);
    assert_int_equal(world.plan.count, 4);
    assert_int_equal(world.plan.unchanged, 1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(world.plan.items[i].kind, CHANGE_CREATE);
    plan_deinit(&world.plan);
}

static void test_scope_names_what_is_looked_at(void **state) {
    static const char *const only_b[] = {"b"};
    static const char *const fpm_and_a[] = {"a", "fpm"};
    static const struct {
        struct plan_scope scope;
        const char *names[4]; /* of the changes */
    } cases[] = {
        {{.units = only_b, .count = 1}, {name_b}},
        {{.units = fpm_and_a, .count = 2}, {name_fpm, name_a}},
        {{.is_tenants_only = true}, {name_a, name_b, other}},
        {{.units = fpm_and_a, .count = 2, .is_tenants_only = true}, {name_fpm, name_a}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static char image_id[] = IMAGE_ID;
        struct world world;
        size_t count = 0;
        init_world(&world);
        want_all(&world);
        have_image(&world, image_id);
        have(&world, ROLE_TENANT, "gone", other);
        make_scoped(&world, &cases[i].scope);
        while (count < 4 && cases[i].names[count] != NULL)
            count++;
        assert_int_equal(world.plan.count, count);
        for (size_t k = 0; k < count; k++)
            assert_string_equal(world.plan.items[k].name, cases[i].names[k]);
        plan_deinit(&world.plan);
    }
}

static void test_one_whose_file_is_in_error_keeps_its_container(void **state) {
    char *unclear[] = {name_fpm, other};
    struct world world;

    (void)state;
    init_world(&world);
    world.wanted_set.unclear = (struct string_list){.items = unclear, .count = 2};
    have(&world, ROLE_TENANT, other, name_a);
    have(&world, ROLE_TENANT, "gone", name_b);
    have(&world, ROLE_FPM, name_fpm, name_fpm); /* a pool of that name is not meant */
    make(&world);
    assert_int_equal(world.plan.count, 2);
    assert_string_equal(world.plan.items[0].name, name_b);
    assert_string_equal(world.plan.items[1].name, name_fpm);
    plan_deinit(&world.plan);
}

static void test_removal_takes_all_of_ours_in_scope_and_nothing_else(void **state) {
    static const char *const only_a[] = {"a"};
    const struct plan_scope scope = {.units = only_a, .count = 1};
    struct world world;

    (void)state;
    init_world(&world);
    have(&world, ROLE_FPM, "a", name_fpm);
    have_foreign(&world, other);
    have(&world, ROLE_TENANT, "a", name_a);
    have(&world, ROLE_TENANT, "a", next_a)->state = CONTAINER_CREATED;
    plan_make_removal(&world.plan, &world.actual_set, &(struct plan_scope){0});
    assert_int_equal(world.plan.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(world.plan.items[i].kind, CHANGE_REMOVE);
        assert_int_equal(world.plan.items[i].stale_count, 1);
        assert_true(world.plan.items[i].stale[0]->is_ours);
    }
    plan_deinit(&world.plan);
    plan_make_removal(&world.plan, &world.actual_set, &scope);
    assert_int_equal(world.plan.count, 2);
    assert_string_equal(world.plan.items[0].name, name_a);
    assert_string_equal(world.plan.items[1].name, next_a);
    plan_deinit(&world.plan);
}

static void test_titles_are_what_the_operator_calls_it(void **state) {
    char title[CHANGE_TITLE_BYTES];
    char longest[TENANT_ID_MAX + 1];

    (void)state;
    change_title(ROLE_TENANT, "centro1", title);
    assert_string_equal(title, "centro1");
    change_title(ROLE_FPM, "default", title);
    assert_string_equal(title, "fpm default");
    change_title(ROLE_SHIM, "", title);
    assert_string_equal(title, "shim");
    change_title(ROLE_PROXY, "", title);
    assert_string_equal(title, "proxy");
    memset(longest, 'x', TENANT_ID_MAX);
    longest[TENANT_ID_MAX] = '\0';
    change_title(ROLE_FPM, longest, title);
    assert_int_equal(strlen(title), strlen("fpm ") + TENANT_ID_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_done_about_one_that_runs_as_wanted),
        cmocka_unit_test(test_missing_one_is_created),
        cmocka_unit_test(test_one_that_is_outdated_is_replaced_with_the_reason),
        cmocka_unit_test(test_one_whose_image_lost_its_name_is_replaced_not_misjudged),
        cmocka_unit_test(test_one_that_does_not_run_is_started_with_its_state_as_reason),
        cmocka_unit_test(test_one_that_the_engine_restarts_is_left_to_the_engine),
        cmocka_unit_test(test_running_replacement_is_finished),
        cmocka_unit_test(test_replacement_that_only_lacks_its_name_is_finished),
        cmocka_unit_test(test_replacement_that_was_not_started_yet_is_started),
        cmocka_unit_test(test_of_several_as_wanted_the_running_one_with_the_right_name_stays),
        cmocka_unit_test(test_one_that_runs_is_kept_before_one_that_has_the_name),
        cmocka_unit_test(test_name_of_somebody_elses_container_is_a_conflict),
        cmocka_unit_test(test_conflict_of_names_spares_what_there_is_of_ours),
        cmocka_unit_test(test_foreign_container_is_of_no_interest_while_ours_is_well),
        cmocka_unit_test(test_missing_image_blocks_what_has_to_be_created),
        cmocka_unit_test(test_missing_image_is_of_no_interest_while_the_container_is_there),
        cmocka_unit_test(test_only_conflicts_and_missing_images_are_blocked),
        cmocka_unit_test(test_changes_are_in_the_order_of_wanted_and_removals_last),
        cmocka_unit_test(test_units_of_different_roles_are_not_taken_for_each_other),
        cmocka_unit_test(test_scope_names_what_is_looked_at),
        cmocka_unit_test(test_one_whose_file_is_in_error_keeps_its_container),
        cmocka_unit_test(test_removal_takes_all_of_ours_in_scope_and_nothing_else),
        cmocka_unit_test(test_titles_are_what_the_operator_calls_it),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
