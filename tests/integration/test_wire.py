"""The daemon at the wire: many requests on one connection, every kind of cut, and web servers that
are odd or hostile. What is wrong costs one request or one connection, never a neighbour."""

import contextlib
import itertools
import json
import os
import re
import select
import struct

import pytest
from support import fcgi
from support.faked import ROOT, Faked, got, unread_by_peer
from support.memory import resident_kib
from support.programs import wait_until

PARAMS_CAP = 20000
BODY_CAP = 500000
FLOOD_BYTES = 48 << 20  # of questions; their answers would be at least twice that
OWN_PAGE = "<h1>closed by the operator</h1>"


@pytest.fixture(scope="module")
def wire(module_place):
    pages = module_place.directory("pages")
    (pages / "suspended.html").write_text(OWN_PAGE)
    with Faked(module_place, pool={"workers": 8, "status_path": "/status", "idle_ms": 60000},
               tenant={"limits": {"concurrency": 6}}, pages=str(pages),
               limits={"body_bytes": BODY_CAP, "params_bytes": PARAMS_CAP}) as faked:
        faked.fpmux.tenant("shut", state="suspended")
        faked.fpmux.tenant("narrow", limits={"concurrency": 1, "queue": 1, "queue_seconds": 30})
        faked.fpmux.tenant("hasty", limits={"concurrency": 1, "queue_seconds": 0.1})
        faked.fpmux.tenant("crowd", limits={"concurrency": 1, "queue": 1000})
        faked.fpmux.tenant("short", limits={"request_seconds": 0.1})
        wait_until(lambda: faked.ask(tenant="short").status == 200, "the tenants")
        yield faked


@pytest.fixture
def client(wire):
    with wire.client() as client:
        yield client


@pytest.fixture
def gate(wire):
    """A name to put into a query; the request waits at FPM until the gate is set, at last here."""
    name = f"gate-{next(NUMBERS)}"
    wire.gate(name)
    yield name
    wire.gate(name).set()


NUMBERS = itertools.count()


def script():
    """An address that no other request has."""
    return f"/n{next(NUMBERS)}.php"


def assert_next_works(wire, client, request_id=77):
    client.send(wire.request(path := script(), request_id))
    assert got(client.response(request_id))["params"]["REQUEST_URI"] == path


def records_of(data):
    """The records of a byte string, each as bytes."""
    while data:
        _, rest = fcgi.take_record(data)
        yield data[:len(data) - len(rest)]
        data = rest


# ---- Many requests on one connection, in any pieces ----

def test_interleaved_requests_get_each_their_own_answer(wire, client):
    bodies = {number: bytes([65 + number]) * (1 + 997 * number) for number in range(1, 13)}
    streams = []
    for number, body in bodies.items():
        params = wire.params(f"/{number}.php", "POST", body, HTTP_X_NUMBER=str(number) * 300)
        streams.append(records_of(
            fcgi.begin(number) + fcgi.params_stream(number, params, 100 + number, number)
            + fcgi.stream(fcgi.STDIN, number, body, 500, number)))
    for turn in itertools.zip_longest(*streams, fillvalue=b""):
        client.send(b"".join(turn))
    for number, body in bodies.items():
        seen = got(client.response(number))
        assert seen["body"] == body.decode()
        assert seen["params"]["REQUEST_URI"] == f"/{number}.php"
        assert seen["params"]["HTTP_X_NUMBER"] == str(number) * 300


def test_answers_come_in_the_order_in_which_they_are_ready(wire, client, gate):
    wire.start(client, f"/held.php?{gate}", 1)
    client.send(wire.request("/quick.php", 2))
    assert got(client.response(2))["params"]["REQUEST_URI"] == "/quick.php"
    wire.gate(gate).set()
    assert got(client.response(1))["params"]["QUERY_STRING"] == gate


def test_request_may_be_cut_at_every_byte(wire, client):
    minimal = {"REQUEST_METHOD": "POST", "SERVER_NAME": "one.test", "CONTENT_LENGTH": "3",
               "SCRIPT_FILENAME": f"{ROOT}/x.php"}
    data = (fcgi.begin(5) + fcgi.params_stream(5, minimal, 60, 3)
            + fcgi.stream(fcgi.STDIN, 5, b"abc", 2, 1))
    for cut in range(1, len(data)):
        client.send(data[:cut])
        wait_until(lambda: unread_by_peer(client.socket) == 0, "the first piece is read", 2, 0)
        client.send(data[cut:])
        assert got(client.response(5))["body"] == "abc", cut


