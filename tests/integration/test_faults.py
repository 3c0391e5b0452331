"""What goes wrong at PHP-FPM, at web servers and on the way, each fault exact by the fake FPM: no
request is run twice, none gets another's bytes, no worker is counted free that is not, and nobody
else notices."""

import contextlib
import hashlib
import os
import threading

import pytest
from support import fcgi
from support.fake_fpm import (OK_HEAD, FakeFpm, Gone, answer, close, drain, end, half_close, hold,
                              read, read_begin, read_body, read_params, read_request, stderr,
                              stdout, write)
from support.faked import ROOT, Faked, got
from support.fpmux import Fpmux
from support.memory import Watched
from support.programs import free_port, wait_until
from support.web import in_parallel

# As read_request(), but not noted as run.
TAKE = (read_begin(), read_params(), read_body())
TERMINATOR = read(8)  # the empty STDIN record
# Not the tenant's own bound, but the number of workers, is what is looked at.
MANY = {"concurrency": 10}
QUICK = {"queue_seconds": 0.15, **MANY}
METHODS = [("GET", None), ("HEAD", None), ("POST", b"a=1"), ("POST", None), ("PUT", b"x" * 100000),
           ("DELETE", None)]


@pytest.fixture
def one(place):
    """One worker: requests come one after the other."""
    with Faked(place, pool={"workers": 1}, tenant={"limits": MANY}) as faked:
        yield faked


@pytest.fixture
def two(place):
    with Faked(place, pool={"workers": 2}, tenant={"limits": MANY}) as faked:
        yield faked


def script(faked, *steps):
    """What becomes of the next connection that is made to FPM. A first request on another one
    comes before, so that fpmux knows that this FPM keeps connections."""
    if not faked.fpm.connections:
        assert got(faked.ask("/first.php"))
        drop_idle(faked)
    faked.fpm.next_connection(*steps)


def drop_idle(faked):
    """Ends the backends that are idle, as FPM's reload does."""
    for connection in faked.fpm.open_connections():
        with contextlib.suppress(OSError):
            connection.socket.shutdown(2)
    wait_until(lambda: not faked.fpm.open_connections(), "FPM's connections are closed")


def assert_works(faked, path="/after.php"):
    response = faked.ask(path)
    assert got(response)["params"]["REQUEST_URI"] == path
    return response


# ---- The connection ends instead of an answer ----

@pytest.mark.parametrize("method,body", METHODS)
@pytest.mark.parametrize("ending", [close(), drain()], ids=["close", "drain"])
def test_end_without_a_byte_is_replayed_whatever_the_method(one, method, body, ending):
    script(one, *TAKE, TERMINATOR, ending)
    response = one.ask("/drained.php", method=method, body=body)
    assert got(response)["body"].encode() == (body or b"")
    assert len(one.seen("/drained.php")) == 1


def test_end_without_a_byte_again_and_again_is_502(one):
    for _ in range(20):
        script(one, *TAKE, TERMINATOR, close())
    response = one.ask("/drained.php", body=b"abc")
    assert response.status == 502
    assert one.seen("/drained.php") == []
    assert 2 <= 20 - len(one.fpm.scripts) <= 10


@pytest.mark.parametrize("method,body", METHODS)
def test_reset_without_a_byte_is_replayed_only_when_that_is_safe(one, method, body):
    script(one, read_request(), close())
    response = one.ask("/reset.php", method=method, body=body)
    is_safe = method in ("GET", "HEAD")
    assert response.status == (200 if is_safe else 502)
    assert len(one.seen("/reset.php")) == (2 if is_safe else 1)
    assert_works(one)


@pytest.mark.parametrize("method,body", [("GET", None), ("POST", b"abc")])
def test_reset_over_tcp_is_replayed_only_when_that_is_safe(place, method, body):
    with Faked(place, "tcp", pool={"workers": 1}) as faked:
        script(faked, read_request(), close())
        response = faked.ask("/reset.php", method=method, body=body)
        assert response.status == (200 if method == "GET" else 502)
        assert_works(faked)


@pytest.mark.parametrize("ending", [(close(),), (TERMINATOR, close()), (TERMINATOR, drain())],
                         ids=["reset", "EOF", "half-close"])
