"""Fifty tenants, kept by `watch` as their files say, while others are in use."""

import pytest

from support.system import System, Traffic, Watch
from support.programs import wait_until

TENANTS = [f"org{number:02}" for number in range(50)]
BUSY, CHANGED, REMOVED = TENANTS[:30], TENANTS[30:40], TENANTS[40:]


@pytest.fixture(scope="module")
def system(engine, place):
    with System(place, engine) as created:
        yield created


def has_other_host(system, tenant):
    return system.fetch(tenant, host=f"other-{tenant}.test").status == 200


def test_fifty_go_up_ten_change_and_ten_go_under_traffic_to_the_others(system):
    for tenant in TENANTS:
        system.tenant(tenant)
    system.up()
    with Watch(system):
        system.await_served(*TENANTS, deadline_s=5)
        with Traffic(system, BUSY) as traffic:
            traffic.await_more(60)
            for tenant in CHANGED:
                system.tenant(tenant, hosts=[f"{tenant}.test", f"other-{tenant}.test"])
            for tenant in REMOVED:
                system.remove_tenant(tenant)
            for tenant in CHANGED:
                wait_until(lambda one=tenant: has_other_host(system, one), f"{tenant} changed", 60,
                           0.1)
            wait_until(lambda: len(system.containers()) == 43, "only 40 tenants", 60, 0.2)
            for tenant in REMOVED:
                system.await_status(tenant, 404)
            traffic.await_more(200)
        assert traffic.bad() == [] and traffic.count() > 300
        assert system.plan() == []
        system.await_served(*CHANGED, deadline_s=5)
    system.ctl("down")
    assert all(system.billed(tenant, "service_seconds") > 1 for tenant in TENANTS)
