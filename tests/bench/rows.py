"""The rows of the table: which candidate is held against which yardstick, and the budget."""

from typing import NamedTuple

from load import median, ratio


class Row(NamedTuple):
    title: str
    figure: str       # candidate
    yardstick: str    # candidate
    key: str          # of a sample
    bound: str        # ">=" or "<="
    budget: float
    meaning: str


RATE, P99, CPU = "requests_per_s", "p99_us", "hop_cpu_us"
UNITS = {RATE: "req/s", P99: "us", CPU: "us"}

ROWS = [
    Row("1  GET, tenant socket / paper", "fpmux-socket", "paper", RATE, ">=", 1.8,
        "Throughput of a trivial script. The paper's set-up: Apache connects to PHP-FPM over TCP "
        "anew for every request."),
    Row("2  GET, TCP / paper", "fpmux-tcp", "paper", RATE, ">=", 1.5,
        "The same with fpmux on TCP, tenants told apart by SERVER_NAME."),
    Row("3a GET, tenant socket / bare relay", "fpmux-socket", "relay", RATE, ">=", 0.95,
        "The bare relay (relay.c) copies bytes and adds six parameters: as cheap as a hop in user "
        "space can be."),
    Row("3b p99 of GET / best direct", "fpmux-socket", "direct", P99, "<=", 0.8,
        "Best direct set-up: unix socket, connections reused, as many FPM workers as Apache has "
        "threads. The 99th percentile of the latency under the same load."),
    Row("4a POST of 2 KB / bare relay", "fpmux-socket form", "relay form", RATE, ">=", 0.8,
        "A form of 2048 bytes. fpmux sends a request with a body as the last one of its backend "
        "connection; the relay does not."),
    Row("4a the same with keep_bodies", "fpmux-bodies form", "relay form", RATE, ">=", 0.8,
        "On a pool whose PHP-FPM is known to be safe for bodies on kept connections."),
    Row("4b php block / bare relay", "php-1 limit", "relay limit", RATE, ">=", 0.8,
        "A tenant with php settings of its own, alone on the pool."),
    Row("4c php blocks, two in turns / relay", "php-1+php-2 limit", "relay+relay-2 limit", RATE,
        ">=", 0.8,
        "Two tenants with different php settings take turns: workers are switched between them."),
    Row("5  WordPress / best direct", "fpmux-wp", "wp-direct", RATE, ">=", 0.97,
        "Front page of Debian's WordPress; both ways run the same code on the same database."),
    Row("6  CPU per GET / bare relay", "fpmux-socket", "relay", CPU, "<=", 1.3,
        "utime + stime of the fpmux process per request, over the bare relay's."),
]

HEADING = ("what", "figure", "yardstick", "ratio", "spread", "budget", "")


def judge(row, samples):
    """One row of results, ready for JSON; None when its candidates were not measured."""
    if row.figure not in samples or row.yardstick not in samples:
        return None
    figure, yardstick = samples[row.figure], samples[row.yardstick]
    middle, low, high = ratio(figure, yardstick, row.key)
    kept = middle >= row.budget if row.bound == ">=" else middle <= row.budget
    return {"row": row.title, "figure": median(figure, row.key),
            "yardstick": median(yardstick, row.key), "unit": UNITS[row.key], "ratio": middle,
            "ratio_low": low, "ratio_high": high, "bound": row.bound, "budget": row.budget,
            "kept": kept}


def as_cells(result):
    unit = result["unit"]
    digits = 2 if unit in ("us", "s") and result["figure"] < 1000 else 0
    return (result["row"], f"{result['figure']:.{digits}f} {unit}",
            f"{result['yardstick']:.{digits}f} {unit}", f"{result['ratio']:.2f}",
            f"{result['ratio_low']:.2f}-{result['ratio_high']:.2f}",
            f"{result['bound']} {result['budget']:.2f}", "ok" if result["kept"] else "SHORT")


def print_table(results):
    table = [HEADING, *map(as_cells, results)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADING))]
    for line in table:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def print_rates(samples):
    """Every candidate by itself."""
    print("\nevery way by itself (medians):")
    for name, taken in samples.items():
        cpu = f"  {median(taken, CPU):6.1f} us CPU of the hop" if CPU in taken[0] else ""
        rates = [sample[RATE] for sample in taken]
        print(f"  {name:22} {median(taken, RATE):8.0f} req/s ({min(rates):.0f}-{max(rates):.0f})"
              f"  p50 {median(taken, 'p50_us') / 1000:7.2f} ms"
              f"  p99 {median(taken, 'p99_us') / 1000:7.2f} ms{cpu}")


def explanation():
    entries = [f"  {row.title} ({row.bound} {row.budget})\n      {row.meaning}" for row in ROWS]
    entries.append("  7  month's export, 10,000 tenants, a year (<= 10 s, <= 100 MiB)\n      A month of "
                   "a ledger of 88 million hourly rows, from a cold cache (year.py).")
    return "\n".join(entries)
