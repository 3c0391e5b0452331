"""kill -9 of fpmux at some instant under load: no answer that a client got is missing in the
ledger, nothing is billed that was not asked, and the CPU of what was in flight is charged by the
successor.

FPMUX_KILLS says how often (5 by default; `tests/run kill`: 100)."""

import os
import random
import subprocess
import threading

import pytest
from support import fcgi
from support.metered import Metered, children_clock, worker_clock
from support.programs import accepts, wait_until
from support.web import Load

KILLS = int(os.environ.get("FPMUX_KILLS", "5"))
CLIENTS = 6
WORKERS = 4
TENANTS = ("one", "two")
BODY = b"a=1"
KINDS = ((("us=2000", None),) * 4 + (("us=3000", BODY),) * 2 +
         (("us=5000&in=tail", None), ("us=5000&in=tail", BODY), ("us=10000&in=exec", None),
          ("us=5000&in=tail_exec", BODY)))


class Asking:
    """Each client asks again and again on one connection, and when that is cut, waits for the next
    fpmux. Counts what was answered."""

    def __init__(self, running):
        self.running = running
        self.address = running.fpmux.unix
        self.lock = threading.Lock()
        self.is_over = False
        self.answered = self.waiting = 0
        self.refused = []

    def count(self, **changes):
        with self.lock:
            for what, change in changes.items():
                setattr(self, what, getattr(self, what) + change)

    def __call__(self):
        try:
            with fcgi.Client(self.address) as client:
                while not self.is_over:
                    self.ask(client)
        except (OSError, AssertionError):  # the connection was cut
            self.count(waiting=1)
            wait_until(lambda: self.is_over or accepts(self.address), "fpmux is back", 60)
            self.count(waiting=-1)

    def ask(self, client):
        query, body = random.choice(KINDS)
        params = self.running.params(random.choice(TENANTS), query, body)
        response = client.call(params, body or b"")
        self.count(answered=1)
        if response.status != 200:
            self.refused.append(response)


def requests_in_ledger(running):
    rows = running.fpmux.export()
    return sum(int(row["requests"]) for row in rows if row["tenant"] in TENANTS)


class Killing:
    """What is compared after each kill."""

    def __init__(self, running, asking):
        self.running = running
        self.asking = asking
        self.answered = self.billed = 0
        self.most_beyond = 0

    def run_for_a_while(self):
        until = self.asking.answered + random.randint(1, 100)
        wait_until(lambda: self.asking.answered >= until, "requests are answered", 60)

    def kill(self):
        self.running.fpmux.kill()
        wait_until(lambda: self.asking.waiting == CLIENTS, "all clients have noticed")

    def check(self):
        """The ledger against the clients since the kill before."""
        answered = self.asking.answered - self.answered
        billed = requests_in_ledger(self.running) - self.billed
        assert answered <= billed <= answered + CLIENTS
        self.most_beyond = max(self.most_beyond, billed - answered)
        self.answered += answered
        self.billed += billed


def burned(running):
    return sum(worker_clock(pid) + children_clock(pid) for pid in running.fpm.worker_pids())


def at_rest(running):
    """(CPU billed, CPU burned) when nothing runs: the same at two sweeps."""
    def look():
        return sum(running.billed_cpu().values()), burned(running)

    last = None
    for _ in range(50):
        now = look()
        if now == last:
            return now
        last = now
    raise AssertionError(f"the workers do not come to rest: {last}")


def assert_cpu_is_billed(running, before):
    """All of it, and to whose requests it was: those that were in flight are among them."""
    running.edges()
    billed, clock = at_rest(running)
    billed, clock = billed - before[0], clock - before[1]
    by_tenant = running.billed_cpu()
    print(f"CPU: burned {clock:.6f} s, billed {billed:.6f} s, remainder "
          f"{100 * (clock - billed) / clock:+.3f} %")
    assert abs(clock - billed) <= max(0.01 * clock, 0.010)
    for tenant in TENANTS:
        spent = running.spent(tenant)
        running.assert_billed(tenant, spent.requests, allowed_us=150, children_s=0.040,
                              billed=by_tenant)


def test_kill_under_load_loses_nothing(place, root):
    running = Metered(place, root, TENANTS, WORKERS)
    asking = Asking(running)
    with running:
        running.fpm.reload()  # so that all that the workers burn is after fpmux began
        running.edges()
        before = at_rest(running)
        killing = Killing(running, asking)
        with Load(asking, CLIENTS):
            for _ in range(KILLS):
                killing.run_for_a_while()
                killing.kill()
                killing.check()
                running.fpmux.start()
            asking.is_over = True
        print(f"{KILLS} kills: answered {killing.answered}, billed {killing.billed}; at most "
              f"{killing.most_beyond} of {CLIENTS} beyond at one kill")
        assert asking.refused == []
        assert_cpu_is_billed(running, before)
        billed = requests_in_ledger(running)
        running.fpmux.kill()
        assert requests_in_ledger(running) == billed
        running.fpmux.start()
        assert requests_in_ledger(running) == billed


class Disk:
    """A small disk that can be filled to its last byte."""

    def __init__(self, place):
        self.path = place.directory("disk")
        self.filler = self.path / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as filler:
            for size in (65536, 4096):
                try:
                    while True:
                        filler.write(b"\0" * size)
                except OSError:
                    pass

    def empty(self):
        self.filler.unlink()

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", self.path],
                       check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)


def test_kill_while_the_disk_is_full_loses_nothing(place, root):
    """No fold succeeds meanwhile; requests do not notice. fpmux itself begins when there is room."""
    with Disk(place) as disk:
        running = Metered(place, root, TENANTS, WORKERS, ledger=f"sqlite:{disk.path}/usage.db")
        asking = Asking(running)
        with running:
            running.fpm.reload()
            running.edges()
            before = at_rest(running)
            killing = Killing(running, asking)
            with Load(asking, CLIENTS):
                for _ in range(max(KILLS // 5, 2)):
                    killing.run_for_a_while()
                    disk.fill()
                    killing.run_for_a_while()
                    failed = running.fpmux.ctl("export", check=False)
                    assert "full" in failed.stderr
                    killing.kill()
                    disk.empty()
                    killing.check()
                    running.fpmux.start()
                asking.is_over = True
            assert asking.refused == []
            assert_cpu_is_billed(running, before)
