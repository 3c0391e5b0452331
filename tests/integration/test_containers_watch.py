"""fpmuxctl watch on an engine and a registry that do what a test tells them."""

import json
import signal
import threading
import time

import pytest
from support.containers import System, Watch
from support.programs import wait_until

BASE = {"sys-fpm-default", "sys-shim", "sys-proxy"}
ONE = "sys-tenant-one"


@pytest.fixture
def system(place):
    with System(place) as created:
        yield created
        created.assert_strangers_untouched()


@pytest.fixture
def watch(place, system):
    with Watch(place, system) as watching:
        wait_until(lambda: system.running() == BASE | {ONE}, lambda: settled(system, watching))
        yield watching


def settled(system, watching):
    return f"the containers; there run {system.running()}; {watching.log()}"


def wait_running(system, watching, *tenants):
    wanted = BASE | {f"sys-tenant-{tenant}" for tenant in tenants}
    wait_until(lambda: system.running() == wanted, lambda: settled(system, watching))


def wait_log(watching, text, count=1):
    wait_until(lambda: watching.log().count(text) >= count, lambda: f"{text} in {watching.log()}")


def starts(system, name):
    """When the container was started, in seconds."""
    return [event["timeNano"] / 1e9 for event in system.engine.docker.events
            if event["Action"] == "start" and event["Actor"]["Attributes"]["name"] == name]


# ---- The registry ----

def test_file_that_is_added_brings_the_container_up_and_removed_takes_it_down(system, watch):
    system.tenant("two")
    wait_running(system, watch, "one", "two")
    system.remove_tenant("one")
    wait_running(system, watch, "two")
    wait_until(lambda: ONE not in system.containers(), watch.log)
    assert "error" not in watch.log()


def test_file_that_is_changed_replaces_only_its_container(system, watch):
    ids = {name: one.id for name, one in system.containers().items()}
    system.tenant("one", hosts=["one.test", "www.one.test"])
    wait_log(watch, "one: replace done")
    wait_running(system, watch, "one")
    now = {name: one.id for name, one in system.containers().items()}
    assert {name for name in ids if now[name] == ids[name]} == BASE
    aliases = system.containers()[ONE].aliases
    assert aliases == {"one.test.fpmux", "www.one.test.fpmux"}


def test_secret_that_is_changed_restarts_nothing(system, watch):
    system.tenant("one", params={"DBPASS": "another"})
    system.tenant("two")  # after which the other file was seen
    wait_running(system, watch, "one", "two")
    assert len(starts(system, ONE)) == 1


def test_file_that_is_broken_leaves_the_container_alone(system, watch):
    before = system.containers()[ONE].id
    system.tenant_text("one", "{")
    wait_log(watch, "one.json:1:")
    system.tenant("two")
    wait_running(system, watch, "one", "two")
    assert system.containers()[ONE].id == before
    system.engine.die(ONE, comes_back=False)  # the last good version is kept
    wait_running(system, watch, "one", "two")


def test_watch_that_begins_with_a_broken_file_leaves_the_container_alone(place, system):
    system.ctl("up", code=0)
    system.tenant_text("one", "{")
    with Watch(place, system) as watching:
        system.tenant("two")
        wait_running(system, watching, "one", "two")
        assert "one.json:1:" in watching.log()
        system.tenant("one")
        system.tenant("three")
        wait_running(system, watching, "one", "two", "three")
    assert len(starts(system, ONE)) == 1


def test_registry_that_goes_away_takes_nobody_down(system, watch):
    system.registry.rename(system.home / "elsewhere")
    wait_log(watch, "error")
    system.engine.die(ONE, comes_back=False)
    wait_running(system, watch, "one")
    (system.home / "elsewhere").rename(system.registry)
    system.tenant("two")
    wait_running(system, watch, "one", "two")


def test_suspended_tenant_runs_on_unless_its_plan_says_stop(system, watch):
    system.tenant("two", plan={"suspended": "stop"})
    wait_running(system, watch, "one", "two")
    system.tenant("two", plan={"suspended": "stop"}, state="suspended")
    system.tenant("one", state="suspended")
    wait_running(system, watch, "one")
    assert len(starts(system, ONE)) == 1
    system.tenant("two", plan={"suspended": "stop"})
    wait_running(system, watch, "one", "two")


# ---- Containers ----

@pytest.mark.parametrize("name", sorted(BASE | {ONE}))
def test_container_that_ends_is_started_again(system, watch, name):
    system.engine.die(name, comes_back=False)
    wait_running(system, watch, "one")
    assert len(starts(system, name)) == 2


