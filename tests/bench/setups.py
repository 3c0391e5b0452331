"""What is measured: one Apache with a virtual host per candidate, in front of PHP-FPMs that are
configured alike, so that only the way between the two differs.

    paper          Apache -> TCP, a new connection per request -> FPM
    direct         Apache -> unix socket, connections reused   -> FPM, a worker per Apache thread
    relay          Apache -> unix socket -> bare relay         -> FPM with a few workers
    fpmux-socket   Apache -> the tenant's socket -> fpmux      -> FPM with a few workers
    fpmux-tcp      Apache -> TCP -> fpmux                      -> the same FPM

Every way has an FPM of its own, because a connection that is kept keeps a worker."""

import pathlib

from support.fpmux import Fpmux
from support.programs import Program, accepts
from support.servers import Apache, Fpm, proxy_target
from support.web import fetch

THREADS = 64      # of Apache; FPM workers of the set-ups without a hop
CONNECTIONS = 32  # of the load generator; Apache drops idle ones when its threads are all busy
PAPER_WORKERS = 16  # of FPM; 8 to 64 make little difference
WORKERS = 4       # FPM workers behind fpmux and behind the relay

FORM = "text=" + "x" * 2043
REUSE = "enablereuse=on retry=0"
ROOT_FILES = {
    "hello.php": "<?php echo 'hello ', getenv('DBNAME'), \"\\n\";\n",
    "form.php": "<?php echo strlen($_POST['text']), ' ', getenv('DBNAME'), \"\\n\";\n",
    "limit.php": "<?php echo ini_get('memory_limit'), \"\\n\";\n",
}
LUA_FORM = f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "{FORM}"
"""


class Relay(Program):
    name = "relay"

    def __init__(self, place, backend, build):
        super().__init__(place)
        self.backend = backend
        self.program = build / "tests" / "relay"
        self.address = f"unix:{self.home}/relay.sock"

    def command(self):
        return [str(self.program), self.address, self.backend, str(WORKERS)]

    def is_ready(self):
        if not accepts(self.address):
            return False
        pathlib.Path(self.address.removeprefix("unix:")).chmod(0o666)
        return True


class BenchApache(Apache):
    """Keeps a client's connection for as long as the client likes."""

    def configuration(self):
        return super().configuration() + "MaxKeepAliveRequests 0\nKeepAliveTimeout 30\n"


