"""fpmuxctl plan, up, down and ps on an engine that is well, but finds things not as they should be:
what is in the way is told, and what can be done is done."""

import json
import signal
import socket
import threading

import pytest
from support.containers import IMAGES, System
from support.programs import wait_until

BASE = {"sys-fpm-default", "sys-shim", "sys-proxy"}


@pytest.fixture
def system(place):
    with System(place) as created:
        yield created
        created.assert_strangers_untouched()


def assert_settled(system, *tenants):
    assert system.plan() == []
    assert set(system.containers()) == BASE | {f"sys-tenant-{tenant}" for tenant in tenants}
    assert system.running() == set(system.containers())


def assert_failed(done, code, *words):
    """With one line at the end, in which or before which stand the words."""
    assert done.code == code, done
    assert done.last_line.startswith("fpmuxctl "), done
    for word in words:
        assert word in done.stderr, (word, done)


# ---- The command line, the configuration, the registry ----

@pytest.mark.parametrize("verb", ["plan", "up", "down", "ps", "watch"])
def test_engine_that_is_away_is_told_in_one_line_that_helps(system, verb):
    system.engine.down()
    done = system.ctl(verb)
    assert_failed(done, 69, "cannot reach the Docker Engine at", "start it", "containers.engine")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    system.engine.up()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"[]", b'{"ApiVersion": 7}', b""])
def test_what_is_no_engine_is_not_taken_for_one(system, body):
    system.engine.fault("GET", "/version", body=body)
    assert_failed(system.ctl("up"), 69)
    assert not system.containers()


@pytest.mark.parametrize("body", [b"<html>", b'{"message": "odd"}', b"{}", b"null", b"7", b""])
def test_list_of_containers_that_is_none_stops_everything(system, body):
    """To take it for an empty one would mean to make all anew, or that all are removed."""
    system.ctl("up", code=0)
    fault = system.engine.fault("GET", "/containers/json", body=body)
    calls = len(system.engine.calls)
    for verb in ("plan", "up", "down"):
        assert_failed(system.ctl(verb), 69)
    assert not [call for call in system.engine.calls[calls:] if call.method in ("POST", "DELETE")]
    fault.remove()
    assert_settled(system, "one")


@pytest.mark.parametrize("verb", ["plan", "up", "down", "ps"])
def test_unknown_unit_is_told(system, verb):
    assert_failed(system.ctl(verb, "two"), 66, "two")
    assert_failed(system.ctl(verb, "default"), 66, "default")  # a pool is no unit
    assert_failed(system.ctl(verb, "one", "two"), 66, "two")
    assert not system.containers()


@pytest.mark.parametrize("verb", ["plan", "up", "down", "ps"])
def test_pool_that_runs_is_no_unit_either(system, verb):
    system.ctl("up", code=0)
    assert_failed(system.ctl(verb, "default"), 66, "default")


@pytest.mark.parametrize("words", [("up", "Not-An-Id"), ("down", "a/b"), ("up", "--all"),
                                   ("down", "--force"), ("plan", "--yes"), ("ps", "-x"),
                                   ("watch", "one"), ("up", "")])
def test_wrong_command_line_is_told(system, words):
    done = system.ctl(*words)
    assert done.code == 64, done
    assert done.stderr
    assert not system.containers()


def drop(key):
    def change(system):
        del system.config[key]
    return change


def set_to(key, value):
    def change(system):
        system.config[key] = value
    return change


def remove_directory(name):
    def change(system):
        path = getattr(system, name)
        path.rename(path.with_name("elsewhere"))
    return change


def mount_missing(system):
    system.config["containers"]["mounts"] = {"fpm": [f"{system.home}/none"]}


def share_directory(system):
    system.config["pools"]["other"] = {"address": "unix:/run/php/other.sock", "workers": 1,
                                       "root": "/srv/app"}


DIRECTORIES = [  # which matter to who starts containers
    (remove_directory("code"), ["containers.code", "No such file"]),
    (mount_missing, ["containers.mounts.fpm", "none"]),
]
CONFIGURATIONS = [
    (drop("containers"), ["containers"]),
    (set_to("tenant_sockets", False), ["tenant_sockets"]),
    (remove_directory("sockets"), ["tenant_sockets", "No such file"]),
    (share_directory, ["default", "other", "/run/php"]),  # a volume can't be mounted twice there
    *DIRECTORIES,
]


