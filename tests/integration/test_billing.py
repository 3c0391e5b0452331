"""Charges: bills for people, FOCUS and CloudEvents for programs, all from one ledger that is made
here; and the same sums again, in fractions, from the rows themselves."""

import calendar
import contextlib
import csv
import fractions
import io
import json
import sqlite3
import subprocess
from decimal import Decimal

import pytest

from support import focus
from support.fpmux import build_directory

USAGE, DATAERR, CONFIG = 64, 65, 78
TOOL = str(build_directory() / "fpmuxctl")

MONTHS = {"2026-09": 30, "2026-10": 31}  # over, by any clock that runs this
NS_PER_HOUR = 3600 * 10**9
PER_UNIT = {"cpu": NS_PER_HOUR, "worker": NS_PER_HOUR, "container": NS_PER_HOUR,
            "requests": 10**6, "traffic-out": 10**9}
KEYS = {"cpu": "core_hour", "worker": "worker_hour", "requests": "million_requests",
        "traffic-out": "gb_out", "container": "container_hour"}
RATES = {
    "currency": "EUR", "provider": "Hosting", "account": {"id": "sed", "name": "Consejería"},
    "prices": {"core_hour": "0.045", "worker_hour": "0.012345679", "million_requests": "200.5",
               "gb_out": 0.3, "container_hour": "0.004"},
    "free_per_month": {"core_hour": "0.5", "million_requests": "0.001"},
    "plans": {"basic": {},
              "premium": {"prices": {"core_hour": "0.030000001", "worker_hour": 0},
                          "free_per_month": {"core_hour": "2", "gb_out": "0.75"}}},
}
TENANTS = {
    "centro1": {"name": "IES Centro Uno", "labels": {"region": "madrid", "note": 'a,"b"\\'}},
    "centro2": {"name": "=HYPERLINK(\"http://x\")", "plan": {"name": "premium"},
                "labels": {"=key": "@value"}},
    "centro3": {"name": "ñandú, S.A.", "plan": {"name": "basic"}},
    "unmetered": {"name": "-none"},
    "partial": {"name": "+some"},
    "quiet": {},
}
GONE = "gone"  # in the ledger, and no longer in the registry


