"""The other side of fpmux-exec: its frames, as tenants/containers/runner_protocol.h has them."""

import os
import struct
import subprocess
import threading

from support.fpmux import build_directory

HEADER = struct.Struct(">cI")
EXITED, KILLED, TIMED_OUT, NOT_STARTED = 1, 2, 3, 4
WINDOW = 64 * 1024


def frame(kind, payload=b""):
    return HEADER.pack(kind.encode(), len(payload)) + payload


def request(argv, environment=None, directory="/tmp", limit_ms=None, user=None):
    environment = {"PATH": os.environ["PATH"]} if environment is None else environment
    words = [frame("e", f"{name}={value}".encode()) for name, value in environment.items()]
    words += [frame("a", os.fsencode(word)) for word in argv]
    words.append(frame("d", os.fsencode(directory)))
    if user is not None:
        words.append(frame("u", user.encode()))
    if limit_ms is not None:
        words.append(frame("l", struct.pack(">I", limit_ms)))
    return b"".join(words) + frame("s")


class Runner:
    """fpmux-exec over pipes, with everything it said."""

    def __init__(self, argv=None, input_text=b"", program=None, popen=None, **asked):
        self.process = subprocess.Popen([program or build_directory() / "fpmux-exec"], bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **(popen or {}))
        self.output = self.errors = b""
        self.credit = 0
        self.cpu_ns = []
        self.outcome = self.value = self.text = None
        if argv is not None:
            self.send(request(argv, **asked))
            self.send(frame("i", input_text) if input_text else b"", frame("c"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    @property
    def pid(self):
        return self.process.pid

    def send(self, *frames):
        rest = memoryview(b"".join(frames))
        while rest:
            rest = rest[self.process.stdin.write(rest):]

    def _read(self, length):
        data = b""
        while len(data) < length:
            more = self.process.stdout.read(length - len(data))
            if not more:
                return None
            data += more
        return data

    def step(self):
        """Takes one frame; its kind, or None at the end."""
        header = self._read(HEADER.size)
        if header is None:
            return None
        kind, length = HEADER.unpack(header)
        payload = self._read(length)
        if kind == b"O":
            self.output += payload
        elif kind == b"E":
            self.errors += payload
        elif kind == b"U":
            self.cpu_ns.append(struct.unpack(">Q", payload)[0])
        elif kind == b"C":
            self.credit += struct.unpack(">I", payload)[0]
        elif kind == b"X":
            self.outcome, self.value = struct.unpack(">BI", payload[:5])
            self.text = payload[5:].decode()
        return kind.decode()

    def finish(self):
        """Reads to the end; the exit must have been told last, and the figures never fall."""
        kinds = []
        while (kind := self.step()) is not None:
            kinds.append(kind)
        assert [kind for kind in kinds if kind != "C"][-2:] == ["U", "X"], kinds
        assert self.cpu_ns == sorted(self.cpu_ns)
        assert self.process.wait() == 0, self.process.stderr.read()
        return self

    @property
    def cpu_s(self):
        return self.cpu_ns[-1] / 1e9


class LocalRunners:
    """What a fake engine's on_exec may be: "in" a container means a process of this machine."""

    def __init__(self):
        self.asked = []
        self.processes = []

    def __call__(self, asked):
        process = subprocess.Popen([build_directory() / "fpmux-exec"], bufsize=0,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env={"CONTAINER": "its own"})
        self.asked.append(asked)
        self.processes.append(process)
        threading.Thread(target=self._feed, args=(asked, process), daemon=True).start()
        try:
            while data := process.stdout.read(4096):
                asked.stdout(data)
        finally:
            process.stdout.close()  # which the runner takes for an asker that is gone
            process.wait()
        return process.returncode

    @staticmethod
    def _feed(asked, process):
        try:
            while data := asked.read(4096):
                process.stdin.write(data)
        except OSError:
            pass
        process.stdin.close()

    def are_over(self):
        return all(process.poll() is not None for process in self.processes)