@pytest.mark.parametrize(("verb", "change", "words"), [
    (verb, *case) for case in CONFIGURATIONS for verb in ("plan", "up", "watch")
    if verb != "plan" or case not in DIRECTORIES])
def test_configuration_that_can_not_be_run_is_told(system, verb, change, words):
    change(system)
    system.write_config()
    done = system.ctl(verb)
    assert_failed(done, 78, *words)
    assert len(done.stderr.splitlines()) == 1
    assert not system.containers()


def test_registry_that_is_gone_removes_nothing(system):
    system.ctl("up", code=0)
    system.registry.rename(system.home / "elsewhere")
    for verb in ("plan", "up", "ps"):
        assert system.ctl(verb).code in (74, 78)
    (system.home / "elsewhere").rename(system.registry)
    assert_settled(system, "one")


@pytest.mark.parametrize("text", ["{", '{"hosts": [7]}', '{"hosts": ["one.test"], "pool": "none"}'])
def test_file_that_can_not_be_read_leaves_its_container_alone(system, text):
    """A slip of the editor takes nobody down."""
    system.tenant("two")
    system.ctl("up", code=0)
    system.tenant_text("one", text)
    calls = len(system.engine.calls)
    for words in (("plan",), ("plan", "one"), ("up",), ("up", "one")):
        assert_failed(system.ctl(*words), 65, "one.json:1:")
    assert all(call.method == "GET" for call in system.engine.calls[calls:])
    assert (system.ledger.parent / "hosts" / "one.test").exists()
    assert system.running() == BASE | {"sys-tenant-one", "sys-tenant-two"}
    system.tenant("three")
    system.ctl("up", code=65)
    assert "sys-tenant-three" in system.running()
    system.remove_tenant("one")
    system.ctl("up", code=0)
    assert_settled(system, "two", "three")
    assert not (system.ledger.parent / "hosts" / "one.test").exists()


# ---- What is in the way ----

def test_missing_image_is_told_with_the_way_to_it(system):
    del system.engine.docker.images["fpmux/shim:latest"]
    assert ("no image", "sys-shim") in system.plan()
    done = system.ctl("up")
    assert_failed(done, 1, "there is no image fpmux/shim", "fpmuxctl build")
    assert set(system.containers()) == {"sys-fpm-default"}  # the others need the shim
    system.engine.add_image("fpmux/shim")
    system.ctl("up", code=0)
    assert_settled(system, "one")


def test_port_that_is_taken_is_told_and_nothing_stays_half_made(system):
    with socket.create_server(("127.0.0.1", system.port)):
        done = system.ctl("up")
        assert_failed(done, 1, f"port {system.port} of this host is taken", "containers.proxy_port")
    system.ctl("up", code=0)
    assert_settled(system, "one")


@pytest.mark.parametrize("name", ["sys-tenant-one", "sys-shim", "sys-fpm-default"])
def test_name_of_a_foreign_container_is_told_and_it_is_left_alone(system, name):
    foreign = system.engine.add_container(name)
    assert ("conflict", name) in system.plan()
    assert_failed(system.ctl("up"), 1, f"the name {name} belongs to container {foreign.id[:12]}")
    assert_failed(system.ctl("up"), 1)
    system.ctl("down", code=0)
    assert system.engine.container(name) is foreign
    assert foreign.is_running
    assert not system.engine.changes(foreign.id)
    system.engine.docker.remove(foreign.id, True)
    system.ctl("up", code=0)
    assert_settled(system, "one")


def test_foreign_container_under_the_name_of_a_replacement_is_left_alone(system):
    system.ctl("up", code=0)
    foreign = system.engine.add_container("sys-tenant-one.next")
    system.engine.add_image("fpmux/apache")
    assert_failed(system.ctl("up"), 1, "sys-tenant-one.next")
    assert foreign.is_running
    assert system.engine.container("sys-tenant-one").is_running
    assert not [call for call in system.engine.calls if foreign.id in call.path]
    system.engine.docker.remove(foreign.id, True)
    system.ctl("up", code=0)
    assert_settled(system, "one")


