"""Load by wrk in rounds that take turns, and the CPU that a hop used meanwhile."""

import json
import os
import statistics
import subprocess
import time

LUA_DONE = """
function done(summary, latency, requests)
    local failed = summary.errors
    io.stderr:write(string.format('{"requests": %d, "duration_us": %d, "p50_us": %d, '
        .. '"p99_us": %d, "connect_errors": %d, "read_errors": %d, "write_errors": %d, '
        .. '"timeouts": %d, "bad_answers": %d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        failed.connect, failed.read, failed.write, failed.timeout, failed.status))
end
"""


ERRORS = ("connect_errors", "read_errors", "write_errors", "timeouts", "bad_answers")


def process_cpu_s(pid):
    """utime + stime of another process, in nanoseconds' resolution (its CPU clock)."""
    return time.clock_gettime((~pid << 3) | 2)


def pinned():
    """The load generator gets a core of its own where the servers still have several."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[-1])] if len(cores) >= 4 else []


def run_wrk(place, port, candidate, seconds):
    """What wrk counted."""
    script = place / "wrk.lua"
    script.write_text(candidate.script() + LUA_DONE)
    done = subprocess.run(
        [*pinned(), "wrk", "-t1", f"-c{candidate.connections}", f"-d{seconds}s",
         "--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{port}{candidate.path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=seconds + 60,
        check=True)
    return json.loads(done.stderr)


def take_sample(place, port, candidate, seconds):
    """With the rate and the hop's CPU per request; fails when a request failed."""
    before_s = process_cpu_s(candidate.hop.pid) if candidate.hop else None
    sample = run_wrk(place, port, candidate, seconds)
    if not sample["requests"] or any(sample[kind] for kind in ERRORS):
        raise AssertionError(f"{candidate.name}: {sample}")
    sample["requests_per_s"] = sample["requests"] / sample["duration_us"] * 1e6
    if candidate.hop:
        used_s = process_cpu_s(candidate.hop.pid) - before_s
        sample["hop_cpu_us"] = used_s * 1e6 / sample["requests"]
    return sample


def measure(place, port, candidates, rounds, seconds, report):
    """{name: [sample per round]}: A, B, C, B, C, A, so that a slow minute of the machine hits all
    of them and none is always the first. What warms up OPcache and connections is not counted."""
    samples = {candidate.name: [] for candidate in candidates}
    for candidate in candidates:
        candidate.check(port)
        run_wrk(place, port, candidate, seconds)
    for number in range(rounds):
        start = number % len(candidates)
        for candidate in candidates[start:] + candidates[:start]:
            report(f"round {number + 1}/{rounds} {candidate.name}")
            samples[candidate.name].append(take_sample(place, port, candidate, seconds))
    return samples


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def ratio(samples, yardsticks, key, yardstick_key=None):
    """Median, lowest and highest of the ratios round by round."""
    ratios = [sample[key] / yardstick[yardstick_key or key]
              for sample, yardstick in zip(samples, yardsticks)]
    return statistics.median(ratios), min(ratios), max(ratios)
