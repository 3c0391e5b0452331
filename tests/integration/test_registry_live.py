"""Tenants come, change and go while others' requests run: the effect is there within milliseconds,
without a restart or a command, and nobody else notices."""

import itertools
import time

import pytest
from support import fcgi
from support.fpmux import Fpmux
from support.programs import accepts, wait_until
from support.servers import Fpm
from support.web import Load

LIMIT_MS = 50
TRIES = 5  # the machine may be busy at one instant, hardly at five


@pytest.fixture(scope="module")
def fpmux(module_place, module_root):
    with Fpm(module_place, workers=4) as fpm, \
            Fpmux(module_place, fpm.address, module_root) as daemon:
        daemon.tenant("steady", params={"DBNAME": "steady"})
        wait_until(lambda: ask(daemon, "steady").status == 200, "the first tenant")
        yield daemon


@pytest.fixture
def steady_load(fpmux):
    """Another tenant's requests, none of which may fail."""
    with Load(lambda: ask(fpmux, "steady"), threads=2) as load:
        wait_until(lambda: load.count() > 10, "the load runs")
        yield load
        seen = load.count()
        wait_until(lambda: load.count() > seen + 10, "the load goes on")
    assert load.failures(lambda reply: getattr(reply, "body", None) == b"hello steady") == []


def ask(fpmux, tenant, script="/hello.php", address=None):
    root = fpmux.config["pools"]["default"]["root"]
    return fcgi.call(address or fpmux.unix, fcgi.web_params(root, script,
                                                            server_name=f"{tenant}.test"))


def measure(change, has_effect):
    """Milliseconds from the change to its effect."""
    change()
    changed = time.monotonic()
    wait_until(has_effect, "the effect of the change", interval_s=0)
    return 1000 * (time.monotonic() - changed)


def assert_quick(record_property, measurements):
    """measurements: an iterable that measures when asked; tries again when the machine was busy."""
    taken = []
    for milliseconds in itertools.islice(measurements, TRIES):
        taken.append(round(milliseconds, 1))
        if milliseconds <= LIMIT_MS:
            break
    record_property("effect_ms", taken)
    print(f"effect after {taken} ms")
    assert taken[-1] <= LIMIT_MS


def test_added_tenant_is_served_at_once(fpmux, steady_load, record_property):
    def add(number):
        tenant = f"added-{number}"
        return measure(lambda: fpmux.tenant(tenant, params={"DBNAME": tenant}),
                       lambda: ask(fpmux, tenant).body == f"hello {tenant}".encode())

    assert_quick(record_property, map(add, itertools.count()))


def test_added_tenant_has_its_socket_at_once(fpmux, steady_load, record_property):
    def add(number):
        tenant = f"socket-{number}"
        return measure(lambda: fpmux.tenant(tenant), lambda: accepts(fpmux.socket_of(tenant)))

    assert_quick(record_property, map(add, itertools.count()))


def test_changed_parameter_is_used_at_once(fpmux, steady_load, record_property):
    def change(number):
        return measure(lambda: fpmux.tenant("changing", params={"DBNAME": f"new-{number}"}),
                       lambda: ask(fpmux, "changing").body == f"hello new-{number}".encode())

    assert_quick(record_property, map(change, itertools.count()))


def test_changed_host_is_known_at_once_and_the_old_one_is_not(fpmux, steady_load, record_property):
    fpmux.tenant("moving", hosts=["before.test"])
    wait_until(lambda: ask(fpmux, "before").status == 200, "the old host")

    def move(number):
        return measure(lambda: fpmux.tenant("moving", hosts=[f"after-{number}.test"]),
                       lambda: ask(fpmux, f"after-{number}").status == 200)

    assert_quick(record_property, map(move, itertools.count()))
    assert ask(fpmux, "before").status == 404


def test_removed_tenant_is_unknown_at_once(fpmux, steady_load, record_property):
    def remove(_):
        fpmux.tenant("leaving")
        wait_until(lambda: ask(fpmux, "leaving").status == 200, "the tenant that will go")
        return measure(lambda: fpmux.remove_tenant("leaving"),
                       lambda: ask(fpmux, "leaving").status == 404)

    assert_quick(record_property, map(remove, itertools.count()))
    wait_until(lambda: not accepts(fpmux.socket_of("leaving")), "its socket is gone, too")


def test_suspended_tenant_is_refused_at_once_and_resumes(fpmux, steady_load, record_property):
    fpmux.tenant("pausing")
    wait_until(lambda: ask(fpmux, "pausing").status == 200, "the tenant")

    def suspend(_):
        fpmux.ctl("tenant", "resume", "pausing")
        wait_until(lambda: ask(fpmux, "pausing").status == 200, "the tenant is back")
        return measure(lambda: fpmux.ctl("tenant", "suspend", "pausing"),
                       lambda: ask(fpmux, "pausing").status == 503)

    assert_quick(record_property, map(suspend, itertools.count()))
    assert ask(fpmux, "pausing", address=fpmux.socket_of("pausing")).status == 503
    fpmux.ctl("tenant", "resume", "pausing")
    wait_until(lambda: ask(fpmux, "pausing").status == 200, "the tenant resumes")


@pytest.mark.parametrize("change", ["remove", "suspend", "change"])
def test_running_request_of_the_changed_tenant_is_finished(fpmux, change):
    fpmux.tenant("running", params={"DBNAME": "old"})
    wait_until(lambda: ask(fpmux, "running").body == b"hello old", "the tenant")
    root = fpmux.config["pools"]["default"]["root"]
    with fcgi.Client(fpmux.unix) as client:
        client.send(fcgi.request(1, fcgi.web_params(root, "/slow_start.php?ms=300",
                                                    server_name="running.test")))
        client.read_until(lambda: 1 in client.responses)
        if change == "remove":
            fpmux.remove_tenant("running")
        else:
            fpmux.tenant("running", params={"DBNAME": "new"},
                         state="suspended" if change == "suspend" else "active")
        expected = {"remove": 404, "suspend": 503, "change": 200}[change]
        wait_until(lambda: ask(fpmux, "running").status == expected
                   and ask(fpmux, "running").body != b"hello old", "the change")
        assert not client.responses[1].is_complete
        response = client.response(1)
    assert response.body.endswith(b"end old\n")


BAD_TEXTS = {"not JSON": "{ this is not JSON", "unknown key": '{"hosts": ["wrong.test"], "x": 1}',
             "empty": "", "cut": '{"hosts": ["wrong.te',
             "reserved name": '{"params": {"SCRIPT_FILENAME": "/etc/passwd"}}',
             "host of another": '{"hosts": ["steady.test"]}'}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_file_keeps_the_last_good_version(fpmux, steady_load, text):
    fpmux.tenant("wrong", params={"DBNAME": "good"})
    wait_until(lambda: ask(fpmux, "wrong").body == b"hello good", "the good version")
    lines = len(fpmux.log_lines("wrong.json"))
    fpmux.tenant_text("wrong", text)
    wait_until(lambda: len(fpmux.log_lines("wrong.json")) > lines, "the error is logged")
    assert ask(fpmux, "wrong").body == b"hello good"
    assert "wrong.json" in (checked := fpmux.ctl("check", check=False)).stdout + checked.stderr
    assert checked.returncode != 0
    fpmux.tenant("wrong", params={"DBNAME": "mended"})
    wait_until(lambda: ask(fpmux, "wrong").body == b"hello mended", "the mended version")
    assert fpmux.ctl("check").returncode == 0
