"""A PHP-FPM that does exactly what a test tells it, for faults that the real one shows only by
chance. It runs on threads of the test process: one that accepts, one per connection.

Like the real one it answers FCGI_GET_VALUES, echoes the request id of BEGIN, reads STDIN up to
CONTENT_LENGTH and leaves the empty record behind it unread until it comes back for the next
request.

    with FakeFpm(place) as fpm:
        fpm.next_connection(read_request(), write(STDOUT half), reset())
        ...
        assert fpm.requests[0].params["DBHOST"] == ...

A connection without a script of its own follows `default`, request after request."""

import contextlib
import socket
import struct
import threading

from support import fcgi
from support.programs import DEADLINE_S, free_port, wait_until

OK_HEAD = b"Content-Type: text/plain\r\n\r\n"


class Gone(Exception):
    """The peer closed, or the connection's script is at its end."""


class Request:
    """What one request brought."""

    def __init__(self, connection, request_id, flags, role):
        self.connection = connection  # number of the connection, from 0
        self.request_id = request_id
        self.is_kept = bool(flags & fcgi.KEEP_CONN)
        self.role = role
        self.pairs = []
        self.body = bytearray()
        self.params_records = []

    @property
    def params(self):
        """As text; of duplicates the last one counts, as in FPM."""
        return {name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in self.pairs}


class Connection:
    """One accepted connection and what its steps work with."""

    def __init__(self, fpm, sock, number):
        self.fpm = fpm
        self.socket = sock
        self.number = number
        self.request = None   # the current one
        self.is_open = True

    def read_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except OSError:
                raise Gone from None
            if not piece:
                raise Gone
            data += piece
        return bytes(data)

    def read_record(self):
        header = self.read_exactly(8)
        version, kind, request_id, length, padding, _ = struct.unpack("!BBHHBB", header)
        content = self.read_exactly(length)
        self.read_exactly(padding)
        return fcgi.Record(version, kind, request_id, content, b"\0" * padding, 0)

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Gone from None

    def close(self):
        self.is_open = False
        self.socket.close()


# ---- Steps: each is called with the connection ----

def read_begin():
    """Up to BEGIN_REQUEST, answering FCGI_GET_VALUES and skipping left-over empty STDIN."""
    def step(connection):
        while True:
            found = connection.read_record()
            if found.kind == fcgi.GET_VALUES:
                connection.fpm.get_values_count += 1
                connection.write(fcgi.record(fcgi.GET_VALUES_RESULT, 0,
                                             fcgi.pair("FCGI_MPXS_CONNS", "0")))
            elif found.kind == fcgi.BEGIN:
                role, flags = struct.unpack_from("!HB", found.content)
                connection.request = Request(connection.number, found.request_id, flags, role)
                return
            elif found.kind != fcgi.STDIN or found.content:
                raise Gone
    return step


def read_params():
    def step(connection):
        data = b""
        while True:
            found = connection.read_record()
            if found.kind != fcgi.PARAMS or not found.content:
                break
            connection.request.params_records.append(found)
            data += found.content
        connection.request.pairs = fcgi.decode_pairs(data)
    return step


def read_body(count=None):
    """STDIN up to count bytes, or CONTENT_LENGTH."""
    def step(connection):
        request = connection.request
        wanted = int(request.params.get("CONTENT_LENGTH") or 0) if count is None else count
        while len(request.body) < wanted:
            request.body += connection.read_record().content
    return step


def read_request():
    """One whole request, recorded in fpm.requests."""
    def step(connection):
        for part in (read_begin(), read_params(), read_body()):
            part(connection)
        connection.fpm.requests.append(connection.request)
    return step


def read(count):
    return lambda connection: connection.read_exactly(count)


def write(data):
    """Bytes, or a function of the request that gives them."""
    def step(connection):
        connection.write(data(connection.request) if callable(data) else data)
    return step


def stdout(data):
    return write(lambda request: fcgi.record(fcgi.STDOUT, request.request_id, data))


def stderr(data):
    return write(lambda request: fcgi.record(fcgi.STDERR, request.request_id, data))


def end(app_status=0):
    return write(lambda request: fcgi.end(request.request_id, app_status))


def answer(body=b"ok", head=OK_HEAD):
    """A whole answer in one write; without KEEP_CONN the connection is closed as FPM does."""
    def step(connection):
        request = connection.request
        data = head + (body(request) if callable(body) else body)
        pieces = (data[at:at + fcgi.CONTENT_MAX] for at in range(0, len(data), fcgi.CONTENT_MAX))
        connection.write(b"".join(fcgi.record(fcgi.STDOUT, request.request_id, piece)
                                  for piece in pieces) + fcgi.end(request.request_id))
        if not request.is_kept:
            drain()(connection)
    return step


def hold(event):
    """Waits until the test sets event."""
    def step(connection):
        if not connection.fpm.wait_for(event):
            raise Gone
    return step


def drain():
    """Half-closes and reads until the peer closes: FPM's end of a connection."""
    def step(connection):
        half_close()(connection)
        with contextlib.suppress(Gone):
            while True:
                connection.read_exactly(1)
        raise Gone
    return step


def half_close():
    return lambda connection: connection.socket.shutdown(socket.SHUT_WR)


def close():
    """EOF for the peer when everything was read, ECONNRESET when bytes are left unread."""
    def step(connection):
        connection.close()
        raise Gone
    return step


def reset():
    """ECONNRESET in any case over TCP; over unix sockets only if bytes are left unread."""
    def step(connection):
        if connection.socket.family == socket.AF_INET:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
        close()(connection)
    return step


class FakeFpm:
    def __init__(self, place, listen="unix", default=None):
        home = place.fresh("fake-fpm")
        self.default = default or [read_request(), answer()]
        self.requests = []
        self.connections = []
        self.get_values_count = 0
        self.scripts = []
        self.is_stopping = threading.Event()
        if listen == "unix":
            self.address = f"unix:{home}/fpm.sock"
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{home}/fpm.sock")
        else:
            port = free_port()
            self.address = f"tcp:127.0.0.1:{port}"
            self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.listen(64)
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def next_connection(self, *steps):
        """Scripts connections in order of arrival; at its end a script's connection is closed."""
        self.scripts.append(steps)

    def wait_for(self, event):
        """True when event was set, False when the test is over."""
        while not event.wait(0.02):
            if self.is_stopping.is_set():
                return False
        return True

    def wait_requests(self, count, deadline_s=DEADLINE_S):
        """The requests, once there are count of them."""
        wait_until(lambda: len(self.requests) >= count,
                   lambda: f"{count} requests at FPM; there are {len(self.requests)}", deadline_s)
        return list(self.requests)

    def open_connections(self):
        return [connection for connection in self.connections if connection.is_open]

    def _accept(self):
        while not self.is_stopping.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            script = self.scripts.pop(0) if self.scripts else None
            threading.Thread(target=self._serve, args=(connection, script), daemon=True).start()

    def _serve(self, connection, script):
        with contextlib.suppress(Gone):
            for step in script or ():
                step(connection)
            while script is None:
                for step in self.default:
                    step(connection)
        connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open_connections():
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