@pytest.mark.parametrize("before", [stdout(b"Content-Type: te"), stdout(b"X: y\r\n"), stderr(b"oh"),
                                    end(), write(b"\1\6\0")],
                         ids=["half a head", "a line", "STDERR", "END", "half a record"])
def test_death_before_the_head_is_complete_is_502(one, before, ending):
    script(one, read_request(), before, *ending)
    response = one.ask("/dies.php")
    assert response.status == 502
    assert b"Content-Type: te" not in response.stdout.partition(b"\r\n")[0]
    assert len(one.seen("/dies.php")) == 1
    assert_works(one)


@pytest.mark.parametrize("ending", [(close(),), (TERMINATOR, close()), (stdout(b""), close())],
                         ids=["reset", "EOF", "empty STDOUT"])
def test_death_after_the_head_is_seen_as_a_cut_connection(one, ending):
    script(one, read_request(), stdout(OK_HEAD + b"first half"), *ending)
    with one.client() as client:
        client.send(one.request("/dies.php"))
        client.read_to_close()
        assert client.responses[1].stdout == OK_HEAD + b"first half"
        assert not client.responses[1].is_complete
    assert len(one.seen("/dies.php")) == 1
    assert len(one.fpmux.log_lines("502")) == 1
    assert_works(one)


def test_death_after_the_head_leaves_other_requests_of_the_front_alone(two):
    with two.client() as client:
        two.start(client, "/other.php?other", 2)
        two.fpm.next_connection(read_request(), stdout(OK_HEAD + b"first half"), close())
        client.send(two.request("/dies.php", 1))
        assert client.response(1).stdout == OK_HEAD + b"first half"
        client.send(two.request("/more.php", 3))
        assert got(client.response(3))
        two.gate("other").set()
        assert got(client.response(2))


def test_idle_backend_that_dies_costs_no_request(one):
    for number, body in enumerate([None, b"abc", None, b"abc"]):
        assert_works(one)
        drop_idle(one)
        path = f"/on-a-dead-one-{number}.php"
        assert got(one.ask(path, body=body))
        assert len(one.seen(path)) == 1


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64), b"\2" * 64],
                         ids=["HTTP", "zeros", "version 2"])
def test_garbage_instead_of_an_answer_is_502_for_that_request_only(two, garbage):
    with two.client() as client:
        two.start(client, "/other.php?other", 2)
        two.fpm.next_connection(read_request(), write(garbage), drain())
        client.send(two.request("/garbage.php"))
        response = client.response(1)
        assert response.status == 502
        assert b"HTTP/1.1" not in response.stdout
        two.gate("other").set()
        assert got(client.response(2))
    assert len(two.seen("/garbage.php")) == 1


def test_records_that_do_not_belong_there_are_skipped(one):
    script(one, read_request(),
           write(lambda request: b"".join(
               [fcgi.record(kind, request.request_id, b"odd")
                for kind in (1, 2, 4, 5, 8, 9, 11, 99)]
               + [fcgi.record(fcgi.GET_VALUES_RESULT, 0),
                  fcgi.record(fcgi.UNKNOWN_TYPE, 0, bytes(8)),
                  fcgi.record(fcgi.STDOUT, request.request_id),
                  fcgi.record(fcgi.STDOUT, request.request_id, OK_HEAD + b"good", 255),
                  fcgi.record(fcgi.STDOUT, 0, b"of nobody"),
                  fcgi.record(fcgi.STDOUT, request.request_id ^ 1, b"of another"),
                  fcgi.end(request.request_id ^ 1), fcgi.end(request.request_id)])))
    assert one.ask("/odd.php").stdout == OK_HEAD + b"good"


def test_record_of_65535_bytes_and_255_of_padding_is_whole(one):
    body = bytes(range(256)) * 256
    script(one, read_request(), stdout(OK_HEAD),
           write(lambda request: fcgi.record(fcgi.STDOUT, request.request_id, body[:65535], 255)),
           write(lambda request: fcgi.record(fcgi.STDOUT, request.request_id, body[65535:], 255)),
           end())
    assert one.ask().body == body


# ---- Heads ----