def test_two_requests_may_come_byte_by_byte(wire, client):
    client.send_in_pieces(wire.request("/a.php", 1, body=b"aa")
                          + wire.request("/b.php", 2, body=b"bb"), [1])
    assert got(client.response(1))["body"] == "aa"
    assert got(client.response(2))["body"] == "bb"


@pytest.mark.parametrize("cut,padding", [(1, 0), (7, 255), (65535, 0)])
def test_pairs_may_span_records(wire, client, cut, padding):
    odd = {"HTTP_X_LONG": "v" * 5000, "HTTP_X_127": "a" * 127, "HTTP_X_128": "b" * 128,
           "HTTP_X_EMPTY": "", "HTTP_X_UTF8": "ñandú"}
    params = wire.params(**odd)
    client.send(fcgi.begin(1) + fcgi.params_stream(1, params, cut, padding)
                + fcgi.stream(fcgi.STDIN, 1, b""))
    seen = got(client.response(1))["params"]
    assert {name: seen[name] for name in odd} == odd


@pytest.mark.parametrize("cut,padding,size", [(1, 0, 3000), (1, 255, 300), (8192, 7, 100001),
                                              (65535, 255, 3 * 65535), (65535, 0, 65535)])
def test_body_comes_in_records_of_any_size(wire, client, cut, padding, size):
    body = bytes(number * 31 % 251 for number in range(size))
    client.send(fcgi.begin(1) + fcgi.params_stream(1, wire.params(method="POST", body=body))
                + fcgi.stream(fcgi.STDIN, 1, body, cut, padding))
    assert got(client.response(1))["body"].encode("latin-1") == body
    assert_next_works(wire, client)


def test_full_padding_behind_full_content_of_parameters(wire, client):
    pairs = b"".join(fcgi.pair(name, value) for name, value in wire.params().items())
    while len(pairs) < 15000:
        pairs += fcgi.pair("HTTP_X_FILL", "x" * 100)
    client.send(fcgi.begin(1) + fcgi.record(fcgi.PARAMS, 1, pairs, 255)
                + fcgi.record(fcgi.PARAMS, 1, b"", 255) + fcgi.record(fcgi.STDIN, 1, b"", 255))
    assert got(client.response(1))["params"]["HTTP_X_FILL"] == "x" * 100
    assert_next_works(wire, client)


def test_same_id_may_be_used_again_and_again(wire, client):
    for number in range(20):
        client.send(wire.request(f"/{number}.php", 1))
        assert got(client.response(1))["params"]["REQUEST_URI"] == f"/{number}.php"


def test_smallest_and_largest_request_ids_work(wire, client):
    for request_id in (1, 255, 256, 65535):
        assert_next_works(wire, client, request_id)


def test_requests_may_be_sent_all_at_once_before_an_answer_is_read(wire, client):
    client.send(b"".join(wire.request(f"/{number}.php", number) for number in range(1, 61)))
    for number in range(1, 61):
        assert got(client.response(number))["params"]["REQUEST_URI"] == f"/{number}.php"


def test_one_request_too_many_is_refused_and_the_others_are_served(wire, client, gate):
    client.send(fcgi.get_values("FCGI_MAX_REQS"))
    client.read_until(lambda: client.management)
    most = int(fcgi.decode_pairs(client.management[0].content)[0][1])
    wire.start(client, f"/many.php?{gate}", 1, tenant="crowd")
    for number in range(2, most + 1):
        client.send(wire.request("/crowd.php", number, tenant="crowd"))
    client.send(wire.request(request_id=most + 1, body=b"abc"))
    assert_refused(wire, client.response(most + 1), 503, "too many requests at once", "-")
    wire.gate(gate).set()
    for number in range(1, most + 1):
        assert got(client.response(number))
    assert_next_works(wire, client, most + 1)


def test_late_part_of_a_body_after_a_refusal_does_not_reach_the_next_request(wire, client):
    client.send(fcgi.begin(1) + fcgi.params_stream(1, wire.params(tenant="nobody", body=b"x" * 9,
                                                                  method="POST")))
    assert client.response(1).status == 404
    client.send(fcgi.stream(fcgi.STDIN, 1, b"LATE" * 5))
    client.send(wire.request(request_id=1, body=b"own"))
    assert got(client.response(1))["body"] == "own"


