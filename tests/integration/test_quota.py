"""Plans of a month: who has used up what the plan allows is refused or slowed down within a second,
and served again as soon as the limit is raised; nobody else notices, and nothing that was used is
forgotten."""

import json
import socket
import sqlite3
import subprocess
import time

import pytest
from support import fcgi
from support.fpmux import Fpmux
from support.programs import wait_until
from support.servers import Fpm
from support.web import Load, in_parallel

PAGE = b"<p>Please ask for a larger plan.</p>"
USED_UP = "has used up its plan"
LIMIT = 2000  # so many that a fifth of them takes longer than the 100 ms between two judgements


@pytest.fixture(scope="module")
def fpmux(module_place, module_root):
    pages = module_place.directory("pages")
    (pages / "429.html").write_bytes(PAGE)
    with Fpm(module_place, workers=6) as fpm, \
            Fpmux(module_place, fpm.address, module_root, pool={"workers": 6},
                  pages=str(pages)) as daemon:
        yield daemon


@pytest.fixture
def others(fpmux):
    """Another tenant's requests, none of which may fail."""
    fpmux.tenant("steady", params={"DBNAME": "steady"})
    wait_until(lambda: ask(fpmux, "steady").status == 200, "the other tenant")
    with Load(lambda: ask(fpmux, "steady"), threads=2) as load:
        yield load
        seen = load.count()
        wait_until(lambda: load.count() > seen + 10, "the other's load goes on")
    assert load.failures(lambda reply: getattr(reply, "body", None) == b"hello steady") == []


def params_of(fpmux, tenant, script="/hello.php", **more):
    root = fpmux.config["pools"]["default"]["root"]
    return fcgi.web_params(root, script, server_name=f"{tenant}.test", **more)


def ask(fpmux, tenant, script="/hello.php"):
    return fcgi.call(fpmux.unix, params_of(fpmux, tenant, script))


def add(fpmux, tenant, concurrency=4, **plan):
    fpmux.tenant(tenant, plan=plan, limits={"concurrency": concurrency})


def charge(fpmux, tenant, requests=0, cpu_seconds=0):
    subprocess.run([fpmux.build / "tests" / "charge", fpmux.home / "counters", tenant,
                    str(requests), str(cpu_seconds)], check=True, timeout=10)


def show(fpmux, tenant):
    return json.loads(fpmux.ctl("tenant", "show", tenant, "--json").stdout)["this_month"]


def logged(fpmux, tenant, part):
    return [line for line in fpmux.log_lines(f"tenant {tenant}: has used ") if part in line]


class Timed:
    """Asks and notes (when it began, when it ended, status)."""

    def __init__(self, fpmux, tenant, script):
        self.fpmux, self.tenant, self.script = fpmux, tenant, script

    def __call__(self):
        began = time.monotonic()
        status = ask(self.fpmux, self.tenant, self.script).status
        return began, time.monotonic(), status


def cross(fpmux, tenant, script="/hello.php"):
    """Loads the tenant until it was refused for a second; [(began, ended, status)]."""
    with Load(Timed(fpmux, tenant, script), threads=4) as load:
        wait_until(lambda: any(result[2] == 429 for _, result in list(load.results)), "a refusal")
        refused = time.monotonic()
        wait_until(lambda: time.monotonic() > refused + 1, "a second more", interval_s=0.1)
    return [result for _, result in load.results]


# ---- Crossing ----

