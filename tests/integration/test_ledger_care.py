"""fpmuxctl ledger: backups while everything runs, checks, ledgers of several hosts in one, and
letting go of what is old. And the months of the operator's time zone."""

import json
import sqlite3

import pytest
from support import fcgi
from support.fake_fpm import FakeFpm
from support.fpmux import Fpmux
from support.programs import wait_until
from support.web import Load

USAGE, DATAERR, CANTCREAT, CONFIG = 64, 65, 73, 78
MONTH_10 = 1790812800  # 2026-10-01T00:00:00Z
HOUR = 3600
COUNTERS = ("requests, requests_unmetered, cpu_ns, wall_ns, queue_ns, send_ns, bytes_in, bytes_out,"
            " errors_5xx, rejected")


class Host:
    """A host with a ledger; the daemon need not run."""

    def __init__(self, place, **config):
        self.fpmux = Fpmux(place, "unix:/nowhere", place.path, **config)
        self.ctl = self.fpmux.ctl
        self.export = self.fpmux.export
        self.database = self.fpmux.home / "usage.db"
        self.export()  # makes the ledger

    def use(self, tenant, time, requests, instance="i1"):
        """As if that many requests had been folded, in the hour that begins then."""
        hour = time // HOUR
        with sqlite3.connect(self.database) as database:
            for table, name in (("account", tenant), ("instance", f"{instance:0>32}")):
                database.execute(f"INSERT OR IGNORE INTO {table}(name) VALUES(?)", (name,))
            database.execute("INSERT OR IGNORE INTO day VALUES(?)", (hour // 24,))
            database.execute(
                f"INSERT INTO usage(day, hour, account, instance, {COUNTERS}) SELECT ?, ?, a.id,"
                " i.id, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM account a, instance i"
                " WHERE a.name=? AND i.name=?",
                (hour // 24, hour % 24, requests, tenant, f"{instance:0>32}"))
            database.execute("INSERT OR IGNORE INTO folded(instance, hour) SELECT id, ? FROM"
                             " instance WHERE name=?", (hour, f"{instance:0>32}"))
        database.close()

    def requests(self, *words):
        return [(row["tenant"], row["period_start"], int(row["requests"]))
                for row in self.export(*words)]


@pytest.fixture
def host(place):
    return Host(place)


# ---- Backup and verify ----

def test_backup_under_load_is_whole_and_sound(place):
    with FakeFpm(place) as fpm, Fpmux(place, fpm.address, place.path) as fpmux:
        fpmux.tenant("one")
        params = fcgi.web_params(place.path, "/a.php", server_name="one.test")
        wait_until(lambda: fcgi.call(fpmux.unix, params).status == 200, "the tenant is served")
        answered = []
        with Load(lambda: answered.append(fcgi.call(fpmux.unix, params).status), 2):
            for number in range(3):
                before = len(answered)
                wait_until(lambda: len(answered) > before + 20, "requests are answered")
                known = len(answered)
                path = fpmux.home / f"backup-{number}.db"
                fpmux.ctl("ledger", "backup", str(path))
                assert fpmux.ctl("ledger", "verify", str(path)).stdout.count("ok ") >= 6
                database = sqlite3.connect(path)
                (held,) = database.execute("SELECT sum(requests) FROM usage").fetchone()
                database.close()
                assert known <= held
        assert "WRONG" not in fpmux.ctl("ledger", "verify").stdout
        assert sorted(path.name for path in fpmux.home.glob("backup-*")) == [
            "backup-0.db", "backup-1.db", "backup-2.db"]
        assert set(answered) == {200}


def test_backup_replaces_a_file_only_when_told(host):
    path = host.fpmux.home / "backup.db"
    path.write_text("mine")
    done = host.ctl("ledger", "backup", str(path), check=False)
    assert done.returncode == CANTCREAT and "--force" in done.stderr
    assert path.read_text() == "mine"
    host.ctl("ledger", "backup", str(path), "--force")
    assert host.ctl("ledger", "verify", str(path)).stderr == ""
    assert path.stat().st_mode & 0o777 == 0o600


def test_verify_tells_what_is_wrong_and_how_to_mend_it(host):
    host.use("a", MONTH_10, 5)
    with sqlite3.connect(host.database) as database:
        database.execute("UPDATE usage SET bytes_in=-5")
    database.close()
    done = host.ctl("ledger", "verify", check=False)
    assert done.returncode == DATAERR
    (wrong,) = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert "below zero: 1 rows" in wrong
    assert "ledger merge" in done.stdout
    done = host.ctl("ledger", "verify", "--json", check=False)
    assert done.returncode == DATAERR
    findings = json.loads(done.stdout)
    assert [finding["ok"] for finding in findings].count(False) == 1
    assert all(bool(finding["mend"]) != finding["ok"] for finding in findings)


# ---- Merge ----

def test_ledgers_of_three_hosts_are_one(place):
    hosts = [Host(place) for _ in range(3)]
    for number, host in enumerate(hosts):
        host.use("a", MONTH_10, 10 ** number, f"{number}")
        host.use("b", MONTH_10 + number * HOUR, 1, f"{number}")
    first, *others = hosts
    files = [str(host.database) for host in others]
    assert first.ctl("ledger", "merge", *files).stdout.count("2 rows") == 2
    assert first.ctl("ledger", "merge", *files, *files).stdout.count("0 rows") == 4
    assert first.requests() == [("a", "2026-10-01T00:00:00Z", 111),
                                ("b", "2026-10-01T00:00:00Z", 3)]


def test_damaged_file_is_not_merged_and_the_others_are(place):
    ours, damaged, sound = (Host(place) for _ in range(3))
    for number, host in enumerate((damaged, sound)):
        host.use("a", MONTH_10, 5, f"{number}")
    with sqlite3.connect(damaged.database) as database:
        database.execute("UPDATE usage SET cpu_ns=-5")
    database.close()
    done = ours.ctl("ledger", "merge", str(damaged.database), str(sound.database), check=False)
    assert done.returncode == DATAERR
    assert str(damaged.database) in done.stderr and "below zero" in done.stderr
    assert ours.requests() == [("a", "2026-10-01T00:00:00Z", 5)]


# ---- Prune ----

def test_prune_keeps_the_sums_and_says_what_is_gone(host):
    for hour in range(48):
        host.use("a", MONTH_10 + hour * HOUR, 1)
    days = host.requests("--by", "day")
    assert "48 hourly rows would be" in host.ctl("ledger", "prune", "--before", "2026-11",
                                                 "--sum-to-days", "--dry-run").stdout
    told = host.ctl("ledger", "prune", "--before", "2026-11", "--sum-to-days", "--vacuum").stdout
    assert "48 hourly rows summed up, 2 rows stand for them" in told
    assert host.requests("--by", "day") == days
    done = host.ctl("export", "--by", "hour", check=False)
    assert done.returncode != 0 and "only the sum is left" in done.stderr
    assert host.ctl("export", "--by", "hour", "--from", "2026-11").stderr == ""
    assert "2 rows deleted" in host.ctl("ledger", "prune", "--before", "2026-11").stdout
    assert host.requests() == []
    assert "before 2026-11-01T00:00:00Z was deleted" in host.ctl("export").stderr
    assert "WRONG" not in host.ctl("ledger", "verify").stdout


@pytest.mark.parametrize("words, why", [
    ((), "usage:"),
    (("--before", "last week"), "is no time"),
    (("--before", "2026-10-05T12:00:00Z"), "beginning of a day"),
    (("--before", "2026-10-01", "--tz", "Asia/Kolkata"), "whole hour"),
    (("--before", "2100-01-01"), "to come"),
    (("--before", "2026-10", "more"), "usage:"),
])
def test_prune_refuses_what_it_can_not_do(host, words, why):
    done = host.ctl("ledger", "prune", *words, check=False)
    assert done.returncode == USAGE and why in done.stderr


def test_running_month_is_pruned_only_by_force(host):
    today = host.ctl("usage", "--period", "today", "--json").stdout
    today = json.loads(today)["generated_at"][:10]
    if today.endswith("-01"):
        pytest.skip("the month has just begun")
    done = host.ctl("ledger", "prune", "--before", today, check=False)
    assert done.returncode == USAGE and "--force" in done.stderr
    host.ctl("ledger", "prune", "--before", today, "--force")


# ---- The operator's time zone ----

def test_months_of_the_operators_zone(place):
    host = Host(place, timezone="Europe/Madrid")
    host.use("a", MONTH_10 - 2 * HOUR, 1)   # 00:00 on 1 October in Madrid
    host.use("a", MONTH_10 - 3 * HOUR, 10)  # 23:00 on 30 September
    madrid = [("a", "2026-08-31T22:00:00Z", 10), ("a", "2026-09-30T22:00:00Z", 1)]
    assert host.requests() == madrid
    assert host.requests("--tz", "UTC") == [("a", "2026-09-01T00:00:00Z", 11)]
    assert host.requests("--period", "2026-10") == madrid[1:]
    assert host.requests("--period", "2026-10", "--tz", "UTC") == []
    assert host.requests("--from", "2026-10-01") == madrid[1:]
    shown = host.ctl("usage", "--from", "2026-01", "--by", "day").stdout
    assert "2026-10-01 " in shown and "2026-09-30 " in shown
    shown = host.ctl("usage", "--from", "2026-01", "--by", "hour").stdout
    assert "2026-10-01 00:00 +0200" in shown


@pytest.mark.parametrize("zone, why", [("Europe/Atlantis", "no time zone"),
                                       ("Asia/Kolkata", "whole hour")])
def test_zone_that_can_not_be_used_is_refused(host, zone, why):
    done = host.ctl("usage", "--tz", zone, check=False)
    assert done.returncode == USAGE and why in done.stderr
    host.fpmux.config["timezone"] = zone
    host.fpmux.write_config()
    done = host.ctl("usage", check=False)
    assert done.returncode == CONFIG and "timezone" in done.stderr and why in done.stderr
