"""Everything dies once, under traffic: it comes back by itself, and what failed is told."""

import time

import pytest

from support.programs import wait_until
from support.system import System, Traffic, Watch, kill_process

TENANTS = ["one", "two", "three"]
BACK_S = 20  # until all is as before; restarts of the engine's own take up to a second or two


@pytest.fixture(scope="module")
def system(own_engine, place):
    with System(place, own_engine) as created:
        for tenant in TENANTS:
            created.tenant(tenant)
        created.up()
        with Watch(created):
            yield created


@pytest.fixture
def traffic(system):
    """The ledger must have every answered request in the end, however much was killed."""
    system.await_served(*TENANTS)
    with Traffic(system, TENANTS) as running:
        running.await_clean()
        running.billed_before = sum(system.billed(tenant, "requests") for tenant in TENANTS)
        running.good_before = running.good_count()
        yield running
        running.await_clean()
    billed = sum(system.billed(tenant, "requests") for tenant in TENANTS) - running.billed_before
    assert billed >= running.good_count() - running.good_before
    assert system.plan() == []


def see_it_back(what, system, traffic, is_back):
    """Prints what was lost."""
    began, before, bad_before = time.monotonic(), traffic.count(), len(traffic.bad())
    wait_until(is_back, f"{what} back", BACK_S, 0.02)
    traffic.await_clean(deadline_s=BACK_S)
    took, bad = time.monotonic() - began, traffic.bad()[bad_before:]
    print(f"{what}: {len(bad)} of {traffic.count() - before} requests failed, "
          f"clean after {took:.1f} s: {sorted(set(map(str, bad)))[:4]}")
    assert system.status("one") == 200


@pytest.mark.parametrize("unit", ["shim", "fpm-default", "one", "proxy"])
def test_killed_process_comes_back(system, traffic, unit):
    before = system.pid_of(unit)
    kill_process(before)
    see_it_back(f"kill -9 of {unit}", system, traffic,
                lambda: system.pid_of(unit) not in (0, before))


@pytest.mark.parametrize("unit", ["shim", "fpm-default", "one", "proxy"])
def test_container_killed_by_hand_comes_back(system, traffic, unit):
    """The engine takes this for what the operator wants; watch does not."""
    before = system.pid_of(unit)
    system.engine.docker("kill", system.container(unit))
    see_it_back(f"docker kill of {unit}", system, traffic,
                lambda: system.pid_of(unit) not in (0, before))


def test_killed_engine_comes_back(system, traffic):
    system.engine.kill()
    traffic.await_more(30)
    system.engine.start_again()
    see_it_back("kill -9 of the engine", system, traffic,
                lambda: all(system.state_of(unit) == "running"
                            for unit in ("shim", "fpm-default", "proxy", *TENANTS)))


@pytest.fixture(scope="module")
def unwatched(own_engine, place):
    with System(place, own_engine) as created:
        for tenant in TENANTS:
            created.tenant(tenant)
        created.up()
        yield created


@pytest.mark.parametrize("seen", [4, 5])
def test_engine_killed_during_up(unwatched, seen):
    """Once that many of six containers are there."""
    unwatched.ctl("down", *TENANTS)
    up = unwatched.begin("up")
    wait_until(lambda: len(unwatched.containers()) >= seen, f"{seen} containers", 30, 0.02)
    unwatched.engine.kill()
    output, _ = up.communicate(timeout=60)
    unwatched.engine.start_again()
    assert up.returncode in (0, 69), output
    unwatched.up()
    assert unwatched.plan() == []
    unwatched.await_served(*TENANTS)


def test_container_that_can_not_be_started_again_is_made_anew(unwatched):
    """What an engine may leave that was killed at the wrong moment."""
    before = unwatched.id_of("one")
    unwatched.engine.docker("stop", "--time", "1", unwatched.container("one"))
    unwatched.engine.spoil(before)
    assert unwatched.plan() == [("start", "one")]
    unwatched.up()
    assert unwatched.id_of("one") != before
    unwatched.await_served("one")


def test_container_whose_names_the_engine_forgot_is_made_anew(unwatched):
    """The same, at another moment: it runs, but the proxy would not find it."""
    before = unwatched.id_of("two")
    unwatched.engine.docker("stop", "--time", "1", unwatched.container("two"))
    unwatched.engine.forget_names(before)
    unwatched.up()
    assert unwatched.id_of("two") != before
    unwatched.await_served(*TENANTS)