def test_requests_above_the_limit_are_refused_within_a_second(fpmux, others):
    add(fpmux, "many", requests_per_month=LIMIT)
    wait_until(lambda: ask(fpmux, "many").status == 200, "the tenant")
    results = cross(fpmux, "many")
    assert {status for _, _, status in results} == {200, 429}
    served = sorted(ended for _, ended, status in results if status == 200)
    crossed = served[LIMIT - 2]  # the first one was asked for above
    late = [began for began, _, status in results if status == 200 and began > crossed + 1]
    print(f"{len(served) + 1} of {LIMIT} answered, the last {served[-1] - crossed:.3f} s later")
    assert late == []
    assert served[-1] <= crossed + 1
    refusals = sorted(ended for _, ended, status in results if status == 429)
    assert [began for began, _, status in results if status == 200 and began > refusals[0]] == []
    assert len(logged(fpmux, "many", "80 %")) == 1
    assert len(logged(fpmux, "many", USED_UP)) == 1
    billed = fpmux.billed("many", "requests")
    assert billed == len(served) + 1
    assert fpmux.billed("many", "rejected") == len(refusals)


def test_refusal_has_the_operators_page_and_says_when_to_come_again(fpmux):
    add(fpmux, "page", requests_per_month=1)
    wait_until(lambda: ask(fpmux, "page").status == 200, "the tenant")
    wait_until(lambda: ask(fpmux, "page").status == 429, "the refusal")
    reply = ask(fpmux, "page")
    assert reply.body == PAGE
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["x-fpmux-request-id"]
    assert reply.is_complete
    # With a body, too: it is read to its end.
    body = b"x" * 300000
    with fcgi.Client(fpmux.unix) as client:
        asked = params_of(fpmux, "page", CONTENT_LENGTH=len(body), REQUEST_METHOD="POST")
        assert client.call(asked, body).status == 429
        assert client.call(params_of(fpmux, "page")).status == 429  # on the same connection


def test_cpu_above_the_limit_is_refused_within_a_second(fpmux, others):
    add(fpmux, "burner", cpu_seconds_per_month=1)
    wait_until(lambda: ask(fpmux, "burner").status == 200, "the tenant")
    results = cross(fpmux, "burner", "/burn.php?ms=30")
    refused = min(ended for _, ended, status in results if status == 429)
    assert [began for began, _, status in results if status == 200 and began > refused] == []
    billed = fpmux.billed("burner", "cpu_seconds")
    print(f"billed {billed:.3f} s of 1 s")
    assert 1 <= billed <= 1 + 1.0 * 4  # a second of what may run at once
    assert "CPU 1." in logged(fpmux, "burner", USED_UP)[0]


def test_running_request_crosses_the_limit_and_is_finished(fpmux):
    charge(fpmux, "long", cpu_seconds=0.7)
    fpmux.export()
    add(fpmux, "long", cpu_seconds_per_month=1)
    wait_until(lambda: ask(fpmux, "long").status == 200, "the tenant")
    with fcgi.Client(fpmux.unix, deadline_s=60) as client:
        client.send(fcgi.request(1, params_of(fpmux, "long", "/burn.php?ms=2000")))
        wait_until(lambda: logged(fpmux, "long", USED_UP), "the crossing")
        assert ask(fpmux, "long").status == 429
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1, socket.MSG_PEEK)
        client.socket.settimeout(60)
        reply = client.response(1)
    assert (reply.status, reply.body) == (200, b"burnt")


def test_waiting_requests_are_refused_when_the_limit_is_crossed(fpmux):
    add(fpmux, "queue", concurrency=1, requests_per_month=2)
    wait_until(lambda: ask(fpmux, "queue").status == 200, "the tenant")
    began = time.monotonic()
    replies = in_parallel(lambda _: ask(fpmux, "queue", "/slow.php?ms=400"), range(8))
    statuses = sorted(reply.status for reply in replies)
    assert statuses in ([200] + [429] * 7, [200] * 2 + [429] * 6)  # one may have begun to run
    assert time.monotonic() - began < 2.5