def test_head_in_many_records_reaches_the_front_in_one(one):
    head = b"Status: 201 Created\r\n" + b"X-Long: " + b"v" * 3000 + b"\r\n\r\n"
    script(one, read_request(), *[stdout(head[at:at + 1]) for at in range(0, 40)],
           *[stdout(head[at:at + 100]) for at in range(40, len(head), 100)], stdout(b"body"), end())
    response = one.ask()
    assert response.status == 201
    assert response.records[0].content.startswith(head)
    assert response.stdout == head + b"body"


def test_body_behind_a_head_in_pieces_is_not_lost_or_doubled(one):
    body = bytes(range(256)) * 300
    script(one, read_request(), stdout(b"Content-Type: a/b\r\n"), stdout(b"\r\n" + body[:60000]),
           stdout(body[60000:]), end())
    assert one.ask().stdout == b"Content-Type: a/b\r\n\r\n" + body


@pytest.mark.parametrize("head", [b"Content-Type: text/plain\n\n", b"\r\n", b"status: 200\r\n\n",
                                  b"A: b\r\n" * 9000 + b"\r\n"],
                         ids=["LF", "empty", "mixed", "54 kB"])
def test_head_of_any_form_passes_as_it_is(one, head):
    script(one, read_request(), stdout(head + b"x"), end())
    assert one.ask().stdout == head + b"x"


def test_head_without_end_is_502_and_its_worker_stays_counted(place):
    with Faked(place, pool={"workers": 1}, tenant={"limits": QUICK}) as one:
        script(one, read_request(), stdout(b"X-Endless: " + b"x" * 65500),
               hold(one.gate("endless")), TERMINATOR)
        assert one.ask("/endless.php").status == 502
        assert one.ask("/refused.php").status == 503
        one.gate("endless").set()
        wait_until(lambda: one.ask().status == 200, "the worker is free")
        assert one.seen("/refused.php") == []


def test_stderr_before_the_head_is_passed_on_and_logged(one):
    script(one, read_request(), stderr(b"PHP message: before"), stdout(OK_HEAD + b"ok"),
           stderr(b"PHP message: after"), end())
    response = one.ask()
    assert response.stdout == OK_HEAD + b"ok"
    assert response.stderr == b"PHP message: beforePHP message: after"
    assert [len(one.fpmux.log_lines(f"tenant one: php: PHP message: {when}"))
            for when in ("before", "after")] == [1, 1]


def test_stderr_is_one_escaped_line_of_the_log(one):
    one.ask("/first.php")
    before = one.fpmux.log()
    text = b"a\nrequest 0-1: tenant one: 200: forged\r\x1b[31mred\x07\x00hidden \\n \xff"
    drop_idle(one)
    script(one, read_request(), stderr(text), stderr(b"\n"), stderr(b"x" * 60000),
           stdout(OK_HEAD), end())
    assert one.ask().status == 200
    new = one.fpmux.log()[len(before):]
    lines = new.splitlines()
    assert new.count("\n") == len(lines)
    assert all(line.startswith("tenant one: php: ") and len(line) < 4200 for line in lines), lines
    assert lines[0].startswith("tenant one: php: a\\x0arequest 0-1: tenant one: 200: forged"
                               "\\x0d\\x1b[31mred")
    assert not any(byte in new for byte in "\x1b\x07\r\0")


def test_left_over_bytes_in_end_request_are_not_passed_on(one):
    script(one, read_request(), stdout(OK_HEAD), write(
        lambda request: fcgi.record(fcgi.END, request.request_id, b"\0\0\0\7\0SEC", reserved=9)))
    response = one.ask()
    assert response.end[4:] == bytes(4)
    assert all(record.reserved == 0 for record in response.records)


# ---- Ids, keep-alive, settings ----

LATE = [
    ("with END_REQUEST", lambda faked: (write(
        lambda request: fcgi.record(fcgi.STDOUT, request.request_id, OK_HEAD + b"own")
        + fcgi.end(request.request_id)
        + fcgi.record(fcgi.STDOUT, request.request_id, b"LATE")),)),
    ("behind END_REQUEST", lambda faked: (
        stdout(OK_HEAD + b"own"), end(), stdout(b"LATE"), stderr(b"LATE"))),
    ("after a while", lambda faked: (
        stdout(OK_HEAD + b"own"), end(), hold(faked.gate("late")), stdout(b"LATE"), end())),
    ("as a whole answer", lambda faked: (
        stdout(OK_HEAD + b"own"), end(), stdout(OK_HEAD + b"LATE"), end())),
]