@pytest.mark.parametrize("labels", [{}, {"fpmux.system": "sys2"}])
def test_foreign_network_is_told_and_left_alone(system, labels):
    key = system.engine.add_network("sys-app", Labels=labels)
    assert_failed(system.ctl("up"), 69, "network sys-app", "not fpmux's")
    assert not system.containers()
    system.ctl("down", code=0)
    assert system.engine.networks()["sys-app"]["Id"] == key


def test_network_that_php_fpm_is_to_join_must_be_there(system):
    system.set_containers(networks=["databases"])
    assert_failed(system.ctl("up"), 1, "network databases")
    system.engine.add_network("databases")
    system.ctl("up", code=0)
    assert "databases" in system.engine.container("sys-fpm-default").endpoints
    assert_settled(system, "one")


# ---- What does not become ready ----

@pytest.mark.parametrize("name", ["sys-fpm-default", "sys-shim", "sys-proxy", "sys-tenant-one"])
def test_container_that_ends_at_once_is_told_without_waiting(system, name):
    system.set_containers(ready_seconds=60)
    docker = system.engine.docker
    docker.on_start = lambda one: docker.end(one, 3) if one.name == name else None
    assert_failed(system.ctl("up"), 1, "it ended with code 3", f"docker logs {name}")
    docker.on_start = lambda one: None
    assert ("start", name) in system.plan()
    system.ctl("up", code=0)
    assert_settled(system, "one")


@pytest.mark.parametrize("name", ["sys-shim", "sys-tenant-one"])
def test_container_that_ends_again_and_again_is_not_called_well(system, name):
    system.ctl("up", code=0)
    system.engine.container(name).status = "restarting"
    unit = name.removeprefix("sys-").removeprefix("tenant-")
    assert_failed(system.ctl("up"), 1, f"{unit}: it ends and is started again", f"docker logs {name}")
    system.ctl("up", "proxy", code=0)  # who is asked for another one is not told
    system.engine.container(name).status = "running"
    system.ctl("up", code=0)


def test_container_that_does_not_answer_is_told_after_a_while(system):
    system.set_containers(ready_seconds=1)

    def sicken(container):
        container.is_healthy = container.name != "sys-tenant-one"
    system.engine.docker.on_start = sicken
    assert_failed(system.ctl("up"), 1, "one: it runs, but did not answer within 1 s")


def test_replacement_that_does_not_answer_leaves_the_old_one_at_work(system):
    system.ctl("up", code=0)
    old = system.engine.container("sys-tenant-one")
    system.set_containers(ready_seconds=1)
    system.engine.add_image("fpmux/apache")

    def sicken(container):
        container.is_healthy = container.id == old.id
    system.engine.docker.on_start = sicken
    assert_failed(system.ctl("up"), 1, "did not answer")
    assert old.is_running
    assert not [call for call in system.engine.changes(old.id)
                if call.method == "DELETE" or call.path.endswith("/stop")]
    system.engine.docker.on_start = lambda one: None
    system.engine.container("sys-tenant-one.next").is_healthy = True
    assert ("finish", "sys-tenant-one") in system.plan()
    system.ctl("up", code=0)
    assert system.engine.container(old.id) is None
    assert_settled(system, "one")


def test_missing_socket_of_the_shim_is_told(system):
    system.set_containers(ready_seconds=1)
    (system.sockets / "one" / "fpmux.sock").unlink()
    system.listen("zero")  # so that the shim itself is seen
    system.tenant("zero")
    done = system.ctl("up", "one")
    assert_failed(done, 1, "fpmux.sock: no such socket after 1 s")
    assert "sys-tenant-one" not in system.containers()


@pytest.mark.parametrize("ends", ["by itself", "by a signal"])
def test_question_to_php_fpm_that_hangs_is_given_up(system, ends):
    system.set_containers(ready_seconds=1 if ends == "by itself" else 3600)
    asked = threading.Event()

    def hang(made):
        asked.set()
        made.read_all()
        wait_until(lambda: not system.engine.path.exists(), "the end of the test", 30)
        return 0
    system.engine.on_exec = hang
    process = system.start("up")
    try:
        assert asked.wait(10)
        if ends == "by a signal":
            process.send_signal(signal.SIGINT)
        done = system.finish(process, ["up"], 8)
    finally:
        process.kill()
    assert_failed(done, 1 if ends == "by itself" else 130)