class Ledger:
    """What was used: a list of rows by month, tenant and hour, as the ledger has them too."""

    def __init__(self, path):
        self.path = path
        self.rows = []
        self.runs = {}

    def add(self, tenant, hour, requests, unmetered, cpu, wall, bytes_out):
        self.rows.append((tenant, hour, requests, unmetered, cpu, wall, bytes_out))

    def write(self):
        with contextlib.closing(sqlite3.connect(self.path)) as ledger, ledger:
            ledger.execute("INSERT INTO instance VALUES(1, 'test')")
            for tenant in sorted({row[0] for row in self.rows}):
                ledger.execute("INSERT INTO account(name) VALUES(?)", [tenant])
            for day in sorted({row[1] // 24 for row in self.rows}):
                ledger.execute("INSERT INTO day VALUES(?)", [day])
            ledger.executemany(
                "INSERT INTO usage SELECT ?, id, ?, 1, ?, ?, ?, ?, 5, 6, 7, ?, 0, 0"
                " FROM account WHERE name=?",
                [(hour // 24, hour % 24, requests, unmetered, cpu, wall, bytes_out, tenant)
                 for tenant, hour, requests, unmetered, cpu, wall, bytes_out in self.rows])
            for tenant, (begin, end) in self.runs.items():
                ledger.execute("INSERT INTO service SELECT id, ?, 'c', ?, 1, 0 FROM account"
                               " WHERE name=?", [begin, end, tenant])

    def used(self, tenant, month):
        """Base units of each SKU that are known."""
        begin = calendar.timegm((*map(int, month.split("-")), 1, 0, 0, 0)) // 3600
        rows = [row for row in self.rows
                if row[0] == tenant and begin <= row[1] < begin + MONTHS[month] * 24]
        used = {"requests": sum(row[2] for row in rows), "cpu": sum(row[4] for row in rows),
                "worker": sum(row[5] for row in rows), "traffic-out": sum(row[6] for row in rows)}
        if tenant in self.runs:
            start, stop = self.runs[tenant]
            low, high = begin * NS_PER_HOUR, (begin + MONTHS[month] * 24) * NS_PER_HOUR
            used["container"] = max(0, min(stop, high) - max(start, low))
        return {sku: quantity for sku, quantity in used.items() if quantity > 0}


class Biller:
    """fpmuxctl with a registry, rates and a ledger."""

    def __init__(self, home):
        self.home = home
        (home / "tenants").mkdir()
        for tenant, fields in TENANTS.items():
            self.write_tenant(tenant, **fields)
        self.rates = home / "rates.json"
        self.write_rates(RATES)
        self.config = home / "fpmux.json"
        self.write_config(rates=str(self.rates))
        self.run("usage")  # makes the ledger
        self.ledger = Ledger(home / "usage.db")

    def write_config(self, **fields):
        self.config.write_text(json.dumps({
            "tenant_sockets": False, "registry": f"dir:{self.home}/tenants",
            "ledger": f"sqlite:{self.home}/usage.db", "spool": {"dir": str(self.home)},
            "pools": {"default": {"address": "unix:/run/php/fpm.sock", "workers": 4,
                                  "root": "/var/www/html"}}, **fields}))

    def write_rates(self, rates):
        self.rates.write_text(rates if isinstance(rates, str) else json.dumps(rates))

    def write_tenant(self, tenant, **fields):
        (self.home / "tenants" / f"{tenant}.json").write_text(json.dumps(fields))

    def run(self, *words, code=0):
        done = subprocess.run([TOOL, "--config", str(self.config), *map(str, words)],
                              capture_output=True, timeout=60, check=False)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, done
        return done

    def export(self, form, *words):
        return self.run("export", "--format", form, *words).stdout

    def focus(self, *words):
        lines, wrong = focus.read(self.export("focus", *words))
        assert not wrong
        return lines

    def bills(self, *words):
        return json.loads(self.run("usage", "--bill", "--json", *words).stdout)


def fill(ledger):
    """Two months of hours, irregular, with figures that end in fractions of a cent."""
    for month, days in MONTHS.items():
        begin = calendar.timegm((*map(int, month.split("-")), 1, 0, 0, 0)) // 3600
        for hour in range(begin, begin + days * 24):
            for number, tenant in enumerate(("centro1", "centro2", "centro3", GONE), 1):
                if (hour * number) % 5 == 0:
                    continue
                ledger.add(tenant, hour, 7 + hour % (9 + number), 0,
                           11_000_000_003 * number + hour * 7919, 31_000_000_007 + hour * number,
                           2_345_678 + hour % 1000 * number)
        ledger.add("unmetered", begin + 5, 1000, 1000, 0, 3_600_000_000_000, 10**9)
        ledger.add("partial", begin + 5, 1000, 200, NS_PER_HOUR * 3, NS_PER_HOUR, 10**9)
        ledger.add("partial", begin + 6, 1000, 1000, 0, NS_PER_HOUR, 10**9)
    start = calendar.timegm((2026, 9, 20, 12, 30, 0)) * 10**9
    ledger.runs = {"centro1": (start, start + 20 * 24 * NS_PER_HOUR + 1)}
    ledger.write()


@pytest.fixture(scope="module")
def biller(tmp_path_factory):
    biller = Biller(tmp_path_factory.mktemp("billing"))
    fill(biller.ledger)
    return biller


@pytest.fixture
def fresh(tmp_path):
    biller = Biller(tmp_path)
    hour = calendar.timegm((2026, 10, 5, 0, 0, 0)) // 3600
    biller.ledger.add("centro1", hour, 10, 0, NS_PER_HOUR, NS_PER_HOUR, 10**9)
    biller.ledger.add("quiet", hour, 10, 0, NS_PER_HOUR, NS_PER_HOUR, 10**9)
    biller.ledger.write()
    return biller


def round_half_up(amount):
    """To cents."""
    return Decimal(int(amount * 100 + fractions.Fraction(1, 2))) / 100


def tariff_of(tenant):
    plan = RATES["plans"].get(TENANTS.get(tenant, {}).get("plan", {}).get("name"), {})
    return ({**RATES["prices"], **plan.get("prices", {})},
            {**RATES["free_per_month"], **plan.get("free_per_month", {})})


def expected_costs(ledger, tenant, month):
    prices, free = tariff_of(tenant)
    return {sku: round_half_up(
        max(0, quantity - fractions.Fraction(str(free.get(KEYS[sku], 0))) * PER_UNIT[sku])
        * fractions.Fraction(str(prices[KEYS[sku]])) / PER_UNIT[sku])
        for sku, quantity in ledger.used(tenant, month).items()}


def sums(lines, column, *keys):
    total = {}
    for line in lines:
        key = tuple(line[name] for name in keys)
        total[key] = total.get(key, 0) + Decimal(line[column])
    return total


# ---- Bills ----

@pytest.mark.parametrize("month", MONTHS)
def test_bills_are_what_the_rows_come_to(biller, month):
    bills = biller.bills("--period", month)
    assert {bill["tenant"] for bill in bills["bills"]} == {*TENANTS, GONE} - {"quiet"}
    for bill in bills["bills"]:
        costs = {line["sku"]: Decimal(line["cost"]) for line in bill["lines"]}
        assert costs == expected_costs(biller.ledger, bill["tenant"], month)
        assert Decimal(bill["total"]) == sum(costs.values())
        assert (bill["period_start"], bill["is_complete"]) == (f"{month}-01T00:00:00Z", True)
    assert Decimal(bills["total"]) == sum(Decimal(bill["total"]) for bill in bills["bills"])
    assert Decimal(bills["total"]) > 5


def test_two_months_are_two_bills(biller):
    both = biller.bills("--from", "2026-09", "--to", "2026-11", "--tenant", "centro1")["bills"]
    each = [biller.bills("--period", month, "--tenant", "centro1")["bills"][0] for month in MONTHS]
    assert both == each


def test_a_bill_says_what_is_not_metered(biller):
    bills = {bill["tenant"]: bill for bill in biller.bills("--period", "2026-10")["bills"]}
    none = bills["unmetered"]
    assert "cpu" not in {line["sku"] for line in none["lines"]}
    assert (none["metering"], none["requests_unmetered"]) == ("none", 1000)
    assert none["not_metered"] == ["cpu", "container"]
    assert (bills["partial"]["metering"], bills["partial"]["requests_unmetered"]) == ("partial",
                                                                                      1200)
    assert "cpu" in {line["sku"] for line in bills["partial"]["lines"]}
    assert bills["centro1"]["not_metered"] == []
    text = biller.run("usage", "--bill", "--period", "2026-10", "--tenant", "unmetered").stdout
    assert "Not metered, and not charged: the CPU of 1000 of 1000 requests." in text
    assert "Not known, and not charged: how long a container ran." in text


def test_a_bill_for_people(biller):
    lines = biller.run("usage", "--bill", "--period", "2026-10",
                       "--tenant", "centro2").stdout.splitlines()
    assert lines[0] == '=HYPERLINK("http://x") (centro2), 2026-10, plan premium'
    assert lines[1].split() == ["ITEM", "QUANTITY", "FREE", "UNIT", "PRICE", "COST"]
    bill, = biller.bills("--period", "2026-10", "--tenant", "centro2")["bills"]
    assert len(lines) == 2 + len(bill["lines"]) + 2  # the total; what is not known of containers
    for text, line in zip(lines[2:], bill["lines"]):
        assert text.startswith(line["meter"])
        price, cost = text.split()[-2:]
        assert (Decimal(price), cost) == (Decimal(line["unit_price"]), line["cost"])
    assert lines[-2].split() == ["Total", "EUR", bill["total"]]
    everything = biller.run("usage", "--bill", "--period", "2026-10").stdout
    assert "gone, 2026-10, no longer in the registry: common prices\n" in everything
    assert everything.endswith(f"All 6 bills: {biller.bills('--period', '2026-10')['total']} EUR\n")


# ---- FOCUS ----

@pytest.mark.parametrize("by", ["month", "day", "hour"])
def test_focus_keeps_the_rules(biller, by):
    text = biller.export("focus", "--by", by)
    assert focus.judge(text) == []
    assert text.count("\r\n") > 20


@pytest.mark.parametrize("by", ["month", "day", "hour"])
def test_focus_adds_up_to_the_bills(biller, by):
    lines = biller.focus("--by", by)
    billed = {}
    for bill in biller.bills("--from", "2026-09", "--to", "2026-11")["bills"]:
        for line in bill["lines"]:
            billed[bill["tenant"], bill["period_start"], line["sku"]] = Decimal(line["cost"])
    keys = ("SubAccountId", "BillingPeriodStart", "SkuId")
    assert sums(lines, "BilledCost", *keys) == billed
    assert sums(lines, "EffectiveCost", *keys) == billed


@pytest.mark.parametrize("column", ["ListCost", "PricingQuantity", "ConsumedQuantity",
                                    "x_FreeQuantity"])
def test_hours_add_up_to_the_month_in_each_column(biller, column):
    keys = ("SubAccountId", "BillingPeriodStart", "SkuId")
    by_month = sums(biller.focus(), column, *keys)
    assert sums(biller.focus("--by", "hour"), column, *keys) == by_month
    assert any(by_month.values())


def test_list_costs_are_the_bill_but_for_its_rounding(biller):
    for line in biller.focus():
        assert abs(Decimal(line["ListCost"]) - Decimal(line["BilledCost"])) <= Decimal("0.005")


def test_a_part_of_a_month_is_charged_as_in_the_whole(biller):
    whole = biller.focus("--by", "day", "--period", "2026-10")
    part = biller.focus("--by", "day", "--from", "2026-10-09", "--to", "2026-10-12")
    assert part == [line for line in whole
                    if "2026-10-09" <= line["ChargePeriodStart"] < "2026-10-12"]
    assert part


def test_the_earliest_usage_is_free(biller):
    lines = [line for line in biller.focus("--by", "hour", "--period", "2026-10",
                                           "--tenant", "centro2") if line["SkuId"] == "cpu"]
    free = [Decimal(line["x_FreeQuantity"]) for line in lines]
    assert sum(free) == 2 * 3600
    edge = next(i for i, line in enumerate(lines) if free[i] < Decimal(line["ConsumedQuantity"]))
    assert edge > 0 and not any(free[edge + 1:])


def test_prices_are_those_of_the_plan_to_the_last_decimal(biller):
    prices = {(line["SubAccountId"], line["SkuId"]): (line["SkuPriceId"], line["ListUnitPrice"])
              for line in biller.focus()}
    assert prices["centro1", "cpu"] == ("cpu", "0.045")
    assert prices["centro2", "cpu"] == ("cpu.premium", "0.030000001")
    assert prices["centro2", "worker"] == ("worker.premium", "0")
    assert prices["centro3", "cpu"] == ("cpu.basic", "0.045")
    assert prices["centro1", "traffic-out"] == ("traffic-out", "0.3")  # a number in the file


def test_unknown_cpu_makes_no_line_and_is_told(biller):
    done = biller.run("export", "--format", "focus", "--period", "2026-10")
    lines, _ = focus.read(done.stdout)
    unmetered = [line for line in lines if line["SubAccountId"] == "unmetered"]
    assert {line["SkuId"] for line in unmetered} == {"worker", "requests", "traffic-out"}
    assert {(line["x_Metering"], line["x_RequestsUnmetered"]) for line in unmetered} == {
        ("none", "1000")}
    assert {line["x_Metering"] for line in lines
            if line["SubAccountId"] == "partial"} == {"partial"}
    assert "not charged: of 1 rows all of it, of 1 some of it" in done.stderr


@pytest.mark.parametrize("column,value", [
    ("BilledCost", "1e2"), ("BilledCost", ""), ("BilledCost", "+1.00"), ("BilledCost", "99999.99"),
    ("EffectiveCost", "99999.99"), ("ListCost", "123"), ("ContractedCost", "0.00001"),
    ("ListUnitPrice", "77"), ("ListUnitPrice", ""), ("PricingQuantity", "1,5"),
    ("ConsumedQuantity", "0"), ("ConsumedQuantity", "-1"), ("ConsumedUnit", ""),
    ("PricingUnit", "hours"), ("PricingUnit", "GBs"), ("BillingCurrency", "Euro"),
    ("BillingPeriodStart", "2026-10-01"), ("BillingPeriodEnd", "2026-10-01T00:00:00+00:00"),
    ("ChargePeriodStart", "2026-07-01T00:00:00Z"), ("ChargePeriodEnd", "2027-11-01T00:00:00Z"),
    ("ChargeCategory", "usage"), ("ChargeClass", "None"), ("ChargeFrequency", ""),
    ("ServiceCategory", "Hosting"), ("ServiceSubcategory", "PHP"), ("ProviderName", ""),
    ("ProviderName", " "), ("SubAccountName", ""), ("ResourceType", ""), ("SkuPriceId", ""),
    ("Tags", "region=madrid"), ("Tags", '{"a": {}}'), ("Tags", "[]"), ("SkuMeter", "")])
def test_the_validator_sees_what_is_wrong(biller, column, value):
    lines = biller.focus("--period", "2026-10", "--tenant", "centro1")
    lines[1][column] = value
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, lines[0])
    writer.writeheader()
    writer.writerows(lines)
    assert focus.judge(out.getvalue()) != []


@pytest.mark.parametrize("column", sorted(focus.MANDATORY | focus.CONDITIONAL))
def test_the_validator_misses_a_column(biller, column):
    text = biller.export("focus", "--period", "2026-10", "--tenant", "centro1")
    head, rest = text.split("\r\n", 1)
    names = ["x_Other" if name == column else name for name in head.split(",")]
    assert any(column in wrong for wrong in focus.judge(",".join(names) + "\r\n" + rest))


# ---- CloudEvents ----

def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_cloudevents(biller):
    for event in events(biller.export("cloudevents", "--period", "2026-10")):
        assert event["specversion"] == "1.0"
        assert event["source"] == "/fpmux" and event["type"] == "fpmux.usage"
        assert event["datacontenttype"] == "application/json"
        assert event["subject"] == event["data"]["tenant"]
        assert event["time"] == event["data"]["period_end"] == "2026-11-01T00:00:00Z"
        assert event["id"] == "/".join(event["data"][key] for key in (
            "tenant", "period_start", "period_end", "sku"))


def test_a_second_export_changes_nothing(biller):
    for by in ("hour", "day", "month"):
        first = biller.export("cloudevents", "--by", by)
        assert biller.export("cloudevents", "--by", by) == first
        ids = [event["id"] for event in events(first)]
        assert len(ids) == len(set(ids)) > 0


def test_events_of_an_hour_are_the_same_in_every_export(biller):
    def october(*words):
        return events(biller.export("cloudevents", "--by", "hour", *words))

    hour = ("--from", "2026-10-09T05:00:00Z", "--to", "2026-10-09T06:00:00Z")
    some = october(*hour)
    assert some
    assert some == [event for event in october() if event["time"] == "2026-10-09T06:00:00Z"]
    one = october(*hour, "--tenant", "centro1")
    assert one == [event for event in some if event["subject"] == "centro1"]


def test_periods_of_different_length_are_different_events(biller):
    ids = [{event["id"] for event in events(biller.export("cloudevents", "--by", by))}
           for by in ("hour", "day", "month")]
    assert not ids[0] & ids[1] and not ids[1] & ids[2] and not ids[0] & ids[2]


def test_events_have_the_quantities_and_costs_of_focus(biller):
    lines = {(line["SubAccountId"], line["SkuId"]): line
             for line in biller.focus("--period", "2026-10")}
    found = events(biller.export("cloudevents", "--period", "2026-10"))
    assert len(found) == len(lines)
    for event in found:
        data, line = event["data"], lines[event["subject"], event["data"]["sku"]]
        assert Decimal(data["quantity"]) == Decimal(line["ConsumedQuantity"])
        assert data["unit"] == line["ConsumedUnit"] and data["metering"] == line["x_Metering"]
        assert (data["cost"], data["currency"]) == (line["BilledCost"], "EUR")


def test_without_rates_events_are_usage_alone(fresh):
    with_costs = events(fresh.export("cloudevents"))
    fresh.write_config()
    without = events(fresh.export("cloudevents", "--source", "urn:x"))
    assert [event["id"] for event in without] == [event["id"] for event in with_costs]
    for event in without:
        assert event["source"] == "urn:x"
        assert "cost" not in event["data"] and "currency" not in event["data"]


def test_what_has_not_ended_is_no_event(fresh):
    with contextlib.closing(sqlite3.connect(fresh.home / "usage.db")) as ledger, ledger:
        day = calendar.timegm((2199, 1, 5, 0, 0, 0)) // 86400
        ledger.execute("INSERT INTO day VALUES(?)", [day])
        ledger.execute("INSERT INTO usage SELECT ?, id, 3, 1, 5, 0, 5, 5, 0, 0, 0, 5, 0, 0"
                       " FROM account WHERE name='centro1'", [day])
    assert {event["time"] for event in events(fresh.export("cloudevents"))} == {
        "2026-11-01T00:00:00Z"}
    assert any(line["ChargePeriodEnd"] > "2199" for line in fresh.focus())
    assert not fresh.bills("--period", "2199-01")["bills"][0]["is_complete"]
    assert ", up to now\n" in fresh.run("usage", "--bill", "--period", "2199-01").stdout


# ---- Spreadsheets ----

def cells(text):
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def test_names_and_labels_are_no_formulas(biller):
    for text in (biller.export("focus"), biller.export("csv", "--columns", "name,tenant,requests")):
        assert not [cell for cell in cells(text) if cell and cell[0] in "=+-@\t\r"]
    names = {line["SubAccountId"]: line["SubAccountName"] for line in biller.focus()}
    assert names["centro2"] == "'=HYPERLINK(\"http://x\")"
    assert names["unmetered"] == "'-none" and names["partial"] == "'+some"
    assert names["centro3"] == "ñandú, S.A." and names[GONE] == GONE
    tags = {line["SubAccountId"]: line["Tags"] for line in biller.focus()}
    assert json.loads(tags["centro1"]) == TENANTS["centro1"]["labels"]
    assert json.loads(tags["centro2"]) == {"=key": "@value"}
    assert tags["centro3"] == ""


def test_columns_of_choice_in_their_order(biller):
    rows = list(csv.reader(io.StringIO(biller.export(
        "csv", "--columns", "requests,name,tenant", "--period", "2026-10"), newline="")))
    assert rows[0] == ["requests", "name", "tenant"]
    assert ["1000", "'-none", "unmetered"] in rows
    assert ["", GONE] in [row[1:] for row in rows]  # no name is known


# ---- Refusals ----

@pytest.mark.parametrize("words,said", [
    (["export", "--columns", "tenant,reqests"], 'no column "reqests"; did you mean "requests"?'),
    (["export", "--columns", "tenant,"], 'no column ""'),
    (["export", "--columns", "zzzzzzzzzz"], 'no column "zzzzzzzzzz"\n'),
    (["export", "--columns", "tenant", "--format", "focus"], "--columns is for --format csv"),
    (["export", "--rates", "x"], "--rates is for"),
    (["usage", "--rates", "x"], "--rates is for --bill"),
    (["usage", "--bill", "--by", "day"], "--bill is by month"),
    (["usage", "--bill", "--period", "2026-10-05"], "charges are of whole months"),
    (["export", "--format", "focus", "--by", "all"], "a charge is of a month at most"),
    (["export", "--format", "focus", "--from", "2026-10-05"], "charges are of whole months"),
    (["export", "--format", "cloudevents", "--to", "2026-10-05"], "charges are of whole months"),
    (["export", "--format", "focus", "--by", "day", "--from", "2026-10-05T01:00:00Z"],
     "charges are of whole days"),
    (["export", "--format", "focus", "--with-idle"], "nobody is charged"),
    (["usage", "--bill", "--tenant", "(idle)"], "nobody is charged"),
    (["export", "--format", "focs"], "none of csv, json, focus, cloudevents"),
])
def test_what_makes_no_sense_is_refused(biller, words, said):
    assert said in biller.run(*words, code=USAGE).stderr


def test_without_rates_nothing_is_billed(fresh):
    fresh.write_config()
    for words in (["usage", "--bill"], ["export", "--format", "focus"]):
        assert "there are no prices" in fresh.run(*words, code=CONFIG).stderr
    assert fresh.run("export", "--format", "focus", "--rates", fresh.rates).stdout.count("\n") > 1


def test_rates_in_error_are_told_with_their_place(fresh):
    fresh.write_rates('{\n "currency": "EUR", "provider": "P",\n "prices": {"core_hour": 1e-3}\n}')
    done = fresh.run("usage", "--bill", code=CONFIG)
    assert f'{fresh.rates}:3:26: "core_hour" must be a decimal' in done.stderr
    assert f'{fresh.rates}:3:26: "core_hour"' in fresh.run("check", code=DATAERR).stdout


def test_a_plan_without_prices_is_not_billed(fresh):
    fresh.write_tenant("centro1", plan={"name": "premum"})
    period = ("--period", "2026-10")
    assert 'tenant centro1: the rates have no plan "premum"' in fresh.run(
        "usage", "--bill", *period, code=DATAERR).stderr
    assert fresh.run("export", "--format", "focus", *period, code=DATAERR).stdout == ""
    assert fresh.bills(*period, "--tenant", "quiet")["bills"]
    path = fresh.home / "tenants" / "centro1.json"
    assert f'{path}:1:19: the rates have no plan "premum"' in fresh.run("check",
                                                                        code=DATAERR).stdout
    fresh.run("tenant", "set", "centro1", "plan.name=premium")
    fresh.run("check")
    assert "premium" in fresh.run("tenant", "show", "centro1").stdout
    assert fresh.bills(*period, "--tenant", "centro1")["bills"][0]["plan"] == "premium"


def test_a_tenant_in_error_is_not_billed_at_common_prices(fresh):
    (fresh.home / "tenants" / "centro1.json").write_text("{")
    period = ("--period", "2026-10")
    assert "centro1.json:1:" in fresh.run("usage", "--bill", *period, code=DATAERR).stderr
    assert "centro1.json:1:" in fresh.run("export", "--format", "focus", code=DATAERR).stderr
    assert fresh.bills(*period, "--tenant", "quiet")["bills"]


def test_a_price_is_never_a_double(fresh):
    fresh.write_rates('{"currency": "BHD", "provider": "P",'
                      ' "prices": {"gb_out": 999999.100000001, "core_hour": 0.000000001}}')
    lines = {line["SkuId"]: line for line in fresh.focus("--tenant", "centro1")}
    assert lines["traffic-out"]["ListUnitPrice"] == "999999.100000001"
    assert lines["traffic-out"]["ListCost"] == "999999.100000001"
    assert lines["traffic-out"]["BilledCost"] == "999999.100"
    assert lines["cpu"]["ListCost"] == "0.000000001" and lines["cpu"]["BilledCost"] == "0.000"
    assert set(lines) == {"traffic-out", "cpu"}  # nothing else has a price