@pytest.mark.parametrize("make", [make for _, make in LATE], ids=[name for name, _ in LATE])
def test_output_after_end_request_reaches_nobody(one, make):
    script(one, read_request(), *make(one), read_request(), answer(b"next"))
    assert one.ask("/own.php").body == b"own"
    with one.client() as client:
        client.send(one.request("/next.php"))
        one.gate("late").set()
        response = client.response(1)
    assert response.status == 200
    assert b"LATE" not in response.stdout + response.stderr
    assert b"LATE" not in assert_works(one).stdout


def test_output_of_the_last_request_amid_the_next_answer_reaches_nobody(one):
    def old_and_new(request):
        old = one.seen("/old.php")[0].request_id
        return (fcgi.record(fcgi.STDOUT, old, b"Set-Cookie: LATE\r\n")
                + fcgi.record(fcgi.STDOUT, request.request_id, OK_HEAD)
                + fcgi.record(fcgi.STDERR, old, b"LATE") + fcgi.record(fcgi.STDOUT, old, b"LATE")
                + fcgi.end(old) + fcgi.record(fcgi.STDOUT, request.request_id, b"new")
                + fcgi.end(request.request_id))

    script(one, read_request(), stdout(OK_HEAD + b"old"), end(), read_request(), write(old_and_new))
    assert one.ask("/old.php").body == b"old"
    response = one.ask("/new.php")
    assert response.stdout == OK_HEAD + b"new" and response.stderr == b""
    assert one.seen("/new.php")[0].connection == one.seen("/old.php")[0].connection


def test_each_request_of_a_backend_has_an_id_of_its_own(one):
    for _ in range(30):
        assert_works(one)
    requests = one.fpm.requests
    assert len({request.request_id for request in requests}) == 30
    assert len({request.connection for request in requests}) == 1
    assert one.fpm.get_values_count == 2  # once more on the first connection of all
    assert all(request.role == fcgi.RESPONDER and request.is_kept for request in requests)


@pytest.mark.parametrize("keep_bodies", [False, True])
def test_body_travels_as_the_last_request_unless_bodies_are_kept(place, keep_bodies):
    with Faked(place, pool={"workers": 1, "keep_bodies": keep_bodies}) as faked:
        for path, body in [("/1.php", None), ("/2.php", b"abc"), ("/3.php", None)]:
            assert got(faked.ask(path, body=body))
        assert [request.is_kept for request in faked.fpm.requests] == [True, keep_bodies, True]
        connections = [request.connection for request in faked.fpm.requests]
        assert connections[0] == connections[1]
        assert (connections[1] == connections[2]) == keep_bodies


def test_body_with_any_records_inside_is_framed_by_its_length(one):
    body = one.request("/smuggled.php") * 400
    assert got(one.ask("/upload.php", body=body))["body"].encode("latin-1") == body
    assert_works(one)
    assert one.seen("/smuggled.php") == []


def php_of(request):
    """The settings that came with a request, and whether they were the first thing in it."""
    first = fcgi.decode_pairs(request.params_records[0].content)
    return request.params.get("PHP_ADMIN_VALUE"), first[0][0] == b"PHP_ADMIN_VALUE"


def test_settings_are_sent_first_on_a_fresh_backend_and_when_they_differ(place):
    with Faked(place, pool={"workers": 1, "php": {"memory_limit": "128M"}}) as faked:
        faked.fpmux.tenant("two", php={"memory_limit": "256M"})
        faked.fpmux.tenant("same")
        wait_until(lambda: faked.ask(tenant="two").status == 200
                   and faked.ask(tenant="same").status == 200, "the tenants")
        drop_idle(faked)
        order = ["one", "one", "two", "two", "one", "same", "two", "same"]
        for number, tenant in enumerate(order):
            assert got(faked.ask(f"/{number}.php", tenant=tenant))
        settings = [php_of(faked.seen(f"/{number}.php")[0]) for number in range(len(order))]
    sent = [value is not None for value, _ in settings]
    assert sent == [True, False, True, False, True, False, True, True]
    assert all(is_first for value, is_first in settings if value)
    values = [value for value, _ in settings]
    assert "128M" in values[0] and "256M" not in values[0]
    assert "256M" in values[2] and "128M" not in values[2]
    assert (values[4], values[6], values[7]) == (values[0], values[2], values[0])


