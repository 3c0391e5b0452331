"""A Docker Engine that does what a test tells it: the part of the API that fpmuxctl uses, over a
unix socket, with containers that exist in memory only (fake_docker.py) and answer over HTTP as
real ones would (fake_web.py). Imitates version 20.10: API 1.41, its statuses and its words.

    with FakeEngine(place) as engine:
        config["containers"]["engine"] = engine.address
        engine.add_image("fpmux/apache")
        engine.add_container("stranger", image="other", labels={"mine": "1"})   # and started
        ...
        assert engine.container("fpmux-shim").is_running
        assert not engine.changes("stranger")      # nobody touched it

Faults are for the calls whose method and path (without /v1.41 and query) match; path is a regular
expression for all of it. The first fault that matches and is not used up acts:

    engine.fault("POST", "/containers/create", status=500, message="no space left on device")
    engine.fault("GET", "/containers/.*/json", hang=True, times=1)    # never answers
    engine.fault("POST", "/.*/start", cut=True, after=3, times=1)     # the fourth: no answer
    engine.fault("GET", "/info", cut_after=40)      # the connection ends after 40 bytes (a GET that
                                                    # got none is sent again by libcurl, once)
    engine.fault("GET", "/version", body=b"<html>") # a whole answer that is no JSON
    engine.fault("POST", "/.*/start", delay_s=0.2)  # later, but well
    engine.fault("POST", "/.*/start", is_carried_out=True, cut=True)  # it works; nobody is told
    fault.calls                                     # how often it acted;  fault.remove()

    engine.down(), engine.up()     # no socket, all connections cut; containers live on
    engine.down(kills=True)        # … or end, and up() starts those whose policy wants it
    engine.die("fpmux-shim", code=1)                # ends by itself; its policy decides what then
    engine.die("fpmux-shim", comes_back=False)      # … and stays so
    container.is_healthy = False                    # runs, but answers 503

What happened: engine.calls, each a Call(method, path, query, body); engine.called("POST",
"/containers/create") picks; engine.changes("name") is all that was done to one container, by name
or id; engine.wait_calls("GET", "/events", 1) waits until there are so many.

Commands: engine.on_exec is a function of an Exec (container, command, user; read(), read_all(),
stdout(bytes), stderr(bytes)) that returns the exit code. Builds: engine.on_build is a function of
a Build (query, files: the context as {path: bytes}) that gives the objects of its progress."""

import contextlib
import http.server
import io
import json
import re
import secrets
import socket
import socketserver
import struct
import tarfile
import threading
import time
import urllib.parse

from support.fake_docker import Docker, Refused, now_text, parse_filters
from support.programs import wait_until

