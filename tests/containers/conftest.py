"""Fixtures of the tests in real containers. One engine for all; the one that runs here, or one of
our own. Tests that only look share one system; those that change it have their own.

FPMUX_BUILD names the build tree of fpmuxctl (default build/dev)."""

import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import engine as engines  # noqa: E402  (the path comes first)
from support.system import System  # noqa: E402
from support.programs import Place  # noqa: E402


@pytest.fixture(scope="session")
def session_place():
    created = Place()
    yield created
    created.remove()


@pytest.fixture(scope="session")
def engine(session_place):
    """With the images of this source."""
    found = engines.find(session_place)
    with contextlib.ExitStack() as stack:
        stack.callback(found.stop)
        system = System(session_place, found)
        took = engines.make_images(found, system.build / "fpmuxctl", system.config_path)
        print(f"images made in {took:.1f} s")
        if found.is_own:
            found.stop()
            stack.enter_context(engines.network_of_our_own())
            found.start()
        yield found


@pytest.fixture(scope="module")
def own_engine(engine, place, tmp_path_factory):
    """One that may be killed."""
    if engine.is_own:
        yield engine
        return
    with engines.network_of_our_own(), contextlib.ExitStack() as stack:
        own = engines.OwnEngine(place, tmp_path_factory.mktemp("images")).start()
        stack.callback(own.stop)
        engines.copy_images(engine, own)
        yield own


@pytest.fixture(scope="module")
def place():
    created = Place()
    yield created
    created.remove()


@pytest.fixture(scope="session")
def shared(engine, session_place):
    """Two tenants with secrets, up and unwatched; for tests that leave it as it is."""
    with System(session_place, engine) as system:
        for tenant in ("one", "two"):
            system.tenant(tenant, {"DBHOST": "db.example", "DBNAME": f"name-of-{tenant}",
                                   "DBUSER": f"user-of-{tenant}",
                                   "DBPASS": system.secret(tenant, f"password-of-{tenant}"),
                                   "DATAROOT": system.data_directory(tenant)})
        system.up()
        yield system


def pytest_collection_modifyitems(items):
    """What kills the engine comes last: nobody watches over the systems that only look."""
    items.sort(key=lambda item: item.path.name == "test_kills.py")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the programs logged."""
    report = (yield).get_result()
    if report.failed:
        for existing in Place.existing:
            report.sections.extend((f"log of {name}", text) for name, text in existing.logs())
