"""fpmuxctl audit: what the workers burned against what was charged, under a load of everything that
requests do."""

import json
import os
import pathlib
import random
import subprocess
import threading

import pytest
from support import fcgi
from support.metered import Metered
from support.programs import wait_until
from support.web import Load

pytestmark = pytest.mark.timing
TENANTS = [f"centro{number}" for number in range(20)]
WORKERS = 4
SECONDS = 15
CLIENTS = 8
BODY = b"text=" + b"x" * 3000
# (query, body, whether the client leaves at once)
KINDS = (
    [("us=15000", None, False)] * 6
    + [("us=6000", BODY, False)] * 4
    + [("us=300", None, False)] * 4
    + [("us=20000&in=exec", None, False), ("us=5000&in=proc_open", BODY, False),
       ("us=20000&in=grandchild", None, False)]
    + [("us=30000&in=tail", None, False), ("us=30000&in=tail", BODY, False),
       ("us=20000&in=tail_exec", BODY, False)]
    + [("us=10000&in=shutdown", None, False), ("us=10000&in=destructor", BODY, False)]
    + [("us=5000&in=memory", None, False)]
    + [("us=40000", None, True), ("us=40000&in=late_output", BODY, True)])
# The kernel tells children's time in steps of 10 ms, of user and system apart, for each of four
# workers at two looks: 12 ms of deviation (one sigma) where this machine is too busy for 4 s of CPU.
STEPS_S = 0.040


class Mixed:
    """What one client after the other asks for: each kind from each tenant, in an order of its
    own."""

    def __init__(self, running):
        self.running = running
        self.random = random.Random(1)
        self.lock = threading.Lock()

    def __call__(self):
        with self.lock:
            tenant = self.random.choice(TENANTS)
            query, body, leaves = self.random.choice(KINDS)
        params = self.running.params(tenant, query, body)
        with fcgi.Client(self.running.fpmux.unix) as client:
            client.send(fcgi.request(1, params, body or b"", keep=False))
            return None if leaves else client.response(1).status


class Group:
    """A control group of its own for PHP-FPM, where this system lets us make one."""

    def __init__(self, name):
        version_1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
        self.path = (version_1 if version_1.is_dir() else pathlib.Path("/sys/fs/cgroup")) / name
        try:
            self.path.mkdir()
            self.is_there = any((self.path / figure).exists() for figure in
                                ("cpuacct.usage", "cpu.stat"))
        except OSError:
            self.is_there = False

    def take(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    def remove(self):
        if self.path.is_dir():
            wait_until(lambda: not (self.path / "cgroup.procs").read_text(), "the group is empty")
            self.path.rmdir()


@pytest.fixture
def group():
    made = Group(f"fpmux-test-{os.getpid()}")
    yield made
    made.remove()


def audit(fpmux, seconds=SECONDS):
    """Beside the load, which needs our lock on Python."""
    process = subprocess.Popen([fpmux.build / "fpmuxctl", "--config", fpmux.config_path, "--json",
                                "audit", "--seconds", str(seconds)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.communicate(timeout=4 * seconds + 30)
    assert process.returncode == 0, errors
    figures = json.loads(output)
    print(figures)
    return figures


def assert_complete(figures, source):
    remainder = figures["remainder_seconds"]
    kernel = figures["kernel_seconds"]
    print(f"remainder {100 * remainder / kernel:+.3f} % of {kernel:.3f} s ({figures['source']})")
    assert figures["source"] == source
    assert figures["php_fpms"] == 1
    assert figures["seconds"] >= SECONDS
    sides = sum(figures[f"{what}_seconds"] for what in
                ("tenants", "idle", "pending", "commands", "remainder"))
    assert abs(sides - kernel) < 1e-6
    assert figures["tenants_seconds"] > 0.5 * kernel > 0.5
    assert abs(remainder) <= max(0.01 * kernel, STEPS_S)


def audited(running):
    running.edges()
    mixed = Mixed(running)
    with Load(mixed, CLIENTS) as load:
        wait_until(lambda: load.count() > 50, "the load runs")
        figures = audit(running.fpmux)
    statuses = {result for _, result in load.results}
    print(load.count(), statuses)
    assert statuses == {200, 500, None}
    return figures


@pytest.mark.parametrize("max_requests", [0, 5], ids=["kept", "replaced"])
def test_remainder_is_below_one_percent(place, root, max_requests):
    with Metered(place, root, TENANTS, WORKERS, fpm={"max_requests": max_requests}) as running:
        assert_complete(audited(running), "processes")
        billed = running.billed_cpu()
        assert all(billed[tenant] > 0 for tenant in TENANTS)


@pytest.mark.parametrize("max_requests", [0, 5], ids=["kept", "replaced"])
def test_remainder_in_a_control_group_is_below_one_percent(place, root, group, max_requests):
    """Where no group can be made, the processes are looked at once more."""
    running = Metered(place, root, TENANTS, WORKERS, fpm={"max_requests": max_requests})
    with running:
        if group.is_there:
            for pid in (*running.fpm.worker_pids(), running.fpm.pid):
                group.take(pid)
        assert_complete(audited(running), "cgroup" if group.is_there else "processes")