API = "1.41"
VERSION = {"Platform": {"Name": ""}, "Version": "20.10.24+dfsg1", "ApiVersion": API,
           "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}
READS = ("GET", "HEAD")


class Call:
    def __init__(self, method, path, query, body):
        self.method = method
        self.path = path    # without /v1.41
        self.query = query  # {"all": "1"}
        self.body = body    # of JSON, or None

    def __repr__(self):
        return f"{self.method} {self.path}?{urllib.parse.urlencode(self.query)}"


class Fault:
    def __init__(self, engine, method, path, times, after, **what):
        self.engine = engine
        self.method, self.path = method, re.compile(path)
        self.times, self.after = times, after
        self.what = {"status": None, "message": "", "delay_s": 0, "cut": False, "cut_after": None,
                     "hang": False, "body": None, "is_carried_out": False, **what}
        self.calls = 0

    def takes(self, call):
        if call.method != self.method or not self.path.fullmatch(call.path):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None and self.calls >= self.times:
            return False
        self.calls += 1
        return True

    def remove(self):
        with contextlib.suppress(ValueError):
            self.engine.faults.remove(self)


class Exec:
    """A command in a container, on the connection that its start was upgraded to."""

    def __init__(self, container, body):
        self.id = secrets.token_hex(32)
        self.container = container
        self.command = body["Cmd"]
        self.user = body.get("User", "")
        self.exit_code = None
        self.stream = None

    def read(self, count):
        """Up to count bytes of standard input; b"" at its end."""
        return self.stream.recv(count)

    def read_all(self):
        return b"".join(iter(lambda: self.read(65536), b""))

    def write(self, number, data):
        self.stream.sendall(struct.pack("!BxxxL", number, len(data)) + data)

    def stdout(self, data):
        self.write(1, data)

    def stderr(self, data):
        self.write(2, data)


class Build:
    def __init__(self, query, archive):
        self.query = query
        self.files = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                self.files[member.name] = tar.extractfile(member).read() if member.isfile() else None


def build_well(build):
    yield {"stream": "Step 1/2 : FROM debian:bookworm-slim\n"}
    yield {"stream": " ---> e6116d5d4f6d\nStep 2/2 : CMD true\n ---> "}
    yield {"stream": "Using cache\n"}
    yield {"aux": {"ID": "sha256:e6116d5d4f6d"}}
    yield {"stream": f"Successfully tagged {build.query['t']}:latest\n"}


class Gone(Exception):
    """The connection is to end without another word."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Docker/20.10.24+dfsg1"
    sys_version = "(linux)"
    limit = None  # of bytes that may still be written

    # ---- Reading ----

    def log_message(self, *_):
        pass

    def read_chunks(self):
        while True:
            line = self.rfile.readline()
            if not line:
                raise Gone  # the client gave up
            size = int(line, 16)
            yield self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self.read_chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # ---- Writing ----

    def write(self, data):
        if self.limit is not None:
            data, self.limit = data[:self.limit], self.limit - len(data)
        try:
            self.wfile.write(data)
        except OSError:
            raise Gone from None
        if self.limit is not None and self.limit <= 0:
            raise Gone

    def head(self, status, **fields):
        reason = http.HTTPStatus(status).phrase if status != 101 else "UPGRADED"
        lines = [f"HTTP/1.1 {status} {reason}", f"Api-Version: {API}",
                 f"Server: {self.version_string()}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        self.write("\r\n".join([*lines, "", ""]).encode())

    def answer(self, status, value=None):
        if value is None:
            self.head(status, **({} if status in (204, 304) else {"Content_Length": 0}))
            return
        data = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
        self.head(status, Content_Type="application/json", Content_Length=len(data))
        if self.command != "HEAD":
            self.write(data)

    def stream(self, objects):
        self.head(200, Content_Type="application/json", Transfer_Encoding="chunked")
        for value in objects:
            data = json.dumps(value).encode() + b"\n"
            self.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.write(b"0\r\n\r\n")

    # ---- Serving ----

    def serve(self):
        try:
            self.serve_call()
        except (Gone, OSError):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = serve

    def serve_call(self):
        engine = self.server.engine
        address = urllib.parse.urlsplit(self.path)
        body = self.read_body()
        is_json = "json" in self.headers.get("Content-Type", "") and body
        call = Call(self.command, re.sub(r"^/v[0-9.]+(?=/)", "", address.path),
                    dict(urllib.parse.parse_qsl(address.query)), json.loads(body) if is_json else None)
        self.raw_body, self.limit = body, None
        with engine.lock:
            engine.calls.append(call)
            fault = next((one for one in engine.faults if one.takes(call)), None)
        if fault is None or not self.suffer(fault.what, call):
            self.carry_out(call)

    def suffer(self, fault, call):
        """True when the call is answered with that."""
        engine = self.server.engine
        if fault["is_carried_out"]:
            self.limit = 0
            with contextlib.suppress(Gone):
                self.carry_out(call)
            self.limit = None
        if fault["delay_s"]:
            engine.is_over.wait(fault["delay_s"])
        if fault["hang"]:
            engine.is_over.wait()
        if fault["hang"] or fault["cut"]:
            raise Gone
        self.limit = fault["cut_after"]
        if fault["status"]:
            self.answer(fault["status"], {"message": fault["message"]})
        elif fault["body"] is not None:
            self.answer(200, fault["body"])
        else:
            return False
        return True

    def carry_out(self, call):
        for method, pattern, work in ROUTES:
            found = re.fullmatch(pattern, call.path)
            if method == call.method.replace("HEAD", "GET") and found:
                break
        else:
            self.answer(404, {"message": "page not found"})
            return
        try:
            work(self, call, *map(urllib.parse.unquote, found.groups()))
        except Refused as refused:
            self.answer(refused.status, {"message": refused.message} if refused.message else None)

    @property
    def docker(self):
        return self.server.engine.docker

    def follow_events(self, call):
        engine, docker = self.server.engine, self.docker
        filters = parse_filters(call.query.get("filters"))
        since = call.query.get("since")
        with docker.lock:
            at = 0 if since else len(docker.events)

        def events():
            nonlocal at
            while not engine.is_over.is_set() and self.is_connected():
                with docker.changed:
                    if at == len(docker.events):
                        docker.changed.wait(0.05)
                    fresh, at = docker.events[at:], len(docker.events)
                yield from (event for event in fresh if docker.wants_event(filters, event) and
                            event["timeNano"] >= float(since or 0) * 10**9)
        self.stream(events())

    def is_connected(self):
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def create_exec(self, call, key):
        engine, container = self.server.engine, self.docker.find(key)
        if container.status != "running":
            raise Refused(409, f"Container {container.id} is not running" if not container.is_running
                          else f"Container {key} is paused, unpause the container before exec")
        made = Exec(container, call.body)
        engine.execs[made.id] = made
        self.answer(201, {"Id": made.id})

    def find_exec(self, key):
        made = self.server.engine.execs.get(key)
        if made is None:
            raise Refused(404, f"No such exec instance: {key}")
        return made

    def start_exec(self, call, key):
        made = self.find_exec(key)
        made.stream = self.connection
        self.head(101, Content_Type="application/vnd.docker.raw-stream", Connection="Upgrade",
                  Upgrade="tcp")
        try:
            made.exit_code = self.server.engine.on_exec(made)
        except OSError:
            made.exit_code = 137
        raise Gone

    def inspect_exec(self, call, key):
        made = self.find_exec(key)
        self.answer(200, {"ID": made.id, "Running": made.exit_code is None,
                          "ExitCode": made.exit_code, "ContainerID": made.container.id})

    def build(self, call):
        engine = self.server.engine
        build = Build(call.query, self.raw_body)
        engine.builds.append(build)
        if call.query["dockerfile"] not in build.files:
            raise Refused(500, f"Cannot locate specified Dockerfile: {call.query['dockerfile']}")
        objects = list(engine.on_build(build))
        if not any("error" in value for value in objects):
            self.docker.add_image(call.query["t"])
        self.stream(objects)


def work(method, pattern, function, status=200):
    """A call whose answer is what function(docker, call, parts of the path) gives."""
    def run(handler, call, *parts):
        handler.answer(status, function(handler.docker, call, *parts))
    return method, pattern, run


def call_filters(call):
    return parse_filters(call.query.get("filters"))


ONE = "([^/]+)"
ROUTES = [
    work("GET", "/version", lambda d, c: VERSION),
    work("GET", "/_ping", lambda d, c: b"OK"),
    work("GET", "/info", lambda d, c: {"ServerVersion": VERSION["Version"],
                                       "Containers": len(d.containers), "SystemTime": now_text()}),
    ("GET", "/events", Handler.follow_events),
    work("GET", "/containers/json", lambda d, c: d.list_containers(
        c.query.get("all") in ("1", "true"), call_filters(c))),
    work("POST", "/containers/create", lambda d, c: d.create(c.query["name"], c.body), 201),
    work("GET", f"/containers/{ONE}/json", lambda d, c, key: d.find(key).inspection()),
    work("POST", f"/containers/{ONE}/start", lambda d, c, key: d.start(key), 204),
    work("POST", f"/containers/{ONE}/stop", lambda d, c, key: d.stop(key), 204),
    work("POST", f"/containers/{ONE}/kill",
         lambda d, c, key: d.kill(key, c.query.get("signal", "KILL")), 204),
    work("POST", f"/containers/{ONE}/restart", lambda d, c, key: d.restart(key), 204),
    work("POST", f"/containers/{ONE}/pause", lambda d, c, key: d.pause(key, True), 204),
    work("POST", f"/containers/{ONE}/unpause", lambda d, c, key: d.pause(key, False), 204),
    work("POST", f"/containers/{ONE}/rename", lambda d, c, key: d.rename(key, c.query["name"]),
         204),
    ("POST", f"/containers/{ONE}/wait", lambda handler, call, key: handler.answer(
        200, handler.docker.wait(key, handler.server.engine.is_over.is_set))),
    work("DELETE", f"/containers/{ONE}",
         lambda d, c, key: d.remove(key, c.query.get("force") in ("1", "true")), 204),
    ("POST", f"/containers/{ONE}/exec", Handler.create_exec),
    ("POST", f"/exec/{ONE}/start", Handler.start_exec),
    ("GET", f"/exec/{ONE}/json", Handler.inspect_exec),
    work("GET", "/images/(.+)/json", lambda d, c, image: d.inspect_image(image)),
    ("POST", "/build", Handler.build),
    work("GET", "/networks", lambda d, c: d.list_networks(call_filters(c))),
    work("POST", "/networks/create", lambda d, c: d.create_network(c.body), 201),
    work("GET", f"/networks/{ONE}", lambda d, c, key: d.inspect_network(key)),
    work("DELETE", f"/networks/{ONE}", lambda d, c, key: d.remove_network(key), 204),
    work("POST", f"/networks/{ONE}/connect", lambda d, c, key: d.connect(key, c.body)),
    work("POST", f"/networks/{ONE}/disconnect", lambda d, c, key: d.disconnect(key, c.body)),
    work("POST", "/volumes/create", lambda d, c: d.create_volume(c.body), 201),
    work("GET", f"/volumes/{ONE}", lambda d, c, name: d.inspect_volume(name)),
    work("DELETE", f"/volumes/{ONE}", lambda d, c, name: d.remove_volume(name), 204),
]


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, engine, path):
        super().__init__(path, Handler)
        self.engine = engine

    def get_request(self):
        connection, _ = super().get_request()
        with self.engine.lock:
            self.engine.connections.append(connection)
        return connection, ("engine", 0)

    def handle_error(self, request, client_address):
        if not self.engine.is_over.is_set():  # else: cut while it was being served
            super().handle_error(request, client_address)


class FakeEngine:
    """web: running containers answer over HTTP (needs the right to listen on port 80)."""

    def __init__(self, place, web=True):
        self.path = place.fresh("engine") / "docker.sock"
        self.address = f"unix:{self.path}"
        self.docker = Docker(web)
        self.lock = threading.RLock()
        self.calls, self.faults, self.builds, self.connections = [], [], [], []
        self.execs = {}
        self.on_exec = lambda made: 0
        self.on_build = build_well
        self.is_over = threading.Event()
        self.server = None
        self.killed = []

    # ---- What there is ----

    def add_image(self, *names):
        for name in names:
            self.docker.add_image(name)

    def add_network(self, name, **body):
        return self.docker.create_network({"Name": name, **body})["Id"]

    def add_container(self, name, image="stranger", labels=None, is_running=True, **body):
        """As somebody else would; is in no call."""
        if self.docker.tagged(image) not in self.docker.images:
            self.add_image(image)
        self.docker.create(name, {"Image": image, "Labels": labels or {}, **body})
        if is_running:
            self.docker.start(name)
        return self.container(name)

    def container(self, name):
        """By name, or None."""
        with contextlib.suppress(Refused):
            return self.docker.find(name)
        return None

    def containers(self):
        with self.docker.lock:
            return {container.name: container for container in self.docker.containers.values()}

    def networks(self):
        with self.docker.lock:
            return {network["Name"]: network for network in self.docker.networks.values()}

    # ---- What happened ----

    def called(self, method, path):
        with self.lock:
            return [call for call in self.calls
                    if call.method == method and re.fullmatch(path, call.path)]

    def changes(self, name):
        """Calls that changed the container, also by its id, or wanted its name."""
        container = self.container(name)
        names = {name, container.id} if container else {name}
        with self.lock:
            return [call for call in self.calls if call.method not in READS and (
                names & set(call.path.split("/")) or call.query.get("name") in names or
                (isinstance(call.body, dict) and call.body.get("Container") in names))]

    def wait_calls(self, method, path, count):
        wait_until(lambda: len(self.called(method, path)) >= count,
                   lambda: f"{count} calls {method} {path}; there were {self.calls}")
        return self.called(method, path)

    # ---- What is to happen ----

    def fault(self, method, path, times=None, after=0, **what):
        """See above. times: how often it acts; after: how many calls it lets pass before."""
        fault = Fault(self, method, path, times, after, **what)
        with self.lock:
            self.faults.append(fault)
        return fault

    def die(self, name, code=1, comes_back=None):
        container = self.docker.find(name)
        policy = (container.host_config.get("RestartPolicy") or {}).get("Name", "")
        with self.docker.lock:
            self.docker.end(container, code)
            if comes_back or (comes_back is None and policy in ("always", "unless-stopped")):
                container.restarts += 1
                self.docker.run(container)

    def down(self, kills=False):
        self.is_over.set()
        self.server.shutdown()
        self.server.server_close()
        self.path.unlink()
        with self.lock:
            connections, self.connections = self.connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self.docker.lock:
            self.killed = [one for one in self.docker.containers.values() if one.is_running and kills]
            for container in self.killed:
                self.docker.end(container, 0)

    def up(self):
        self.is_over = threading.Event()
        for container in self.killed:
            if (container.host_config.get("RestartPolicy") or {}).get("Name", "no") not in ("", "no"):
                self.docker.run(container)
        self.server = Server(self, str(self.path))
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        if self.path.exists():
            self.down()
        if self.docker.web:
            self.docker.web.close_all()