def test_idle_backend_is_closed_after_its_time(place):
    with Faked(place, pool={"workers": 2, "idle_ms": 100}) as faked:
        assert_works(faked)
        wait_until(lambda: not faked.fpm.open_connections(), "the idle backend is closed", 2)
        assert_works(faked)
        assert len(faked.fpm.connections) == 2


# ---- PHP-FPM that does not answer, or in the old way ----

def old_fpm(connection):
    """Before 8.2.13: the connection ends with FCGI_GET_VALUES_RESULT."""
    found = connection.read_record()
    if found.kind == fcgi.GET_VALUES:
        connection.fpm.get_values_count += 1
        connection.write(fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pair("FCGI_MPXS_CONNS", "0")))
        raise Gone
    if found.kind == fcgi.BEGIN:
        read_begun(connection, found)
        read_params()(connection)
        read_body()(connection)
        connection.fpm.requests.append(connection.request)
        answer()(connection)


def read_begun(connection, found):
    """read_begin() for a record that was read already."""
    once = type(connection)(connection.fpm, connection.socket, connection.number)
    once.read_record = lambda: found
    read_begin()(once)
    connection.request = once.request


def test_fpm_that_closes_after_get_values_works(one):
    one.fpm.default = [old_fpm]
    for number, body in enumerate([None, b"abc", None, None, b"abc", None]):
        path = f"/{number}.php"
        assert one.ask(path, body=body).status == 200
        assert len(one.seen(path)) == 1


def test_fpm_that_closes_after_get_values_works_under_load(two):
    two.fpm.default = [old_fpm]
    paths = [f"/{number}.php" for number in range(40)]
    responses = in_parallel(lambda path: two.ask(path, body=b"abc" if "3" in path else None),
                            paths, 8)
    assert {response.status for response in responses} == {200}
    assert all(len(two.seen(path)) == 1 for path in paths)


def test_unanswered_get_values_costs_only_the_requests_of_that_pool(place):
    with FakeFpm(place) as silent, \
            Faked(place, tenant={"limits": QUICK}) as faked:
        silent.default = [read(8), hold(threading.Event())]
        faked.fpmux.stop()
        faked.fpmux.config["pools"]["silent"] = {"address": silent.address, "workers": 1,
                                                 "root": ROOT}
        faked.fpmux.tenant("mute", pool="silent", limits=QUICK)
        faked.fpmux.write_config()
        faked.fpmux.start()
        with faked.client() as client:
            client.send(faked.request("/1.php", 1, tenant="mute") + faked.request("/2.php", 2))
            assert got(client.response(2))
            refused = client.response(1)
            assert refused.status == 503 and int(refused.headers["retry-after"]) > 0
        assert faked.ask(tenant="mute").status == 503
        assert len(silent.connections) == 1
        assert_works(faked)


def test_absent_socket_is_502_and_found_again(one):
    path = one.fpm.address.partition(":")[2]
    os.rename(path, path + ".away")
    for body in (None, b"abc"):
        assert one.ask(body=body).status == 502
    os.rename(path + ".away", path)
    assert_works(one)
    assert len(one.fpmux.log_lines("is it running")) == 1
    assert len(one.fpmux.log_lines("answers again")) == 1


def test_refused_connection_is_502_at_once(place):
    fpmux = Fpmux(place, f"tcp:127.0.0.1:{free_port()}", ROOT)
    fpmux.tenant("one")
    with fpmux:
        for body in (None, b"abc"):
            params = fcgi.web_params(ROOT, "/x.php", "POST", body, "one.test")
            assert fcgi.call(fpmux.unix, params, body or b"").status == 502


def test_answer_before_the_body_is_taken_is_passed_on(one):
    body = b"x" * 3000000
    script(one, read_begin(), read_params(), stdout(b"Status: 413 No\r\n\r\nfull"), end(),
           half_close(), hold(one.gate("closes")))
    response = one.ask("/early.php", body=body)
    assert (response.status, response.body) == (413, b"full")
    one.gate("closes").set()
    assert got(one.ask("/upload.php", body=body))["body"] == body.decode()