# ---- Management records ----

def test_get_values_tells_what_is_asked_for_once(wire, client):
    client.send(fcgi.get_values("FCGI_MAX_REQS", "X_UNKNOWN", "FCGI_MPXS_CONNS", "FCGI_MAX_CONNS",
                                "FCGI_MAX_REQS", "", "fcgi_max_reqs"))
    client.read_until(lambda: client.management)
    (result,) = client.management
    assert (result.kind, result.request_id) == (fcgi.GET_VALUES_RESULT, 0)
    pairs = fcgi.decode_pairs(result.content)
    assert len(pairs) == 3
    values = dict(pairs)
    assert values[b"FCGI_MPXS_CONNS"] == b"1"
    assert int(values[b"FCGI_MAX_REQS"]) > 1
    assert int(values[b"FCGI_MAX_CONNS"]) > 1
    assert_next_works(wire, client)


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff\xff\xff\xff", fcgi.pair("X", "")])
def test_get_values_with_nothing_known_or_cut_has_an_empty_result(wire, client, content):
    client.send(fcgi.record(fcgi.GET_VALUES, 0, content))
    client.read_until(lambda: client.management)
    (result,) = client.management
    assert (result.kind, result.content) == (fcgi.GET_VALUES_RESULT, b"")
    assert_next_works(wire, client)


@pytest.mark.parametrize("kind", [12, 99, 255])
@pytest.mark.parametrize("content", [b"", b"abc"])
def test_unknown_management_record_is_answered(wire, client, kind, content):
    client.send(fcgi.record(kind, 0, content, 5))
    client.read_until(lambda: client.management)
    (answer,) = client.management
    assert (answer.kind, answer.request_id) == (fcgi.UNKNOWN_TYPE, 0)
    assert answer.content == bytes([kind]) + bytes(7)
    assert_next_works(wire, client)


def test_get_values_is_answered_while_requests_run(wire, client, gate):
    wire.start(client, f"/values.php?{gate}")
    client.send(fcgi.get_values("FCGI_MPXS_CONNS"))
    client.read_until(lambda: client.management)
    wire.gate(gate).set()
    assert got(client.response(1))


@pytest.mark.parametrize("question", [fcgi.record(99, 0), fcgi.get_values("FCGI_MAX_REQS"),
                                      fcgi.begin(9, fcgi.FILTER)],
                         ids=["unknown type", "values", "role"])
def test_answers_that_nobody_reads_take_no_memory(wire, client, question):
    before = resident_kib(wire.fpmux.pid)
    client.socket.setblocking(False)
    flood, sent = question * 1000, 0
    # Until the connection is closed, or nobody reads the questions any more.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < FLOOD_BYTES and select.select([], [client.socket], [], 0.5)[1]:
            sent += client.socket.send(flood[sent % len(question):])
    wait_until(lambda: answers_another(wire), "the flood is handled")
    assert resident_kib(wire.fpmux.pid) - before < FLOOD_BYTES // 1024


def answers_another(wire):
    return wire.ask(script()).status == 200


@pytest.mark.parametrize("role", [fcgi.AUTHORIZER, fcgi.FILTER, 0, 4, 65535])
def test_other_roles_are_refused_completely(wire, client, role):
    client.send(fcgi.request(3, wire.params(), b"body", role=role))
    assert_refused(wire, client.response(3), 400, "role", "-", fcgi.UNKNOWN_ROLE)
    assert_next_works(wire, client, 3)


def test_other_role_without_keep_conn_is_refused_and_closed(wire, client):
    client.send(fcgi.request(3, wire.params(), b"body" * 1000, keep=False, role=fcgi.FILTER))
    assert client.response(3).protocol_status == fcgi.UNKNOWN_ROLE
    client.read_to_close()
    assert not client.was_reset


# ---- Abort ----

def test_abort_while_parameters_come(wire, client):
    client.send(fcgi.begin(1) + fcgi.record(fcgi.PARAMS, 1, b"\x0e\x03REQUEST_ME")
                + fcgi.record(fcgi.ABORT, 1))
    assert client.response(1).end == bytes(8)
    assert_next_works(wire, client, 1)


