"""Requests, fronts and backends at the moments between two states: put back, left half way, paused,
refused while nothing can be said, changed while they wait."""

import contextlib
import os
import signal
import threading

import pytest
from support import fcgi
from support.fake_fpm import (OK_HEAD, Gone, answer, close, hold, read, read_begin, read_params,
                              read_request, stdout, write)
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


@pytest.mark.parametrize("size", range(240000, 340000, 10000))
def test_death_of_a_request_that_said_nothing_yet_cuts_no_other_off(four, size):
    """The end of the other answer waits in fpmux, wherever the socket's buffer is full."""
    four.fpmux.tenant("one", limits={"concurrency": 2})
    is_answered, is_dead = threading.Event(), threading.Event()
    script(four, read_request(), answer(b"x" * size), lambda _: is_answered.set(), read(1))
    with four.client() as client:
        four.start(client, "/large.php", 1)
        assert is_answered.wait(DEADLINE_S)
        four.fpm.next_connection(read_request(), stdout(OK_HEAD + b"half"),
                                 lambda _: is_dead.set(), close())
        client.send(four.request("/dies.php", 2))
        assert is_dead.wait(DEADLINE_S)
        wait_until(lambda: four.fpmux.log_lines("502"), "fpmux has seen it")
        assert len(client.response(1).body) == size
        died = client.response(2)
    assert died.status == 502 and b"half" not in died.body


# ---- At the backend ----

def read_what_is_there(faked):
    """Reads all that the kernel has for FPM, with fpmux stopped, so that no more comes."""
    def step(connection):
        os.kill(faked.fpmux.pid, signal.SIGSTOP)
        connection.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while connection.socket.recv(1 << 20):
                pass
    return step


def go_on(faked):
    return lambda _: os.kill(faked.fpmux.pid, signal.SIGCONT)


def test_death_amid_a_body_that_was_read_so_far_is_not_replayed(one):
    """The connection ends as at max_requests, but a PUT may have run."""
    def close_stopped(connection):
        connection.socket.close()
    script(one, read_begin(), read_params(), read_what_is_there(one), close_stopped, go_on(one),
           close())
    assert one.ask("/put.php", method="PUT", body=b"z" * 5000000).status == 502
    assert one.seen("/put.php") == []
    assert got(one.ask("/after.php"))


def test_worker_that_was_left_amid_a_body_keeps_its_place_until_it_closes(place):
    """It reads what there is and runs, with nothing left unread that would tell."""
    is_taken, may_read, is_read, may_end = (threading.Event() for _ in range(4))

    def read_to_the_end(connection):
        with contextlib.suppress(Gone):
            while True:
                connection.read_exactly(1)
        is_read.set()

    with Faked(place, pool={"workers": 1}, tenant={"limits": {"queue_seconds": 0.3}}) as faked:
        script(faked, read_begin(), read_params(), lambda _: is_taken.set(), hold(may_read),
               read_to_the_end, hold(may_end), close())
        with faked.client() as client:
            client.send(faked.request("/put.php", 1, method="PUT", body=b"z" * 5000000))
            assert is_taken.wait(DEADLINE_S)
            client.send(fcgi.record(fcgi.ABORT, 1))
            client.response(1)
        may_read.set()
        assert is_read.wait(DEADLINE_S)
        connections = len(faked.fpm.connections)
        assert faked.ask("/too-early.php").status == 503
        assert len(faked.fpm.connections) == connections
        may_end.set()
        assert got(faked.ask("/after.php"))


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_something_else_where_fpm_should_be_is_502_at_once(one, banner):
    one.fpm.default = [write(banner), read(8), close()]
    assert one.ask("/x.php").status == 502
    assert len(one.fpm.connections) < 10
    assert len(one.fpmux.log_lines("error: pool default")) == 1



def test_worker_that_was_left_amid_its_answer_over_tcp_is_read_to_its_end(place):
    """Nobody read it any more when it was left, because the spool was full."""
    is_written = threading.Event()
    with Faked(place, "tcp", pool={"workers": 1},
               spool={"dir": str(place.directory("spool")), "bytes": 100000}) as faked:
        script(faked, read_request(), answer(b"x" * 30000000), lambda _: is_written.set(), close())
        with faked.client() as client:
            faked.start(client, "/large.php", 1)
            client.read_some()
            assert not is_written.wait(0.3)
        assert is_written.wait(DEADLINE_S)
        assert got(faked.ask("/after.php"))
