"""A Docker Engine for tests: the one that runs here, or one of our own. Only what was started here
is stopped, and only engines of our own are killed by tests.

    engine.py     says why no engine can be had on this machine, and exits with 1 then"""

import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.programs import Place, wait_until  # noqa: E402  (the path comes first)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ("fpmux/apache", "fpmux/php-fpm", "fpmux/shim", "fpmux/proxy", "fpmux/mariadb")
START_S = 60


class NoEngine(Exception):
    """Why there is none."""


class Engine:
    """The engine at an address ("unix:///PATH")."""

    is_own = False

    def __init__(self, host):
        self.host = host

    @property
    def address(self):
        """As fpmux.json has it."""
        return self.host.replace("unix://", "unix:", 1)

    def docker(self, *words, check=True, timeout=60, **options):
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "DOCKER_HOST": self.host}, timeout=timeout,
                              **options)
        assert not check or done.returncode == 0, f"docker {words}: {done.stdout}{done.stderr}"
        return done

    def inspect(self, *names):
        return json.loads(self.docker("inspect", *names).stdout) if names else []

    def names(self, *filters):
        """Names of containers, also of those that don't run."""
        words = [word for one in filters for word in ("--filter", one)]
        return self.docker("ps", "--all", "--format", "{{.Names}}", *words).stdout.split()

    def answers(self):
        return self.docker("version", check=False).returncode == 0

    def stop(self):
        """Nothing: it was here before."""


class OwnEngine(Engine):
    """dockerd in a session of its own. Beside another engine it leaves the rules of the kernel's
    packet filter alone, which engines share: its ports are served by docker-proxy."""

    is_own = True

    def __init__(self, place, data_root, is_beside=False):
        self.home = place.fresh("engine")
        super().__init__(f"unix://{self.home}/docker.sock")
        self.log_path = self.home / "engine.log"
        self.data_root = data_root
        self.options = ["--bridge", "none"]
        if is_beside:
            self.options += ["--iptables=false", "--ip-forward=false"]
        self.process = None
        data_root.mkdir(parents=True, exist_ok=True)
        self.lock = open(f"{data_root}.lock", "w", encoding="ascii")  # held while it is used

    def start(self):
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoEngine(f"{self.data_root} is in use by another demo or test") from None
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    ["dockerd", "--host", self.host, "--data-root", str(self.data_root),
                     "--exec-root", f"{self.home}/exec", "--pidfile", f"{self.home}/pid",
                     *self.options],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            except FileNotFoundError:
                raise NoEngine("no dockerd; install the package docker.io") from None
        wait_until(self._is_up, lambda: f"the engine; its log:\n{self.log_path.read_text()}",
                   START_S, 0.05)
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            lines = self.log_path.read_text(errors="replace").splitlines()
            raise NoEngine(f"dockerd can't run here: {lines[-1] if lines else 'it said nothing'}")
        return self.answers()

    def _leftovers(self):
        """containerd and what it started; they outlive a dockerd that was killed."""
        pattern = re.compile(re.escape(str(self.home)).encode())
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if pattern.search(words) and b"container" in words.split(b"\0")[0]:
                yield int(path.parent.name)

    def kill(self):
        """kill -9 to dockerd alone; containers run on."""
        self.process.kill()
        self.process.wait()
        (self.home / "pid").unlink(missing_ok=True)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(START_S)
        self.process = None
        for pid in list(self._leftovers()):
            os.kill(pid, signal.SIGKILL)
        self.lock.close()


def find(place):
    """The engine that runs, else one of our own. Its images stay in build/engine."""
    running = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if running.answers():
            return running
    except FileNotFoundError:
        raise NoEngine("no docker command; install the package docker.io") from None
    if os.geteuid() != 0:
        raise NoEngine("none runs, and only root can start one")
    return OwnEngine(place, SOURCE / "build" / "engine").start()


def make_images(engine, fpmuxctl, config_path):
    """All that the tests need, from this source; from the engine's cache where nothing changed."""
    started = time.monotonic()
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    for command in (
            [SOURCE / "docker" / "base"],
            [fpmuxctl, "--config", config_path, "build", SOURCE],
            ["docker", "build", "--quiet", "--network", "host", "--target", "mariadb", "--tag",
             "fpmux/mariadb", "--file", SOURCE / "docker" / "Dockerfile", SOURCE]):
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return time.monotonic() - started


def copy_images(source, target):
    with subprocess.Popen(["docker", "--host", source.host, "save", *IMAGES],
                          stdout=subprocess.PIPE) as save:
        subprocess.run(["docker", "--host", target.host, "load"], stdin=save.stdout,
                       capture_output=True, check=True)
    assert save.returncode == 0


def main():
    place = Place()
    try:
        find(place).stop()
    except (NoEngine, AssertionError) as error:
        print(error)
        return 1
    finally:
        place.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