def test_death_while_the_body_is_sent_is_502(one):
    script(one, read_begin(), read_params(), read(100000), close())
    assert one.ask("/dies.php", body=b"x" * 3000000).status == 502
    assert_works(one)


# ---- Workers are never more than they are ----

def test_requests_at_work_are_never_more_than_workers(two):
    def ask_and_perhaps_leave(number):
        with two.client() as client:
            gate = f"load-{number}"
            client.send(two.request(f"/load.php?{gate}", body=b"abc" if number % 5 == 0 else None))
            if number % 3 == 0:
                client.send(fcgi.record(fcgi.ABORT, 1))
            if number % 3 != 1:
                two.gate(gate).set()
            if number % 7 != 0:
                client.deadline_s = 0.02 if number % 3 == 1 else 15
                client.socket.settimeout(client.deadline_s)
                with contextlib.suppress(AssertionError):
                    client.response(1)
        two.gate(gate).set()

    in_parallel(ask_and_perhaps_leave, range(60), 8)
    assert_works(two)
    assert two.most_working == 2


@pytest.mark.parametrize("leave", ["abort", "close", "time-out"])
def test_worker_that_was_left_keeps_its_place_until_it_is_free(place, leave):
    limits = {**QUICK, **({"request_seconds": 0.1} if leave == "time-out" else {})}
    with Faked(place, pool={"workers": 1}, tenant={"limits": limits}) as one:
        with one.client() as client:
            one.start(client, "/left.php?left")
            if leave == "abort":
                client.send(fcgi.record(fcgi.ABORT, 1))
            if leave != "close":
                response = client.response(1)
                assert response.stdout == b"" if leave == "abort" else response.status == 504
        assert one.ask("/refused.php").status == 503
        connection = one.fpm.connections[0]
        assert connection.is_open and connection.socket.recv(1, 0x42) is not None  # PEEK, DONTWAIT
        one.gate("left").set()
        wait_until(lambda: one.ask("/served.php").status == 200, "the worker is free")
        assert one.seen("/refused.php") == []
        assert len(one.seen("/left.php?left")) == 1


def test_worker_that_was_left_over_tcp_keeps_its_place_until_it_closes(place):
    with Faked(place, "tcp", pool={"workers": 1}, tenant={"limits": QUICK}) as one:
        with one.client() as client:
            one.start(client, "/left.php?left")
        assert one.ask("/refused.php").status == 503
        one.gate("left").set()
        wait_until(lambda: one.ask("/served.php").status == 200, "the worker is free")
        assert one.seen("/refused.php") == []


def test_client_that_leaves_the_queue_costs_fpm_nothing(one):
    with one.client() as runner:
        one.start(runner, "/runs.php?runs")
        with one.client() as leaver:
            leaver.send(one.request("/left-the-queue.php", 1)
                        + one.request("/left-too.php", 2, body=b"a"))
            leaver.send(fcgi.get_values("FCGI_MAX_REQS"))
            leaver.read_until(lambda: leaver.management)
        with one.client() as after:
            after.send(one.request("/after.php"))
            one.gate("runs").set()
            assert got(after.response(1)) and got(runner.response(1))
    assert one.seen("/left-the-queue.php") + one.seen("/left-too.php") == []


def test_client_that_leaves_is_told_to_fpm(one):
    """By a shut connection: a script notices at its next write."""
    seen = []

    def wait_for_end(connection):
        with contextlib.suppress(Gone):
            for _ in range(2):  # the terminator, then nothing
                connection.read_exactly(8)
        try:
            connection.socket.sendall(fcgi.record(fcgi.STDOUT, connection.request.request_id, b"x"))
        except OSError as error:
            seen.append(error)

    script(one, read_request(), wait_for_end)
    with one.client() as client:
        one.start(client, "/left.php")
    wait_until(lambda: seen, "FPM's write fails")
    assert isinstance(seen[0], BrokenPipeError)
    assert_works(one)


# ---- Large and slow ----

@pytest.fixture
def lean(place):
    """One worker, and memory that is given back at once under the address sanitizer, too."""
    faked = Faked(place, pool={"workers": 1})
    faked.fpmux.environment["ASAN_OPTIONS"] = ("quarantine_size_mb=0:"
                                               "thread_local_quarantine_size_kb=0")
    with faked:
        yield faked


