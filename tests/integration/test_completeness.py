"""Every nanosecond that a worker burns is charged, and to the tenant that caused it: in PHP, in
children, after the answer, up to a violent end. Compared with the workers' own figures, so that
how fast this machine is, or how busy, does not matter.

A tenant of its own stands for each amount; another one's requests run between, on the same worker,
and must cost what they cost."""

import os
import signal

import pytest
from support import fcgi
from support.metered import EDGE, Metered, children_clock, worker_clock
from support.programs import wait_until

pytestmark = pytest.mark.timing
# Microseconds of CPU, and how many requests burn so much.
AMOUNTS = {200: 30, 1000: 30, 5000: 20, 50000: 5, 500000: 2, 2000000: 1}
BETWEEN = "between"
# What a request costs before the prepended script counts as the one before's in the worker's
# account, and it is dearer behind a long one than behind a short one: also without fpmux.
BEHIND_US = 150
CHILDREN_S = 0.020
KILLED_S = 0.005


def tenant_of(microseconds):
    return f"us{microseconds}"


def metered(place, root, amounts=None, **options):
    return Metered(place, root, [*map(tenant_of, amounts or AMOUNTS), BETWEEN], **options)


def alternating(where, body=None, amounts=None):
    return [ask for us, count in (amounts or AMOUNTS).items() for _ in range(count)
            for ask in ((tenant_of(us), f"us={us}&in={where}", body), (BETWEEN,))]


def assert_all_billed(running, amounts=None, allowed_us=50, children_s=0.0):
    amounts = amounts or AMOUNTS
    billed = running.billed_cpu()
    for us, count in amounts.items():
        running.assert_billed(tenant_of(us), count, allowed_us, children_s, billed)
    running.assert_billed(BETWEEN, sum(amounts.values()), BEHIND_US, children_s, billed)


@pytest.mark.parametrize("where", ["php", "shutdown", "destructor"])
def test_cpu_of_php_is_charged_to_its_tenant(place, root, where):
    with metered(place, root) as running:
        running.run(alternating(where))
        assert_all_billed(running)


def test_cpu_before_a_fatal_error_is_charged_to_its_tenant(place, root):
    with metered(place, root) as running:
        replies = running.run(alternating("memory"))
        assert {reply.status for reply in replies[::2]} == {500}
        assert_all_billed(running, allowed_us=BEHIND_US)


@pytest.mark.parametrize("where", ["exec", "shell_exec", "proc_open", "grandchild"])
def test_cpu_of_children_is_charged_to_the_tenant_that_waited(place, root, where):
    with metered(place, root) as running:
        running.run(alternating(where))
        assert running.spent(tenant_of(50000)).children >= 5 * 0.050
        assert_all_billed(running, children_s=CHILDREN_S)


@pytest.mark.parametrize("keep_bodies", [False, True])
@pytest.mark.parametrize("body", [None, b"a=1"], ids=["get", "post"])
def test_cpu_after_the_answer_is_charged_to_its_tenant(place, root, body, keep_bodies):
    with metered(place, root, pool={"keep_bodies": keep_bodies}) as running:
        running.run(alternating("tail", body))
        assert_all_billed(running, allowed_us=BEHIND_US)


@pytest.mark.parametrize("keep_bodies", [False, True])
@pytest.mark.parametrize("body", [None, b"a=1"], ids=["get", "post"])
def test_cpu_of_children_after_the_answer_is_charged_to_its_tenant(place, root, body, keep_bodies):
    with metered(place, root, pool={"keep_bodies": keep_bodies}) as running:
        running.run(alternating("tail_exec", body))
        assert_all_billed(running, allowed_us=BEHIND_US, children_s=CHILDREN_S)


def test_all_that_a_worker_burned_is_charged_to_somebody(place, root):
    """From its first moment, which is nobody's, to its last one that was read."""
    with metered(place, root, fpm={"max_requests": 200}) as running:
        asks = alternating("php", amounts={1000: 90})
        running.fpm.reload()  # so that fpmux was there before the workers
        running.run(asks)
        (pid,) = {row.pid for row in running.rows()}
        begin = running.rows()[0]
        billed = running.billed_cpu()
        burned = worker_clock(pid) + children_clock(pid)
        print(f"worker {burned:.6f} s, billed {sum(billed.values()):.6f} s, of it to nobody "
              f"{billed['(idle)']:.6f} s; before its first script {begin.own / 1e6:.6f} s")
        assert abs(sum(billed.values()) - burned) <= 0.001
        assert 0 < billed["(idle)"] <= begin.own / 1e6


@pytest.mark.parametrize("body", [None, b"a=1"], ids=["get", "post"])
def test_cpu_is_right_while_workers_are_replaced(place, root, body):
    """The last request of a worker has no start after it, and the first one's is dear: those of a
    worker's lifetime are 5, of which 3 are compared with their own mean."""
    amounts = {5000: 40, 50000: 10}
    with metered(place, root, amounts, fpm={"max_requests": 5}) as running:
        running.run(alternating("php", body, amounts))
        billed = running.billed_cpu()
        for us, count in amounts.items():
            known = running.spent(tenant_of(us))
            assert known.requests < count
            expected = known.own * count / known.requests
            print(f"{us}: worker about {expected:.6f} s, billed {billed[tenant_of(us)]:.6f} s")
            assert abs(billed[tenant_of(us)] - expected) <= 0.01 * expected + 0.0005 * count