def test_abort_while_the_body_comes(wire, client):
    params = wire.params(path := script(), "POST", b"1234")
    client.send(fcgi.begin(1) + fcgi.params_stream(1, params)
                + fcgi.record(fcgi.STDIN, 1, b"12") + fcgi.record(fcgi.ABORT, 1))
    assert client.response(1).end == bytes(8)
    client.send(fcgi.stream(fcgi.STDIN, 1, b"34"))
    assert_next_works(wire, client, 1)
    assert wire.seen(path) == []


def test_abort_of_a_queued_request_never_reaches_fpm(wire, client, gate):
    wire.start(client, f"/first.php?{gate}", 1, tenant="narrow")
    client.send(wire.request(path := script(), 2, tenant="narrow") + fcgi.record(fcgi.ABORT, 2))
    assert client.response(2).end == bytes(8)
    client.send(wire.request("/after.php", 3, tenant="narrow"))
    wire.gate(gate).set()
    assert got(client.response(1)) and got(client.response(3))
    assert wire.seen(path) == []


def test_abort_of_a_running_request_ends_it_at_once(wire, client, gate):
    wire.start(client, f"/running.php?{gate}", 1, tenant="narrow")
    client.send(fcgi.record(fcgi.ABORT, 1))
    assert client.response(1).end == bytes(8)
    assert_next_works(wire, client, 1)
    client.send(wire.request("/next.php", 2, tenant="narrow"))
    wire.gate(gate).set()
    assert got(client.response(2))["params"]["REQUEST_URI"] == "/next.php"


def test_abort_of_an_unknown_request_is_ignored(wire, client):
    client.send(fcgi.record(fcgi.ABORT, 9) + fcgi.record(fcgi.ABORT, 9, b"content"))
    assert_next_works(wire, client)


# ---- Streams that can't be trusted: that connection is closed, and only that one ----

def running(wire, gate):
    """A request that runs, so that there is something to disturb."""
    return wire.request(f"/victim.php?{gate}", 1)


MINIMAL = fcgi.begin(2) + fcgi.params_stream(2, fcgi.web_params(ROOT, "/x.php", "POST", b"x",
                                                                "one.test"))
BROKEN = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: one.test\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\xaa" * 160,
    "zeros": bytes(64),
    "version 0": fcgi.record(fcgi.BEGIN, 2, bytes([0, 1]) + bytes(6), version=0),
    "version 2": fcgi.record(fcgi.GET_VALUES, 0, version=2),
    "version 2 in the second record": fcgi.begin(2) + fcgi.record(fcgi.PARAMS, 2, version=2),
    "BEGIN of 7 bytes": fcgi.record(fcgi.BEGIN, 2, bytes([0, 1]) + bytes(5)),
    "BEGIN of 9 bytes": fcgi.record(fcgi.BEGIN, 2, bytes([0, 1]) + bytes(7)),
    "empty BEGIN": fcgi.record(fcgi.BEGIN, 2),
    "BEGIN twice": fcgi.begin(2) + fcgi.begin(2),
    "BEGIN of a running request": fcgi.begin(1),
    "PARAMS after their end": MINIMAL + fcgi.record(fcgi.PARAMS, 2, fcgi.pair("A", "B")),
    "PARAMS of a running request": fcgi.record(fcgi.PARAMS, 1, fcgi.pair("A", "B")),
    "STDIN before PARAMS end": fcgi.begin(2) + fcgi.record(fcgi.STDIN, 2, b"x"),
    "empty STDIN before PARAMS end": fcgi.begin(2) + fcgi.record(fcgi.STDIN, 2),
    "STDIN after its end": fcgi.record(fcgi.STDIN, 1, b"x"),
    "END_REQUEST": fcgi.end(1),
    "STDOUT": fcgi.record(fcgi.STDOUT, 1, b"Status: 200\r\n\r\n"),
    "STDERR": fcgi.record(fcgi.STDERR, 1, b"forged"),
    "END_REQUEST of an unknown request": fcgi.end(9),
    **{f"type {kind} with id 0": fcgi.record(kind, 0, bytes(8)) for kind in range(1, 9)},
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_untrustworthy_stream_closes_that_connection_and_only_that_one(wire, gate, data):
    neighbour_gate = f"{gate}-neighbour"
    lines = len(wire.fpmux.log_lines("closed: "))
    with wire.client() as neighbour, wire.client() as client:
        wire.start(neighbour, f"/neighbour.php?{neighbour_gate}")
        client.send(running(wire, gate))
        wait_until(lambda: wire.seen(f"/victim.php?{gate}"), "a running request")
        client.send(data)
        client.read_to_close()
        assert client.responses == {}
        assert_next_works(wire, neighbour)
        wire.gate(neighbour_gate).set()
        assert got(neighbour.response(1))
    new = wire.fpmux.log_lines("closed: ")[lines:]
    assert len(new) == 1
    assert re.match(rf"front unix pid {os.getpid()} uid \d+: closed: \w.*\w$", new[0])


