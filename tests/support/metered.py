"""php-fpm whose workers note their own figures (prepend/figures.php), with fpmux in front: what was
billed can be compared with what the workers say that they burned."""

import collections
import pathlib
import shutil
import time

from support import fcgi
from support.fpmux import Fpmux, build_directory
from support.programs import wait_until
from support.servers import Fpm
from support.web import in_parallel

PREPEND = pathlib.Path(__file__).resolve().parents[1] / "integration" / "prepend" / "figures.php"
EDGE = "edge"
TICK_S = 0.01
PATIENCE_S = 60  # what is measured is CPU: how long it takes beside others does not matter

Figures = collections.namedtuple("Figures", "requests own children")  # seconds
Row = collections.namedtuple("Row", "pid name own children")  # microseconds since its beginning


def worker_clock(pid):
    """A process's own CPU in seconds, as the kernel says it; None when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(") ")[2].split()


def children_clock(pid):
    """CPU of the children that a process waited for, in seconds, in steps of 10 ms."""
    fields = stat_fields(pid)
    return (int(fields[13]) + int(fields[14])) * TICK_S


class Metered:
    """The tenant "edge" makes the first and the last request on every worker, so that each request
    between has a start after it on its worker."""

    def __init__(self, place, root, tenants, workers=1, fpm=None, pool=None, **config):
        self.root = root
        self.workers = workers
        home = place.fresh("figures")
        home.chmod(0o777)
        self.home = home
        self.figures = home / "figures.txt"
        self.figures.touch()
        self.figures.chmod(0o666)
        self.burn = shutil.copy(build_directory() / "tests" / "burn", home / "burn")
        prepend = shutil.copy(PREPEND, home / "figures.php")  # where PHP-FPM's user may read it
        ini = {"auto_prepend_file": prepend, "ignore_user_abort": 0}
        self.fpm = Fpm(place, workers=workers, ini=ini, **(fpm or {}))
        config["limits"] = {"queue_seconds": PATIENCE_S, **config.get("limits", {})}
        self.fpmux = Fpmux(place, self.fpm.address, root, pool={"workers": workers, **(pool or {})},
                           **config)
        for tenant in (*tenants, EDGE):
            self.set_tenant(tenant)

    def set_tenant(self, tenant, **fields):
        self.fpmux.tenant(tenant, params={"FIGURES_FILE": str(self.figures), "FIGURES_NAME": tenant,
                                          "NOTES_FILE": str(self.notes_of(tenant)),
                                          "BURN": str(self.burn)}, **fields)

    def notes_of(self, tenant):
        return self.home / f"notes-{tenant}"

    def __enter__(self):
        self.fpm.__enter__()
        self.fpmux.__enter__()
        return self

    def __exit__(self, *problem):
        try:
            self.fpmux.__exit__(*problem)
        finally:
            self.fpm.__exit__(*problem)

    # ---- Requests ----

    def params(self, tenant, query="", body=None):
        return fcgi.web_params(self.root, f"/work.php?{query}", "GET" if body is None else "POST",
                               body, server_name=f"{tenant}.test")

    def ask(self, tenant, query="", body=None):
        with fcgi.Client(self.fpmux.unix, PATIENCE_S) as client:
            return client.call(self.params(tenant, query, body), body or b"", keep=False)

    def begin(self, tenant, query="", body=None):
        """Sends a request and returns when its script runs, with the connection it is on."""
        seen = self.count_of(tenant)
        client = fcgi.Client(self.fpmux.unix, PATIENCE_S)
        client.send(fcgi.request(1, self.params(tenant, query, body), body or b""))
        wait_until(lambda: self.count_of(tenant) > seen, f"the script of {tenant} runs", PATIENCE_S)
        return client

    def edges(self):
        """One request of the edge on each worker at the same time, after those that run."""
        if self.workers == 1:
            return self.ask(EDGE)
        return in_parallel(lambda _: self.ask(EDGE, "us=20000"), range(self.workers), self.workers)

    def run(self, asks):
        """(tenant, query[, body]) one after the other."""
        for _ in range(2):
            self.edges()  # compiles, warms up
        replies = [self.ask(*ask) for ask in asks]
        self.edges()
        return replies

    # ---- What the workers say ----

    def rows(self):
        return [Row(int(pid), name, int(own), int(children)) for pid, name, own, children in
                (line.split() for line in self.figures.read_text().splitlines())]

    def count_of(self, tenant):
        return sum(row.name == tenant for row in self.rows())

    def spent(self, tenant):
        """Between starts on the same worker; a worker's last request is not in it."""
        rows = collections.defaultdict(list)
        for row in self.rows():
            rows[row.pid].append(row)
        pairs = [pair for of_one in rows.values() for pair in zip(of_one, of_one[1:])
                 if pair[0].name == tenant]
        return Figures(len(pairs), sum(after.own - row.own for row, after in pairs) / 1e6,
                       sum(after.children - row.children for row, after in pairs) / 1e6)

    # ---- What was billed ----

    def billed_cpu(self):
        """Seconds by tenant, "(idle)" with them."""
        sums = collections.Counter()
        for row in self.fpmux.export("--with-idle"):
            sums[row["tenant"]] += float(row["cpu_seconds"] or "nan")
        return sums

    def assert_billed(self, tenant, count, allowed_us=50, children_s=0.0, billed=None):
        """Each request to 1 % or allowed_us; and children_s for those who ran children."""
        spent = self.spent(tenant)
        if billed is None:
            billed = self.billed_cpu()
        seconds = spent.own + spent.children
        allowed = max(0.01 * seconds, 1e-6 * allowed_us * count) + children_s
        error = billed[tenant] - seconds
        print(f"{tenant}: {count} requests, worker {spent.own:.6f} + {spent.children:.6f} s, billed "
              f"{billed[tenant]:.6f} s: {1e6 * error / count:+.1f} us each, allowed "
              f"{1e6 * allowed / count:.1f}")
        assert spent.requests == count
        assert abs(error) <= allowed, tenant