@pytest.mark.parametrize("name", sorted(BASE | {ONE}))
def test_container_that_is_removed_is_made_again(system, watch, name):
    before = system.containers()[name].id
    system.engine.docker.remove(name, True)
    wait_until(lambda: name in system.containers() and system.containers()[name].id != before,
               lambda: settled(system, watch))
    wait_running(system, watch, "one")


def test_container_that_is_paused_goes_on(system, watch):
    system.engine.docker.pause(ONE, True)
    wait_until(lambda: system.containers()[ONE].status == "running", watch.log)


def test_container_that_dies_at_once_is_started_later_and_later(system, watch):
    docker = system.engine.docker
    dead = threading.Event()

    def end(container):
        if container.name == ONE and not dead.is_set():
            docker.end(container, 1)
    docker.on_start = end
    began = time.time()
    system.engine.die(ONE, comes_back=False)
    wait_until(lambda: len(starts(system, ONE)) >= 5, watch.log, 30)
    tries = [moment for moment in starts(system, ONE) if moment > began]
    gaps = [later - sooner for sooner, later in zip(tries, tries[1:])]
    for gap, least in zip(gaps, (0, 1, 2)):  # the first time there was nothing to wait for
        assert least <= gap < least + 2, gaps
    others = {name: starts(system, name) for name in BASE}
    assert all(len(moments) == 1 for moments in others.values()), others
    dead.set()
    wait_until(lambda: ONE in system.running(), watch.log, 30)


def test_what_fails_is_tried_again_later_and_holds_up_nobody_else(system, watch):
    fault = system.engine.fault("POST", "/containers/create", status=500, times=3,
                                message="no space left on device")
    system.tenant("two")
    wait_log(watch, "no space left on device")
    fault.what["status"] = None  # the first create was two's; three's is well
    fault.times = fault.calls
    system.tenant("three")
    wait_until(lambda: "sys-tenant-three" in system.running(), watch.log)
    wait_running(system, watch, "one", "two", "three")


def test_work_that_takes_long_does_not_keep_news_from_being_heard(system, watch):
    may_go_on = threading.Event()
    docker = system.engine.docker
    start = docker.start

    def wait(key):
        if docker.find(key).name == "sys-tenant-slow":
            may_go_on.wait(30)
        return start(key)
    docker.start = wait
    system.tenant("slow")
    wait_until(lambda: "sys-tenant-slow" in system.containers(), watch.log)
    assert json.loads(system.ctl("--json", "ps", code=0).stdout)
    may_go_on.set()
    wait_running(system, watch, "one", "slow")


# ---- The engine ----

def test_engine_that_goes_and_comes_back_is_waited_for_and_told_once(system, watch):
    system.engine.down()
    wait_log(watch, "cannot reach the Docker Engine")
    system.tenant("two")
    time.sleep(2.5)  # several tries
    assert watch.log().count("cannot reach the Docker Engine") == 1, watch.log()
    assert watch.process.poll() is None
    system.engine.up()
    wait_running(system, watch, "one", "two")
    wait_log(watch, "the engine is back")
    assert len(starts(system, ONE)) == 1


def test_containers_that_end_while_the_engine_is_away_are_started(system, watch):
    system.engine.down()
    system.engine.die(ONE, comes_back=False)
    system.engine.docker.remove("sys-proxy", True)
    system.engine.up()
    wait_running(system, watch, "one")


@pytest.mark.parametrize("is_carried_out", [False, True])
@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/containers/create"), ("POST", "/containers/.*/start"),
    ("POST", "/containers/.*/stop"), ("POST", "/containers/.*/rename"),
    ("DELETE", "/containers/.*"), ("GET", "/containers/.*json"), ("GET", "/events")])
def test_call_that_breaks_in_the_middle_of_work_is_mended(system, watch, method, path,
                                                          is_carried_out):
    fault = system.engine.fault(method, path, cut=True, times=1, is_carried_out=is_carried_out)
    if path == "/events":
        system.engine.down()
        system.engine.up()
    system.engine.add_image("fpmux/apache")
    system.tenant("two")
    wait_until(lambda: fault.calls and system.running() == BASE | {ONE, "sys-tenant-two"} and
               set(system.containers()) == system.running() and not system.plan(),
               lambda: settled(system, watch), 30)


def test_engine_that_refuses_all_is_told_once_and_asked_again(system, watch):
    fault = system.engine.fault("GET", "/containers/json", status=500, message="database is locked")
    system.tenant("two")
    wait_until(lambda: fault.calls >= 3, watch.log)
    assert watch.log().count("database is locked") == 1, watch.log()
    fault.remove()
    wait_running(system, watch, "one", "two")