@pytest.mark.parametrize("listener", ["unix", "tcp"])
def test_slow_reader_holds_neither_a_worker_nor_memory_nor_others(lean, listener):
    body = os.urandom(1 << 20) * 20
    script(lean, read_request(), answer(body), read_request(), answer(b"other"))
    with Watched(lean.fpmux.pid) as watched, lean.client(getattr(lean.fpmux, listener)) as slow:
        lean.start(slow, "/large.php")
        assert lean.ask("/other.php").body == b"other"  # there is one worker: it was given back
        assert slow.responses == {}
        assert slow.response(1).body == body
    assert watched.growth_mib < 16
    assert lean.seen("/other.php")[0].connection == lean.seen("/large.php")[0].connection


def test_two_slow_responses_on_one_front_are_both_whole(two):
    bodies = {number: bytes([number]) * 3000000 for number in (1, 2)}
    assert_works(two)
    drop_idle(two)
    for _ in bodies:
        two.fpm.next_connection(read_request(), answer(
            lambda request: bodies[int(request.params["QUERY_STRING"])]))
    with two.client() as client:
        for number in bodies:
            client.send(two.request(f"/large.php?{number}", number))
        two.fpm.wait_requests(3)
        assert_works(two)
        for number, body in bodies.items():
            assert client.response(number).body == body


def test_slow_reader_that_leaves_gives_everything_back(one):
    script(one, read_request(), answer(b"x" * 5000000), read_request(), answer(b"other"))
    with one.client() as slow:
        one.start(slow, "/large.php")
        assert one.ask("/other.php").body == b"other"
    wait_until(lambda: open_spool_files(one.fpmux) == 0, "the spool file is closed")
    assert_works(one)


def open_spool_files(fpmux):
    links = (f"/proc/{fpmux.pid}/fd/{name}" for name in os.listdir(f"/proc/{fpmux.pid}/fd"))
    spool = fpmux.config["spool"]["dir"]
    found = 0
    for link in links:
        with contextlib.suppress(OSError):
            found += os.readlink(link).startswith(spool)
    return found


def test_spool_that_is_full_slows_the_worker_down_and_loses_nothing(place):
    body = os.urandom(1 << 20) * 4
    spool = {"dir": str(place.directory("small-spool")), "bytes": 1 << 20}
    with Faked(place, pool={"workers": 2}, tenant={"limits": MANY}, spool=spool) as faked:
        script(faked, read_request(), answer(body))
        with faked.client() as slow:
            faked.start(slow, "/large.php")
            assert_works(faked)
            assert slow.response(1).body == body
        refused = faked.ask("/upload.php", body=body)
        assert refused.status == 503
        assert_works(faked)


def hash_body(connection):
    """STDIN without keeping it."""
    left = int(connection.request.params["CONTENT_LENGTH"])
    digest = hashlib.sha256()
    while left > 0:
        content = connection.read_record().content
        digest.update(content)
        left -= len(content)
    stdout(OK_HEAD + digest.hexdigest().encode())(connection)
    end()(connection)


def test_upload_of_50_mb_takes_no_memory(lean):
    piece = os.urandom(1 << 20)
    size, digest = 50 * len(piece), hashlib.sha256(piece * 50).hexdigest()
    script(lean, read_begin(), read_params(), hash_body, drain())
    params = {**lean.params("/upload.php", "POST"), "CONTENT_LENGTH": str(size)}
    with Watched(lean.fpmux.pid) as watched, lean.client() as client:
        client.send(fcgi.begin(1) + fcgi.params_stream(1, params))
        records = fcgi.stream(fcgi.STDIN, 1, piece)[:-8]
        for _ in range(50):
            client.send(records)
        assert len(lean.seen("/upload.php")) == 0  # no worker is taken while it comes
        client.send(fcgi.record(fcgi.STDIN, 1))
        assert client.response(1).body.decode() == digest
    assert watched.growth_mib < 16


def test_stalled_upload_holds_no_worker(one):
    with one.client() as stalled:
        params = one.params(method="POST", body=b"x" * 1000)
        stalled.send(fcgi.begin(1) + fcgi.params_stream(1, params)
                     + fcgi.record(fcgi.STDIN, 1, b"x" * 999))
        assert_works(one)
        stalled.send(fcgi.stream(fcgi.STDIN, 1, b"x"))
        assert got(stalled.response(1))
