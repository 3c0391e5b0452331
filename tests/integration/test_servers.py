"""Each web server, once directly in front of PHP-FPM and once with fpmux between them: the client
and the script must not see a difference, but for what fpmux changes on purpose."""

import hashlib
import json
import subprocess

import pytest
from support.fpmux import Fpmux
from support.programs import wait_until
from support.servers import Apache, Fpm, Haproxy, Lighttpd, Nginx, paper_lines
from support.web import Load, fetch, in_parallel

HOST = "centro1.test"
TENANT_PARAMS = {"DBHOST": "10.0.0.1", "DBNAME": "moodle_centro1", "DBUSER": "centro1",
                 "DBPASS": "se=cr\"et; á", "WWWROOT": "http://centro1.test",
                 "DATAROOT": "/moodledata/centro1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

# Differences of the two set-ups that have nothing to do with fpmux: each has a port of its own, the
# date is now, and whether a server knows the length beforehand depends on timing.
CONNECTION_HEADERS = {"date", "content-length", "transfer-encoding", "connection", "keep-alive"}
CONNECTION_PARAMS = {"SERVER_PORT", "REMOTE_PORT", "HTTP_HOST"}
# What fpmux never lets through.
DROPPED_PARAMS = {"PATH", "REDIRECT_STATUS", "PATH_TRANSLATED", "ORIG_SCRIPT_FILENAME",
                  "ORIG_PATH_INFO", "ORIG_PATH_TRANSLATED", "ORIG_SCRIPT_NAME"}


def apache(lines_options):
    def make(place, root, address):
        return Apache(place, root, {HOST: paper_lines(address, root, lines_options)})
    return make


# name: (how fpmux is reached, how the server is made in front of an address)
SERVERS = {
    "apache-tcp": ("tcp", apache("")),
    "apache-unix": ("tenant", apache("")),
    "apache-tcp-reuse": ("tcp", apache("enablereuse=on")),
    "apache-unix-reuse": ("tenant", apache("enablereuse=on")),
    "nginx-tcp": ("tcp", lambda place, root, address: Nginx(place, root, address, False, HOST)),
    "nginx-unix-keep": ("unix", lambda place, root, address:
                        Nginx(place, root, address, True, HOST)),
    "haproxy-tcp-multiplexed": ("tcp", lambda place, root, address:
                                Haproxy(place, root, address, server_name=HOST)),
    "lighttpd-unix": ("unix", lambda place, root, address:
                      Lighttpd(place, root, address, server_name=HOST)),
}


class Pair:
    """The same server twice: before FPM and before fpmux."""

    def __init__(self, name, direct, through, fpmux):
        self.name = name
        self.direct = direct
        self.through = through
        self.fpmux = fpmux

    def both(self, path, **options):
        return (fetch(self.direct.port, path, HOST, **options),
                fetch(self.through.port, path, HOST, **options))

    def assert_same(self, path, **options):
        direct, through = self.both(path, **options)
        assert through.status == direct.status
        assert through.body == direct.body
        assert significant(through.headers) == significant(direct.headers)
        return through


def significant(headers):
    return sorted(header for header in headers if header[0] not in CONNECTION_HEADERS)


@pytest.fixture(scope="module")
def site(module_place, module_root):
    """FPM and fpmux, shared by all servers of this file."""
    with Fpm(module_place, workers=24) as fpm:
        fpmux = Fpmux(module_place, fpm.address, module_root)
        fpmux.tenant("centro1", hosts=[HOST], params=TENANT_PARAMS)
        with fpmux:
            yield fpm, fpmux


@pytest.fixture(scope="module", params=SERVERS)
def pair(request, site, module_place, module_root):
    fpm, fpmux = site
    listener, make = SERVERS[request.param]
    address = {"tcp": fpmux.tcp, "unix": fpmux.unix, "tenant": fpmux.socket_of("centro1")}[listener]
    with make(module_place, module_root, fpm.address) as direct, \
            make(module_place, module_root, address) as through:
        yield Pair(request.param, direct, through, fpmux)


def assert_same_params(direct, through):
    """$_SERVER of both, key by key."""
    for params in (direct, through):
        for name in CONNECTION_PARAMS:
            params.pop(name, None)
        # An empty length and none at all mean the same to PHP.
        params["CONTENT_LENGTH"] = params.get("CONTENT_LENGTH") or "0"
    assert {name: through.pop(name, None) for name in TENANT_PARAMS} == TENANT_PARAMS
    kept = {name: value for name, value in direct.items() if name not in DROPPED_PARAMS}
    assert through == kept


@pytest.mark.parametrize("path", ["/dump.php", "/dump.php?a=1&b[]=2&b[]=%20x&c=%C3%A1"])
def test_get_shows_the_script_the_same_server_variables(pair, path):
    direct, through = (json.loads(reply.body) for reply in pair.both(
        path, headers={"Cookie": "a=1; b=2", "X-One": "1", "Accept-Language": "es"}))
    assert_same_params(direct["server"], through["server"])
    assert through["get"] == direct["get"]
    assert through["cookie"] == direct["cookie"] == {"a": "1", "b": "2"}


def test_post_of_a_form_arrives_whole(pair):
    form = b"name=" + b"x" * 3000 + b"&text=%C3%A1"
    direct, through = (json.loads(reply.body) for reply in pair.both(
        "/dump.php", method="POST", body=form, headers=FORM))
    assert_same_params(direct["server"], through["server"])
    assert through["post"] == direct["post"] == {"name": "x" * 3000, "text": "á"}
    assert through["body_md5"] == direct["body_md5"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_body_of_1_mb_arrives_whole(pair, method):
    body = bytes(range(256)) * 4096
    direct, through = (json.loads(reply.body) for reply in pair.both(
        "/dump.php", method=method, body=body, headers={"Content-Type": "application/x-test"}))
    assert through["body_length"] == len(body)
    assert through["body_md5"] == direct["body_md5"]


def test_chunked_body_without_a_length_arrives_whole(pair):
    """Apache sends no CONTENT_LENGTH then and PHP alone would see no body; fpmux adds it."""
    count = 2 if pair.name.startswith("haproxy") else 256  # HAProxy refuses what it can't buffer
    body = b"".join(bytes([number]) * 4096 for number in range(count))
    pieces = (body[at:at + 4096] for at in range(0, len(body), 4096))
    reply = fetch(pair.through.port, "/dump.php", HOST, method="POST", body=pieces, chunked=True,
                  headers={"Transfer-Encoding": "chunked", "Content-Type": "application/x-test"})
    seen = json.loads(reply.body)
    assert seen["body_length"] == len(body)
    assert seen["body_md5"] == hashlib.md5(body).hexdigest()
    assert seen["server"]["CONTENT_LENGTH"] == str(len(body))


def test_response_of_10_mb_is_identical(pair):
    reply = pair.assert_same("/big.php?bytes=10485760")
    assert len(reply.body) == 10485760


def test_head_has_the_headers_and_no_body(pair):
    reply = pair.assert_same("/status.php?code=200", method="HEAD")
    assert reply.status == 200 and reply.body == b""


def test_missing_script_is_not_found(pair):
    assert pair.assert_same("/missing.php").status == 404


def test_fatal_error_of_php_is_passed_on(pair):
    assert pair.assert_same("/fatal.php").status == 500


def test_redirect_with_its_status_is_passed_on(pair):
    reply = pair.assert_same("/redirect.php")
    assert reply.status in (302, 303)  # HAProxy makes it 302, directly, too
    assert reply.header("location") == "/hello.php?from=redirect"


@pytest.mark.parametrize("code", [201, 404, 503])
def test_status_and_cookies_are_passed_on(pair, code):
    reply = pair.assert_same(f"/status.php?code={code}")
    assert reply.status == code
    assert [value for name, value in reply.headers if name == "set-cookie"] == [
        "first=a%20b; path=/", "second=2; path=/"]


def test_slow_script_is_waited_for(pair):
    assert pair.assert_same("/slow.php?ms=300").body == b"begin\nend\n"


def test_parallel_requests_get_each_its_own_answer(pair):
    def ask(number):
        path = f"/dump.php?number={number}" if number % 2 else f"/big.php?bytes={number * 1000}"
        return number, fetch(pair.through.port, path, HOST)

    for number, reply in in_parallel(ask, range(64)):
        assert reply.status == 200
        if number % 2:
            assert json.loads(reply.body)["get"] == {"number": str(number)}
        else:
            assert len(reply.body) == number * 1000


def established(port):
    """Connections that clients of a loopback port hold open."""
    found = subprocess.run(["ss", "-Htn", "state", "established", f"dport = :{port}"], check=True,
                           capture_output=True, text=True)
    return len(found.stdout.splitlines())


def test_haproxy_carries_many_requests_on_few_connections(module_place, module_root, site):
    _, fpmux = site
    port = fpmux.tcp.rpartition(":")[2]
    with Haproxy(module_place, module_root, fpmux.tcp, server_name=HOST) as haproxy:
        fetch(haproxy.port, "/hello.php", HOST)  # HAProxy asks for FCGI_MPXS_CONNS at first
        with Load(lambda: fetch(haproxy.port, "/slow.php?ms=50", HOST), threads=24) as load:
            wait_until(lambda: load.count() >= 24, "the load runs")
            connections = max(established(port) for _ in range(10))
    assert load.failures(lambda reply: reply.body == b"begin\nend\n") == []
    assert 0 < connections <= 4
