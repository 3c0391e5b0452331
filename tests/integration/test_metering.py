"""What is billed against what the kernel says the workers used: the worker's own getrusage at the
starts of successive requests (prepend/account.php)."""

import pathlib
import shutil

import pytest
from support import fcgi
from support.fpmux import Fpmux
from support.programs import wait_until
from support.servers import Fpm

pytestmark = pytest.mark.timing
PREPEND = pathlib.Path(__file__).resolve().parent / "prepend" / "account.php"
TENANTS = ("one", "two", "edge")
# burn.php's milliseconds are those of one machine: others are faster.
LEAST = 0.2


class Metered:
    """FPM with one worker and fpmux in front of it. Every measurement begins and ends with a
    request of the tenant "edge", so that each measured one has a start after it."""

    def __init__(self, place, root, listen="unix", **fpm):
        self.root = root
        self.starts = place.fresh("starts") / "starts.txt"
        self.starts.touch()
        self.starts.chmod(0o666)
        prepend = shutil.copy(PREPEND, place / "account.php")  # where PHP-FPM's user may read it
        self.fpm = Fpm(place, listen, workers=1, ini={"auto_prepend_file": prepend}, **fpm)
        self.fpmux = Fpmux(place, self.fpm.address, root, pool={"workers": 1})
        for tenant in TENANTS:
            self.fpmux.tenant(tenant, params={"ACCOUNT_FILE": str(self.starts),
                                              "ACCOUNT_NAME": tenant})

    def ask(self, tenant, script, body=None):
        params = fcgi.web_params(self.root, script, "GET" if body is None else "POST", body,
                                 server_name=f"{tenant}.test")
        response = fcgi.call(self.fpmux.unix, params, body or b"")
        assert response.status == 200, response
        return response

    def run(self, asks):
        """Runs (tenant, script[, body]) one after the other between two requests of the edge."""
        for _ in range(3):
            self.ask("edge", "/hello.php")  # compiles, warms up
        for ask in asks:
            self.ask(*ask)
        self.ask("edge", "/hello.php")

    def spent(self, tenant):
        """(requests, CPU seconds) between starts, as the workers saw it; a worker's last request
        has no start after it and is not in it."""
        rows = [row.split() for row in self.starts.read_text().splitlines()]
        deltas = [int(after) - int(before)
                  for (pid, name, before), (next_pid, _, after) in zip(rows, rows[1:])
                  if name == tenant and pid == next_pid]
        return len(deltas), sum(deltas) / 1e6

    def assert_billed(self, tenant, count, allowed_us=50):
        requests, seconds = self.spent(tenant)
        assert requests == count
        billed = self.fpmux.billed(tenant, "cpu_seconds")
        tolerance = max(0.01 * seconds, 1e-6 * allowed_us * count)
        print(f"{tenant}: {count} requests, worker {seconds:.6f} s, billed {billed:.6f} s, "
              f"{1e6 * (billed - seconds) / count:+.1f} us per request, allowed "
              f"{1e6 * tolerance / count:.1f}")
        assert abs(billed - seconds) <= tolerance
        assert self.fpmux.billed(tenant, "requests") == count
        assert self.rows(tenant)[0]["metering"] == "exact"
        return billed

    def rows(self, tenant):
        return [row for row in self.fpmux.export() if row["tenant"] == tenant]

    def __enter__(self):
        self.fpm.__enter__()
        self.fpmux.__enter__()
        return self

    def __exit__(self, *problem):
        try:
            self.fpmux.__exit__(*problem)
        finally:
            self.fpm.__exit__(*problem)


@pytest.mark.parametrize("milliseconds,count", [(1, 60), (5, 40), (50, 10), (500, 3)])
def test_cpu_of_one_tenant_is_what_the_worker_used(place, root, milliseconds, count):
    with Metered(place, root) as metered:
        metered.run([("one", f"/burn.php?ms={milliseconds}")] * count)
        assert metered.assert_billed("one", count) >= LEAST * count * milliseconds / 1000