# ---- Workers that are killed ----

def noted(running, tenant):
    """What the script of a request noted last, less what its worker had at its start: seconds."""
    pid, own, children = map(int, running.notes_of(tenant).read_text().split())
    start = [row for row in running.rows() if row.name == tenant][-1]
    assert start.pid == pid
    return (own + children - start.own - start.children) / 1e6


def assert_killed_are_billed(running, tenants):
    wait_until(lambda: running.fpm.worker_pids(), "workers are back")
    running.ask(EDGE)
    billed = running.billed_cpu()
    errors = {}
    for tenant in tenants:
        own = noted(running, tenant)
        errors[tenant] = billed[tenant] - own
        print(f"{tenant}: noted {own:.6f} s, billed {billed[tenant]:.6f} s: "
              f"{1e3 * errors[tenant]:+.2f} ms")
    assert all(-0.0005 <= error <= KILLED_S for error in errors.values())


def read_to_end(client):
    with client:
        client.read_to_close()


@pytest.mark.parametrize("body", [None, b"a=1"], ids=["get", "post"])
def test_cpu_of_a_killed_worker_is_charged_up_to_its_end(place, root, body):
    tenants = [f"killed{number}" for number in range(8)]
    with Metered(place, root, tenants, workers=2) as running:
        running.edges()
        for number, tenant in enumerate(tenants):
            client = running.begin(tenant, "us=60000000&in=noting", body)
            worker = [row.pid for row in running.rows() if row.name == tenant][-1]
            wait_until(lambda: running.notes_of(tenant).exists() and
                       running.notes_of(tenant).read_text() and
                       noted(running, tenant) > 0.020 * number, "it burns")
            os.kill(worker, signal.SIGKILL)
            read_to_end(client)
        assert_killed_are_billed(running, tenants)


def test_cpu_up_to_request_terminate_timeout_is_charged(place, root):
    tenants = ["late1", "late2"]
    limit = {"request_terminate_timeout": "1s"}
    with Metered(place, root, tenants, workers=2, fpm={"pool": limit}) as running:
        clients = [running.begin(tenant, "us=60000000&in=noting") for tenant in tenants]
        for client in clients:
            read_to_end(client)
        assert_killed_are_billed(running, tenants)


# ---- Clients that go away, and time-outs ----

LEFT = {5000: 6, 50000: 4, 500000: 2, 2000000: 1}


def leave(running, where, body):
    """Each request is left as soon as its script runs; the next one waits for its worker."""
    for _ in range(2):
        running.edges()
    for us, count in LEFT.items():
        for _ in range(count):
            running.begin(tenant_of(us), f"us={us}&in={where}", body).close()
            assert running.ask(BETWEEN).status == 200
    running.edges()


@pytest.mark.parametrize("body", [None, b"a=1"], ids=["get", "post"])
@pytest.mark.parametrize("where", ["php", "late_output"])
def test_cpu_of_a_request_whose_client_left_is_charged_to_its_tenant(place, root, where, body):
    with metered(place, root, LEFT) as running:
        leave(running, where, body)
        assert_all_billed(running, LEFT, allowed_us=BEHIND_US)


def test_cpu_of_children_of_a_request_whose_client_left_is_charged(place, root):
    with metered(place, root, LEFT) as running:
        leave(running, "exec", None)
        assert_all_billed(running, LEFT, allowed_us=BEHIND_US, children_s=CHILDREN_S)


def test_cpu_of_a_request_that_is_aborted_is_charged_to_its_tenant(place, root):
    """With FCGI_ABORT_REQUEST, on a connection that carries others."""
    with metered(place, root, LEFT) as running:
        running.edges()
        for us, count in LEFT.items():
            for _ in range(count):
                client = running.begin(tenant_of(us), f"us={us}")
                client.send(fcgi.record(fcgi.ABORT, 1))
                client.response(1)
                client.close()
                assert running.ask(BETWEEN).status == 200
        running.edges()
        assert_all_billed(running, LEFT, allowed_us=BEHIND_US)


def test_cpu_after_request_seconds_is_charged_to_its_tenant(place, root):
    """The client has its 504, the script burns on."""
    amounts = {500000: 3, 2000000: 1}
    running = metered(place, root, amounts)
    for us in amounts:
        running.set_tenant(tenant_of(us), limits={"request_seconds": 0.1})
    with running:
        running.edges()
        for us, count in amounts.items():
            for _ in range(count):
                assert running.ask(tenant_of(us), f"us={us}").status == 504
                assert running.ask(BETWEEN).status == 200
        running.edges()
        assert_all_billed(running, amounts, allowed_us=BEHIND_US)