def test_peer_of_a_tcp_connection_is_named_in_the_log(wire):
    lines = len(wire.fpmux.log_lines("closed: "))
    with wire.client(wire.fpmux.tcp) as client:
        client.send(bytes(8))
        client.read_to_close()
    (line,) = wire.fpmux.log_lines("closed: ")[lines:]
    assert line.startswith("front 127.0.0.1: ")


@pytest.mark.parametrize("kind", [fcgi.PARAMS, fcgi.STDIN, fcgi.ABORT, fcgi.DATA, 13, 255])
def test_late_or_unknown_records_of_no_request_are_ignored(wire, client, kind):
    client.send(wire.request(request_id=1))
    assert got(client.response(1))
    for request_id in (1, 500):
        client.send(fcgi.record(kind, request_id, b"late content") + fcgi.record(kind, request_id))
    assert_next_works(wire, client, 1)
    assert_next_works(wire, client, 500)


@pytest.mark.parametrize("cut", range(1, 64, 7))
def test_peer_that_leaves_in_a_record_costs_nobody_anything(wire, client, cut):
    with wire.client() as leaver:
        leaver.send(wire.request(body=b"abc")[:cut])
    assert_next_works(wire, client)


CUT_PAIRS = {"a name length": b"\x05", "a long name length": b"\x80\x00",
             "a value length": b"\x03\x80\x00\x00", "a name": b"\x05\x01abc",
             "a value": b"\x01\x05Aab", "a huge name": b"\xff\xff\xff\xff\xff\xff\xff\xffA",
             "only a huge length": b"\x80\xff\xff\xff"}


@pytest.mark.parametrize("tail", CUT_PAIRS.values(), ids=CUT_PAIRS)
def test_cut_pair_costs_its_own_request_only(wire, client, gate, tail):
    wire.start(client, f"/other.php?{gate}", 1)
    whole = b"".join(fcgi.pair(name, value) for name, value in wire.params().items())
    client.send(fcgi.begin(2) + fcgi.stream(fcgi.PARAMS, 2, whole + tail)
                + fcgi.stream(fcgi.STDIN, 2, b""))
    assert_refused(wire, client.response(2), 400, "malformed parameters", "-")
    wire.gate(gate).set()
    assert got(client.response(1))


# ---- KEEP_CONN ----

@pytest.mark.parametrize("listener", ["unix", "tcp"])
def test_without_keep_conn_the_connection_ends_with_the_request(wire, listener):
    with wire.client(getattr(wire.fpmux, listener)) as client:
        client.send(wire.request(keep=False, body=b"abc"))
        assert got(client.response(1))["body"] == "abc"
        client.socket.settimeout(2)
        client.read_to_close()
        assert not client.was_reset


def test_without_keep_conn_other_requests_of_the_connection_are_finished_first(wire, client, gate):
    wire.start(client, f"/slow.php?{gate}", 1)
    client.send(wire.request(request_id=2, keep=False))
    assert got(client.response(2))
    wire.gate(gate).set()
    assert got(client.response(1))
    client.read_to_close()
    assert not client.was_reset


@pytest.mark.parametrize("listener", ["unix", "tcp"])
@pytest.mark.parametrize("keep", [True, False])
def test_early_refusal_drains_the_body_without_a_reset(wire, listener, keep):
    announced = {**wire.params(method="POST"), "CONTENT_LENGTH": str(BODY_CAP + 1)}
    with wire.client(getattr(wire.fpmux, listener)) as client:
        client.send(fcgi.begin(1, keep=keep) + fcgi.params_stream(1, announced))
        client.send(fcgi.record(fcgi.STDIN, 1, b"x" * 8192))
        assert_refused(wire, client.response(1), 413, "CONTENT_LENGTH")
        client.send(fcgi.stream(fcgi.STDIN, 1, b"x" * 2000000, 8192))
        if keep:
            assert_next_works(wire, client)
        else:
            client.read_to_close()
            assert not client.was_reset


