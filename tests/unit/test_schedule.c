#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/schedule.h"

enum { LANES = 40, TICKETS = 400, WAIT_NS = 1000 };

struct scene {
    struct schedule schedule;
    struct lane lanes[LANES];
    struct ticket tickets[TICKETS];
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);

    schedule_init(&scene->schedule);
    for (int i = 0; i < LANES; i++) {
        assert_true(schedule_lane_init(&scene->schedule, &scene->lanes[i]));
        schedule_lane_set_caps(&scene->schedule, &scene->lanes[i], 10, 2);
    }
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < LANES; i++)
        schedule_lane_deinit(&scene->schedule, &scene->lanes[i]);
    schedule_deinit(&scene->schedule);
    free(scene);
    return 0;
}

static bool push(struct scene *scene, int lane, int ticket) {
    return schedule_push(&scene->schedule, &scene->lanes[lane], &scene->tickets[ticket],
                         (uint64_t)ticket, WAIT_NS);
}

/* Starts the next one and says which ticket it was; -1: nobody's turn. */
static int start_next(struct scene *scene) {
    struct ticket *ticket = schedule_peek(&scene->schedule);

    if (ticket == NULL)
        return -1;
    schedule_start(&scene->schedule, ticket);
    return (int)(ticket - scene->tickets);
}

static void finish(struct scene *scene, int lane) {
    schedule_finish(&scene->schedule, &scene->lanes[lane]);
}

static void cancel_all(struct scene *scene) {
    for (int i = 0; i < TICKETS; i++)
        if (scene->tickets[i].lane != NULL)
            schedule_cancel(&scene->schedule, &scene->tickets[i]);
}

static void test_schedule_serves_in_order_of_arrival(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < LANES; i++)
        assert_true(push(scene, (i * 7) % LANES, i));
    for (int i = 0; i < LANES; i++)
        assert_int_equal(start_next(scene), i);
    assert_int_equal(start_next(scene), -1);
    assert_int_equal(scene->schedule.tickets, 0);
}

static void test_schedule_passes_over_a_lane_at_its_cap(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < 4; i++)
        push(scene, 0, i);
    push(scene, 1, 4);
    assert_int_equal(start_next(scene), 0);
    assert_int_equal(start_next(scene), 1);
    assert_int_equal(start_next(scene), 4);
    assert_int_equal(start_next(scene), -1);
    finish(scene, 0);
    assert_int_equal(start_next(scene), 2);
    assert_int_equal(start_next(scene), -1);
    cancel_all(scene);
}

static void test_schedule_counts_only_those_that_can_not_start_as_waiting(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < 12; i++) /* two may run, ten may wait */
        assert_true(push(scene, 0, i));
    assert_false(push(scene, 0, 12));
    assert_null(scene->tickets[12].lane);
    start_next(scene);
    start_next(scene);
    assert_false(push(scene, 0, 12));
    finish(scene, 0);
    assert_true(push(scene, 0, 12));
    assert_false(push(scene, 0, 13));
    assert_true(push(scene, 1, 13)); /* another lane is not concerned */
    cancel_all(scene);
}

static void test_schedule_refuses_to_wait_where_the_queue_is_zero(void **state) {
    struct scene *scene = *state;

    schedule_lane_set_caps(&scene->schedule, &scene->lanes[0], 0, 1);
    assert_true(push(scene, 0, 0));
    assert_false(push(scene, 0, 1));
    start_next(scene);
    assert_false(push(scene, 0, 1));
    finish(scene, 0);
    assert_true(push(scene, 0, 1));
    cancel_all(scene);
}

static void test_schedule_follows_changed_caps_at_once(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < 6; i++)
        push(scene, 0, i);
    start_next(scene);
    start_next(scene);
    schedule_lane_set_caps(&scene->schedule, &scene->lanes[0], 10, 3);
    assert_int_equal(start_next(scene), 2);
    schedule_lane_set_caps(&scene->schedule, &scene->lanes[0], 10, 1);
    finish(scene, 0);
    finish(scene, 0);
    assert_int_equal(start_next(scene), -1);
    finish(scene, 0);
    assert_int_equal(start_next(scene), 3);
    schedule_lane_set_caps(&scene->schedule, &scene->lanes[0], 10, 0); /* never less than one */
    finish(scene, 0);
    assert_int_equal(start_next(scene), 4);
    cancel_all(scene);
}

static void test_schedule_puts_a_request_back_to_where_it_was(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < 4; i++)
        push(scene, i % 2, i);
    assert_int_equal(start_next(scene), 0);
    finish(scene, 0);
    schedule_put_back(&scene->schedule, &scene->lanes[0], &scene->tickets[0], 100, WAIT_NS);
    for (int i = 0; i < 4; i++)
        assert_int_equal(start_next(scene), i);
    /* Into an empty lane, too. What it waited before it ran counts no more. */
    finish(scene, 0);
    schedule_put_back(&scene->schedule, &scene->lanes[0], &scene->tickets[2], 2 * WAIT_NS, WAIT_NS);
    assert_int_equal(scene->tickets[2].queued_ns, 2 * WAIT_NS);
    assert_null(schedule_overdue(&scene->schedule, 3 * WAIT_NS - 1));
    assert_ptr_equal(schedule_overdue(&scene->schedule, 3 * WAIT_NS), &scene->tickets[2]);
    assert_int_equal(start_next(scene), 2);
}

