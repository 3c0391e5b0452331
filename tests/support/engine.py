"""A Docker Engine for tests: the one that runs here, or one of our own. Only what was started here
is stopped, and only engines of our own are killed by tests.

    engine.py     says why no engine can be had on this machine, and exits with 1 then"""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
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
CLONE_NEWNET = 0x40000000


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


@contextlib.contextmanager
def network_of_our_own():
    """Whatever this thread starts meanwhile sees a network with nothing but a loopback in it. What
    an engine does there to the packet filter, the host and its engine never notice."""
    libc = ctypes.CDLL(None, use_errno=True)
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(outside, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(outside)


class OwnEngine(Engine):
    """dockerd in a session of its own. To run containers it wants a network of our own; to build
    images it needs the host's, and leaves that as it is."""

    is_own = True
    TO_BUILD = ("--iptables=false", "--ip-forward=false")

    def __init__(self, place, data_root):
        self.home = place.fresh("engine")
        super().__init__(f"unix://{self.home}/docker.sock")
        self.log_path = self.home / "dockerd.txt"
        self.data_root = data_root
        self.process = None
        self.options = ()
        self.lock = None  # held while the images are used

    def start(self, *options):
        self.data_root.mkdir(parents=True, exist_ok=True)
        self.lock = open(f"{self.data_root}.lock", "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoEngine(f"{self.data_root} is in use by another demo or test") from None
        self.options = options
        return self.start_again()

    def start_again(self):
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    ["dockerd", "--host", self.host, "--data-root", str(self.data_root),
                     "--exec-root", f"{self.home}/exec", "--pidfile", f"{self.home}/pid",
                     "--bridge", "none", *self.options],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            except FileNotFoundError:
                raise NoEngine("no dockerd; install the package docker.io") from None
        wait_until(self._is_up, lambda: f"the engine; see {self.log_path}", START_S, 0.05)
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            lines = self.log_path.read_text(errors="replace").splitlines()
            raise NoEngine(f"dockerd can't run here: {lines[-1] if lines else 'it said nothing'}")
        return self.answers()

    def _has_containerd(self):
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (path / "comm").read_bytes() == b"containerd\n" and \
                        os.fsencode(self.home) in (path / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
        return False

    def kill(self):
        """kill -9 to dockerd alone; its containerd goes with it, containers run on. Where nobody
        reaps orphans, the next dockerd would take the dead containerd for alive."""
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not self._has_containerd(), "containerd gone")
        (self.home / "pid").unlink(missing_ok=True)
        (self.home / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def spoil(self, container):
        """It can't be started any more, as if the start before had been cut off."""
        (self.home / "exec/containerd/daemon/io.containerd.runtime.v2.task/moby" / container).mkdir()

    def forget_names(self, container):
        """As if it had been killed before it had written down the container's aliases."""
        self.kill()
        path = self.data_root / "containers" / container / "config.v2.json"
        config = json.loads(path.read_text())
        for endpoint in config["NetworkSettings"]["Networks"].values():
            endpoint["Aliases"] = None
        path.write_text(json.dumps(config))
        self.start_again()

    def _unmount(self):
        """What a killed dockerd had mounted for its containers."""
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            targets = [line.split()[1] for line in mounts]
        for target in reversed(targets):
            if f"{target}/".startswith((f"{self.data_root}/", f"{self.home}/")):
                subprocess.run(["umount", "--lazy", target], check=False)

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.start_again()  # who but an engine ends its containers
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_S)
        self.process = None
        self._unmount()
        self.lock.close()


def find(place):
    """The engine that runs, else one of our own, which can build. Its images stay in build/engine."""
    running = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if running.answers():
            return running
    except FileNotFoundError:
        raise NoEngine("no docker command; install the package docker.io") from None
    if os.geteuid() != 0:
        raise NoEngine("none runs, and only root can start one")
    return OwnEngine(place, SOURCE / "build" / "engine").start(*OwnEngine.TO_BUILD)


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
