"""Fixtures of the integration tests: real programs in directories of their own. FPMUX_BUILD names
the build tree of the daemon (default build/dev)."""

import os
import pathlib
import shutil
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.programs import Place  # noqa: E402  (the path comes first)

SITE = pathlib.Path(__file__).resolve().parent / "site"


def pytest_configure(config):
    # Who is started in the background of a script ignores these, and so do all that he starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    config.addinivalue_line("markers", "timing: judges durations, so it wants the daemon without "
                                       "sanitizers")


def make_root(place):
    """A document root of its own with the scripts of site/, older than OPcache's three seconds."""
    root = shutil.copytree(SITE, place / "html")
    for path in root.rglob("*"):
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return root


@pytest.fixture
def place():
    created = Place()
    yield created
    created.remove()


@pytest.fixture(scope="module")
def module_place():
    created = Place()
    yield created
    created.remove()


@pytest.fixture
def root(place):
    return make_root(place)


@pytest.fixture(scope="module")
def module_root(module_place):
    return make_root(module_place)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the programs logged."""
    report = (yield).get_result()
    if report.failed:
        for existing in Place.existing:
            report.sections.extend((f"log of {name}", text) for name, text in existing.logs())
