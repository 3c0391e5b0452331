"""A tenant whose file is in error: what it wants is not known, so its container stays as it is."""

import pytest
from support.containers import System

OK, DATAERR, NOINPUT = 0, 65, 66


@pytest.fixture
def system(place):
    with System(place, tenants=("one", "two")) as created:
        created.ctl("up", code=OK)
        yield created


def hosts(system):
    return {path.name for path in (system.ledger.parent / "hosts").iterdir()}


def test_broken_file_takes_no_container_down(system):
    before = system.containers()["sys-tenant-two"].id
    system.tenant_text("two", '{"hosts": [')
    assert "remove" not in system.ctl("plan", code=DATAERR).stdout
    done = system.ctl("up", code=DATAERR)
    assert "two.json:" in done.last_line and "left as it is" in done.last_line
    assert system.containers()["sys-tenant-two"].id == before
    assert "sys-tenant-two" in system.running()
    assert "two.test" in hosts(system), "the proxy would call the site unknown"


def test_others_are_brought_up_beside_it(system):
    system.tenant_text("two", '{"hosts": [')
    system.tenant("three")
    system.remove_tenant("one")
    system.ctl("up", code=DATAERR)
    assert {"sys-tenant-two", "sys-tenant-three"} <= system.running()
    assert "sys-tenant-one" not in system.containers()
    system.ctl("up", "three", code=OK)  # who is asked for another one is not told


def test_host_of_another_takes_nobody_down(system):
    system.tenant_text("three", '{"hosts": ["two.test"]}')
    system.ctl("up", code=DATAERR)
    assert "sys-tenant-two" in system.running()


def test_who_has_no_container_and_a_broken_file_is_told_why(system):
    system.tenant_text("four", '{"hosts": [')
    assert "four.json:" in system.ctl("up", "four", code=DATAERR).last_line
    assert 'no tenant "five"' in system.ctl("up", "five", code=NOINPUT).last_line


def test_mended_file_counts_again(system):
    system.tenant_text("two", '{"hosts": [')
    system.ctl("up", code=DATAERR)
    system.tenant("two", hosts=["other.test"])
    system.ctl("up", code=OK)
    assert hosts(system) == {"one.test", "other.test"}
