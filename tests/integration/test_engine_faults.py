"""An engine that fails in every way, as fpmuxctl build meets it: what is told, and the exit code."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest

from support.fake_engine import FakeEngine, Gone, build_well
from support.fpmux import build_directory
from support.programs import wait_until

OK, NOINPUT, UNAVAILABLE, SOFTWARE, CONFIG, INTERRUPTED = 0, 66, 69, 70, 78, 130
TOOL = str(build_directory() / "fpmuxctl")
TARGETS = ["shim", "apache", "php-fpm", "proxy"]
NOBODY = 65534


class Site:
    """A configuration with an engine, and a directory to build from."""

    def __init__(self, place, address):
        self.path = place.fresh("site")
        self.config_path = self.path / "fpmux.json"
        self.clone = self.path / "clone"
        (self.clone / "docker").mkdir(parents=True)
        (self.clone / "tenants").mkdir()
        (self.clone / "docker/Dockerfile").write_text("FROM debian:bookworm-slim\n")
        self.configure({"engine": address, "code": str(self.path)})

    def configure(self, containers):
        self.config_path.write_text(json.dumps({
            "listen": ["tcp:127.0.0.1:9000"], "tenant_sockets": str(self.clone),
            "registry": f"dir:{self.clone}/tenants", "ledger": f"sqlite:{self.path}/usage.db",
            "spool": {"dir": str(self.path)},
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 4,
                                  "root": "/var/www/html"}},
            **({"containers": containers} if containers else {})}))

    def start(self, *words, verb="build", tool=TOOL, **options):
        options = {"cwd": self.clone, "text": True, **options}
        return subprocess.Popen([tool, "--config", self.config_path, verb, *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def build(self, *words, code=OK, **options):
        """(standard output, standard error)"""
        process = self.start(*words, **options)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        return output, errors

    def build_as_nobody(self, code):
        """With a copy of the tool: the clone may lie below a home that only its owner enters."""
        tool = shutil.copy(TOOL, self.path)
        return self.build(code=code, tool=tool, user=NOBODY, extra_groups=[])


@pytest.fixture
def engine(place):
    with FakeEngine(place, web=False) as fake:
        yield fake


@pytest.fixture
def site(place, engine):
    return Site(place, engine.address)


def last_line(text):
    return text.splitlines()[-1]


# ---- When all is well ----

def test_all_images_are_built_under_their_names(site, engine):
    site.configure({"engine": engine.address, "code": "/srv", "images": {"apache": "my/web:2"}})
    output, _ = site.build()
    assert output == ("shim: built fpmux/shim\napache: built my/web:2\n"
                      "php-fpm: built fpmux/php-fpm\nproxy: built fpmux/proxy\n")
    assert [build.query["target"] for build in engine.builds] == TARGETS
    for build in engine.builds:
        assert build.query["networkmode"] == "host"
        assert "nocache" not in build.query
    assert "my/web:2" in engine.docker.images


def test_no_cache_makes_every_stage_anew_once(site, engine):
    site.build("--no-cache")
    assert ["nocache" in build.query for build in engine.builds] == [True, False, False, False]


def test_context_is_the_directory_without_what_is_ignored(site, engine):
    long_name = "long-" * 30 + "/" + "name-" * 30
    big = os.urandom(700_000)
    for name, content in (("a", b"1"), ("src/b", b""), ("src/big", big), ("build/x", b"x"),
                          ("docker/secret", b"x"), ("src/skip.o", b"x"), (long_name, b"2")):
        path = site.clone / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (site.clone / "src/link").symlink_to("nowhere")
    os.mkfifo(site.clone / "src/fifo")
    (site.clone / ".dockerignore").write_text("build\ndocker\n**/*.o\n")
    site.build(str(site.clone), cwd="/")
    files = engine.builds[0].files
    assert {name: content for name, content in files.items() if content is not None} == {
        ".dockerignore": b"build\ndocker\n**/*.o\n", "a": b"1", "src/b": b"", "src/big": big,
        "docker/Dockerfile": b"FROM debian:bookworm-slim\n", long_name: b"2"}
    assert "src/link" in files
    assert "src/fifo" not in files


def test_progress_is_a_line_for_each_step(site, engine):
    _, errors = site.build()
    assert errors.splitlines()[:2] == ["shim: step 1/2 FROM debian:bookworm-slim",
                                       "shim: step 2/2 CMD true"]


# ---- No engine ----

def test_engine_that_is_not_there(place):
    _, errors = Site(place, f"unix:{place}/none.sock").build(code=UNAVAILABLE)
    assert errors == (f"fpmuxctl build: cannot reach the Docker Engine at {place}/none.sock: No "
                      "such file or directory; start it (systemctl start docker) or set "
                      "containers.engine in fpmux.json\n")


def test_engine_that_left_its_socket_behind(place):
    (place / "docker.sock").touch()
    _, errors = Site(place, f"unix:{place}/docker.sock").build(code=UNAVAILABLE)
    assert "docker.sock: Connection refused; start it" in errors


def test_path_that_no_socket_can_have(place):
    _, errors = Site(place, f"unix:/{'x' * 120}").build(code=UNAVAILABLE)
    assert "File name too long" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_engine_that_this_user_may_not_use(site, engine):
    engine.path.chmod(0o600)
    _, errors = site.build_as_nobody(UNAVAILABLE)
    assert re.search("Permission denied; run this as root or as a member of .*docker", errors)
    assert errors.count("\n") == 1


def test_what_is_no_engine(site, engine):
    engine.fault("GET", "/version", body=b'{"name": "something else"}')
    _, errors = site.build(code=UNAVAILABLE)
    assert errors == (f"fpmuxctl build: what answers at {engine.path} is no Docker Engine\n")


@pytest.mark.parametrize("version", ["", "1.41/../x", "1.41?", "9" * 50, 7])
def test_version_that_would_change_the_path_is_refused(site, engine, version):
    engine.fault("GET", "/version", body=json.dumps({"ApiVersion": version}).encode())
    site.build(code=UNAVAILABLE)
    assert len(engine.calls) == 1


@pytest.mark.parametrize("cut_after", [0, 1, 20, 60, 150, 200])
def test_answer_that_is_cut_is_no_answer(site, engine, cut_after):
    engine.fault("GET", "/version", cut_after=cut_after)
    _, errors = site.build(code=UNAVAILABLE)
    assert f"lost the Docker Engine at {engine.path} during GET /version" in errors


# ---- Builds that fail ----

def test_refused_build_is_told_in_the_engines_words(site, engine):
    engine.fault("POST", "/build", status=500, message="no space left on device")
    _, errors = site.build(code=SOFTWARE)
    assert errors == "fpmuxctl build: shim: no space left on device\n"


def test_failed_build_shows_the_end_of_its_output(site, engine):
    def fail(_):
        yield {"stream": "Step 1/1 : RUN make\n"}
        yield from ({"stream": f"line {number}\n"} for number in range(100))
        yield {"stream": "amid a \x1b[31m li"}
        yield {"stream": "ne"}
        yield {"error": "make returned a non-zero code: 2", "errorDetail": {"code": 2}}
        yield {"stream": "never seen"}
    engine.on_build = fail
    output, errors = site.build(code=SOFTWARE)
    assert output == ""
    assert errors.splitlines() == [
        "shim: step 1/1 RUN make", *(f"    line {number}" for number in range(81, 100)),
        "    amid a  [31m line", "fpmuxctl build: shim: make returned a non-zero code: 2"]


@pytest.mark.parametrize("words", [
    "pull access denied for debian, repository does not exist or may require 'docker login'",
    "manifest for debian:bookworm-slim not found: manifest unknown: manifest unknown",
    'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
    'Get "https://registry-1.docker.io/v2/": net/http: request canceled while waiting for '
    "connection"])
def test_base_image_that_cannot_be_fetched(site, engine, words):
    engine.on_build = lambda _: [{"error": words}]
    _, errors = site.build(code=SOFTWARE)
    assert last_line(errors) == (f"fpmuxctl build: shim: {words}; no registry can be reached? make "
                                 "the base image with docker/base")


def test_build_that_breaks_off(site, engine):
    engine.fault("POST", "/build", cut_after=300)
    _, errors = site.build(code=UNAVAILABLE)
    assert "shim: lost the Docker Engine at" in last_line(errors)
    assert len(engine.builds) == 1


def test_progress_that_is_no_json(site, engine):
    engine.fault("POST", "/build", body=b'{"stream": "Step 1/1 : X\\n"}\n<html>')
    _, errors = site.build(code=SOFTWARE)
    assert "the answer is no JSON" in last_line(errors)


def test_second_image_that_fails_leaves_the_first(site, engine):
    engine.on_build = lambda build: (build_well(build) if build.query["target"] == "shim"
                                     else [{"error": "no"}])
    output, errors = site.build(code=SOFTWARE)
    assert output == "shim: built fpmux/shim\n"
    assert last_line(errors) == "fpmuxctl build: apache: no"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_ends_soon(site, engine, number):
    engine.fault("POST", "/build", hang=True)
    process = site.start()
    engine.wait_calls("POST", "/build", 1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == INTERRUPTED
    assert last_line(errors) == "fpmuxctl build: interrupted"


def test_interrupted_while_the_engine_is_hung(site, engine):
    engine.fault("GET", "/version", hang=True)
    process = site.start()
    engine.wait_calls("GET", "/version", 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (INTERRUPTED, "fpmuxctl build: interrupted\n")


def test_engine_that_goes_away_during_a_build(site, engine):
    begun = threading.Event()

    def go_away(_):
        begun.set()
        engine.is_over.wait()
        raise Gone
    engine.on_build = go_away
    process = site.start()
    wait_until(begun.is_set, "a build")
    engine.down()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == UNAVAILABLE, errors
    assert "lost the Docker Engine" in errors
    engine.up()
    engine.on_build = build_well
    site.build()


# ---- Kept connections ----

def test_change_that_nobody_confirmed_is_not_sent_twice(site, engine):
    engine.add_container("fpmux-tenant-a", labels={"fpmux.system": "fpmux", "fpmux.role": "tenant",
                                                   "fpmux.tenant": "a"})
    engine.fault("POST", "/containers/.*/stop", is_carried_out=True, cut=True)
    process = site.start(verb="down")
    process.communicate(timeout=10)
    assert process.returncode != OK
    assert len(engine.called("POST", "/containers/.*/stop")) == 1
    assert not engine.container("fpmux-tenant-a").is_running


# ---- What is to be built ----

def test_directory_that_is_no_clone(site, place, engine):
    _, errors = site.build(str(place), code=NOINPUT)
    assert errors == (f"fpmuxctl build: no docker/Dockerfile in {place}: DIR must be a clone of "
                      "fpmux\n")
    assert not engine.calls


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_file_of_the_context_that_cannot_be_read(site, engine):
    (site.clone / "private").touch(0o600)
    engine.path.chmod(0o666)
    _, errors = site.build_as_nobody(SOFTWARE)
    assert last_line(errors) == f"fpmuxctl build: shim: {site.clone}/private: Permission denied"
    assert not engine.builds


def test_configuration_without_containers(site, engine):
    site.configure(None)
    _, errors = site.build(code=CONFIG)
    assert 'no section "containers"' in errors
    assert not engine.calls
