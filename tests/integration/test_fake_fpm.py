"""The fake FPM is worth something only while it behaves like the real one: the same conversation is
held with both."""

import array
import fcntl
import termios

import pytest
from support import fcgi
from support.fake_fpm import FakeFpm
from support.programs import wait_until
from support.servers import Fpm

# SIOCOUTQ and TIOCOUTQ are one number.
SIOCOUTQ = termios.TIOCOUTQ
HAS_UNREAD_TERMINATOR = 200


def unread_by_peer(client):
    count = array.array("i", [0])
    fcntl.ioctl(client.socket, SIOCOUTQ, count)
    return count[0]


@pytest.fixture(params=["real", "fake"])
def fpm(request, place, root):
    with (Fpm if request.param == "real" else FakeFpm)(place) as running:
        yield running


def test_get_values_is_answered_and_a_request_may_follow(fpm, root):
    with fcgi.Client(fpm.address) as client:
        client.send(fcgi.get_values("FCGI_MPXS_CONNS", "FCGI_MAX_REQS"))
        client.read_until(lambda: client.management)
        assert fcgi.decode_pairs(client.management[0].content) == [(b"FCGI_MPXS_CONNS", b"0")]
        assert client.call(fcgi.web_params(root, "/hello.php")).status == 200


@pytest.mark.parametrize("body", [b"", b"a=1"])
def test_waiting_worker_has_read_the_last_stdin_terminator(fpm, root, body):
    params = fcgi.web_params(root, "/hello.php", "POST", body)
    with fcgi.Client(fpm.address) as client:
        for request_id in (1, 2):
            assert client.call(params, body, request_id).is_complete
            wait_until(lambda: unread_by_peer(client) < HAS_UNREAD_TERMINATOR, "worker idle")


def test_connection_without_keep_conn_is_half_closed_after_the_answer(fpm, root):
    with fcgi.Client(fpm.address) as client:
        client.call(fcgi.web_params(root, "/hello.php"), keep=False)
        client.read_to_close()
        assert not client.was_reset


def test_unknown_first_record_closes_the_connection_silently(fpm):
    with fcgi.Client(fpm.address) as client:
        client.send(fcgi.record(fcgi.ABORT, 1))
        client.read_to_close()
        assert client.responses == {} and client.management == []
