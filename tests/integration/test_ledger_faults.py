"""The ledger's disk is full, read-only, gone; the ledger is locked or damaged: requests are
answered as ever, the reason is logged once, and when it is mended not one of them is missing."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time

import pytest
from support import fcgi
from support.fake_fpm import FakeFpm
from support.fpmux import Fpmux
from support.programs import wait_until

DATAERR, TEMPFAIL = 65, 75
FOLD_S = 45  # two rounds of the ledger's thread
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")


def run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def mounted(path, *options):
    run("mount", *options, str(path))
    try:
        yield
    finally:
        run("umount", "--lazy", str(path))


class Site:
    """fpmux with its ledger in a directory that may come to harm."""

    def __init__(self, place, fpm):
        self.home = place.directory("state")
        self.database = self.home / "usage.db"
        self.fpmux = Fpmux(place, fpm.address, place.path, ledger=f"sqlite:{self.database}")
        self.fpmux.tenant("one")
        self.params = fcgi.web_params(place.path, "/a.php", server_name="one.test")
        self.answered = 0

    def start(self):
        self.fpmux.start()
        wait_until(lambda: fcgi.call(self.fpmux.unix, self.params).status == 200, "it serves")
        self.answered += 1

    def ask(self, seconds=0.0, count=20):
        """Asks for that long, at least so often; returns the longest that an answer took."""
        longest, end = 0, time.monotonic() + seconds
        with fcgi.Client(self.fpmux.unix) as client:
            while count > 0 or time.monotonic() < end:
                start = time.monotonic()
                assert client.call(self.params).status == 200
                longest = max(longest, time.monotonic() - start)
                self.answered += 1
                count -= 1
        return longest

    def complaints(self):
        return self.fpmux.log_lines("counting goes on")

    def wait_for_complaint(self, part):
        line = wait_until(lambda: next(iter(self.complaints()), None), "the reason is logged",
                          FOLD_S)
        assert part in line

    def assert_all_is_billed(self):
        assert self.fpmux.ctl("export", "--strict").stderr == ""
        assert self.fpmux.billed("one", "requests") == self.answered

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.fpmux.stop()


@pytest.fixture
def site(place):
    with FakeFpm(place) as fpm, Site(place, fpm) as created:
        yield created


@needs_root
def test_full_disk(site):
    with mounted(site.home, "-t", "tmpfs", "-o", "size=520k", "tmpfs"):
        site.start()
        site.wait_for_complaint("full")
        assert site.ask() < 1
        assert site.fpmux.ctl("export", "--strict", check=False).returncode != 0
        run("mount", "-o", "remount,size=4m", str(site.home))
        site.assert_all_is_billed()
        wait_until(lambda: site.fpmux.log_lines("takes in what was counted again"),
                   "the daemon folds again", FOLD_S)
        assert len(site.complaints()) == 1
        site.fpmux.kill()
        site.assert_all_is_billed()


@needs_root
def test_read_only_disk(site):
    site.fpmux.export()  # there is a ledger
    counters = site.home / "counters"
    counters.mkdir()
    with mounted(counters, "-t", "tmpfs", "tmpfs"), \
            mounted(site.home, "--rbind", str(site.home)):
        run("mount", "-o", "remount,ro,bind", str(site.home))
        site.start()
        site.wait_for_complaint("read")
        assert site.ask() < 1
        run("mount", "-o", "remount,rw,bind", str(site.home))
        site.assert_all_is_billed()
        site.fpmux.stop()
        site.assert_all_is_billed()


def test_locked_ledger_slows_no_request(site):
    site.fpmux.export()
    with contextlib.closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        site.start()
        assert site.ask(seconds=2) < 1
        site.wait_for_complaint("locked")
        assert site.ask() < 1
        assert site.fpmux.ctl("export", "--strict", check=False).returncode == TEMPFAIL
        other.execute("ROLLBACK")
        site.assert_all_is_billed()


def test_damaged_ledger_is_put_together_again(site):
    backup = site.fpmux.home / "backup.db"
    site.start()
    site.ask()
    site.fpmux.ctl("ledger", "backup", str(backup))
    site.fpmux.kill()
    site.assert_all_is_billed()
    with open(site.database, "r+b") as file:
        file.write(b"damaged")
        site.database.with_name("usage.db-wal").unlink()
    site.start()
    site.wait_for_complaint("not a database")
    assert site.ask() < 1
    done = site.fpmux.ctl("ledger", "verify", check=False)
    assert done.returncode == DATAERR and "to mend it: stop fpmux" in done.stdout
    site.fpmux.stop()
    for path in site.home.glob("usage.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    site.start()
    for _ in range(2):
        site.fpmux.ctl("ledger", "merge", str(backup))
    site.assert_all_is_billed()


def test_damaged_counter_file_is_named_and_stops_no_other(site):
    site.start()
    site.ask()
    site.fpmux.kill()
    (damaged,) = site.home.glob("counters/*.map")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:2000])
    site.start()
    site.wait_for_complaint(str(damaged))
    before, site.answered = site.answered - 1, 1
    site.ask()
    # As much of it as was folded while it was sound.
    assert site.answered <= site.fpmux.billed("one", "requests") <= site.answered + before
    done = site.fpmux.ctl("ledger", "verify", check=False)
    assert done.returncode == DATAERR
    assert str(damaged) in done.stdout and "move it away" in done.stdout
    damaged.write_bytes(content)
    site.answered += before
    site.assert_all_is_billed()
    assert not damaged.exists()


def test_removed_directory_comes_back_with_all_that_was_counted(site):
    site.start()
    site.ask()
    shutil.rmtree(site.home)
    wait_until(lambda: site.fpmux.log_lines("nothing is lost"), "the loss is noticed")
    assert site.ask() < 1
    site.home.mkdir()
    wait_until(lambda: list(site.home.glob("counters/*.map")), "the counters are there again")
    site.ask()
    site.assert_all_is_billed()
    site.fpmux.kill()
    site.assert_all_is_billed()
