"""plan, up and down: what is right stays, what differs is replaced, what is in the way is told,
and what was interrupted is mended by the next run."""

import signal
import socket
import time

import pytest

from support.system import System
from support.programs import wait_until


@pytest.fixture(scope="module")
def system(engine, place):
    with System(place, engine, images={"apache": "fpmux-test/apache"}) as created:
        engine.docker("tag", "fpmux/apache", "fpmux-test/apache")
        for tenant in ("one", "two", "three"):
            created.tenant(tenant)
        yield created
    engine.docker("rmi", "fpmux-test/apache", "fpmux-test/other", check=False)


@pytest.fixture
def running(system):
    """All up, whatever the test before left."""
    system.up()
    assert system.plan() == []
    return system


def test_up_brings_everything_and_plan_is_empty_then(system):
    assert system.ctl("plan", "--detailed-exitcode", check=False).returncode == 2
    assert ("create", "one") in system.plan()
    assert "6 changed" in system.up().stdout
    assert system.plan() == []
    assert system.ctl("plan", "--detailed-exitcode", check=False).returncode == 0
    system.await_served("one", "two", "three", deadline_s=1)


def test_plan_changes_nothing(running):
    ids = [running.id_of(tenant) for tenant in ("one", "two")]
    running.tenant("one", hosts=["one.test", "other.test"])
    assert running.plan() == [("replace", "one")]
    assert [running.id_of(tenant) for tenant in ("one", "two")] == ids
    running.up()
    assert running.id_of("one") != ids[0] and running.id_of("two") == ids[1]
    assert running.fetch("one", host="other.test").status == 200


def test_rebuilt_image_replaces_those_made_of_it(running):
    others = [running.id_of(unit) for unit in ("proxy", "shim", "fpm-default")]
    running.engine.docker("build", "--tag", "fpmux-test/apache", "-",
                          input=f"FROM fpmux/apache\nLABEL made={time.time_ns()}\n")
    assert running.plan() == [("replace", tenant) for tenant in ("one", "three", "two")]
    running.up()
    assert running.plan() == []
    assert [running.id_of(unit) for unit in ("proxy", "shim", "fpm-default")] == others


def test_foreign_container_with_a_name_is_left_alone(running):
    name = running.container("four")
    running.engine.docker("create", "--name", name, "--label", "mine=yes", "fpmux/apache")
    before = running.engine.inspect(name)
    running.tenant("four")
    try:
        assert running.plan() == [("conflict", "four")]
        done = running.up(check=False)
        assert done.returncode == 1 and "not fpmux's" in done.stdout + done.stderr
        running.ctl("down", "four", check=False)
        assert running.engine.inspect(name) == before
    finally:
        running.engine.docker("rm", "--force", name)
    running.up()
    running.await_served("four", deadline_s=5)
    running.remove_tenant("four")
    assert running.plan() == [("remove", "four")]


def test_missing_image_is_told_and_the_rest_goes_on(running):
    running.tenant("one", container={"image": "fpmux-test/nowhere"})
    done = running.up(check=False)
    assert done.returncode == 1 and "fpmux-test/nowhere" in done.stdout + done.stderr
    assert running.organisation("one") == "one", "the old one stays"
    running.tenant("one")
    running.up()


def test_port_that_is_taken(running):
    running.ctl("down", "proxy")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", running.port))
        taken.listen()
        done = running.up(check=False)
        assert done.returncode == 1 and f"port {running.port}" in done.stdout + done.stderr
    running.up()
    running.await_served("one", deadline_s=5)


def test_engine_that_is_not_there(running):
    address = running.config["containers"]["engine"]
    running.config["containers"]["engine"] = f"unix:{running.home}/none.sock"
    running.write_config()
    done = running.up(check=False)
    running.config["containers"]["engine"] = address
    running.write_config()
    assert done.returncode == 69 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind,seen", [(signal.SIGINT, 1), (signal.SIGKILL, 2), (signal.SIGINT, 4),
                                       (signal.SIGKILL, 5)])
def test_interrupted_up_is_mended_by_the_next(running, kind, seen):
    """Interrupted once that many containers are there."""
    running.ctl("down")
    assert running.containers() == []
    process = running.begin("up")
    wait_until(lambda: len(running.containers()) >= seen, f"{seen} containers", 30, 0.01)
    process.send_signal(kind)
    output, _ = process.communicate(timeout=20)
    assert process.returncode in (-kind, 128 + kind, 0), output
    running.up()
    assert running.plan() == []
    assert len(running.containers()) == 6
    running.await_served("one", "two", "three", deadline_s=5)


def test_interrupted_replacement_is_mended_by_the_next(running):
    running.tenant("one", hosts=["one.test", "more.test"])
    process = running.begin("up")
    wait_until(lambda: len(running.containers()) > 6, "the new one beside the old", 30, 0.01)
    process.kill()
    process.communicate()
    assert running.organisation("one") == "one"
    running.up()
    assert running.plan() == [] and len(running.containers()) == 6
    assert running.fetch("one", host="more.test").status == 200


def test_down_leaves_nothing(running):
    running.ctl("down")
    label = f"label=fpmux.system={running.name}"
    assert running.containers() == []
    assert running.engine.docker("network", "ls", "--quiet", "--filter", label).stdout == ""
