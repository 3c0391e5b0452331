"""fpmux in front of the scriptable fake FPM: what a test of one exchange needs."""

import array
import contextlib
import fcntl
import json
import termios
import threading

from support import fcgi, fake_fpm
from support.fpmux import Fpmux
from support.programs import wait_until

ROOT = "/srv/app"  # the jail is lexical: nothing need be there


def unread_by_peer(sock):
    """Bytes (as the kernel counts them) that the peer of a unix socket has not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]


def describe(request):
    """The fake's answer: what it got."""
    return json.dumps({"params": request.params, "body": request.body.decode("latin-1")}).encode()


class Faked:
    """The fake answers with what it got; a request whose QUERY_STRING names a gate waits for it."""

    def __init__(self, place, listen="unix", pool=None, tenant=None, **config):
        self.gates = {}
        self.lock = threading.Lock()
        self.working = self.most_working = 0  # requests that workers are at
        self.place = place
        self.fpm = fake_fpm.FakeFpm(place, listen, [fake_fpm.read_request(), self._reply])
        self.fpmux = Fpmux(place, self.fpm.address, ROOT, pool=pool, **config)
        self.fpmux.tenant("one", **(tenant or {}))

    def gate(self, name):
        return self.gates.setdefault(name, threading.Event())

    def _reply(self, connection):
        params = connection.request.params
        if params.get("SCRIPT_NAME") == "/opcache.php":  # fpmux asks how OPcache is set
            fake_fpm.answer(b"fpmux-safe")(connection)
            return
        with self._at_work():
            if params.get("QUERY_STRING"):
                fake_fpm.hold(self.gate(params["QUERY_STRING"]))(connection)
        fake_fpm.answer(describe)(connection)

    @contextlib.contextmanager
    def _at_work(self):
        with self.lock:
            self.working += 1
            self.most_working = max(self.most_working, self.working)
        try:
            yield
        finally:
            with self.lock:
                self.working -= 1

    def params(self, script="/x.php", method="GET", body=None, tenant="one", **more):
        return fcgi.web_params(ROOT, script, method, body, f"{tenant}.test", **more)

    def request(self, script="/x.php", request_id=1, keep=True, body=None, **more):
        """The bytes of a whole request; with a body it is a POST."""
        method = more.pop("method", "GET" if body is None else "POST")
        params = self.params(script, method, body, **more)
        return fcgi.request(request_id, params, body or b"", keep)

    def client(self, address=None):
        return fcgi.Client(address or self.fpmux.unix)

    def ask(self, *words, **more):
        """The response to one request on a connection of its own."""
        with self.client() as client:
            client.send(self.request(*words, **more))
            return client.response(more.get("request_id", 1))

    def start(self, client, script, request_id=1, **more):
        """Sends a request and waits until the fake has it; returns what the fake got."""
        client.send(self.request(script, request_id, **more))
        return wait_until(lambda: self.seen(script), f"{script} at FPM")[0]

    def seen(self, script):
        return [request for request in self.fpm.requests
                if request.params.get("REQUEST_URI") == script]

    def __enter__(self):
        self.fpm.__enter__()
        try:
            self.fpmux.__enter__()
        except BaseException:
            self.fpm.__exit__()
            raise
        return self

    def __exit__(self, *problem):
        for gate in self.gates.values():
            gate.set()
        try:
            self.fpmux.__exit__(*problem)
        finally:
            self.fpm.__exit__(*problem)


def got(response):
    """What the fake got, from its answer."""
    assert response.status == 200, response
    return json.loads(response.body)
