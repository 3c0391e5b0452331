"""The tool fpmuxctl: tenants' files, their checks, and what it answers to people and programs."""

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess

import pytest

from support.fpmux import build_directory

USAGE, DATAERR, NOINPUT, CANTCREAT, IOERR, CONFIG = 64, 65, 66, 73, 74, 78
TOOL = str(build_directory() / "fpmuxctl")


class Tool:
    """fpmuxctl with a configuration and a registry of its own."""

    def __init__(self, home):
        self.home = home
        self.registry = home / "tenants"
        self.registry.mkdir()
        self.config_path = home / "fpmux.json"
        self.write_config()

    def write_config(self, **pool):
        self.config_path.write_text(json.dumps({
            "listen": ["tcp:127.0.0.1:9000"],
            "tenant_sockets": False,
            "registry": f"dir:{self.registry}",
            "ledger": f"sqlite:{self.home}/usage.db",
            "spool": {"dir": str(self.home)},
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 4,
                                  "root": "/var/www/html", **pool}}}))

    def run(self, *words, code=0, **options):
        done = subprocess.run([TOOL, "--config", str(self.config_path), *map(str, words)],
                              capture_output=True, timeout=60, check=False, **options)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, done
        return done

    def tenant(self, *words, code=0):
        return self.run("tenant", *words, code=code)

    def path(self, tenant):
        return self.registry / f"{tenant}.json"

    def read(self, tenant):
        return json.loads(self.path(tenant).read_text())

    def write(self, tenant, **fields):
        self.path(tenant).write_text(json.dumps({"hosts": [f"{tenant}.test"], **fields}))

    def list(self):
        return {row["id"]: row for row in json.loads(self.tenant("list", "--json").stdout)}

    def import_file(self, content):
        path = self.home / "all.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


# ---- The tool itself ----

def test_help_and_version_go_to_standard_output(tool):
    for words in (["--help"], ["tenant", "--help"], ["tenant", "set", "--help"],
                  ["check", "--help"], ["usage", "--help"], ["export", "--help"]):
        done = tool.run(*words)
        assert done.stdout.startswith("usage: fpmuxctl "), words
        assert done.stderr == ""
    assert tool.run("--version").stdout.split()[0] == "fpmuxctl"


def test_help_needs_no_configuration(tool):
    tool.config_path.unlink()
    assert "tenant" in tool.run("--help").stdout
    assert "import" in tool.run("tenant", "--help").stdout


def test_config_is_named_by_letter_as_for_the_daemon(tool):
    for words in (["-c", tool.config_path, "tenant", "list"],
                  ["tenant", "list", "-c", tool.config_path]):
        assert subprocess.run([TOOL, *words], timeout=60, check=False).returncode == 0
    assert "--config needs the path" in tool.run("check", "-c", code=USAGE).stderr


def test_unknown_verb_names_the_closest(tool):
    assert 'did you mean "tenant"?' in tool.run("tennant", code=USAGE).stderr
    assert 'did you mean "export"?' in tool.run("exprot", code=USAGE).stderr
    assert 'did you mean "suspend"?' in tool.tenant("suspned", code=USAGE).stderr
    assert "see fpmuxctl --help" in tool.run("zzzzzzzzzz", code=USAGE).stderr
    assert "see fpmuxctl --help" in tool.run("z" * 500, code=USAGE).stderr


@pytest.mark.parametrize("words", [
    [], ["tenant"], ["tenant", "show"], ["tenant", "add"], ["tenant", "set", "a"],
    ["tenant", "remove"], ["tenant", "suspend"], ["tenant", "import"], ["tenant", "list", "x"],
    ["tenant", "add", "a", "--nonsense"], ["tenant", "add", "a", "--param", "novalue"],
    ["tenant", "set", "a", "x=1", "--nonsense"], ["check", "--nonsense"]])
def test_wrong_usage_is_told_and_is_64(tool, words):
    tool.write("a")
    assert "usage: fpmuxctl " in tool.run(*words, code=USAGE).stderr


def test_wrong_configuration_is_78_with_its_place(tool):
    tool.config_path.write_text('{\n  "listen": 5}')
    for words in (["tenant", "list"], ["check"], ["tenant", "add", "a"]):
        assert f"{tool.config_path}:2:" in tool.run(*words, code=CONFIG).stderr