def test_php_fpm_that_does_not_listen_is_waited_for(system):
    codes = iter([1, 1, 0])
    system.engine.on_exec = lambda made: next(codes)
    system.ctl("up", code=0)
    assert len(system.engine.called("POST", "/exec/.*/start")) == 3


# ---- What there may be already ----

def test_what_does_not_run_is_started(system):
    system.tenant("two")
    system.ctl("up", code=0)
    system.engine.die("sys-tenant-one", comes_back=False)
    system.engine.docker.pause("sys-tenant-two", True)
    system.engine.die("sys-fpm-default", comes_back=False)
    ids = {name: one.id for name, one in system.containers().items()}
    assert sorted(system.plan()) == [("start", "sys-fpm-default"), ("start", "sys-tenant-one"),
                                     ("start", "sys-tenant-two")]
    system.ctl("up", code=0)
    assert_settled(system, "one", "two")
    assert ids == {name: one.id for name, one in system.containers().items()}


def test_only_what_differs_is_changed(system):
    system.tenant("two")
    system.ctl("up", code=0)
    ids = {name: one.id for name, one in system.containers().items()}
    system.tenant("two", hosts=["two.test", "www.two.test"], params={"DBPASS": "s3cret"})
    system.tenant("one", hosts=["one.test"], params={"DBPASS": "s3cret"})
    system.tenant("three")
    assert sorted(system.plan()) == [("create", "sys-tenant-three"), ("replace", "sys-tenant-two")]
    system.ctl("up", code=0)
    assert_settled(system, "one", "two", "three")
    now = {name: one.id for name, one in system.containers().items()}
    assert {name for name in ids if now[name] == ids[name]} == BASE | {"sys-tenant-one"}
    assert "s3cret" not in json.dumps([call.body for call in system.engine.calls])


def test_replacement_stands_beside_the_old_one_until_it_answers(system):
    system.ctl("up", code=0)
    old = system.engine.container("sys-tenant-one").id
    system.engine.add_image("fpmux/apache")
    calls = len(system.engine.calls)
    system.ctl("up", code=0)
    steps = [call for call in system.engine.calls[calls:]
             if call.path.endswith(("/start", "/stop")) or call.method == "DELETE"]
    assert [call.path.rpartition("/")[2] for call in steps[:2]] == ["start", "stop"]
    assert old in steps[1].path
    assert_settled(system, "one")


def test_several_of_one_tenant_become_one(system):
    system.ctl("up", code=0)
    body = system.engine.container("sys-tenant-one").body
    for name in ("sys-tenant-one.next", "odd", "odder"):
        system.engine.docker.create(name, body)
    system.engine.docker.start("odd")
    system.ctl("up", code=0)
    assert_settled(system, "one")


def test_names_on_the_command_line_are_all_that_is_touched(system):
    system.tenant("two")
    system.ctl("up", code=0)
    system.engine.add_image(*IMAGES)
    ids = {name: one.id for name, one in system.containers().items()}
    system.ctl("up", "one", "proxy", code=0)
    now = {name: one.id for name, one in system.containers().items()}
    assert {name for name in ids if now[name] != ids[name]} == {"sys-tenant-one", "sys-proxy"}
    system.ctl("down", "two", code=0)
    assert set(system.containers()) == BASE | {"sys-tenant-one"}
    assert "sys-edge" in system.engine.networks()
    system.ctl("up", "--tenants", code=0)
    assert {name for name, one in system.containers().items() if one.id == now.get(name)} == \
        BASE | {"sys-tenant-one"}


def test_down_removes_all_of_ours_and_again_is_no_error(system):
    system.ctl("up", code=0)
    system.engine.docker.create("sys-tenant-old", system.engine.container("sys-tenant-one").body)
    assert "5 removed" in system.ctl("down", code=0).stdout
    assert not system.containers()
    assert set(system.engine.networks()) == {"strangers"}
    assert "0 removed" in system.ctl("down", code=0).stdout


def test_network_that_others_use_stays(system):
    system.ctl("up", code=0)
    system.engine.add_container("database", HostConfig={"NetworkMode": "sys-app"})
    system.ctl("down", code=0)
    assert set(system.engine.networks()) == {"strangers", "sys-app"}
    assert system.engine.container("database").is_running


