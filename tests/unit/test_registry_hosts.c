/* Hosts that two tenants claim: who has them, who waits, what happens then. */
#include "tests/support/registry_fixture.h"

static void test_first_in_order_of_ids_gets_the_host_at_load(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "b", "B", "same.local");
    write_tenant(fixture, "a", "A", "same.local");
    assert_int_equal(load(fixture), 1);
    assert_string_equal(host_owner(fixture, "same.local"), "a");
    expect_error(fixture, "/b.json:2:12: host \"same.local\" is already tenant a's");
}

static void test_holder_keeps_the_host_and_newcomer_gets_it_later(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "b", "B", "same.local");
    load(fixture);
    write_tenant(fixture, "a", "A", "same.local");
    expect_changes(fixture, "");
    expect_error(fixture, "[a] ");
    assert_null(find(fixture, "a"));
    assert_string_equal(host_owner(fixture, "same.local"), "b");
    write_tenant(fixture, "b", "B", "other.local");
    expect_changes(fixture, "~b +a ");
    expect_error(fixture, "");
    assert_string_equal(host_owner(fixture, "same.local"), "a");
}

static void test_refused_tenant_keeps_its_last_good_version(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "A", "a.local");
    write_tenant(fixture, "b", "B", "b.local");
    load(fixture);
    write_tenant(fixture, "b", "B2", "a.local");
    expect_changes(fixture, "");
    assert_string_equal(find(fixture, "b")->name, "B");
    assert_string_equal(host_owner(fixture, "b.local"), "b");
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a ~b ");
    assert_string_equal(find(fixture, "b")->name, "B2");
    assert_string_equal(host_owner(fixture, "b.local"), "nobody");
}

static void test_refused_version_that_is_replaced_or_removed_is_forgotten(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "A", "a.local");
    load(fixture);
    write_tenant(fixture, "b", "B", "a.local");
    write_tenant(fixture, "c", "C", "a.local");
    expect_changes(fixture, "");
    assert_int_equal(registry_error_count(fixture->registry), 2);
    write_tenant(fixture, "b", "B", "b.local");
    expect_changes(fixture, "+b ");
    remove_file(fixture, "c.json");
    expect_changes(fixture, "");
    expect_error(fixture, "");
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a ");
}

static void test_next_one_waiting_gets_the_host_and_the_other_is_told_of_it(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "A", "a.local");
    load(fixture);
    write_tenant(fixture, "c", "C", "a.local");
    expect_changes(fixture, "");
    write_tenant(fixture, "b", "B", "a.local");
    expect_changes(fixture, "");
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a +c ");
    expect_error(fixture, "host \"a.local\" is already tenant c's");
}

static void test_one_that_waits_for_a_kept_host_holds_nobody_up(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "b", "B", "two.local");
    write_tenant(fixture, "c", "C", "three.local");
    load(fixture);
    write_tenant(fixture, "a", "A", "two.local");
    write_file(fixture, "b.json", "{\"hosts\": [\"two.local\", \"three.local\"]}");
    expect_changes(fixture, "");
    assert_int_equal(registry_error_count(fixture->registry), 2);
    remove_file(fixture, "c.json");
    expect_changes(fixture, "-c ~b ");
    assert_string_equal(host_owner(fixture, "three.local"), "b");
    expect_error(fixture, "[a] ");
}

static void test_one_that_waits_for_two_does_not_bar_the_one_it_waits_for(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "A", "one.local");
    write_tenant(fixture, "b", "B", "two.local");
    load(fixture);
    write_file(fixture, "c.json", "{\"hosts\": [\"one.local\", \"two.local\"]}");
    expect_changes(fixture, "");
    write_tenant(fixture, "b", "B", "one.local");
    expect_changes(fixture, "");
    remove_file(fixture, "a.json");
    expect_changes(fixture, "-a ~b ");
    expect_error(fixture, "\"one.local\" is already tenant b's");
    remove_file(fixture, "b.json");
    expect_changes(fixture, "-b +c ");
}

static void test_tenants_exchange_their_hosts(void **state) {
    struct fixture *fixture = *state;

    write_tenant(fixture, "a", "A", "one.local");
    write_tenant(fixture, "b", "B", "two.local");
    write_tenant(fixture, "c", "C", "three.local");
    load(fixture);
    write_tenant(fixture, "a", "A", "two.local");
    write_tenant(fixture, "b", "B", "three.local");
    expect_changes(fixture, "");
    assert_int_equal(registry_error_count(fixture->registry), 2);
    write_tenant(fixture, "d", "D", "two.local");
    expect_changes(fixture, "");
    write_tenant(fixture, "c", "C", "one.local");
    expect_changes(fixture, "~a ~b ~c ");
    assert_string_equal(host_owner(fixture, "one.local"), "c");
    assert_string_equal(host_owner(fixture, "two.local"), "a");
    assert_string_equal(host_owner(fixture, "three.local"), "b");
    assert_int_equal(registry_error_count(fixture->registry), 1);
    expect_error(fixture, "[d] ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first_in_order_of_ids_gets_the_host_at_load),
        TEST(test_holder_keeps_the_host_and_newcomer_gets_it_later),
        TEST(test_refused_tenant_keeps_its_last_good_version),
        TEST(test_refused_version_that_is_replaced_or_removed_is_forgotten),
        TEST(test_next_one_waiting_gets_the_host_and_the_other_is_told_of_it),
        TEST(test_one_that_waits_for_a_kept_host_holds_nobody_up),
        TEST(test_one_that_waits_for_two_does_not_bar_the_one_it_waits_for),
        TEST(test_tenants_exchange_their_hosts),
    };
    return cmocka_run_group_tests_name("registry_hosts", tests, NULL, NULL);
}