def test_body_that_was_under_way_at_the_crossing_is_refused(fpmux):
    add(fpmux, "upload", requests_per_month=1)
    fpmux.tenant("behind")  # whoever is told later is known later
    wait_until(lambda: ask(fpmux, "behind").status == 200, "the tenants")
    with fcgi.Client(fpmux.unix) as client:
        asked = params_of(fpmux, "upload", CONTENT_LENGTH=10, REQUEST_METHOD="POST")
        client.send(fcgi.begin(1) + fcgi.params_stream(1, asked)
                    + fcgi.record(fcgi.STDIN, 1, b"12345"))
        wait_until(lambda: ask(fpmux, "upload").status == 429, "the crossing")
        client.send(fcgi.record(fcgi.STDIN, 1, b"67890") + fcgi.record(fcgi.STDIN, 1))
        assert client.response(1).status == 429


# ---- Slow ----

def overlap(fpmux, tenant):
    """How many of four requests that come at once run at the same time."""
    replies = in_parallel(lambda _: ask(fpmux, tenant, "/span.php?ms=200"), range(4))
    assert [reply.status for reply in replies] == [200] * 4
    spans = [tuple(map(int, reply.body.split())) for reply in replies]
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


def test_slow_runs_one_at_a_time_and_the_others_fly(fpmux, others):
    add(fpmux, "snail", over="slow", requests_per_month=10)
    wait_until(lambda: ask(fpmux, "snail").status == 200, "the tenant")
    assert overlap(fpmux, "snail") > 1
    for _ in range(5):
        ask(fpmux, "snail")
    wait_until(lambda: logged(fpmux, "snail", USED_UP), "the crossing")
    before = others.count()
    assert overlap(fpmux, "snail") == 1
    assert others.count() - before > 20
    assert "one at a time" in logged(fpmux, "snail", USED_UP)[0]
    fpmux.ctl("tenant", "set", "snail", "plan.requests_per_month=1000")
    wait_until(lambda: overlap(fpmux, "snail") > 1, "fast again")


# ---- Resuming ----

@pytest.mark.parametrize("change", ["plan.requests_per_month=1000", "plan.requests_per_month=",
                                    "plan.over=slow"])
def test_raised_limit_lets_the_next_request_pass(fpmux, change):
    tenant = "raised"
    add(fpmux, tenant, requests_per_month=1)
    wait_until(lambda: ask(fpmux, tenant).status == 429, "the refusal")
    fpmux.ctl("tenant", "set", tenant, change)
    changed = time.monotonic()
    wait_until(lambda: ask(fpmux, tenant).status == 200, "it is served", interval_s=0)
    taken = time.monotonic() - changed
    print(f"served {1000 * taken:.1f} ms after the change")
    assert taken < 1
    add(fpmux, tenant, requests_per_month=1)
    wait_until(lambda: ask(fpmux, tenant).status == 429, "refused as before")


# ---- What others charged ----

def test_charges_of_another_process_count(fpmux):
    """As `fpmuxctl exec` does it: counters of its own, folded at its end."""
    add(fpmux, "exec", cpu_seconds_per_month=1000)
    wait_until(lambda: ask(fpmux, "exec").status == 200, "the tenant")
    charge(fpmux, "exec", cpu_seconds=1000)
    fpmux.export()
    folded = time.monotonic()
    wait_until(lambda: ask(fpmux, "exec").status == 429, "the refusal")
    print(f"refused {time.monotonic() - folded:.2f} s after the fold")
    assert time.monotonic() - folded < 3
    assert "CPU 1000." in logged(fpmux, "exec", USED_UP)[0]


def test_new_limit_counts_what_was_used_before_it(fpmux):
    fpmux.tenant("late")
    wait_until(lambda: ask(fpmux, "late").status == 200, "the tenant")
    charge(fpmux, "late", requests=5000)
    fpmux.export()
    add(fpmux, "late", requests_per_month=4000)
    wait_until(lambda: ask(fpmux, "late").status == 429, "the refusal", deadline_s=2)


# ---- Restarts ----

