"""How much memory a process has."""

import re
import threading


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


class Watched:
    """The most memory a process had beyond what it had before."""

    def __init__(self, pid):
        self.pid = pid
        self.before = resident_kib(pid)
        self.most = self.before
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.is_over.wait(0.01):
            self.most = max(self.most, resident_kib(self.pid))

    @property
    def growth_mib(self):
        return (self.most - self.before) / 1024

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        self.most = max(self.most, resident_kib(self.pid))