def test_missing_registry_is_78(tool):
    tool.registry.rmdir()
    for words in (["tenant", "list"], ["check"], ["tenant", "add", "a"]):
        assert "No such file or directory" in tool.run(*words, code=CONFIG).stderr


def test_configuration_comes_from_the_environment(tool):
    tool.write("a")
    environment = {**os.environ, "FPMUX_CONFIG": str(tool.config_path)}
    done = subprocess.run([TOOL, "tenant", "list", "--json"], capture_output=True, text=True,
                          env=environment, timeout=60, check=True)
    assert json.loads(done.stdout)[0]["id"] == "a"


def test_full_disk_under_standard_output_is_74(tool):
    tool.write("a")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([TOOL, "--config", str(tool.config_path), "tenant", "list"],
                              stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == IOERR


# ---- list and show ----

def test_list_is_a_table_in_order_of_ids(tool):
    tool.write("b", name="Beta", state="suspended", plan={"paid_until": "2026-12-31"})
    tool.write("a", name="Alpha", hosts=["a.test", "www.a.test"])
    lines = tool.tenant("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "HOSTS", "POOL", "PAID", "UNTIL"]
    assert lines[1].split() == ["a", "Alpha", "active", "a.test,", "www.a.test", "default"]
    assert lines[2].split() == ["b", "Beta", "suspended", "b.test", "default", "2026-12-31"]


def test_list_marks_files_in_error(tool):
    tool.write("a")
    tool.path("bad").write_text("{\n  nonsense}")
    table = tool.tenant("list").stdout
    assert "ERROR" in table
    assert f"{tool.path('bad')}:2:3: " in table
    rows = tool.list()
    assert rows["bad"]["state"] == "error" and ":2:3: " in rows["bad"]["error"]
    assert rows["a"] == {"id": "a", "name": "a", "state": "active", "hosts": ["a.test"],
                         "pool": "default", "paid_until": None, "quota": None}


def test_tables_print_no_control_characters(tool):
    hostile = tool.registry / "x\x1b[31my.json"
    hostile.write_text("{}")
    for words in (["tenant", "list"], ["check"]):
        done = tool.run(*words, code=DATAERR if words == ["check"] else 0)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\\x1b" in done.stdout


def test_show_prints_no_secret(tool):
    secret = tool.home / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    tool.write("a", params={"DBNAME": "a", "DBPASS": {"file": str(secret)}})
    for words in (["show", "a"], ["show", "a", "--json"]):
        text = tool.tenant(*words).stdout
        assert "hunter2" not in text and "(secret)" in text and "DBNAME" in text


def test_show_prints_no_password_that_stands_in_the_file(tool):
    tool.write("a", params={"DBPASS": "hunter2", "DBNAME": "a"})
    for words in (["show", "a"], ["show", "a", "--json"], ["list"]):
        assert "hunter2" not in tool.tenant(*words).stdout
    assert json.loads(tool.tenant("show", "a", "--json").stdout)["params"] == {
        "DBPASS": "(secret)", "DBNAME": "a"}


def test_show_of_nobody_is_66_and_of_a_bad_file_65(tool):
    tool.path("bad").write_text("[]")
    assert "no such tenant" in tool.tenant("show", "nobody", code=NOINPUT).stderr
    assert f"{tool.path('bad')}:1:1: " in tool.tenant("show", "bad", code=DATAERR).stderr


# ---- add ----

def test_add_writes_what_the_options_say(tool):
    tool.write_config(php={"memory_limit": "128M", "session.save_path": "/x"})
    secret = tool.home / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    tool.tenant("add", "a", "--name", "Alpha", "--host", "a.test", "--host", "b.test", "--pool",
                "default", "--param", "DBNAME=a=b", "--secret", f"DBPASS={secret}", "--php",
                "session.save_path=/tmp/a")
    assert tool.read("a") == {"name": "Alpha", "hosts": ["a.test", "b.test"], "pool": "default",
                              "params": {"DBNAME": "a=b", "DBPASS": {"file": str(secret)}},
                              "php": {"session.save_path": "/tmp/a"}}
    assert tool.path("a").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tool.registry.iterdir()] == ["a.json"]


def test_add_refuses_one_that_exists(tool):
    tool.write("a")
    before = tool.path("a").read_text()
    assert "exists already" in tool.tenant("add", "a", code=CANTCREAT).stderr
    assert tool.path("a").read_text() == before


@pytest.mark.parametrize("words, reason", [
    (["Upper"], "is no id"), (["../a"], "is no id"),
    (["a", "--pool", "missing"], "has no pool"),
    (["a", "--param", "HTTP_HOST=x"], "reserved"),
    (["a", "--host", "taken.test"], "already tenant taken's"),
    (["a", "--host", "no host"], "host name")])
def test_add_writes_nothing_that_the_daemon_would_refuse(tool, words, reason):
    tool.write("taken")
    assert reason in tool.tenant("add", *words, code=DATAERR).stderr
    assert [path.name for path in tool.registry.iterdir()] == ["taken.json"]


def test_add_from_a_file_keeps_its_comments_or_merges_options(tool):
    text = '{\n  // ours\n  "hosts": ["a.test"], "params": {"DBNAME": "x", "DBHOST": "h"}\n}\n'
    path = tool.home / "template.json"
    path.write_text(text)
    tool.tenant("add", "a", "--from", path)
    assert tool.path("a").read_text() == text
    tool.tenant("add", "b", "--from", path, "--host", "b.test", "--param", "DBNAME=y")
    assert tool.read("b") == {"hosts": ["b.test"], "params": {"DBNAME": "y", "DBHOST": "h"}}
    assert "No such file" in tool.tenant("add", "c", "--from", "/missing", code=DATAERR).stderr


# ---- set, suspend, resume, remove ----

def test_set_changes_values_by_their_kind(tool):
    tool.write_config(php={"session.save_path": "/x"})
    tool.write("a", name="old", labels={"region": "madrid"})
    tool.tenant("set", "a", "name=123", "hosts=a.test,b.test", "limits.weight=2",
                "limits.queue_seconds=1.5", "params.DBNAME=5", "plan.paid_until=2026-12-31",
                "php.session.save_path=/tmp/a", "labels.region=", 'container={"image": "x"}')
    assert tool.read("a") == {"name": "123", "hosts": ["a.test", "b.test"],
                              "limits": {"weight": 2, "queue_seconds": 1.5},
                              "params": {"DBNAME": "5"}, "plan": {"paid_until": "2026-12-31"},
                              "php": {"session.save_path": "/tmp/a"}, "labels": {},
                              "container": {"image": "x"}}


@pytest.mark.parametrize("assignment, code, reason", [
    ("nonsense=1", DATAERR, "nonsense"), ("limits.weight=many", DATAERR, "weight"),
    ("state=asleep", DATAERR, "state"), ("hosts=taken.test", DATAERR, "already tenant taken's"),
    ("name.x=1", USAGE, "no object"), ("name", USAGE, "PATH=VALUE"), ("=x", USAGE, "PATH=VALUE")])
def test_set_refuses_and_leaves_the_file(tool, assignment, code, reason):
    tool.write("a", name="kept")
    tool.write("taken")
    before = tool.path("a").read_text()
    assert reason in tool.tenant("set", "a", assignment, code=code).stderr
    assert tool.path("a").read_text() == before


def test_set_does_not_drop_comments_unasked(tool):
    tool.path("a").write_text('{"name": "A", /* ours */ "hosts": ["a.test"]}')
    assert "--force" in tool.tenant("set", "a", "name=B", code=DATAERR).stderr
    assert "/* ours */" in tool.path("a").read_text()
    tool.tenant("set", "a", "name=B", "--force")
    assert tool.read("a") == {"name": "B", "hosts": ["a.test"]}


def test_what_looks_like_a_comment_in_a_string_is_none(tool):
    tool.write("a", params={"WWWROOT": "http://a.test/*x*/"})
    tool.tenant("set", "a", "name=B")
    assert tool.read("a")["params"]["WWWROOT"] == "http://a.test/*x*/"


def test_set_keeps_mode_and_owner(tool):
    tool.write("a")
    tool.path("a").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(tool.path("a"), 33, 33)
    tool.tenant("set", "a", "name=B")
    status = tool.path("a").stat()
    assert status.st_mode & 0o777 == 0o600
    assert os.geteuid() != 0 or (status.st_uid, status.st_gid) == (33, 33)


def test_suspend_and_resume_several(tool):
    tool.write("a")
    tool.write("b")
    assert "nobody" in tool.tenant("suspend", "a", "nobody", "b", code=NOINPUT).stderr
    assert {row["state"] for row in tool.list().values()} == {"suspended"}
    tool.tenant("resume", "a", "b")
    assert {row["state"] for row in tool.list().values()} == {"active"}


def test_remove_removes_also_files_in_error(tool):
    tool.write("a")
    tool.path("b").write_text("nonsense")
    tool.tenant("remove", "a", "b")
    assert list(tool.registry.iterdir()) == []
    tool.tenant("remove", "a", code=NOINPUT)
    tool.tenant("remove", "../fpmux", code=NOINPUT)
    assert tool.config_path.exists()


def test_editors_at_the_same_time_lose_nothing(tool):
    tool.write("a")
    names = [f"NAME{i}" for i in range(12)]
    running = [subprocess.Popen([TOOL, "--config", str(tool.config_path), "tenant", "set", "a",
                                 f"params.{name}=x"]) for name in names]
    assert [process.wait(60) for process in running] == [0] * len(names)
    assert sorted(tool.read("a")["params"]) == sorted(names)


# ---- import ----

def test_import_reads_both_forms_and_reports(tool):
    everybody = {"a": {"hosts": ["a.test"]}, "b": {"hosts": ["b.test"], "name": "B"}}
    done = tool.tenant("import", tool.import_file(everybody))
    assert done.stdout == "added a\nadded b\n2 added, 0 changed, 0 unchanged, 0 removed\n"
    assert tool.read("b") == everybody["b"]
    array = [{"id": name, **fields} for name, fields in everybody.items()]
    array[1]["name"] = "new"
    array.append({"id": "c", "hosts": ["c.test"]})
    done = tool.tenant("import", tool.import_file(array), "--json")
    assert json.loads(done.stdout) == {"added": ["c"], "changed": ["b"], "unchanged": ["a"],
                                       "removed": []}
    assert tool.read("b") == {"hosts": ["b.test"], "name": "new"}


def test_import_is_all_or_nothing_and_tells_every_error(tool):
    path = tool.import_file('{\n  "a": {"hosts": ["a.test"]},\n  "b": {"nonsense": 1},\n'
                            '  "C": {},\n  "d": {"hosts": ["a.test"]}\n}')
    errors = tool.tenant("import", path, code=DATAERR).stderr
    assert f"{path}:3:8: b: " in errors and "nonsense" in errors
    assert f"{path}:4:8: C: is no id" in errors
    assert f'{path}:5:8: d: host "a.test" is tenant a\'s' in errors
    assert "3 errors" in errors
    assert list(tool.registry.iterdir()) == []


def test_import_sees_hosts_of_tenants_that_stay_but_not_of_those_that_change(tool):
    tool.write("old")
    path = tool.import_file({"a": {"hosts": ["old.test"]}})
    assert "is tenant old's" in tool.tenant("import", path, code=DATAERR).stderr
    tool.tenant("import", path, "--prune")
    assert [path.name for path in tool.registry.iterdir()] == ["a.json"]
    tool.write("a", hosts=["one.test"])
    tool.write("b", hosts=["two.test"])
    tool.tenant("import", tool.import_file({"a": {"hosts": ["two.test"]},
                                            "b": {"hosts": ["one.test"]}}))
    assert tool.list()["a"]["hosts"] == ["two.test"]


def test_import_dry_run_writes_nothing(tool):
    tool.write("old")
    done = tool.tenant("import", tool.import_file({"a": {}}), "--prune", "--dry-run")
    assert "added a\nremoved old\n" in done.stdout and "nothing was written" in done.stdout
    assert [path.name for path in tool.registry.iterdir()] == ["old.json"]


def test_import_prunes_files_in_error(tool):
    tool.path("bad").write_text("nonsense")
    tool.tenant("import", tool.import_file({"a": {}}), "--prune")
    assert [path.name for path in tool.registry.iterdir()] == ["a.json"]


def test_import_keeps_comments_of_the_unchanged_and_asks_for_the_changed(tool):
    text = '{"name": "A" /* ours */}'
    tool.path("a").write_text(text)
    tool.tenant("import", tool.import_file({"a": {"name": "A"}}))
    assert tool.path("a").read_text() == text
    path = tool.import_file({"a": {"name": "B"}})
    assert "--force" in tool.tenant("import", path, code=DATAERR).stderr
    assert tool.path("a").read_text() == text
    tool.tenant("import", path, "--force")
    assert tool.read("a") == {"name": "B"}


def test_import_that_can_not_write_all_changes_nothing(tool):
    tool.write("a", name="old")
    before = tool.path("a").read_text()
    (tool.registry / ".b.json.new").mkdir()
    path = tool.import_file({"a": {"name": "new"}, "b": {}, "c": {}})
    assert "nothing has changed" in tool.tenant("import", path, code=IOERR).stderr
    assert tool.path("a").read_text() == before
    assert sorted(path.name for path in tool.registry.iterdir()) == [".b.json.new", "a.json"]


@pytest.mark.parametrize("content, reason", [
    ("5", "must be an array"), ("[5]", 'an "id"'), ('[{"name": "x"}]', 'an "id"'),
    ('[{"id": "a"}, {"id": "a"}]', "twice"), ("[", ":1:")])
def test_import_refuses_files_of_another_form(tool, content, reason):
    assert reason in tool.tenant("import", tool.import_file(content), code=DATAERR).stderr


# ---- check ----

def test_check_of_a_right_registry(tool):
    tool.write("a")
    tool.write("b")
    assert tool.run("check").stdout == "2 tenants, no error\n"


def test_check_prints_every_error_with_its_place(tool):
    tool.write("a")
    tool.path("b").write_text('{\n  "hosts": ["a.test"]}')
    tool.path("c").write_text('{"nonsense": 1}')
    lines = tool.run("check", code=DATAERR).stdout.splitlines()
    assert lines[0].startswith(f'{tool.path("b")}:2:13: host "a.test" is already tenant a\'s')
    assert lines[1].startswith(f"{tool.path('c')}:1:2: ")
    assert lines[2] == "1 tenant, 2 errors"


def test_check_for_programs(tool):
    tool.path("b").write_text('{"nonsense": 1}')
    found = json.loads(tool.run("check", "--json", code=DATAERR).stdout)
    assert (found["tenants"], found["errors"], found["warnings"]) == (0, 1, 0)
    finding = found["findings"][0]
    assert (finding["file"], finding["line"], finding["column"], finding["severity"]) == (
        str(tool.path("b")), 1, 2, "error")
    assert "nonsense" in finding["message"]


def test_check_refuses_shared_session_directories(tool):
    tool.write_config(php={"session.save_path": "/shared"})
    tool.write("a")
    assert "1 tenant, no error" in tool.run("check").stdout
    tool.write("b")
    assert "/shared" in tool.run("check", code=DATAERR).stdout
    tool.write("a", php={"session.save_path": "/s/a"})
    tool.write("b", php={"session.save_path": "/s/a"})
    lines = tool.run("check", code=DATAERR).stdout.splitlines()
    assert lines[0].startswith(f"{tool.path('b')}:1:") and "tenant a's" in lines[0]
    tool.write("b", php={"session.save_path": "/s/b"})
    tool.run("check")


def test_check_warns_of_shared_data_and_databases(tool):
    shared = {"DATAROOT": "/data", "DBHOST": "h", "DBNAME": "n"}
    tool.write("a", params=shared)
    tool.write("b", params={**shared, "DBHOST": "other"})
    tool.write("c", params={**shared, "DATAROOT": "/c"})
    lines = tool.run("check").stdout.splitlines()
    assert len(lines) == 3
    assert f"{tool.path('b')}:" in lines[0] and "DATAROOT" in lines[0]
    assert f"{tool.path('c')}:" in lines[1] and "database" in lines[1]
    assert lines[2] == "3 tenants, no error, 2 warnings"


def test_check_warns_of_a_limit_that_can_not_be_known(tool):
    tool.write("a", plan={"cpu_seconds_per_month": 5})
    assert tool.run("check").stdout == "1 tenant, no error\n"
    tool.write_config(address="tcp:127.0.0.1:9001")
    lines = tool.run("check").stdout.splitlines()
    assert lines[0].startswith(f"{tool.path('a')}:1:") and "cpu_seconds_per_month" in lines[0]
    assert lines[1] == "1 tenant, no error, 1 warning"
    tool.write("a", plan={"requests_per_month": 5})
    assert tool.run("check").stdout == "1 tenant, no error\n"


def test_ledger_is_left_alone_where_no_plan_has_a_limit(tool):
    tool.write("a")
    tool.tenant("list")
    tool.tenant("show", "a")
    assert not (tool.home / "usage.db").exists()


def test_tenants_are_shown_without_a_ledger(tool):
    tool.write("a", plan={"requests_per_month": 5})
    (tool.home / "usage.db").write_text("no ledger")
    for words in (["list"], ["show", "a"]):
        done = tool.tenant(*words)
        assert "usage.db" in done.stderr
        assert "a.test" in done.stdout
    assert tool.list()["a"]["quota"] == {"state": "unknown", "used_percent": None}
    assert "this_month" not in json.loads(tool.tenant("show", "a", "--json").stdout)


def test_check_of_files_that_are_not_in_the_registry(tool):
    tool.write("a")
    draft = tool.home / "draft.json"
    draft.write_text('{"hosts": ["a.test"]}')
    assert "already tenant a's" in tool.run("check", draft, code=DATAERR).stdout
    same = tool.home / "a.json"
    same.write_text('{"hosts": ["a.test"], "name": "new"}')
    assert tool.run("check", same).stdout == "1 file, no error\n"


# ---- How long containers ran ----

def note_run(tool, tenant, started, until):
    """What a controller noted, in seconds since 1970."""
    with contextlib.closing(sqlite3.connect(tool.home / "usage.db")) as ledger, ledger:
        ledger.execute("INSERT INTO account(name) VALUES(?) ON CONFLICT DO NOTHING", [tenant])
        ledger.execute("INSERT INTO service SELECT id, ?, 'c1', ?, 0, 0 FROM account WHERE name=?",
                       [started * 10**9, until * 10**9, tenant])


def test_time_of_containers_is_in_export_and_usage(tool):
    november = ("--period", "2026-11")
    tool.run("usage", *november)
    note_run(tool, "centro1", 1795356000, 1795356000 + 5400)  # from 2026-11-22T14:00:00Z
    rows = list(csv.DictReader(io.StringIO(tool.run("export", *november).stdout)))
    assert [(row["tenant"], row["service_seconds"], row["requests"], row["metering"])
            for row in rows] == [("centro1", "5400.000000000", "0", "exact")]
    rows = json.loads(tool.run("usage", "--json", *november, "--by", "hour").stdout)["rows"]
    assert [(row["period_start"], row["service_seconds"]) for row in rows] == [
        ("2026-11-22T14:00:00Z", 3600), ("2026-11-22T15:00:00Z", 1800)]
    table = tool.run("usage", *november).stdout.splitlines()
    assert "SERVICE" in table[0]
    assert "1 h 30 min" in table[1] and "1 h 30 min" in table[2]


def note_request(tool, tenant):
    with contextlib.closing(sqlite3.connect(tool.home / "usage.db")) as ledger, ledger:
        day = 20779  # 2026-11-22
        ledger.execute("INSERT INTO account(name) VALUES(?)", [tenant])
        ledger.execute("INSERT INTO day VALUES(?)", [day])
        ledger.execute("INSERT INTO usage SELECT ?, id, 14, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0"
                       " FROM account WHERE name=?", [day, tenant])


def test_without_containers_nothing_is_said_of_them(tool):
    november = ("--period", "2026-11")
    tool.run("usage", *november)
    note_request(tool, "centro1")
    assert "SERVICE" not in tool.run("usage", *november).stdout
    row, = json.loads(tool.run("usage", "--json", *november).stdout)["rows"]
    assert (row["requests"], row["service_seconds"]) == (1, None)
    row, = csv.DictReader(io.StringIO(tool.run("export", *november).stdout))
    assert row["service_seconds"] == ""
    note_run(tool, "centro2", 1795356000, 1795359600)
    table = tool.run("usage", *november).stdout.splitlines()
    end = table[0].index("SERVICE") + len("SERVICE")
    assert [line[end - len("1 h 00 min"):end].strip() for line in table] == [
        "SERVICE", "", "1 h 00 min", "1 h 00 min"]