def test_tenant_that_left_the_registry_can_still_be_taken_down(system):
    system.tenant("two")
    system.ctl("up", code=0)
    system.remove_tenant("two")
    assert system.plan() == [("remove", "sys-tenant-two")]
    system.ctl("down", "two", code=0)
    assert_settled(system, "one")


def test_plan_changes_nothing(system):
    system.ctl("plan", "--detailed-exitcode", code=2)
    system.ctl("ps", code=0)
    assert all(call.method == "GET" for call in system.engine.calls)
    system.ctl("up", code=0)
    calls = len(system.engine.calls)
    system.ctl("plan", "--detailed-exitcode", code=0)
    assert all(call.method == "GET" for call in system.engine.calls[calls:])


def test_ps_lists_what_is_there_and_what_is_not(system):
    system.tenant("two")
    system.ctl("up", code=0)
    system.tenant("three")
    system.engine.die("sys-tenant-two", code=7, comes_back=False)
    rows = {row["unit"]: row for row in json.loads(system.ctl("--json", "ps", code=0).stdout)}
    assert set(rows) == {"fpm default", "shim", "proxy", "one", "two", "three"}
    assert rows["one"] == {"unit": "one", "container": "sys-tenant-one", "state": "Up 2 seconds",
                           "image": "fpmux/apache", "to_do": ""}
    assert rows["two"]["state"].startswith("Exited (7)")
    assert rows["two"]["to_do"].startswith("start")
    assert rows["three"]["container"] == "" and rows["three"]["to_do"] == "create"
    only = json.loads(system.ctl("--json", "ps", "two", code=0).stdout)
    assert [row["unit"] for row in only] == ["two"]


# ---- Several at the same time ----

def test_many_start_abreast_but_not_more_than_allowed(place):
    tenants = [f"t{number}" for number in range(20)]
    with System(place, tenants, parallel=4) as system:
        lock, working, most = threading.Lock(), [0], [0]

        def count(by):
            with lock:
                working[0] += by
                most[0] = max(most[0], working[0])
        carry_out = system.engine.docker.start

        def start(key):
            count(1)
            threading.Event().wait(0.05)
            try:
                return carry_out(key)
            finally:
                count(-1)
        system.engine.docker.start = start
        system.ctl("up", code=0)
        assert most[0] == 4
        assert_settled(system, *tenants)


def test_one_that_fails_does_not_hold_up_the_other_tenants(place):
    with System(place, ["a", "b", "c"]) as system:
        system.engine.fault("POST", "/containers/create", after=4, times=1, status=500,
                            message="no space left on device")
        done = system.ctl("up")
        assert_failed(done, 1, "no space left on device", "5 done, 1 failed, 0 not tried")
        assert len(system.running()) == 5


def test_second_up_waits_for_the_first(system):
    is_begun, may_go_on = threading.Event(), threading.Event()

    def wait(container):
        del container
        is_begun.set()
        may_go_on.wait(30)
    system.engine.docker.on_start = wait
    first = system.start("up")
    assert is_begun.wait(10)
    second = system.start("up")
    third = system.start("down")
    line = second.stderr.readline()
    assert line == "waiting for another fpmuxctl that changes containers\n"
    assert "waiting for another" in third.stderr.readline()
    third.send_signal(signal.SIGINT)
    assert system.finish(third, ["down"]).code == 130
    assert first.poll() is None and second.poll() is None
    may_go_on.set()
    assert system.finish(first, ["up"]).code == 0
    done = system.finish(second, ["up"])
    assert done.code == 0
    assert "0 changed" in done.stdout
    assert_settled(system, "one")


def test_plan_and_ps_do_not_wait(system):
    fault = system.engine.fault("POST", "/containers/.*/start", hang=True, times=1)
    process = system.start("up")
    wait_until(lambda: fault.calls, "it hangs")
    system.ctl("plan", code=0)
    system.ctl("ps", code=0)
    process.send_signal(signal.SIGINT)
    assert system.finish(process, ["up"]).code == 130


def test_second_signal_ends_it_at_once(system):
    """Also while the engine stops a container, which may take long."""
    system.ctl("up", code=0)
    fault = system.engine.fault("POST", "/containers/.*/stop", hang=True)
    process = system.start("down")
    wait_until(lambda: fault.calls, "it hangs")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert system.finish(process, ["down"], 5).code == 130
