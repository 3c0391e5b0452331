"""The daemon under test: its configuration, its registry, and fpmuxctl beside it."""

import csv
import io
import json
import os
import pathlib
import re
import subprocess

from support.programs import Program, free_port

SOURCE = pathlib.Path(__file__).resolve().parents[2]
READY_LINE = re.compile(r"^.*\bfpmux [^ ]+: ready", re.MULTILINE)
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "runtime error:")


def build_directory():
    return pathlib.Path(os.environ.get("FPMUX_BUILD", SOURCE / "build" / "dev"))


class Fpmux(Program):
    """fpmux with one pool, a TCP and a unix listener, and tenants as a test adds them.

    Ends gracefully at the end of the test; an unclean exit or a sanitizer's report fails it."""

    name = "fpmux"

    def __init__(self, place, fpm_address, root, build=None, pool=None, **config):
        super().__init__(place)
        self.build = pathlib.Path(build) if build else build_directory()
        self.tcp = f"tcp:127.0.0.1:{free_port()}"
        self.unix = f"unix:{self.home}/fpmux.sock"
        self.registry = place.directory(f"{self.home.name}/tenants")
        self.sockets = place.fresh("s")  # a short path: sockets lie below it
        self.config_path = self.home / "fpmux.json"
        self.config = {
            "listen": [self.tcp, self.unix],
            "tenant_sockets": str(self.sockets),
            "allow": ["127.0.0.0/8"],
            "identify": ["socket", "param", "host"],
            "registry": f"dir:{self.registry}",
            "ledger": f"sqlite:{self.home}/usage.db",
            "pools": {"default": {"address": fpm_address, "workers": 4, "root": str(root),
                                  **(pool or {})}},
            "spool": {"dir": str(place.directory(f"{self.home.name}/spool"))},
            **config}
        self.environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
        self.starts = 0
        self.write_config()

    def write_config(self):
        self.config_path.write_text(json.dumps(self.config, indent=2))

    def socket_of(self, tenant):
        return f"unix:{self.sockets}/{tenant}/fpmux.sock"

    # ---- Registry ----

    def tenant(self, tenant, **fields):
        """Writes a tenant's file as the tool does: beside, then renamed."""
        fields = {"hosts": [f"{tenant}.test"], **fields}
        self.tenant_text(tenant, json.dumps(fields))

    def tenant_text(self, tenant, text):
        temporary = self.home / f"{tenant}.new"
        temporary.write_text(text)
        temporary.rename(self.registry / f"{tenant}.json")

    def remove_tenant(self, tenant):
        (self.registry / f"{tenant}.json").unlink()

    # ---- The process ----

    def command(self):
        self.starts += 1
        return [str(self.build / "fpmux"), "--config", str(self.config_path)]

    def is_ready(self):
        return len(READY_LINE.findall(self.log())) >= self.starts

    def log_lines(self, part):
        return [line for line in self.log().splitlines() if part in line]

    def stop(self):
        code = super().stop()
        if code is not None:
            self.assert_clean(code)
        return code

    def assert_clean(self, code=0):
        log = self.log()
        assert not any(mark in log for mark in SANITIZER_MARKS), f"sanitizer report:\n{log}"
        assert code == 0, f"fpmux ended with {code}:\n{log}"

    # ---- fpmuxctl ----

    def ctl(self, *words, check=True):
        done = subprocess.run([str(self.build / "fpmuxctl"), "--config", str(self.config_path),
                               *words], capture_output=True, text=True, timeout=30, check=False)
        assert not any(mark in done.stderr for mark in SANITIZER_MARKS), done.stderr
        assert not check or done.returncode == 0, f"fpmuxctl {words}: {done}"
        return done

    def export(self, *words):
        """The rows of the CSV, as dictionaries of text."""
        text = self.ctl("export", "--format", "csv", *words).stdout
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def billed(self, tenant, column):
        """The sum of a column over a tenant's rows; None when a row does not know it."""
        values = [row[column] for row in self.export() if row["tenant"] == tenant]
        return None if "" in values else sum(float(value) for value in values)
