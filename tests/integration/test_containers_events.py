"""watch on an engine that answers calls, but gives no events."""

import time

import pytest
from support.containers import System, Watch
from support.programs import wait_until


@pytest.fixture
def system(place):
    with System(place) as created:
        yield created


def test_engine_that_gives_no_events_is_told_and_not_pressed(place, system):
    system.engine.fault("GET", "/events", status=403)
    with Watch(place, system) as watch:
        wait_until(lambda: "sys-tenant-one" in system.running(), "the tenant runs")
        time.sleep(2)
        asked = [call for call in system.engine.calls if call.path.endswith("/events")]
        assert len(asked) <= 2, "asked without a pause"
        assert watch.log().count("gives no events") == 1
