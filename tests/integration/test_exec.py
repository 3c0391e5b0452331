"""fpmuxctl exec and cron, with an engine that only runs commands."""

import json
import os
import signal
import subprocess

import pytest

from support.fake_engine import FakeEngine
from support.fpmux import Fpmux
from support.programs import wait_until
from support.runner import LocalRunners

BURN = ["/usr/bin/python3", "-c", "import time\nwhile time.process_time() < 0.3: pass\n"
        "print(time.process_time())"]


@pytest.fixture
def engine(place):
    with FakeEngine(place) as started:
        started.add_image("fpmux/php-fpm")
        started.add_container("test-fpm-default", image="fpmux/php-fpm")
        started.on_exec = LocalRunners()
        yield started


@pytest.fixture
def runners(engine):
    return engine.on_exec


@pytest.fixture
def fpmux(place, engine, root):
    """Its registry and fpmuxctl; the daemon itself is not started."""
    made = Fpmux(place, "unix:/no/fpm.sock", root,
                 containers={"engine": engine.address, "name": "test", "code": str(root)})
    for tenant in ("one", "two", "three"):
        made.tenant(tenant, params={"DBNAME": tenant, "DBPASS": "two\nlines"})
    return made


def start(fpmux, *words):
    """fpmuxctl in the background, in a process group of its own."""
    return subprocess.Popen([fpmux.build / "fpmuxctl", "--config", fpmux.config_path, *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_command_gets_the_tenants_parameters_and_nothing_else(fpmux, engine, runners, root):
    done = fpmux.ctl("exec", "one", "--", "sh", "-c", "env -0; pwd")
    assert set(done.stdout.split("\0")) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp",
        "USER=www-data", "LANG=C.UTF-8", "DBNAME=one", "DBPASS=two\nlines", f"PWD={root}",
        f"{root}\n"}
    asked = runners.asked[0]
    assert asked.container.name == "test-fpm-default"
    assert (asked.command, asked.user) == (["/usr/bin/fpmux-exec"], "root")
    assert "lines" not in str([(call.path, call.body) for call in engine.calls])


def test_input_output_and_exit_code_pass_through(fpmux):
    data = os.urandom(300_000)
    done = subprocess.run([fpmux.build / "fpmuxctl", "-c", fpmux.config_path, "exec", "one", "--",
                           "sh", "-c", "tee /dev/stderr; exit 7"], input=data, check=False,
                          capture_output=True, timeout=30)
    assert done.returncode == 7
    assert done.stdout == data
    assert done.stderr == data


@pytest.mark.parametrize("words, code, text", [
    (["one", "--", "sh", "-c", "kill -9 $$"], 137, "one: killed by signal 9"),
    (["one", "--", "no-such"], 127, "one: no-such: command not found"),
    (["one", "--", "/etc/passwd"], 126, "Permission denied"),
    (["one", "--timeout", "0.2", "--", "sleep", "99"], 124, "one: ended after its limit of 0.2 s"),
    (["nobody", "--", "true"], 66, "no tenant \"nobody\""),
    (["one"], 64, "behind \"--\""),
    (["one", "--all", "--", "true"], 64, "either ids of tenants, or --all"),
    (["--all", "--pool", "x", "--", "true"], 64, "no pool \"x\""),
    (["one", "--timeout", "-1", "--", "true"], 64, "--timeout"),
])
def test_failures_have_their_codes_and_reasons(fpmux, words, code, text):
    done = fpmux.ctl("exec", *words, check=False)
    assert (done.returncode, text in done.stderr) == (code, True), done


@pytest.mark.parametrize("tenant", ["one", "elsewhere"])  # stopped; not there
def test_container_that_does_not_run_is_told(fpmux, engine, tenant):
    fpmux.config["pools"]["other"] = fpmux.config["pools"]["default"]
    fpmux.write_config()
    fpmux.tenant("elsewhere", pool="other")
    engine.die("test-fpm-default", comes_back=False)
    done = fpmux.ctl("exec", tenant, "--", "true", check=False)
    assert done.returncode == 69
    assert "does not run: fpmuxctl up fpm" in done.stderr


@pytest.mark.parametrize("words", [["one"], ["--all"]])
def test_engine_that_is_away_is_told(fpmux, engine, words):
    engine.down()
    done = fpmux.ctl("exec", *words, "--", "true", check=False)
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1 and "Docker Engine" in done.stderr


def test_cpu_is_charged_to_the_tenant(fpmux):
    said = {tenant: float(fpmux.ctl("exec", tenant, "--", *BURN).stdout)
            for tenant in ("one", "two")}
    for tenant, seconds in said.items():
        assert abs(fpmux.billed(tenant, "cpu_seconds") - seconds) <= 0.02
        assert fpmux.billed(tenant, "requests") == 0
    assert fpmux.billed("three", "cpu_seconds") == 0
    assert list((fpmux.home / "counters").iterdir()) == []


def test_kill_loses_no_charge_that_was_told_and_ends_the_command(fpmux, runners):
    running = start(fpmux, "exec", "one", "--", "sh", "-c", "while :; do :; done")
    wait_until(lambda: fpmux.billed("one", "cpu_seconds") > 0.3, "a first charge")
    running.kill()
    running.communicate()
    assert fpmux.billed("one", "cpu_seconds") > 0.3
    wait_until(runners.are_over, "the command is ended")


def test_all_are_run_in_whole_lines(fpmux):
    done = fpmux.ctl("exec", "--all", "--parallel", "3", "--", "sh", "-c",
                     "for i in 1 2 3 4; do printf '%s ' $DBNAME; sleep 0.02; echo $i; done")
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{tenant}: {tenant} {i}" for tenant in ("one", "two", "three") for i in range(1, 5))
    assert "3 of 3 done" in done.stderr


@pytest.mark.parametrize("parallel", [1, 2])
def test_so_many_run_at_a_time(fpmux, parallel):
    done = fpmux.ctl("exec", "--all", "--parallel", str(parallel), "--", "sh", "-c",
                     "echo $(date +%s%N) 1; sleep 0.3; echo $(date +%s%N) -1")
    running = most = 0
    for step in sorted(line.split()[1:] for line in done.stdout.splitlines()):
        running += int(step[1])
        most = max(most, running)
    assert most == parallel


def test_failures_among_all_are_summed_up(fpmux):
    done = fpmux.ctl("exec", "--all", "--", "sh", "-c", "[ $DBNAME != two ] || exit 5",
                     check=False)
    assert done.returncode == 1
    assert "2 of 3 done" in done.stderr
    assert done.stderr.splitlines()[-1] == "  two: exit 5"


def test_file_in_error_makes_all_incomplete(fpmux):
    fpmux.tenant_text("broken", "{")
    done = fpmux.ctl("exec", "--all", "--", "true", check=False)
    assert done.returncode == 1
    assert "left out: " in done.stderr and "broken.json" in done.stderr


def test_suspended_run_only_on_demand(fpmux):
    fpmux.tenant("two", state="suspended")
    fpmux.tenant("three", plan={"paid_until": "2020-01-31"})
    assert fpmux.ctl("exec", "two", "--", "true", check=False).returncode == 77
    assert "1 of 1 done" in fpmux.ctl("exec", "--all", "--", "true").stderr
    assert "3 of 3 done" in fpmux.ctl("exec", "--all", "--with-suspended", "--", "true").stderr
    fpmux.ctl("exec", "two", "--with-suspended", "--", "true")


def test_json_is_an_object_for_each(fpmux):
    done = fpmux.ctl("exec", "--all", "--json", "--", "sh", "-c", "echo out; exit 2", check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["tenant"] for row in rows) == ["one", "three", "two"]
    for row in rows:
        assert row["exit_code"] == 2
        assert 0 < row["cpu_seconds"] < 0.5
        assert 0 < row["wall_seconds"] < 30
    assert "one: out" in done.stderr


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [["one"], ["--all"]])
def test_signal_ends_what_runs_and_waits_for_it(fpmux, runners, words, sent, code):
    running = start(fpmux, "exec", *words, "--", "sh", "-c",
                    "trap 'echo ended; exit 1' TERM; echo begun; while :; do sleep 0.02; done")
    running.stdout.readline()
    running.send_signal(sent)
    output, _ = running.communicate(timeout=20)
    assert running.returncode == code
    assert "ended" in output
    wait_until(runners.are_over, "the runners have ended", deadline_s=1)


