"""Apache's configuration as the paper has it, unchanged but for the address, and SetHandler: which
script runs, and what it is told about its own URL, is what PHP-FPM alone would do."""

import json
import os

import pytest
from support.fpmux import Fpmux
from support.servers import Apache, Fpm, paper_lines, proxy_target
from support.web import fetch

HOST = "centro1.test"
NAMES = ("SCRIPT_FILENAME", "SCRIPT_NAME", "PHP_SELF", "PATH_INFO", "REQUEST_URI", "QUERY_STRING",
         "DOCUMENT_ROOT")


def set_handler(address, _root):
    return (f'<FilesMatch "\\.php$">\nSetHandler "proxy:{proxy_target(address, "/")}"\n'
            "</FilesMatch>\nDirectoryIndex index.php")


FORMS = {"ProxyPassMatch": paper_lines, "SetHandler": set_handler}


@pytest.fixture(scope="module")
def addresses(module_place, module_root):
    """Where FPM and fpmux are, over TCP and over a unix socket."""
    with Fpm(module_place, "tcp") as over_tcp, Fpm(module_place, "unix") as over_unix, \
            Fpmux(module_place, over_unix.address, module_root) as fpmux:
        fpmux.tenant("centro1", hosts=[HOST])
        yield {"tcp": (over_tcp.address, fpmux.tcp),
               "unix": (over_unix.address, fpmux.socket_of("centro1"))}


@pytest.fixture(scope="module", params=[(form, kind) for form in FORMS for kind in ("tcp", "unix")],
                ids="-".join)
def apaches(request, addresses, module_place, module_root):
    form, kind = request.param
    direct, through = (Apache(module_place, module_root, {HOST: FORMS[form](address, module_root)})
                       for address in addresses[kind])
    with direct, through:
        yield form, direct, through


def told(apache, path):
    reply = fetch(apache.port, path, HOST)
    assert reply.status == 200, reply
    server = json.loads(reply.body)["server"]
    server["SCRIPT_FILENAME"] = os.path.normpath(server["SCRIPT_FILENAME"]).replace("//", "/")
    return {name: server.get(name) for name in NAMES}


@pytest.mark.parametrize("path", [
    "/dump.php", "/dump.php?a=1", "/dump.php/a/b", "/dump.php/a/b?a=1", "/dump.php/a%20b",
    "/dump.php/", "/courses/index.php/x"])
def test_script_with_and_without_path_info_is_told_as_by_fpm_alone(apaches, path):
    _, direct, through = apaches
    assert told(through, path) == told(direct, path)


def test_path_info_is_what_stands_behind_the_script(apaches):
    _, _, through = apaches
    seen = told(through, "/dump.php/a/b?x=1")
    assert seen["SCRIPT_NAME"] == "/dump.php"
    assert seen["PATH_INFO"] == "/a/b"
    assert seen["PHP_SELF"] == "/dump.php/a/b"


def test_second_line_finds_the_index_of_a_directory(apaches):
    form, direct, through = apaches
    path = "/courses" if form == "ProxyPassMatch" else "/courses/"
    assert told(through, path) == told(direct, path)
    assert told(through, path)["SCRIPT_FILENAME"].endswith("/html/courses/index.php")


def test_root_is_its_index(apaches):
    _, _, through = apaches
    assert fetch(through.port, "/", HOST).body == b"index"


def test_missing_script_is_not_found(apaches):
    _, _, through = apaches
    assert fetch(through.port, "/missing/dump.php", HOST).status == 404


def test_unknown_host_is_not_found(addresses, module_place, module_root):
    lines = paper_lines(addresses["tcp"][1], module_root)
    with Apache(module_place, module_root, {"stranger.test": lines}) as apache:
        reply = fetch(apache.port, "/dump.php", "stranger.test")
    assert reply.status == 404
    assert reply.header("x-fpmux-request-id")