def test_cpu_of_two_tenants_on_one_worker_is_kept_apart(place, root):
    with Metered(place, root) as metered:
        metered.run([("one", "/burn.php?ms=5"), ("two", "/burn.php?ms=1")] * 30)
        metered.assert_billed("one", 30)
        metered.assert_billed("two", 30)


def test_tail_after_the_answer_is_charged_to_its_own_tenant(place, root):
    """What a request costs before the prepended script counts as the one before's in our account,
    and behind a tail that start-up is dearer than behind "two": 30 to 50 us also without fpmux."""
    count = 40
    with Metered(place, root) as metered:
        metered.run([("one", "/burn.php?ms=1&tail=20"), ("two", "/burn.php?ms=1")] * count)
        assert metered.assert_billed("one", count, allowed_us=150) >= LEAST * count * 0.020
        assert metered.assert_billed("two", count, allowed_us=150) <= count * 0.010


def test_cpu_of_requests_with_a_body_is_what_the_worker_used(place, root):
    with Metered(place, root) as metered:
        body = b"text=" + b"x" * 20000
        metered.run([("one", "/burn.php?ms=3", body), ("two", "/burn.php?ms=1", body)] * 20)
        metered.assert_billed("one", 20)
        metered.assert_billed("two", 20)
        assert metered.fpmux.billed("one", "bytes_in") == 20 * len(body)


def test_cpu_is_not_lost_when_workers_are_replaced(place, root):
    """The last request of each worker has no start after it: the mean of the others stands for it,
    so the comparison is coarser."""
    count = 40
    with Metered(place, root, max_requests=5) as metered:
        metered.run([("one", "/burn.php?ms=10")] * count)
        known, seconds = metered.spent("one")
        assert known < count
        expected = seconds * count / known
        billed = metered.fpmux.billed("one", "cpu_seconds")
        print(f"worker about {expected:.4f} s, billed {billed:.4f} s")
        assert abs(billed - expected) <= 0.05 * expected + 0.001 * (count - known)
        assert metered.fpmux.billed("one", "requests") == count
        assert metered.rows("one")[0]["metering"] == "exact"


def test_wall_and_bytes_are_counted(place, root):
    with Metered(place, root) as metered:
        sent = [metered.ask("one", "/slow.php?ms=50") for _ in range(4)]
        # The last worker may be at its tear-down yet.
        wait_until(lambda: metered.fpmux.billed("one", "wall_seconds") >= 0.2, "wall time")
        assert metered.fpmux.billed("one", "wall_seconds") <= 2
        assert metered.fpmux.billed("one", "cpu_seconds") < 0.1
        assert metered.fpmux.billed("one", "bytes_out") == sum(len(reply.stdout) for reply in sent)


def test_request_that_waits_for_a_worker_is_charged_as_queued(place, root):
    with Metered(place, root) as metered:
        with fcgi.Client(metered.fpmux.unix) as slow:
            slow.send(fcgi.request(1, fcgi.web_params(root, "/slow.php?ms=200",
                                                      server_name="one.test")))
            wait_until(lambda: "one" in metered.starts.read_text(), "the slow one runs")
            metered.ask("two", "/hello.php")
            slow.response(1)
        queued = metered.fpmux.billed("two", "queue_seconds")
        assert 0.1 <= queued <= 1
        assert metered.fpmux.billed("one", "queue_seconds") < queued / 2
        assert metered.fpmux.billed("two", "wall_seconds") < queued


def test_unknown_cpu_is_empty_and_not_zero(place, root):
    with Metered(place, root, listen="tcp") as metered:
        metered.run([("one", "/burn.php?ms=1")] * 3)
        (row,) = metered.rows("one")
        assert row["requests"] == "3"
        assert row["cpu_seconds"] == ""
        assert row["metering"] == "none"
        assert row["requests_unmetered"] == "3"
        assert float(row["wall_seconds"]) > 0.002
