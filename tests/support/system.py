"""One system of real containers: its configuration and registry on the host, fpmuxctl, what the
engine knows of it, and requests that go through its proxy."""

import csv
import http.client
import io
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from support.fpmux import SANITIZER_MARKS, build_directory
from support.programs import Program, free_port, wait_until
from support.web import Load, fetch

SHIM_UID = 10001  # nobody on the host; who fpmux runs as
WWW_DATA = 33
LIMIT_S = 120
SITE = pathlib.Path(__file__).resolve().parents[1] / "containers" / "site"


class Watch(Program):
    """fpmuxctl watch."""

    name = "watch"

    def __init__(self, system):
        super().__init__(system.place)
        self.system = system
        self.starts = 0

    def command(self):
        self.starts += 1
        return self.system.command("watch")

    def is_ready(self):
        return self.log().count("watching over") >= self.starts

    def stop(self):
        code = super().stop()
        assert code in (0, None), f"watch ended with {code}:\n{self.log()}"
        assert not any(mark in self.log() for mark in SANITIZER_MARKS), self.log()
        return code


class System:
    """Nothing runs before up() or a Watch."""

    numbers = itertools.count(1)

    def __init__(self, place, engine, code=SITE, **containers):
        self.place = place
        self.engine = engine
        self.build = build_directory()
        self.name = f"fpt{os.getpid()}-{next(self.numbers)}"
        self.home = place.fresh("system")
        self.port = free_port()
        self.registry = place.directory(f"{self.home.name}/etc/tenants")
        self.secrets = place.directory(f"{self.home.name}/etc/secrets")
        self.data = place.directory(f"{self.home.name}/data")
        self.sockets = place.fresh("s")  # a short path: sockets lie below it
        state = place.directory(f"{self.home.name}/state")
        for path in (state, self.sockets, place.directory(f"{self.home.name}/state/spool")):
            os.chown(path, SHIM_UID, SHIM_UID)
        self.code = shutil.copytree(code, self.home / "code")
        self.config_path = self.home / "etc" / "fpmux.json"
        self.config = {
            "listen": [],
            "tenant_sockets": str(self.sockets),
            "identify": ["socket"],
            "registry": f"dir:{self.registry}",
            "ledger": f"sqlite:{state}/usage.db",
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 4,
                                  "root": "/var/www/html", "status_path": "/status"}},
            "spool": {"dir": f"{state}/spool"},
            "admin": [],
            "containers": {"engine": engine.address, "name": self.name, "code": str(self.code),
                           "proxy_address": "127.0.0.1", "proxy_port": self.port,
                           "mounts": {"fpm": [str(self.data)]}, **containers}}
        self.write_config()

    def write_config(self):
        self.config_path.write_text(json.dumps(self.config, indent=2))

    # ---- Registry: files alone, as an editor writes them ----

    def tenant(self, tenant, params=None, **fields):
        fields = {"hosts": [f"{tenant}.test"],
                  "params": {"ORGANISATION": tenant, **(params or {})}, **fields}
        temporary = self.home / f"{tenant}.new"
        temporary.write_text(json.dumps(fields))
        temporary.rename(self.registry / f"{tenant}.json")

    def remove_tenant(self, tenant):
        (self.registry / f"{tenant}.json").unlink()

    def secret(self, name, value):
        path = self.secrets / name
        path.write_text(value)
        os.chown(path, 0, SHIM_UID)
        path.chmod(0o640)
        return {"file": str(path)}

    def data_directory(self, tenant):
        path = self.data / tenant
        path.mkdir(exist_ok=True)
        os.chown(path, WWW_DATA, WWW_DATA)
        return str(path)

    # ---- fpmuxctl ----

    def command(self, *words):
        return [str(self.build / "fpmuxctl"), "--config", str(self.config_path), *words]

    def ctl(self, *words, check=True, **options):
        done = subprocess.run(self.command(*words), capture_output=True, text=True,
                              timeout=LIMIT_S, check=False, **options)
        assert not any(mark in done.stderr for mark in SANITIZER_MARKS), done.stderr
        assert not check or done.returncode == 0, f"fpmuxctl {words}: {done.stdout}{done.stderr}"
        return done

    def up(self, *words, **options):
        return self.ctl("up", *words, **options)

    def plan(self):
        """The changes that up would make, as (change, unit)."""
        changes = json.loads(self.ctl("--json", "plan").stdout)["changes"]
        return sorted((one["change"], one["id"] or one["role"]) for one in changes)

    def begin(self, *words):
        """A run that the test goes on beside."""
        return subprocess.Popen(self.command(*words), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def bill(self, tenant):
        """The tenant's row of the CSV, or an empty one."""
        text = self.ctl("export", "--by", "all").stdout
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return next((row for row in rows if row["tenant"] == tenant), {})

    def billed(self, tenant, column):
        return float(self.bill(tenant).get(column) or 0)

    # ---- What runs ----

    def container(self, unit):
        """The name of the container of a tenant, or of "proxy", "shim", "fpm-POOL"."""
        is_shared = unit in ("proxy", "shim") or unit.startswith("fpm-")
        return f"{self.name}-{unit}" if is_shared else f"{self.name}-tenant-{unit}"

    def containers(self):
        return self.engine.names(f"label=fpmux.system={self.name}")

    def state_of(self, unit, template="{{.State.Status}}"):
        """"" when there is no such container, or no engine."""
        return self.engine.docker("container", "inspect", "--format", template,
                                  self.container(unit), check=False).stdout.strip()

    def id_of(self, unit):
        return self.state_of(unit, "{{.Id}}")

    def pid_of(self, unit):
        return int(self.state_of(unit, "{{.State.Pid}}") or 0)

    def fetch(self, tenant, path="/", host=None, **options):
        return fetch(self.port, path, host or f"{tenant}.test", **options)

    def organisation(self, tenant):
        """Whom PHP says it works for; None while there is no page."""
        try:
            reply = self.fetch(tenant)
            return json.loads(reply.body)["env"]["ORGANISATION"] if reply.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def status(self, tenant):
        """The HTTP status; 0 while nothing answers."""
        try:
            return self.fetch(tenant).status
        except (OSError, http.client.HTTPException):
            return 0

    def await_served(self, *tenants, deadline_s=30):
        for tenant in tenants:
            wait_until(lambda one=tenant: self.organisation(one) == one, f"{tenant} served",
                       deadline_s, 0.05)

    def await_status(self, tenant, status, deadline_s=30):
        wait_until(lambda: self.status(tenant) == status,
                   lambda: f"{status} from {tenant}, now {self.status(tenant)}", deadline_s, 0.05)

    def remove(self):
        """All that the system may have left in the engine."""
        if not self.engine.answers():
            return
        names = self.containers()
        if names:
            self.engine.docker("rm", "--force", "--volumes", *names)
        for kind in ("volume", "network"):
            label = f"label=fpmux.system={self.name}"
            left = self.engine.docker(kind, "ls", "--quiet", "--filter", label).stdout.split()
            if left:
                self.engine.docker(kind, "rm", *left)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Database:
    """MariaDB in a container on a network of its own, which php-fpm joins."""

    def __init__(self, engine, name):
        self.engine = engine
        self.name = f"{name}-mariadb"
        self.network = f"{name}-db"

    def __enter__(self):
        self.engine.docker("network", "create", "--internal", self.network)
        self.engine.docker("run", "--detach", "--name", self.name, "--network", self.network,
                           "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "fpmux/mariadb")
        wait_until(lambda: self.sql("SELECT 1", check=False).returncode == 0, "MariaDB", 60, 0.1)
        return self

    def __exit__(self, *_):
        self.engine.docker("rm", "--force", "--volumes", self.name, check=False)
        self.engine.docker("network", "rm", self.network, check=False)

    def sql(self, text, check=True):
        return self.engine.docker("exec", "--user", "root", self.name, "mariadb", "--no-defaults",
                                  "--socket=/tmp/mysqld.sock", "--batch", "--skip-column-names",
                                  "--execute", text, check=check)

    def create(self, name, password):
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4;"
                 f"CREATE USER {name}@'%' IDENTIFIED BY '{password}';"
                 f"GRANT ALL ON {name}.* TO {name}@'%'")


class Traffic(Load):
    """Requests to the tenants in turn, a few at a time. A good one is a page of its own tenant."""

    PAUSE_S = 0.01  # not to take all of the machine from what the test does meanwhile

    def __init__(self, system, tenants, threads=3):
        super().__init__(self._ask, threads)
        self.system = system
        self.turns = itertools.count()
        self.tenants = tenants

    def _ask(self):
        time.sleep(self.PAUSE_S)
        tenant = self.tenants[next(self.turns) % len(self.tenants)]
        reply = self.system.fetch(tenant)
        if reply.status != 200:
            return f"{tenant}: {reply.status}"
        found = json.loads(reply.body)["env"]["ORGANISATION"]
        return True if found == tenant else f"{tenant}: a page of {found}"

    def bad(self):
        return self.failures(lambda result: result is True)

    def good_count(self):
        return self.count() - len(self.bad())

    def await_more(self, count=30, deadline_s=30):
        """Until that many more were asked."""
        before = self.count()
        wait_until(lambda: self.count() >= before + count, "more traffic", deadline_s)

    def await_clean(self, count=50, deadline_s=30):
        """Until that many in a row are good."""
        def is_clean():
            last = [result for _, result in list(self.results)[before:]][-count:]
            return len(last) == count and all(result is True for result in last)

        before = self.count()
        wait_until(is_clean, lambda: f"traffic clean again: {self.bad()[-5:]}", deadline_s, 0.05)


def burn_cpu(seconds):
    """PHP that has taken that much CPU when it ends."""
    return ('do { $u = getrusage(); $cpu = $u["ru_utime.tv_sec"] + $u["ru_stime.tv_sec"]'
            ' + 1e-6 * ($u["ru_utime.tv_usec"] + $u["ru_stime.tv_usec"]); }'
            f' while ($cpu < {seconds});')


def kill_process(pid):
    os.kill(pid, signal.SIGKILL)
