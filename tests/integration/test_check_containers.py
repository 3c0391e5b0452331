"""What `fpmuxctl check` says where everything runs in containers."""

import json
import os
import subprocess

import pytest

from support.fpmux import build_directory

DATAERR = 65
TOOL = str(build_directory() / "fpmuxctl")


class System:
    """A configuration with containers, in which nothing is wrong, and its registry."""

    def __init__(self, home):
        self.home = home
        self.path = home / "etc/fpmux.json"
        self.registry = home / "etc/tenants"
        for name in ("etc/tenants", "etc/secrets", "s", "app", "data", "ledger/spool", "elsewhere"):
            (home / name).mkdir(parents=True)
        self.config = {
            "listen": [], "admin": [],
            "tenant_sockets": f"{home}/s",
            "registry": f"dir:{self.registry}",
            "ledger": f"sqlite:{home}/ledger/usage.db",
            "spool": {"dir": f"{home}/ledger/spool"},
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 4,
                                  "root": "/var/www/html"}},
            "containers": {"code": f"{home}/app", "mounts": {"fpm": [f"{home}/data"]}}}

    def secret(self, name):
        path = self.home / name
        path.write_text("x\n")
        path.chmod(0o640)
        return {"file": str(path)}

    def write(self, tenant, **fields):
        path = self.registry / f"{tenant}.json"
        path.write_text(json.dumps({"hosts": [f"{tenant}.test"], **fields}, indent=1))
        return path

    def check(self, *words, code=0):
        self.path.write_text(json.dumps(self.config, indent=1))
        done = subprocess.run([TOOL, "--config", self.path, "check", "--json", *words],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done
        return json.loads(done.stdout)["findings"]

    def finding(self, part, severity="error"):
        """The only finding; its place in the file it is about is the line that has that part."""
        (found,) = self.check(code=DATAERR if severity == "error" else 0)
        assert found["severity"] == severity
        with open(found["file"], encoding="ascii") as lines:
            line = lines.read().splitlines()[found["line"] - 1]
        assert part in line[found["column"] - 1:], (found, line)
        return found["message"]


@pytest.fixture
def system(place):
    return System(place.path)  # a short one: sockets lie below it


def test_a_right_system_has_no_finding(system):
    system.write("centro1", hosts=["Centro1.example.org", "a-b.test"], token=system.secret("etc/t"),
                 params={"DBHOST": "db", "DBPASS": system.secret("etc/secrets/1"),
                         "DATAROOT": f"{system.home}/data/centro1"},
                 limits={"request_seconds": 300},
                 cron={"every_seconds": 60, "command": ["true"]})
    system.write("ends-with-", hosts=["c.test"])
    assert system.check() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of other users")
@pytest.mark.parametrize("name", ["etc/fpmux.json", "etc/tenants/centro1.json", "etc/secrets/1",
                                  "etc/secrets"])
def test_what_the_user_of_the_shim_can_not_read_is_told(system, name):
    system.write("centro1", params={"DBPASS": system.secret("etc/secrets/1")})
    os.chown(system.home / "s", 65534, -1)
    os.chown(system.home / "ledger", -1, 65533)
    os.chown(system.home / "etc/secrets/1", -1, 65533)
    assert system.check() == []
    path = system.home / name
    os.chown(path, 0, 0)
    path.chmod(0o750 if path.is_dir() else 0o640)
    (found,) = system.check()
    assert found["severity"] == "warning"
    assert "the shim's user (uid 65534, gid 65533) can't read" in found["message"]


@pytest.mark.parametrize("word", ["fpm", "shim", "proxy"])
def test_id_that_names_another_container_is_refused(system, word):
    system.write(word)
    assert f'"{word}" can\'t be the id' in system.finding("{")


@pytest.mark.parametrize("host", ["-a.test", "a-.test", "a.-b.test", "a.test-"])
def test_host_with_a_label_that_dns_refuses(system, host):
    system.write("centro1", hosts=["good.test", host])
    assert f'host "{host}"' in system.finding(f'"{host}"')


def test_host_is_asked_for_with_a_suffix(system):
    longest = ".".join(["a" * 61] * 4)
    assert len(longest) == 247
    system.write("centro1", hosts=[longest])
    assert system.check() == []
    system.write("centro1", hosts=[longest + "b"])
    assert "247 bytes" in system.finding(longest + "b")


def test_pool_that_the_shim_cannot_reach(system):
    system.config["pools"]["far"] = {"address": "tcp:10.0.0.1:9000", "workers": 1, "root": "/a"}
    system.write("near")
    assert system.check() == []
    system.write("centro1", pool="far")
    assert 'pool "far" is at tcp:10.0.0.1:9000' in system.finding('"far"')


def test_tenant_without_a_host_has_no_container(system):
    system.write("centro1", hosts=[])
    assert "no host, and so no container" in system.finding("[]", "warning")


def test_time_limit_above_that_of_fpm(system):
    system.config["limits"] = {"request_seconds": 20}
    system.write("centro1", limits={"request_seconds": 20.5})
    message = system.finding("20.5", "warning")
    assert "ends each script after 26 s" in message
    assert "raise that to 20.5" in message


@pytest.mark.parametrize("key", ["token", "DBPASS"])
def test_secret_that_the_shim_cannot_see(system, key):
    secret = system.secret("elsewhere/s")
    system.write("centro1", **({key: secret} if key == "token" else {"params": {key: secret}}))
    assert "containers.mounts.shim" in system.finding(f'"{secret["file"]}"', "warning")
    system.config["containers"]["mounts"]["shim"] = [f"{system.home}/elsewhere"]
    assert system.check() == []


@pytest.mark.parametrize("where", ["{}/elsewhere/x", "{}/data-2", "{}/app/x", "/run/php/x"])
def test_data_that_php_cannot_write(system, where):
    where = where.format(system.home)
    system.write("centro1", params={"DATAROOT": where})
    assert "containers.mounts.fpm" in system.finding(where, "warning")


def test_data_below_code_that_is_mounted_where_it_lies(system):
    system.config["pools"]["default"]["root"] = f"{system.home}/app"
    system.write("centro1", params={"DATAROOT": f"{system.home}/app/data"})
    assert "can't write to DATAROOT" in system.finding("app/data", "warning")


def test_database_on_the_loopback_is_not_the_hosts(system):
    system.write("centro1", params={"DBHOST": "127.0.0.1"})
    assert "php-fpm's container itself" in system.finding('"127.0.0.1"', "warning")


@pytest.mark.parametrize("key", ["code", "mounts"])
def test_directory_that_is_missing(system, key):
    missing = f"{system.home}/missing"
    system.config["containers"][key] = {"fpm": [missing]} if key == "mounts" else missing
    assert "php-fpm's container mounts it" in system.finding(f'"{missing}"', "warning")


def test_directory_of_the_shim_that_is_a_file(system):
    system.config["containers"]["mounts"]["shim"] = [system.secret("file")["file"]]
    assert "the shim's container mounts it" in system.finding("file", "warning")


def test_missing_directory_of_the_ledger_is_told_at_the_section(system):
    system.config["ledger"] = f"sqlite:{system.home}/missing/usage.db"
    assert "missing is not a directory" in system.finding("{", "warning")


def test_containers_need_tenants_sockets(system):
    system.config["tenant_sockets"] = False
    system.config["listen"] = ["unix:/run/fpmux/fpmux.sock"]
    assert 'need "tenant_sockets"' in system.finding("false", "warning")


def test_cron_without_containers_is_run_by_nobody(system):
    del system.config["containers"]
    system.write("proxy", hosts=["-a.test"])
    assert system.check() == []
    system.write("centro1", cron={"every_seconds": 60, "command": ["true"]})
    assert "nobody runs this" in system.finding("{", "warning")


def test_file_that_is_not_in_the_registry(system):
    draft = system.home / "shim.json"
    draft.write_text('{"hosts": ["-a"]}')
    found = system.check(str(draft), code=DATAERR)
    assert [(row["file"], row["column"]) for row in found] == [(str(draft), 1), (str(draft), 12)]
    assert os.listdir(system.registry) == []


def test_text_says_which_are_warnings(system):
    system.write("centro1", hosts=[])
    system.check()
    done = subprocess.run([TOOL, "--config", system.path, "check"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert done.stdout == (f"{system.registry}/centro1.json:2:11: warning: no host, and so no "
                           "container\n1 tenant, no error, 1 warning\n")