static void test_schedule_forgets_a_cancelled_ticket_wherever_it_stands(void **state) {
    struct scene *scene = *state;

    for (int victim = 0; victim < 5; victim++) {
        for (int i = 0; i < 5; i++)
            push(scene, 0, i);
        schedule_cancel(&scene->schedule, &scene->tickets[victim]);
        assert_null(scene->tickets[victim].lane);
        assert_int_equal(scene->schedule.tickets, 4);
        for (int i = 0; i < 5; i++) {
            if (i == victim)
                continue;
            assert_int_equal(start_next(scene), i);
            finish(scene, 0);
        }
        assert_null(schedule_peek(&scene->schedule));
        assert_null(schedule_overdue(&scene->schedule, UINT64_MAX));
    }
}

static void test_schedule_finds_the_overdue_also_behind_a_full_lane(void **state) {
    struct scene *scene = *state;

    for (int i = 0; i < 3; i++)
        push(scene, 0, i);
    start_next(scene);
    start_next(scene);
    push(scene, 1, 3);
    assert_null(schedule_overdue(&scene->schedule, 1 + WAIT_NS));
    assert_ptr_equal(schedule_overdue(&scene->schedule, 2 + WAIT_NS), &scene->tickets[2]);
    schedule_cancel(&scene->schedule, &scene->tickets[2]);
    assert_null(schedule_overdue(&scene->schedule, 2 + WAIT_NS));
    assert_ptr_equal(schedule_overdue(&scene->schedule, 3 + WAIT_NS), &scene->tickets[3]);
    cancel_all(scene);
}

/* What the schedule is, said plainly: of all tickets that are first in their lane and whose lane
 * may run, the one that came first. */
static int expected_next(const struct scene *scene) {
    int next = -1;

    for (int i = 0; i < TICKETS; i++) {
        const struct ticket *ticket = &scene->tickets[i];
        if (ticket->lane == NULL || ticket->lane->first != ticket ||
            ticket->lane->running >= ticket->lane->running_cap)
            continue;
        if (next < 0 || ticket->order < scene->tickets[next].order)
            next = i;
    }
    return next;
}

static int find_running(const struct scene *scene, int from) {
    for (int i = 0; i < LANES; i++)
        if (scene->lanes[(from + i) % LANES].running > 0)
            return (from + i) % LANES;
    return -1;
}

static void act_at_random(struct scene *scene) {
    int ticket = rand() % TICKETS;
    int lane = rand() % LANES;
    int running = find_running(scene, lane);

    switch (rand() % 5) {
    case 0:
    case 1:
        if (scene->tickets[ticket].lane == NULL)
            push(scene, lane, ticket);
        break;
    case 2:
        if (scene->tickets[ticket].lane != NULL)
            schedule_cancel(&scene->schedule, &scene->tickets[ticket]);
        break;
    case 3:
        if (running >= 0)
            finish(scene, running);
        break;
    default:
        schedule_lane_set_caps(&scene->schedule, &scene->lanes[lane], (unsigned)rand() % 12,
                               (unsigned)rand() % 4);
    }
}

static void test_schedule_agrees_with_a_plain_search_whatever_happens(void **state) {
    struct scene *scene = *state;

    srand(7);
    for (int i = 0; i < 20000; i++) {
        act_at_random(scene);
        int next = expected_next(scene);
        if (rand() % 2 == 0)
            assert_int_equal(start_next(scene), next);
        else
            assert_ptr_equal(schedule_peek(&scene->schedule),
                             next < 0 ? NULL : &scene->tickets[next]);
    }
    cancel_all(scene);
    assert_int_equal(scene->schedule.tickets, 0);
    assert_int_equal(scene->schedule.heap_count, 0);
    assert_null(scene->schedule.waiting);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(test_schedule_serves_in_order_of_arrival),
        SCENE(test_schedule_passes_over_a_lane_at_its_cap),
        SCENE(test_schedule_counts_only_those_that_can_not_start_as_waiting),
        SCENE(test_schedule_refuses_to_wait_where_the_queue_is_zero),
        SCENE(test_schedule_follows_changed_caps_at_once),
        SCENE(test_schedule_puts_a_request_back_to_where_it_was),
        SCENE(test_schedule_forgets_a_cancelled_ticket_wherever_it_stands),
        SCENE(test_schedule_finds_the_overdue_also_behind_a_full_lane),
        SCENE(test_schedule_agrees_with_a_plain_search_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
