"""A system of containers on a fake engine: its configuration, its tenants, fpmuxctl, and the
sockets that its shim would make. Somebody else's containers and networks stand beside it; nobody
may touch them."""

import json
import os
import socket
import subprocess

from support.fake_engine import FakeEngine
from support.fpmux import SANITIZER_MARKS, build_directory
from support.programs import Program, free_port

IMAGES = ("fpmux/apache", "fpmux/php-fpm", "fpmux/shim", "fpmux/proxy")
ENVIRONMENT = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}


class Done:
    def __init__(self, words, code, stdout, stderr):
        self.words, self.code, self.stdout, self.stderr = words, code, stdout, stderr

    def __repr__(self):
        return f"fpmuxctl {' '.join(self.words)} -> {self.code}\n{self.stdout}{self.stderr}"

    @property
    def last_line(self):
        return (self.stderr.splitlines() or [""])[-1]


class System:
    """Names begin with sys-; one pool, and the tenants that a test writes."""

    def __init__(self, place, tenants=("one",), **containers):
        self.home = place.fresh("system")
        self.registry = place.directory(f"{self.home.name}/tenants")
        self.sockets = place.fresh("s")  # a short path: sockets lie below it
        self.code = place.directory(f"{self.home.name}/code")
        self.ledger = place.directory(f"{self.home.name}/state") / "usage.db"
        self.config_path = self.home / "fpmux.json"
        self.engine = FakeEngine(place)
        self.listeners = []
        self.port = free_port()
        self.config = {
            "listen": [], "tenant_sockets": str(self.sockets), "registry": f"dir:{self.registry}",
            "ledger": f"sqlite:{self.ledger}", "identify": ["socket"], "admin": [],
            "spool": {"dir": str(place.directory(f"{self.home.name}/spool"))},
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 2,
                                  "root": "/srv/app"}},
            "containers": {"engine": self.engine.address, "name": "sys", "code": str(self.code),
                           "proxy_port": self.port, "proxy_address": "127.0.0.1",
                           "ready_seconds": 3, **containers}}
        self.write_config()
        for tenant in tenants:
            self.tenant(tenant)
        self.engine.add_image(*IMAGES)
        self.engine.add_container("stranger")
        self.engine.add_container("sys-tenant-one-backup", labels={"fpmux.system": "sys2"})
        self.engine.add_network("strangers")

    def write_config(self):
        self.config_path.write_text(json.dumps(self.config, indent=2))

    def set_containers(self, **values):
        self.config["containers"].update(values)
        self.write_config()

    # ---- Tenants ----

    def tenant(self, tenant, **fields):
        """Writes the file as an editor does, and makes the socket as the shim does."""
        self.tenant_text(tenant, json.dumps({"hosts": [f"{tenant}.test"], **fields}))

    def tenant_text(self, tenant, text):
        temporary = self.home / f"{tenant}.new"
        temporary.write_text(text)
        self.listen(tenant)
        temporary.rename(self.registry / f"{tenant}.json")

    def remove_tenant(self, tenant):
        (self.registry / f"{tenant}.json").unlink()

    def listen(self, tenant):
        path = self.sockets / tenant / "fpmux.sock"
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        self.listeners.append(listener)

    # ---- fpmuxctl ----

    def command(self, *words):
        return [str(build_directory() / "fpmuxctl"), "--config", str(self.config_path), *words]

    def start(self, *words):
        return subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)

    @staticmethod
    def finish(process, words, timeout_s=60):
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"fpmuxctl {words} does not end: {process.communicate()}") from None
        done = Done(words, process.returncode, stdout, stderr)
        assert not any(mark in stderr for mark in SANITIZER_MARKS), done
        return done

    def ctl(self, *words, code=None):
        done = self.finish(self.start(*words), words)
        assert code is None or done.code == code, done
        return done

    def plan(self):
        """The changes, as (what, container)."""
        done = self.ctl("--json", "plan", code=0)
        return [(change["change"], change["container"])
                for change in json.loads(done.stdout)["changes"]]

    # ---- What there is ----

    def containers(self):
        """Ours, by name."""
        return {name: one for name, one in self.engine.containers().items()
                if one.labels.get("fpmux.system") == "sys"}

    def running(self):
        return {name for name, one in self.containers().items() if one.is_running}

    def assert_strangers_untouched(self):
        for name in ("stranger", "sys-tenant-one-backup"):
            assert not self.engine.changes(name)
            assert self.engine.container(name).is_running
        assert "strangers" in self.engine.networks()
        network = self.engine.networks()["strangers"]["Id"]
        for call in self.engine.calls:
            assert not {"strangers", network} & set(call.path.split("/")), call

    def __enter__(self):
        self.engine.__enter__()
        return self

    def __exit__(self, *_):
        for listener in self.listeners:
            listener.close()
        self.engine.__exit__()


class Watch(Program):
    """fpmuxctl watch; ended by SIGTERM."""

    name = "watch"
    environment = ENVIRONMENT

    def __init__(self, place, system):
        super().__init__(place)
        self.system = system

    def command(self):
        return self.system.command("watch")

    def is_ready(self):
        return "watching over" in self.log()

    def stop(self):
        code = super().stop()
        log = self.log()
        assert not any(mark in log for mark in SANITIZER_MARKS), log
        assert code in (0, None), f"watch ended with {code}:\n{log}"
        return code

