"""Real programs under test: started in the foreground, in a directory of their own, on free ports,
with their output in a log file; awaited until they answer; ended by pid.

Nothing here sleeps blindly: whatever is awaited has a condition and a deadline."""

import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

DEADLINE_S = 15.0


class Timeout(AssertionError):
    pass


def wait_until(condition, what, deadline_s=DEADLINE_S, interval_s=0.005):
    """Returns the first true value of condition(); fails with what was awaited."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"not within {deadline_s} s: {what() if callable(what) else what}")
        time.sleep(interval_s)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    """A temporary directory that other users may enter (pytest's own is closed to them), with the
    logs of all programs that ran in it."""

    existing = []

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="fpmux-"))
        self.path.chmod(0o755)
        Place.existing.append(self)

    def __truediv__(self, name):
        return self.path / name

    def __str__(self):
        return str(self.path)

    def directory(self, name):
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, name):
        """A new directory name-1, name-2, … for one program."""
        number = 1
        while (self.path / f"{name}-{number}").exists():
            number += 1
        return self.directory(f"{name}-{number}")

    def logs(self, tail_bytes=6000):
        for path in sorted(self.path.rglob("*.log")):
            text = path.read_bytes()[-tail_bytes:].decode(errors="replace")
            if text:
                yield str(path.relative_to(self.path)), text

    def remove(self):
        Place.existing.remove(self)
        shutil.rmtree(self.path, ignore_errors=True)


def parse_address(address):
    """"unix:/path" or "tcp:host:port" -> (family, what connect() takes)."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return socket.AF_UNIX, rest
    host, _, port = rest.rpartition(":")
    return socket.AF_INET, (host, int(port))


def accepts(address):
    family, target = parse_address(address)
    with socket.socket(family) as probe:
        try:
            probe.connect(target)
        except OSError:
            return False
    return True


class Program:
    """One process; subclasses say how it is configured, started and ended."""

    name = "program"
    stop_signal = signal.SIGTERM
    environment = None

    def __init__(self, place):
        self.place = place
        self.home = place.fresh(self.name)
        self.log_path = self.home / f"{self.name}.log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def is_ready(self):
        raise NotImplementedError

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.home, env=self.environment)
        wait_until(self._is_up, lambda: f"{self.name} ready; its log:\n{self.log()}")
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
        return self.is_ready()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """Ends the process and returns its exit code."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(self.stop_signal)
        try:
            return process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.log()}") from None

    def kill(self):
        """kill -9, as a crash would do."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            if self.process is not None and self.process.poll() is None:
                self.kill()
            raise

    def __exit__(self, *_):
        self.stop()
