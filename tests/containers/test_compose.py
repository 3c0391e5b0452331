"""docker/compose.yaml, from a copy: it keeps its state beside itself."""

import json
import os
import shutil
import subprocess

import pytest

from support.engine import SOURCE
from support.programs import free_port, wait_until
from support.web import fetch

TENANTS = ("centro1", "centro2", "centro3")


@pytest.fixture(scope="module")
def port(engine, place):
    copy = shutil.copytree(SOURCE / "docker", place / "docker",
                           ignore=shutil.ignore_patterns("state"))
    chosen = free_port()
    environment = {**os.environ, "DOCKER_HOST": engine.host, "FPMUX_PORT": str(chosen),
                   "COMPOSE_PROJECT_NAME": f"fpt{os.getpid()}"}

    def compose(*words):
        done = subprocess.run(["docker-compose", "-f", str(copy / "compose.yaml"), *words],
                              env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    subprocess.run([copy / "compose" / "prepare"], check=True)
    compose("up", "--detach", "--no-build")
    yield chosen
    compose("down", "--volumes", "--timeout", "2")


def is_served(port, tenant):
    reply = fetch(port, "/", f"{tenant}.example.org")
    return reply.status == 200 and f"Database {tenant}" in reply.text


def test_three_organisations_keep_their_notes_apart(port):
    for tenant in TENANTS:
        wait_until(lambda one=tenant: is_served(port, one), f"{tenant} served", 60, 0.2)
        reply = fetch(port, "/", f"{tenant}.example.org", method="POST",
                      body=f"text=Only+of+{tenant}",
                      headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert reply.status == 303
    for tenant in TENANTS:
        page = fetch(port, "/", f"{tenant}.example.org").text
        assert [other for other in TENANTS if f"Only of {other}" in page] == [tenant]


def test_no_container_of_an_organisation_knows_a_password(engine, port, place):
    names = engine.names(f"label=com.docker.compose.project=fpt{os.getpid()}")
    everything = json.dumps(engine.inspect(*names))
    secrets = [path.read_text() for path in (place / "docker/compose/state/secrets").iterdir()]
    assert len(secrets) == 3 and len(names) == 7
    assert not any(secret in everything for secret in secrets)
    assert fetch(port, "/", "unknown.example.org").status == 404