@pytest.fixture
def own(place, root):
    """A daemon that a test may end, with 4 of 5 requests of "one" used."""
    with Fpm(place) as fpm, Fpmux(place, fpm.address, root) as daemon:
        add(daemon, "one", requests_per_month=5)
        wait_until(lambda: ask(daemon, "one").status == 200, "the tenant")
        for _ in range(3):
            assert ask(daemon, "one").status == 200
        wait_until(lambda: logged(daemon, "one", "80 %"), "the warning")
        yield daemon


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart_keeps_what_was_used(own, end):
    getattr(own, end)()
    own.start()
    assert len(logged(own, "one", "80 %")) == 2  # once in each life
    assert ask(own, "one").status == 200
    wait_until(lambda: logged(own, "one", USED_UP), "the crossing")
    assert ask(own, "one").status == 429
    getattr(own, end)()
    own.start()
    assert ask(own, "one").status == 429  # also the first one after the start
    assert own.billed("one", "requests") == 5
    assert show(own, "one")["requests"]["used"] == 5


def test_locked_ledger_delays_nobody_and_is_believed_later(own):
    own.stop()
    with sqlite3.connect(own.home / "usage.db", isolation_level=None) as database:
        database.execute("UPDATE usage SET requests=100")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("UPDATE usage SET requests=100")
        began = time.monotonic()
        own.start()
        assert time.monotonic() - began < 3
        assert ask(own, "one").status == 200
        database.execute("ROLLBACK")
    wait_until(lambda: ask(own, "one").status == 429, "the ledger is believed")


def test_unreadable_ledger_leaves_what_this_process_counted(own):
    own.stop()
    (own.home / "usage.db").write_bytes(b"no ledger" * 1000)
    own.start()
    for _ in range(5):
        assert ask(own, "one").status == 200
    wait_until(lambda: ask(own, "one").status == 429, "its own figures are enough")
    assert len(own.log_lines("quotas go by what was read last")) == 1


# ---- What people see ----

def test_tenant_show_says_used_left_and_forecast(fpmux):
    add(fpmux, "shown", requests_per_month=100, cpu_seconds_per_month=50)
    wait_until(lambda: ask(fpmux, "shown").status == 200, "the tenant")
    charge(fpmux, "shown", requests=89, cpu_seconds=10)
    month = show(fpmux, "shown")
    assert month["quota"] == "near"
    assert (month["requests"]["used"], month["requests"]["left"]) == (90, 10)
    assert 10 < month["cpu_seconds"]["used"] < 11
    assert month["cpu_seconds"]["left"] == pytest.approx(50 - month["cpu_seconds"]["used"])
    assert month["from"].endswith("-01T00:00:00Z") and month["to"].endswith("-01T00:00:00Z")
    begin, end = (time.mktime(time.strptime(month[key], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
                  for key in ("from", "to"))
    if time.time() - begin > 3700:
        expected = 90 / (time.time() - begin) * (end - begin)
        assert month["requests"]["forecast"] == pytest.approx(expected, rel=0.01)
    text = fpmux.ctl("tenant", "show", "shown").stdout
    assert "90 used, 10 left" in text
    assert "quota                  near" in text
    assert "this_month" not in json.loads(fpmux.ctl("tenant", "show", "steady", "--json").stdout)


def test_tenant_list_says_who_is_over(fpmux):
    add(fpmux, "listed", requests_per_month=10)
    add(fpmux, "half", requests_per_month=10)
    fpmux.tenant("unlimited")
    charge(fpmux, "listed", requests=12)
    charge(fpmux, "half", requests=5)
    rows = {row["id"]: row for row in json.loads(fpmux.ctl("tenant", "list", "--json").stdout)}
    assert rows["listed"]["quota"] == {"state": "over", "used_percent": 120}
    assert rows["half"]["quota"] == {"state": "free", "used_percent": 50}
    assert rows["unlimited"]["quota"] is None
    lines = fpmux.ctl("tenant", "list").stdout.splitlines()
    assert "MONTH USED" in lines[0]
    assert any("listed" in line and "over, 120 %" in line for line in lines)
    assert any("half" in line and " 50 %" in line for line in lines)