def test_second_signal_ends_at_once(fpmux, runners):
    running = start(fpmux, "exec", "one", "--", "sh", "-c",
                    "trap 'echo deaf' TERM; echo begun; while :; do sleep 0.02; done")
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    assert running.stdout.readline() == "deaf\n"
    running.send_signal(signal.SIGINT)
    assert running.wait(2) == 130
    running.communicate()
    wait_until(runners.are_over, "the command is ended")


def test_cron_runs_the_commands_that_there_are(fpmux):
    for tenant, word in (("one", "first"), ("two", "second")):
        fpmux.tenant(tenant, cron={"every_seconds": 60, "command": ["echo", word]})
    done = fpmux.ctl("cron")
    assert sorted(done.stdout.splitlines()) == ["one: first", "two: second"]
    assert fpmux.ctl("cron", "two").stdout == "two: second\n"
    assert fpmux.ctl("cron", "three", check=False).returncode == 65
    assert fpmux.ctl("cron", "nobody", check=False).returncode == 66


def test_cron_command_has_its_own_limit(fpmux):
    fpmux.tenant("one", cron={"every_seconds": 60, "command": ["sleep", "99"], "seconds": 1})
    done = fpmux.ctl("cron", "one", check=False)
    assert done.returncode == 1
    assert "one: ended after its limit of 1 s" in done.stderr
