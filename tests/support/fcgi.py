"""FastCGI for tests, both sides: any record byte by byte, also wrong ones; a client that carries
many requests on one connection and reads their answers apart.

Independent of the daemon's own codec on purpose, so that one mistake can't hide in both."""

import socket
import struct
import time

from support.programs import DEADLINE_S, Timeout, parse_address

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = range(9, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
CONTENT_MAX = 65528


def as_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode()


# ---- Making records ----

def record(kind, request_id, content=b"", padding=0, version=1, reserved=0, length=None):
    """One record; length overrides what the header says about the content."""
    size = len(content) if length is None else length
    header = struct.pack("!BBHHBB", version, kind, request_id, size, padding, reserved)
    return header + content + b"\0" * padding


def begin(request_id, role=RESPONDER, keep=True):
    return record(BEGIN, request_id, struct.pack("!HB5x", role, KEEP_CONN if keep else 0))


def length_bytes(length, wide=False):
    return bytes([length]) if length < 128 and not wide else struct.pack("!I", length | 1 << 31)


def pair(name, value, wide=False):
    name, value = as_bytes(name), as_bytes(value)
    return length_bytes(len(name), wide) + length_bytes(len(value), wide) + name + value


def pairs_of(params):
    return list(params.items()) if isinstance(params, dict) else list(params)


def stream(kind, request_id, data, cut=CONTENT_MAX, padding=0):
    """data in records of at most cut bytes, then the empty record."""
    pieces = (data[at:at + cut] for at in range(0, len(data), cut))
    return (b"".join(record(kind, request_id, piece, padding) for piece in pieces)
            + record(kind, request_id))


def params_stream(request_id, params, cut=CONTENT_MAX, padding=0):
    data = b"".join(pair(name, value) for name, value in pairs_of(params))
    return stream(PARAMS, request_id, data, cut, padding)


def request(request_id, params, body=b"", keep=True, role=RESPONDER, cut=CONTENT_MAX):
    return (begin(request_id, role, keep) + params_stream(request_id, params, cut)
            + stream(STDIN, request_id, body, cut))


def get_values(*names):
    return record(GET_VALUES, 0, b"".join(pair(name, "") for name in names))


def end(request_id, app_status=0, protocol_status=REQUEST_COMPLETE):
    return record(END, request_id, struct.pack("!IB3x", app_status, protocol_status))


def web_params(root, script, method="GET", body=None, server_name="localhost", **more):
    """What a web server sends, in short."""
    uri, _, query = script.partition("?")
    params = {"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
              "SERVER_SOFTWARE": "test", "SERVER_NAME": server_name, "SERVER_PORT": "80",
              "REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": method, "REQUEST_URI": script,
              "QUERY_STRING": query, "SCRIPT_NAME": uri, "DOCUMENT_ROOT": str(root),
              "SCRIPT_FILENAME": f"{root}{uri}"}
    if body is not None:
        params["CONTENT_LENGTH"] = str(len(body))
        params["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    return {**params, **more}


# ---- Reading ----

def decode_pairs(data):
    """[(name, value)] as bytes."""
    found, at = [], 0
    while at < len(data):
        lengths = []
        for _ in range(2):
            if data[at] & 0x80:
                lengths.append(struct.unpack_from("!I", data, at)[0] & 0x7FFFFFFF)
                at += 4
            else:
                lengths.append(data[at])
                at += 1
        name, value = lengths
        if at + name + value > len(data):
            raise ValueError("a pair points past the end")
        found.append((data[at:at + name], data[at + name:at + name + value]))
        at += name + value
    return found


class Record:
    def __init__(self, version, kind, request_id, content, padding, reserved):
        self.version = version
        self.kind = kind
        self.request_id = request_id
        self.content = content
        self.padding = padding
        self.reserved = reserved

    def __repr__(self):
        return f"<record type {self.kind} id {self.request_id} {self.content[:60]!r}>"


def take_record(data):
    """(record, rest), or (None, data) when it is not complete yet."""
    if len(data) < 8:
        return None, data
    version, kind, request_id, length, padding, reserved = struct.unpack_from("!BBHHBB", data)
    whole = 8 + length + padding
    if len(data) < whole:
        return None, data
    content = bytes(data[8:8 + length])
    return Record(version, kind, request_id, content, data[8 + length:whole], reserved), data[whole:]


class Response:
    """What came back for one request id."""

    def __init__(self):
        self.stdout = b""
        self.stderr = b""
        self.end = None  # content of END_REQUEST
        self.records = []

    @property
    def is_complete(self):
        return self.end is not None

    @property
    def app_status(self):
        return struct.unpack("!I", self.end[:4])[0]

    @property
    def protocol_status(self):
        return self.end[4]

    @property
    def head(self):
        return self.stdout.partition(b"\r\n\r\n")[0]

    @property
    def body(self):
        return self.stdout.partition(b"\r\n\r\n")[2]

    @property
    def headers(self):
        lines = (line.partition(b":") for line in self.head.split(b"\r\n"))
        return {name.decode().lower(): value.strip().decode() for name, _, value in lines}

    @property
    def status(self):
        return int(self.headers.get("status", "200").split()[0])

    def __repr__(self):
        return f"<response ended={self.is_complete} {self.stdout[:200]!r} {self.stderr[:200]!r}>"


class Client:
    """One connection to a FastCGI server. Answers are sorted by request id; records that belong to
    no request (GET_VALUES_RESULT, UNKNOWN_TYPE) are in .management."""

    def __init__(self, address, deadline_s=DEADLINE_S):
        family, target = parse_address(address)
        self.deadline_s = deadline_s
        self.socket = socket.socket(family)
        self.socket.settimeout(deadline_s)
        self.socket.connect(target)
        self.responses = {}
        self.management = []
        self.is_closed_by_peer = False
        self.was_reset = False
        self._buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def send_in_pieces(self, data, sizes):
        """Cuts data into pieces of the given sizes (the last one repeats)."""
        at, number = 0, 0
        while at < len(data):
            size = sizes[min(number, len(sizes) - 1)]
            self.send(data[at:at + size])
            at, number = at + size, number + 1

    def read_some(self):
        """Reads once; False when the peer has closed."""
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            self.was_reset, data = True, b""
        except TimeoutError:
            raise Timeout(f"no answer within {self.deadline_s} s: {self.responses}") from None
        if not data:
            self.is_closed_by_peer = True
            return False
        self._buffer += data
        self._sort()
        return True

    def _sort(self):
        while True:
            found, self._buffer = take_record(self._buffer)
            if found is None:
                return
            self._note(found)

    def _note(self, found):
        if found.request_id == 0 or found.kind in (GET_VALUES_RESULT, UNKNOWN_TYPE):
            self.management.append(found)
            return
        response = self.responses.setdefault(found.request_id, Response())
        response.records.append(found)
        if found.kind == STDOUT:
            response.stdout += found.content
        elif found.kind == STDERR:
            response.stderr += found.content
        elif found.kind == END:
            response.end = found.content

    def read_until(self, condition):
        """Reads until condition() is true; fails when the peer closes first or time is up."""
        end = time.monotonic() + self.deadline_s
        while not condition():
            if time.monotonic() > end:
                raise Timeout(f"not within {self.deadline_s} s: {self.responses}")
            if not self.read_some() and not condition():
                raise AssertionError(f"closed by the peer; so far: {self.responses}")

    def response(self, request_id):
        """The complete answer to one request; its id may be used again afterwards."""
        self.read_until(lambda: request_id in self.responses
                        and self.responses[request_id].is_complete)
        return self.responses.pop(request_id)

    def call(self, params, body=b"", request_id=1, keep=True):
        self.send(request(request_id, params, body, keep))
        return self.response(request_id)

    def read_to_close(self):
        """Waits until the peer closes."""
        while self.read_some():
            pass

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def call(address, params, body=b"", keep=False):
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.call(params, body, keep=keep)