class Candidate:
    """One thing to put load on: a path on one or several hosts of the Apache."""

    def __init__(self, name, path, hosts, expected, lua="", body=None, hop=None,
                 connections=CONNECTIONS):
        self.name = name
        self.path = path
        self.hosts = hosts        # taken in turns
        self.expected = expected  # what the answer of each host must contain
        self.lua = lua            # what wrk needs for it
        self.body = body
        self.hop = hop            # the program between Apache and FPM, or None
        self.connections = connections  # of the load generator

    def check(self, port):
        """Speed of wrong answers is worth nothing."""
        for host, expected in zip(self.hosts, self.expected):
            options = {}
            if self.body:
                options = {"method": "POST", "body": self.body,
                           "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
            reply = fetch(port, self.path, host, **options)
            if reply.status != 200 or expected not in reply.text:
                raise AssertionError(f"{self.name}: {host}{self.path} answers {reply}")

    def script(self):
        """The part of wrk's script that makes the requests."""
        hosts = ", ".join(f'"{host}"' for host in self.hosts)
        return f"""{self.lua}
local requests, turn = {{}}, 0
function init(args)
    for _, host in ipairs({{ {hosts} }}) do
        wrk.headers["Host"] = host
        requests[#requests + 1] = wrk.format()
    end
end
function request()
    turn = turn % #requests + 1
    return requests[turn]
end
"""


def host_lines(name, address, root, options=REUSE, environment=None):
    """A virtual host that sends / and *.php to address."""
    variables = "".join(f'SetEnv {key} "{value}"\n' for key, value in (environment or {}).items())
    target = proxy_target(address, root, name=f"{name}.bench")
    return (f'{variables}ProxyPassMatch "^/$" "{target}/index.php" {options}\n'
            f'ProxyPassMatch "^/(.*\\.php)$" "{target}/$1" {options}\n')


class Setup:
    """All programs of one run. Candidates are asked for by the rows."""

    def __init__(self, place, build, stack):
        self.place = place
        self.build = build
        self.stack = stack  # contextlib.ExitStack: what was started, to be ended in reverse
        self.root = place.directory("root")
        self.hosts = {}
        for name, text in ROOT_FILES.items():
            (self.root / name).write_text(text)
        self.relay = self._relay()
        self.fpmux = None
        self._without_a_hop()

    def start(self, program):
        """Starts a program that ends with the run."""
        return self.stack.enter_context(program)

    def fpm(self, workers, listen="unix"):
        return self.start(Fpm(self.place, listen, workers))

    def _relay(self):
        relay = Relay(self.place, self.fpm(WORKERS).address, self.build)
        for name in ("relay", "relay-2"):
            self.hosts[f"{name}.bench"] = host_lines(name, relay.address, self.root)
        return self.start(relay)

    def _without_a_hop(self):
        environment = {"DBNAME": "bench"}
        self.hosts["paper.bench"] = host_lines(
            "paper", self.fpm(PAPER_WORKERS, "tcp").address, self.root, "", environment)
        self.hosts["direct.bench"] = host_lines(
            "direct", self.fpm(THREADS).address, self.root, REUSE, environment)

    def start_fpmux(self, extra_pools):
        """The daemon with its tenants; extra_pools adds {name: configuration}."""
        pools = {name: {"workers": WORKERS, "root": str(self.root),
                        "address": self.fpm(more.get("workers", WORKERS)).address, **more}
                 for name, more in {"default": {}, "bodies": {"keep_bodies": True},
                                    "php": {"php": {"memory_limit": "128M"}},
                                    **extra_pools}.items()}
        fpmux = Fpmux(self.place, "", self.root, self.build, pools=pools)
        for name in ("fpmux-socket", "fpmux-tcp"):
            fpmux.tenant(name, hosts=[f"{name}.bench"], params=self._params(name))
        fpmux.tenant("fpmux-bodies", hosts=["fpmux-bodies.bench"], pool="bodies",
                     params=self._params("fpmux-bodies"))
        for name, limit in (("php-1", "64M"), ("php-2", "96M")):
            fpmux.tenant(name, hosts=[f"{name}.bench"], pool="php", params=self._params(name),
                         php={"memory_limit": limit})
        for name in ("fpmux-socket", "fpmux-bodies", "php-1", "php-2"):
            self.hosts[f"{name}.bench"] = host_lines(name, fpmux.socket_of(name), self.root)
        self.hosts["fpmux-tcp.bench"] = host_lines("fpmux-tcp", fpmux.tcp, self.root)
        self.fpmux = self.start(fpmux)

    @staticmethod
    def _params(name):
        return {"DBHOST": "localhost", "DBNAME": "bench", "DBUSER": name, "DBPASS": "bench",
                "WWWROOT": f"http://{name}.bench", "DATAROOT": f"/srv/{name}"}

    def start_apache(self):
        return self.start(BenchApache(self.place, self.root, self.hosts, THREADS)).port

    # ---- Candidates ----

    def hop_of(self, name):
        if name.startswith("relay"):
            return self.relay
        return self.fpmux if name.startswith(("fpmux", "php")) else None

    def hello(self, name):
        return Candidate(name, "/hello.php", [f"{name}.bench"], ["hello bench"],
                         hop=self.hop_of(name))

    def form(self, name):
        return Candidate(f"{name} form", "/form.php", [f"{name}.bench"], ["2043 bench"],
                         lua=LUA_FORM, body=FORM, hop=self.hop_of(name))

    def limit(self, *names_and_limits):
        names = [name for name, _ in names_and_limits]
        return Candidate(f"{'+'.join(names)} limit", "/limit.php",
                         [f"{name}.bench" for name in names],
                         [limit for _, limit in names_and_limits], hop=self.hop_of(names[0]))

