"""Requests, fronts and backends at the moments between two states: put back, left half way, paused,
refused while nothing can be said, changed while they wait."""

import contextlib
import threading

import pytest
from support import fcgi
from support.fake_fpm import answer, close, hold, read_request
from support.faked import Faked, got
from support.programs import DEADLINE_S, wait_until


@pytest.fixture
def one(place):
    """One worker: requests come one after the other."""
    with Faked(place, pool={"workers": 1}) as faked:
        yield faked


@pytest.fixture
def four(place):
    """Four workers, of which the tenant may use one, and a body goes to a file early."""
    with Faked(place, pool={"workers": 4}, tenant={"limits": {"concurrency": 1}},
               spool={"dir": str(place.directory("spool")), "memory_bytes": 4096}) as faked:
        yield faked


def script(faked, *steps):
    """What becomes of the next connection to FPM; those that are open are ended."""
    assert got(faked.ask("/first.php"))
    for connection in faked.fpm.open_connections():
        with contextlib.suppress(OSError):
            connection.socket.shutdown(2)
    wait_until(lambda: not faked.fpm.open_connections(), "FPM's connections are closed")
    faked.fpm.next_connection(*steps)


# ---- In the queue ----

def test_time_on_a_worker_that_died_is_not_charged_as_queued(one):
    died = threading.Event()
    script(one, read_request(), hold(died), close())
    with one.client() as client:
        one.start(client, "/again.php")
        threading.Timer(0.5, died.set).start()
        assert got(client.response(1))
    wait_until(lambda: one.fpmux.billed("one", "wall_seconds") >= 0.5, "the run that died")
    assert one.fpmux.billed("one", "queue_seconds") < 0.4


def test_raised_concurrency_lets_run_what_waits(four):
    with four.client() as client:
        four.start(client, "/runs.php?gate", 1)
        client.send(four.request("/waits.php", 2) + fcgi.get_values("FCGI_MPXS_CONNS"))
        client.read_until(lambda: client.management)
        four.fpmux.tenant("one", limits={"concurrency": 2})
        assert got(client.response(2))
        four.gate("gate").set()
        assert got(client.response(1))


# ---- At the front ----

def test_front_is_read_on_once_a_body_that_stalled_it_is_whole(four):
    four.fpmux.tenant("one", limits={"concurrency": 2})
    body = b"y" * 60000
    with four.client() as client:
        client.send(fcgi.request(1, four.params("/runs.php?gate", "POST", body), body, cut=10000))
        wait_until(lambda: four.seen("/runs.php?gate"), "the upload at FPM")
        client.send(four.request("/sibling.php", 2))
        assert got(client.response(2))
        four.gate("gate").set()
        assert got(client.response(1))["body"].encode() == body


@pytest.mark.parametrize("ending,answered", [
    (fcgi.record(fcgi.ABORT, 2), b""),
    (fcgi.record(fcgi.PARAMS, 2, b"x" * 60000) * 6, b"Status: 431 ")], ids=["aborted", "refused"])
def test_request_that_was_answered_before_its_parameters_ended_is_not_run(four, ending, answered):
    """Its answer waits behind another one that the peer does not read."""
    is_answered = threading.Event()
    script(four, read_request(), answer(b"x" * 3000000), lambda _: is_answered.set())
    params = b"".join(fcgi.pair(name, value)
                      for name, value in four.params("/left.php", CONTENT_LENGTH="0").items())
    with four.client() as client:
        four.start(client, "/large.php", 1)
        assert is_answered.wait(DEADLINE_S)
        client.send(fcgi.begin(2) + fcgi.record(fcgi.PARAMS, 2, params) + ending
                    + fcgi.record(fcgi.PARAMS, 2) + fcgi.record(fcgi.STDIN, 2)
                    + four.request("/next.php", 3))
        assert len(client.response(1).body) == 3000000
        assert client.response(2).stdout[:12] == answered
        assert got(client.response(3))["params"]["REQUEST_URI"] == "/next.php"
    assert four.seen("/left.php") == []