def test_events_of_strangers_are_of_no_interest(system, watch):
    wait_until(lambda: system.engine.called("GET", "/events"), "it listens")
    calls = len(system.engine.calls)
    foreign = system.engine.add_container("noise", labels={"fpmux.system": "other"})
    for _ in range(20):
        system.engine.die("noise", comes_back=False)
        system.engine.docker.start("noise")
    system.tenant("two")
    wait_running(system, watch, "one", "two")
    assert not [call for call in system.engine.calls[calls:] if foreign.id in call.path]


# ---- Beginning and ending ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_leaves_the_containers(system, watch, number):
    calls = len(system.engine.calls)
    watch.process.send_signal(number)
    assert watch.process.wait(5) == 0
    assert system.running() == BASE | {ONE}
    assert all(call.method == "GET" for call in system.engine.calls[calls:])
    assert "the containers go on" in watch.log()


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/containers/create"), ("POST", "/containers/.*/start"), ("GET", "/containers/json"),
    ("GET", "/version"), ("GET", "/containers/.*/json"), ("GET", "/images/.*/json")])
def test_end_does_not_wait_for_an_engine_that_hangs(system, watch, method, path):
    fault = system.engine.fault(method, path, hang=True)
    system.tenant("two")
    system.engine.die(ONE, comes_back=False)
    if path == "/version":
        system.engine.down()
        system.engine.up()
    wait_until(lambda: fault.calls, watch.log)
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(8) == 0


def test_second_watch_is_refused(system, watch):
    done = system.ctl("watch")
    assert done.code == 75, done
    assert "is watch running already?" in done.last_line
    assert watch.process.poll() is None
    watch.stop()
    assert not [one for one in system.engine.called("POST", "/.*/stop")]


def test_watch_goes_on_where_a_killed_one_was(place, system):
    hang = system.engine.fault("POST", "/containers/.*/start", hang=True, after=2)
    first = Watch(place, system).start()
    wait_until(lambda: hang.calls, first.log)
    first.kill()
    hang.remove()
    with Watch(place, system) as second:
        wait_running(system, second, "one")
        wait_until(lambda: system.plan() == [], second.log)


def test_up_and_down_work_beside_watch(system, watch):
    system.engine.add_image("fpmux/proxy")
    system.ctl("up", code=0)
    assert system.plan() == []
    system.ctl("down", "one", code=0)
    wait_running(system, watch, "one")  # which the registry still wants
    system.remove_tenant("one")
    wait_running(system, watch)


def test_watch_waits_while_up_works(place, system):
    is_begun, may_go_on = threading.Event(), threading.Event()

    def wait(container):
        del container
        is_begun.set()
        may_go_on.wait(30)
    system.engine.docker.on_start = wait
    process = system.start("up")
    assert is_begun.wait(10)
    with Watch(place, system) as watching:
        system.tenant("two")
        wait_until(lambda: system.engine.called("GET", "/events"), watching.log)
        time.sleep(1.5)  # it would have begun
        assert len(system.engine.called("POST", "/containers/.*/start")) == 1
        may_go_on.set()
        assert system.finish(process, ["up"]).code == 0
        wait_running(system, watching, "one", "two")


# ---- How long they ran ----

def service_seconds(system):
    rows = json.loads(system.ctl("export", "--format", "json", code=0).stdout)["rows"]
    return sum(row["service_seconds"] for row in rows if row["tenant"] == "one")


def test_time_that_a_container_ran_is_counted_once_across_watches(place, system):
    began = time.time()
    with Watch(place, system) as watching:
        wait_running(system, watching, "one")
        time.sleep(1)
    with Watch(place, system) as watching:
        system.tenant("one", hosts=["other.test"])  # another container
        wait_log(watching, "one: replace done")
        wait_running(system, watching, "one")
        time.sleep(1)
        system.remove_tenant("one")
        wait_running(system, watching)
        wait_until(lambda: "one: remove done" in watching.log(), watching.log)
    spans = {}
    for event in system.engine.docker.events:
        if event["Actor"]["Attributes"].get("fpmux.tenant") == "one":
            spans.setdefault(event["Actor"]["ID"], {}).setdefault(
                event["Action"], event["timeNano"] / 1e9)
    old, new = sorted(spans.values(), key=lambda span: span["start"])
    assert old["start"] < new["start"] < old["die"] < new["die"]  # while both run, it is one
    ran = new["die"] - old["start"]
    assert 2 <= ran <= time.time() - began
    assert service_seconds(system) == pytest.approx(ran, abs=0.1)
