"""fpmuxctl plan, up, down and ps on an engine that fails at each call in turn: what went wrong is
told in one line, nothing of somebody else's is touched, and the next `up` mends it."""

import concurrent.futures
import contextlib
import itertools
import signal
import threading
import time

import pytest
from support.containers import IMAGES, System
from support.fake_engine import Fault
from support.programs import Place, wait_until

MANY = 10    # failures are enough to see
ABREAST = 8  # systems that are tried at the same time; most of their time is waiting
ALL = {"sys-fpm-default", "sys-shim", "sys-proxy", "sys-tenant-one"}
NETWORKS = {"sys-edge", "sys-public", "sys-app"}


class AtCall(Fault):
    """Acts at one call, whichever that is, counted from now."""

    def __init__(self, engine, number, on_call=None, **what):
        super().__init__(engine, "", "", 1, 0, **what)
        self.number, self.seen = number, 0
        self.on_call = on_call
        self.call = None
        with engine.lock:
            engine.faults.append(self)

    def takes(self, call):
        self.seen += 1
        if self.seen - 1 != self.number:
            return False
        self.calls, self.call = 1, call
        if self.on_call:
            self.on_call()
        return True


# ---- What is done: what comes before, and the words of the command ----

def fresh(system):
    del system
    return "up"


def replace_all(system):
    """Everything is there, and outdated."""
    system.ctl("up", code=0)
    system.engine.add_image(*IMAGES)
    return "up"


def replace_both(system):
    """What an interrupted run left is outdated too, beside the one before it."""
    system.ctl("up", code=0)
    old = system.engine.container("sys-tenant-one").body
    system.engine.add_image("fpmux/apache")
    fault = system.engine.fault("POST", "/containers/.*/rename", status=500, message="no")
    system.ctl("up", code=1)
    fault.remove()
    system.engine.docker.create("sys-tenant-one", old)
    system.engine.add_image("fpmux/apache")
    assert ("replace", "sys-tenant-one") in system.plan()
    return "up"


def take_down(system):
    system.ctl("up", code=0)
    return "down"


# ---- How it fails ----

def refuse(system, number, verb):
    fault = AtCall(system.engine, number, status=500, message="no space left on device")
    return fault, system.ctl(verb), {0, 1, 69}


def cut(system, number, verb):
    fault = AtCall(system.engine, number, cut=True)
    return fault, system.ctl(verb), {0, 69}


def cut_when_done(system, number, verb):
    fault = AtCall(system.engine, number, cut=True, is_carried_out=True)
    return fault, system.ctl(verb), {0, 69}


def interrupt(system, number, verb):
    is_there = threading.Event()
    fault = AtCall(system.engine, number, on_call=is_there.set, hang=True)
    process = system.start(verb)
    try:
        wait_until(lambda: is_there.is_set() or process.poll() is not None, "the call")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        done = system.finish(process, [verb], 20)
        assert time.monotonic() - began < 10, f"{fault.call}: {done}"
        return fault, done, {130}
    finally:
        if process.poll() is None:
            process.kill()


def lose_engine(system, number, verb):
    def down():
        threading.Thread(target=system.engine.down).start()
    fault = AtCall(system.engine, number, on_call=down, cut=True)
    done = system.ctl(verb)
    if fault.call:
        wait_until(lambda: not system.engine.path.exists(), "the engine is down")
        system.engine.up()
    return fault, done, {0, 69}


FAILURES = [refuse, cut, cut_when_done, interrupt, lose_engine]
CASES = [(scenario, failure) for scenario in (fresh, replace_all, take_down)
         for failure in FAILURES] + [(replace_both, cut), (replace_both, interrupt)]


def assert_told(done, verb):
    """One line says it, at the end; what failed before it has a line for each container."""
    assert done.last_line.startswith(f"fpmuxctl {verb}: "), done
    lines = done.stderr.splitlines()
    assert len(lines) <= 6, done
    assert all(line and len(line) < 500 and line.isprintable() for line in lines), done


def assert_whole(system):
    """`up` on a healthy engine leaves nothing to do, and nothing is left over."""
    done = system.ctl("up", code=0)
    assert not done.stderr or "failed" not in done.stderr, done
    system.ctl("plan", "--detailed-exitcode", code=0)
    assert set(system.containers()) == ALL
    assert system.running() == ALL
    assert NETWORKS <= set(system.engine.networks())
    system.assert_strangers_untouched()


@contextlib.contextmanager
def system_of_its_own():
    place = Place()
    try:
        with System(place, parallel=1) as system:
            yield system
    finally:
        place.remove()


def check(system, scenario, failure, number):
    """False: there are not so many calls."""
    verb = scenario(system)
    fault, done, codes = failure(system, number, verb)
    fault.remove()
    try:
        if fault.call is None:
            assert done.code == 0, done
            return False
        assert done.code in codes, done
        if done.code != 0:
            assert_told(done, verb)
        elif verb == "up":
            system.ctl("plan", "--detailed-exitcode", code=0)
        else:
            assert not system.containers(), done
            assert not NETWORKS & set(system.engine.networks()), done
        system.assert_strangers_untouched()
        assert_whole(system)
    except AssertionError as error:
        raise AssertionError(f"call {number}, {fault.call}: {error}") from error
    return True


@pytest.mark.parametrize(("scenario", "failure"), CASES)
def test_failure_at_any_call_is_told_and_mended_by_the_next_up(scenario, failure):
    numbers, failures = itertools.count(), []
    is_over = threading.Event()

    def work():
        while not is_over.is_set() and len(failures) < MANY:
            number = next(numbers)
            try:
                with system_of_its_own() as system:
                    if not check(system, scenario, failure, number):
                        is_over.set()
            except AssertionError as error:
                failures.append(error)

    with concurrent.futures.ThreadPoolExecutor(ABREAST) as pool:
        for job in [pool.submit(work) for _ in range(ABREAST)]:
            job.result()
    assert not failures, "\n\n".join(str(error) for error in failures)
    assert next(numbers) > 15