# ---- Refusals ----

def assert_refused(wire, response, status, reason, tenant="one", protocol_status=0):
    """A complete answer, and exactly one line in the log that says who was refused and why."""
    assert response.status == status, response
    assert response.end == struct.pack("!IB3x", 0, protocol_status)
    assert response.stdout.startswith(f"Status: {status} ".encode())
    assert b"\r\n\r\n" in response.stdout
    assert b"\n" not in response.head.replace(b"\r\n", b"")
    assert response.headers["content-type"].startswith("text/html")
    assert len([1 for record in response.records if record.kind == fcgi.STDOUT]) == 1
    request_id = response.headers["x-fpmux-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", request_id)
    (line,) = wire.fpmux.log_lines(request_id)
    assert line.startswith(f"request {request_id}: tenant {tenant}: {status}: "), line
    assert reason in line and re.search(r"\(from (unix pid|127\.0\.0\.1)", line), line
    assert line.isprintable()
    return line


def outside(path):
    return lambda wire: wire.params(SCRIPT_FILENAME=path)


def without(name):
    return lambda wire: {key: value for key, value in wire.params().items() if key != name}


def with_params(**params):
    return lambda wire: wire.params(**params)


REFUSED = {
    "no such host": (with_params(tenant="nobody"), 404, "no such tenant", "-"),
    "no host": (without("SERVER_NAME"), 404, "nothing says which tenant", "-"),
    "no such id": (with_params(FPMUX_TENANT="nobody"), 404, "no such tenant", "-"),
    "suspended": (with_params(tenant="shut"), 503, "suspended", "shut"),
    "outside the root": (outside("/etc/passwd.php"), 403, "outside the root", "one"),
    "dots out of the root": (outside(f"{ROOT}/../x.php"), 403, "outside the root", "one"),
    "neighbour of the root": (outside(f"{ROOT}2/x.php"), 403, "outside the root", "one"),
    "not a script": (outside(f"{ROOT}/x.jpg"), 403, "suffix", "one"),
    "status page": (with_params(script="/status", SCRIPT_FILENAME=f"{ROOT}/status.php"), 403,
                    "page of PHP-FPM", "one"),
    "no SCRIPT_FILENAME": (without("SCRIPT_FILENAME"), 400, "no SCRIPT_FILENAME", "one"),
    "no REQUEST_METHOD": (without("REQUEST_METHOD"), 400, "no REQUEST_METHOD", "one"),
    "NUL in a value": (with_params(HTTP_X="a\0b"), 400, "NUL", "-"),
    "NUL in a name": (with_params(**{"HTTP_\0X": "a"}), 400, "NUL", "-"),
    "line feed in the script": (outside(f"{ROOT}/a\nb.php"), 400, "line break", "one"),
    "1025 pairs": (lambda wire: {**wire.params(), **{f"A{number}": "" for number in range(
        1025 - len(wire.params()))}}, 431, "too many parameters", "-"),
    "parameters above the cap": (with_params(HTTP_X="x" * PARAMS_CAP), 431, "params_bytes", "-"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refusal_is_complete_and_logged_and_the_connection_goes_on(wire, client, case):
    make_params, status, reason, tenant = case
    client.send(fcgi.request(1, make_params(wire)))
    assert_refused(wire, client.response(1), status, reason, tenant)
    assert_next_works(wire, client, 1)


def test_1024_pairs_and_parameters_up_to_the_cap_are_served(wire, client):
    params = wire.params()
    client.send(fcgi.request(1, {**params, **{f"A{number}": "" for number in
                                              range(1024 - len(params))}}))
    assert got(client.response(1))
    size = sum(len(fcgi.pair(name, value)) for name, value in params.items())
    fill = PARAMS_CAP - size - len(fcgi.pair("HTTP_X", "x" * 1000)) + 1000
    client.send(fcgi.request(2, {**params, "HTTP_X": "x" * fill}))
    assert len(got(client.response(2))["params"]["HTTP_X"]) == fill
    client.send(fcgi.request(3, {**params, "HTTP_X": "x" * (fill + 1)}))
    assert client.response(3).status == 431


def test_suspended_tenant_gets_the_operators_page(wire):
    response = wire.ask(tenant="shut")
    assert response.body.decode() == OWN_PAGE
    assert int(response.headers["retry-after"]) > 0


def chunked(wire, body):
    """What Apache sends for a long body of unknown length: no CONTENT_LENGTH."""
    return fcgi.request(1, wire.params(method="POST"), body)


def test_body_up_to_the_cap_is_served_and_above_it_refused(wire, client):
    client.send(wire.request(body=b"x" * BODY_CAP))
    assert len(got(client.response(1))["body"]) == BODY_CAP
    client.send(wire.request(body=b"x" * (BODY_CAP + 1)))
    assert_refused(wire, client.response(1), 413, "CONTENT_LENGTH is above limits.body_bytes")
    client.send(chunked(wire, b"x" * (BODY_CAP + 1)))
    assert_refused(wire, client.response(1), 413, "body above limits.body_bytes")
    client.send(fcgi.request(1, {**wire.params(method="POST"), "CONTENT_LENGTH": "10"},
                             b"x" * (BODY_CAP + 1)))
    assert_refused(wire, client.response(1), 413, "body above limits.body_bytes")
    assert_next_works(wire, client)


def test_body_of_unknown_length_is_given_its_length(wire, client):
    client.send(chunked(wire, b"y" * 100000))
    seen = got(client.response(1))
    assert seen["params"]["CONTENT_LENGTH"] == "100000"
    assert seen["body"] == "y" * 100000


def test_empty_content_length_is_none(wire, client):
    client.send(fcgi.request(1, wire.params(CONTENT_LENGTH="", CONTENT_TYPE="")))
    assert got(client.response(1))
    client.send(fcgi.request(1, wire.params(CONTENT_LENGTH="", CONTENT_TYPE=""), b"abc"))
    assert got(client.response(1))["body"] == "abc"


@pytest.mark.parametrize("length", ["2", "4", "-1", "+3", "3x", " 3", "0x3", "3.0",
                                    "99999999999999999999999", "18446744073709551619"])
def test_wrong_content_length_is_refused(wire, client, length):
    params = wire.params(path := script(), "POST", CONTENT_LENGTH=length)
    client.send(fcgi.request(1, params, b"abc"))
    response = client.response(1)
    assert_refused(wire, response, 413 if response.status == 413 else 400, "CONTENT_LENGTH")
    assert wire.seen(path) == []
    assert_next_works(wire, client)


def test_content_length_without_a_body_is_refused(wire, client):
    client.send(fcgi.request(1, wire.params(method="POST", CONTENT_LENGTH="3"), b""))
    assert_refused(wire, client.response(1), 400, "CONTENT_LENGTH")


def test_empty_stdin_may_be_left_out_when_there_is_no_body(wire, client):
    client.send(fcgi.begin(1) + fcgi.params_stream(1, wire.params(CONTENT_LENGTH="0")))
    assert got(client.response(1))
    assert_next_works(wire, client, 1)


def test_body_announced_as_none_is_never_run_as_anything(wire, client):
    client.send(fcgi.begin(1) + fcgi.params_stream(1, wire.params(CONTENT_LENGTH="0"))
                + fcgi.stream(fcgi.STDIN, 1, wire.request("/smuggled.php", 7)))
    assert client.response(1).status in (200, 400)
    assert_next_works(wire, client)
    assert wire.seen("/smuggled.php") == []


def test_body_of_records_is_never_run_as_a_request(wire, client):
    smuggled = wire.request("/smuggled.php", 1) * 500
    for cut in (8, 4096, 65535):
        client.send(fcgi.begin(1) + fcgi.params_stream(1, wire.params(method="POST", body=smuggled))
                    + fcgi.stream(fcgi.STDIN, 1, smuggled, cut))
        assert len(got(client.response(1))["body"]) == len(smuggled)
    assert wire.seen("/smuggled.php") == []


def test_full_queue_is_refused_at_once_and_empties(wire, client, gate):
    wire.start(client, f"/runs.php?{gate}", 1, tenant="narrow")
    client.send(wire.request("/waits.php", 2, tenant="narrow")
                + wire.request("/refused.php", 3, tenant="narrow"))
    refused = client.response(3)
    assert_refused(wire, refused, 503, "queue is full", "narrow")
    assert int(refused.headers["retry-after"]) > 0
    assert_next_works(wire, client)
    wire.gate(gate).set()
    assert got(client.response(1)) and got(client.response(2))
    client.send(wire.request("/refused.php", 3, tenant="narrow"))
    assert got(client.response(3))


def test_too_long_in_the_queue_is_refused_and_never_run(wire, client, gate):
    wire.start(client, f"/runs.php?{gate}", 1, tenant="hasty")
    client.send(wire.request(path := script(), 2, tenant="hasty"))
    refused = client.response(2)
    assert_refused(wire, refused, 503, "queue_seconds", "hasty")
    assert int(refused.headers["retry-after"]) > 0
    wire.gate(gate).set()
    assert got(client.response(1))
    assert_next_works(wire, client)
    assert wire.seen(path) == []


def test_too_long_at_work_is_504(wire, client, gate):
    client.send(wire.request(f"/works.php?{gate}", 1, tenant="short"))
    assert_refused(wire, client.response(1), 504, "request_seconds", "short")
    assert_next_works(wire, client, 1)


def test_absent_fpm_is_502(place):
    with Faked(place) as faked:
        os.unlink(faked.fpm.address.partition(":")[2])
        with faked.client() as client:
            client.send(faked.request())
            line = assert_refused(faked, client.response(1), 502, "can't be reached")
            assert faked.fpm.address in line


# ---- The log ----

FORGERY = "x\r\nrequest 0-1: tenant one: 200: forged\x1b[2J\x7f\\n\x00".replace("\x00", "")


@pytest.mark.parametrize("name", ["REQUEST_URI", "SERVER_NAME", "REQUEST_METHOD", "FPMUX_TENANT",
                                  "SCRIPT_NAME", "QUERY_STRING", "REMOTE_ADDR", "PATH_INFO"])
def test_no_parameter_forges_a_line_of_the_log(wire, client, name):
    before = wire.fpmux.log()
    client.send(fcgi.request(1, {**wire.params(SCRIPT_FILENAME="/outside.php"), name: FORGERY}))
    assert client.response(1).status in (400, 403, 404)
    new = wire.fpmux.log()[len(before):]
    assert new.count("\n") == 1 and new.endswith("\n")
    assert new[:-1].isprintable()


def test_very_long_values_leave_one_bounded_line(wire, client):
    before = wire.fpmux.log()
    client.send(fcgi.request(1, wire.params(SCRIPT_FILENAME="/outside.php",
                                            REQUEST_URI="/" + "\n" * 9000)))
    assert client.response(1).status == 403
    new = wire.fpmux.log()[len(before):]
    assert new.count("\n") == 1 and len(new) < 4200


def test_refusals_of_one_connection_have_ids_of_their_own(wire, client):
    ids = set()
    for number in range(1, 6):
        client.send(wire.request(request_id=number, tenant="nobody"))
        ids.add(client.response(number).headers["x-fpmux-request-id"])
    assert len(ids) == 5


def test_reserved_bytes_of_what_is_sent_are_zero(wire, client):
    client.send(wire.request(request_id=1) + wire.request(request_id=2, tenant="nobody")
                + fcgi.get_values("FCGI_MAX_REQS") + fcgi.record(44, 0))
    responses = [client.response(1), client.response(2)]
    client.read_until(lambda: len(client.management) == 2)
    for response in responses:
        assert struct.unpack("!IB3s", response.end) == (0, 0, bytes(3))
    for found in client.management + [record for response in responses
                                      for record in response.records]:
        assert (found.version, found.reserved, found.padding.strip(b"\0")) == (1, 0, b"")


def test_what_the_web_server_says_of_the_tenant_never_reaches_php(wire, client):
    client.send(fcgi.request(1, wire.params(FPMUX_TENANT="one", FPMUX_TOKEN="x",
                                            PHP_VALUE="a=b", PHP_ADMIN_VALUE="a=b")))
    seen = got(client.response(1))["params"]
    assert not {"FPMUX_TENANT", "FPMUX_TOKEN", "PHP_VALUE", "PHP_ADMIN_VALUE"} & set(seen)
    assert json.dumps(seen).count("a=b") == 0
