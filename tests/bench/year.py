#!/usr/bin/python3
"""Fills a ledger with a year of hourly rows of many tenants, and measures a month's export from it.

The year is written with SQL into a ledger that fpmuxctl made: to count it would take a year."""

import argparse
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

FIRST_DAY = 20454          # 2026-01-01, in days since 1970
DAYS = 365
TENANTS = 10000
MONTH = "2026-07"
BUDGET_S, BUDGET_MIB = 10, 100
NS = 1_000_000_000

COUNT = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
    INSERT INTO {} SELECT i, {} FROM n"""
# Each tenant is at work in every hour of the year.
DAY = """
    WITH RECURSIVE h(hour) AS (SELECT 0 UNION ALL SELECT hour + 1 FROM h WHERE hour < 23)
    INSERT INTO usage
    SELECT :day, id, hour, :instance, r, 0, r * 3456789, r * 4567891, r * 98765, r * 12345, r * 321,
           r * 45678, r / 100, r / 50
    FROM (SELECT a.id, h.hour, 1 + (a.id * 31 + h.hour * 17 + :day) % 5000 AS r
          FROM account a CROSS JOIN h)"""
FOLDED = """
    WITH RECURSIVE h(hour) AS (SELECT 0 UNION ALL SELECT hour + 1 FROM h WHERE hour < 23)
    INSERT INTO folded(instance, hour) SELECT :instance, :day * 24 + hour FROM h"""
# A container of each tenant is replaced every month.
RUNS = """
    WITH RECURSIVE m(month) AS (SELECT 0 UNION ALL SELECT month + 1 FROM m WHERE month < 11)
    INSERT INTO service
    SELECT a.id, :start + month * :length, printf('%064x', a.id * 12 + month),
           :start + (month + 1) * :length, 1, 0
    FROM account a CROSS JOIN m"""


class Tool:
    """fpmuxctl with a ledger of its own."""

    def __init__(self, build, home):
        self.program = build / "fpmuxctl"
        self.database = home / "usage.db"
        self.config = home / "fpmux.json"
        self.config.write_text(json.dumps({
            "ledger": f"sqlite:{self.database}", "tenant_sockets": False,
            "registry": f"dir:{home}", "spool": {"dir": str(home)},
            "pools": {"default": {"address": "unix:/nowhere", "workers": 1, "root": "/srv"}}}))

    def export(self, *words):
        """What one run takes."""
        command = [str(self.program), "--config", str(self.config), "export", *words]
        with tempfile.TemporaryFile() as output:
            start = time.monotonic()
            with subprocess.Popen(command, stdout=output) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - start
            output.seek(0)
            rows = sum(1 for _ in output) - 1
        assert process.returncode == 0, command
        return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "mib": usage.ru_maxrss / 1024, "rows": rows}


def fill(tool, tenants, report):
    """The ledger's year; one instance a day, as if fpmux was upgraded every night."""
    tool.export()
    database = sqlite3.connect(tool.database, isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    database.execute("BEGIN")
    database.execute(COUNT.format("account", "printf('tenant-%05d', i)"), {"count": tenants})
    database.execute(COUNT.format("instance", "printf('%032x', i)"), {"count": DAYS})
    database.execute(RUNS, {"start": FIRST_DAY * 86400 * NS, "length": 2600000 * NS})
    database.execute("COMMIT")
    for number in range(DAYS):
        values = {"day": FIRST_DAY + number, "instance": number + 1}
        report(f"day {number + 1} of {DAYS}")
        database.execute("BEGIN")
        database.execute("INSERT INTO day VALUES(?)", (values["day"],))
        database.execute(DAY, values)
        database.execute(FOLDED, values)
        database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def forget_cached(path):
    """Out of the page cache, as on the first of the month."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(build, home, report, tenants=TENANTS):
    """One sample: a month of all tenants, a row for each; and with a row for each day."""
    tool = Tool(build, home)
    if not tool.database.exists():
        fill(tool, tenants, report)
    sample = {"tenants": tenants}
    for by in ("month", "day"):
        report(f"ledger: export --by {by}")
        forget_cached(tool.database)
        sample[by] = tool.export("--period", MONTH, "--by", by)
    report("")
    return sample


def results(sample):
    """Rows of the bench's table: what a month's export takes, of what it may take."""
    month = sample["month"]
    return [{"row": f"7  month's export, {sample['tenants']} tenants, a year: {what}",
             "figure": figure, "yardstick": budget, "unit": unit, "ratio": figure / budget,
             "ratio_low": figure / budget, "ratio_high": figure / budget, "bound": "<=",
             "budget": 1, "kept": figure <= budget}
            for what, figure, budget, unit in (("time", month["seconds"], BUDGET_S, "s"),
                                               ("memory", month["mib"], BUDGET_MIB, "MiB"))]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path, help="a build that has fpmuxctl")
    parser.add_argument("home", type=pathlib.Path,
                        help="directory for the ledger (6 GB); one that is there is used again")
    parser.add_argument("--tenants", type=int, default=TENANTS)
    arguments = parser.parse_args()
    arguments.home.mkdir(exist_ok=True)
    sample = measure(arguments.build, arguments.home, lambda text: print(text, file=sys.stderr),
                     arguments.tenants)
    for by in ("month", "day"):
        figures = sample[by]
        print(f"{MONTH} by {by}: {figures['rows']} rows, {figures['seconds']:.2f} s "
              f"({figures['cpu_seconds']:.2f} s CPU), {figures['mib']:.0f} MiB")
    return 0 if all(result["kept"] for result in results(sample)) else 1


if __name__ == "__main__":
    sys.exit(main())
