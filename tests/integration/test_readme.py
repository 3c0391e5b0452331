"""What the README tells an operator to write works as it stands there, but for places and ports."""

import json
import re
import shutil
import subprocess

import pytest
from support.fpmux import SOURCE, Fpmux, build_directory
from support.servers import Apache, Fpm, Haproxy, Nginx
from support.web import fetch

README = (SOURCE / "README.md").read_text()
HOST = "centro1.example.org"
LEVEL_FILES = ("README.md", "shim/fpmux.8", "tenants/fpmux.json.5", "docker/lib/servers.sh")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


class Places:
    """An fpmux with the README's organisation, and where things are instead."""

    def __init__(self, place, root):
        self.place = place
        self.root = root
        self.fpm = Fpm(place)
        self.fpmux = Fpmux(place, self.fpm.address, root)
        self.fpmux.tenant("centro1", hosts=[HOST], params={"DBNAME": "centro1"})

    def adapt(self, text, port=80):
        for old, new in (("/var/www/html", str(self.root)), ("listen 80", f"listen {port}"),
                         ("/var/lib/fpmux/sockets", str(self.fpmux.sockets)),
                         ("127.0.0.1:9000", self.fpmux.tcp.removeprefix("tcp:")),
                         ("<VirtualHost *:80>", f"<VirtualHost *:{port}>")):
            text = text.replace(old, new)
        return text


class ReadmeApache(Apache):
    def __init__(self, places, text):
        self.text = text
        self.places = places
        super().__init__(places.place, places.root, {})

    def configuration(self):
        text = self.places.adapt(self.text, self.port)
        if "ServerName" not in text:
            text = f"<VirtualHost *:{self.port}>\nServerName {HOST}\n{text}</VirtualHost>\n"
        return super().configuration() + text


class ReadmeNginx(Nginx):
    def __init__(self, places, text):
        self.text = text
        self.places = places
        super().__init__(places.place, places.root, places.fpmux.unix)

    def command(self):
        words = super().command()
        conf = self.home / "nginx.conf"
        before = conf.read_text().split("upstream php", 1)[0]
        text = self.places.adapt(self.text, self.port)
        text = text.replace("include fastcgi_params", "include /etc/nginx/fastcgi_params")
        conf.write_text(f"{before}{text}}}\n")
        return words


class ReadmeHaproxy(Haproxy):
    def __init__(self, places, text):
        self.text = text
        self.places = places
        super().__init__(places.place, places.root, places.fpmux.unix)

    def command(self):
        words = super().command()
        conf = self.home / "haproxy.cfg"
        before = conf.read_text().split("\nbackend php\n", 1)[0]
        before = before.replace("default_backend php", "default_backend centro1")
        conf.write_text(f"{before}\n{self.places.adapt(self.text)}")
        return words


@pytest.fixture(scope="module")
def places(module_place, module_root):
    (module_root / "name.php").write_text("<?php echo getenv('DBNAME');\n")
    created = Places(module_place, module_root)
    with created.fpm, created.fpmux:
        yield created


SNIPPETS = [(ReadmeApache, "apache", 0), (ReadmeApache, "apache", 1), (ReadmeNginx, "nginx", 0),
            (ReadmeHaproxy, "haproxy", 0)]


@pytest.mark.parametrize("server,language,index", SNIPPETS,
                         ids=["apache-socket", "apache-tcp", "nginx", "haproxy"])
def test_web_server_reaches_the_organisation(places, server, language, index):
    with server(places, blocks(language)[index]) as web:
        reply = fetch(web.port, "/name.php", HOST)
        assert (reply.status, reply.body) == (200, b"centro1")
        assert fetch(web.port, "/", HOST).body == b"index"
        told = json.loads(fetch(web.port, "/dump.php/a/b?c=1", HOST).body)["server"]
        assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/a/b", "c=1")


def test_every_snippet_of_a_server_is_tried():
    tried = {language: max(index for _, name, index in SNIPPETS if name == language) + 1
             for _, language, _ in SNIPPETS}
    assert {language: len(blocks(language)) for language in tried} == tried


def write_registry(home):
    """The README's configuration and organisation; returns the former, to be written."""
    config, tenant = (json.loads(text) for text in blocks("json")[:2])
    (home / "tenants").mkdir()
    (home / "secret").write_text("x\n")
    (home / "secret").chmod(0o640)
    config["registry"] = f"dir:{home}/tenants"
    tenant["params"]["DBPASS"]["file"] = str(home / "secret")
    (home / "tenants" / "centro1.json").write_text(json.dumps(tenant))
    return config


def run(program, home, config, *words):
    (home / "fpmux.json").write_text(json.dumps(config))
    return subprocess.run([build_directory() / program, "--config", home / "fpmux.json", *words],
                          capture_output=True, text=True, check=False, timeout=30)


def test_configuration_and_organisation_pass_the_check(tmp_path):
    done = run("fpmux", tmp_path, write_registry(tmp_path), "--check")
    assert done.returncode == 0, done
    assert "1 tenants, 0 in error" in done.stdout


def test_section_of_the_containers_fits_the_organisation(tmp_path):
    """The one warning is the one that the text tells of, but for directories that are not here or,
    where fpmux is installed, belong to a user who can't read the files of this test."""
    (section,) = blocks("json")[2:]
    config = {**write_registry(tmp_path), **json.loads(f"{{{section}}}")}
    done = run("fpmuxctl", tmp_path, config, "check", "--json")
    assert done.returncode == 0, done
    messages = [row["message"] for row in json.loads(done.stdout)["findings"]]
    assert ["container itself" in text for text in messages
            if not re.search("is not a directory|the shim's user .* can't read", text)] == [True]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_unit_of_watch_is_one_that_systemd_takes(tmp_path):
    (unit,) = blocks("systemd")
    path = tmp_path / "fpmux-watch.service"
    path.write_text(unit.replace("/usr/local/bin/fpmuxctl", str(build_directory() / "fpmuxctl")))
    done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", path],
                          capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_pool_of_fpm_is_one_that_fpm_takes(tmp_path):
    (pool,) = blocks("ini")
    conf = tmp_path / "fpm.conf"
    pool = pool.replace("listen.owner = fpmux", "listen.owner = nobody")  # there may be no fpmux
    conf.write_text(f"[global]\nerror_log = {tmp_path}/log\n{pool}")
    done = subprocess.run(["php-fpm8.2", "-t", "-y", conf], capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == 0, done


def test_columns_of_the_bill_are_those_of_the_export():
    source = (SOURCE / "tenants/report_columns.c").read_text()
    table = re.search(r"report_column_names\[.*?\] = \{(.*?)\};", source, re.S).group(1)
    columns = re.findall(r'"(\w+)"', table)
    table = README.split("| column | |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()
                                            if "`" in row)) == columns


def test_level_of_opcache_is_the_same_everywhere():
    levels = {name: set(re.findall(r"0x7FFE\w+", (SOURCE / name).read_text()))
              for name in (*LEVEL_FILES, "tests/support/servers.py")}
    assert len(set.union(*levels.values())) == 1, levels


def test_files_that_the_readme_names_are_there():
    names = re.findall(r"`((?:docker|tests|tenants|shim)/[\w./-]*)`", README)
    assert len(names) >= 8
    for name in names:
        assert (SOURCE / name).exists(), name
    for name in re.findall(r"`(test_\w+\.py)`", README):
        assert (SOURCE / "tests/integration" / name).exists(), name
    assert all((SOURCE / name).exists() for name in re.findall(r"\]\(([\w./]+)\)", README))
