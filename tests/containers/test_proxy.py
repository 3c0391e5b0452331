"""What the proxy lets through, and what PHP learns of the client."""

import json
import socket

import pytest

from support.programs import wait_until


def raw(shared, host_line, path="/"):
    """The status of a request whose Host is written byte for byte."""
    request = b"GET " + path.encode() + b" HTTP/1.1\r\n" + host_line + b"\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split()[1]), answer


def server_seen(reply):
    assert reply.status == 200, reply
    return json.loads(reply.body)["server"]


@pytest.mark.parametrize("host", ["one.test", "ONE.Test", "one.test:8080", "one.test."])
def test_ways_to_write_a_host(shared, host):
    status, answer = raw(shared, b"Host: " + host.encode())
    assert status == 200 and b'"ORGANISATION":"one"' in answer


def unknown_hosts(shared):
    containers = [shared.container(unit) for unit in ("one", "proxy", "fpm-default")]
    return ["unknown.test", "example.com", "deb.debian.org", "localhost", "127.0.0.1", "[::1]",
            "fpmux", "one", "one.test.fpmux", "a" * 300 + ".test", *containers,
            *(f"{name}.{shared.name}-edge" for name in containers)]


def test_unknown_hosts_and_names_of_containers_are_404(shared):
    statuses = {host: raw(shared, b"Host: " + host.encode())[0] for host in unknown_hosts(shared)}
    # nginx itself refuses what can't be a host.
    assert {host: status for host, status in statuses.items() if status not in (404, 400)} == {}
    assert statuses["unknown.test"] == statuses["example.com"] == 404


@pytest.mark.parametrize("line", [b"Host: ", b"Host: one\xff.test", b"Host: one.test/../two.test",
                                  b"Host: one.test@two.test", b"Host: $upstream", b"Host: -e",
                                  b"Host: one.test#", b"Host: a..test", b"X: y"])
def test_strange_hosts_are_refused(shared, line):
    status, answer = raw(shared, line)
    assert status in (400, 404), answer[:200]
    assert b"ORGANISATION" not in answer


def test_no_name_is_asked_for_outside(shared):
    """Docker's DNS answers for every name; what it did not know it would have handed on."""
    [proxy] = shared.engine.inspect(shared.container("proxy"))
    assert proxy["HostConfig"]["Dns"] in (["127.0.0.1"], ["127.0.0.11"], ["0.0.0.0"])
    log = shared.engine.docker("logs", shared.container("proxy"))
    raw(shared, b"Host: outside.example.org")
    assert "93.184." not in log.stdout  # an address of example.org


def test_static_files_come_from_the_web_server(shared):
    before = shared.billed("one", "requests")
    assert shared.fetch("one", "/plain.txt").text == "static\n"
    assert shared.billed("one", "requests") == before


def test_client_address_and_scheme_can_not_be_forged(shared):
    plain = server_seen(shared.fetch("one"))
    forged = server_seen(shared.fetch("one", headers={
        "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7;proto=https", "X-Forwarded-Host": "two.test",
        "Client-IP": "203.0.113.7", "HTTPS": "on"}))
    assert plain["REMOTE_ADDR"] == forged["REMOTE_ADDR"]
    assert not plain["REMOTE_ADDR"].startswith("203.") and plain["REMOTE_ADDR"] != "127.0.0.1"
    assert "HTTPS" not in forged and forged["REQUEST_SCHEME"] == "http"
    assert "203.0.113.7" not in json.dumps(forged)
    assert forged["HTTP_X_FORWARDED_HOST"] == "one.test"


def test_parameters_can_not_be_set_by_headers(shared):
    seen = server_seen(shared.fetch("one", headers={"ORGANISATION": "two", "Proxy": "evil:1",
                                                    "FPMUX_TENANT": "two"}))
    assert seen["ORGANISATION"] == "one" and "HTTP_PROXY" not in seen


def test_large_body_passes(shared):
    seen = server_seen(shared.fetch("one", method="POST", body=b"x" * (8 << 20),
                                    headers={"Content-Type": "application/octet-stream"}))
    assert seen["CONTENT_LENGTH"] == str(8 << 20)


def test_dead_web_server_is_502_and_comes_back(shared):
    shared.engine.docker("stop", "--time", "1", shared.container("two"))
    try:
        wait_until(lambda: shared.status("two") == 502, lambda: f"502, not {shared.status('two')}")
        assert shared.status("one") == 200
    finally:
        shared.engine.docker("start", shared.container("two"))
    shared.await_served("two")
