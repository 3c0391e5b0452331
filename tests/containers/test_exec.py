"""exec: one command for one tenant, in php-fpm's container, with that tenant's parameters."""

import json

from support.system import burn_cpu


def test_environment_is_the_tenants(shared):
    done = shared.ctl("exec", "one", "--", "php", "-r", "echo json_encode(getenv());")
    environment = json.loads(done.stdout)
    assert environment["DBPASS"] == "password-of-one" and environment["ORGANISATION"] == "one"
    assert set(environment) == {"PATH", "HOME", "LANG", "USER", "ORGANISATION", "DBHOST", "DBNAME",
                                "DBUSER", "DBPASS", "DATAROOT"}


def test_exit_code_and_output_are_the_commands(shared):
    done = shared.ctl("exec", "two", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "out\n") and "err" in done.stderr
    assert shared.ctl("exec", "two", "--", "no-such-command", check=False).returncode == 127
    assert shared.ctl("exec", "nobody", "--", "true", check=False).returncode == 66


def test_cpu_of_children_is_charged(shared):
    before = shared.billed("one", "cpu_seconds")
    shared.ctl("exec", "one", "--", "sh", "-c", f"php -r '{burn_cpu(0.3)}' & wait")
    assert 0.3 < shared.billed("one", "cpu_seconds") - before < 1


def test_no_secret_on_a_command_line(shared):
    everything = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    done = shared.ctl("exec", "one", "--", "sh", "-c", everything)
    assert "cmdline" in done.stdout and "password-of" not in done.stdout


def test_all_run_and_who_failed_is_told(shared):
    done = shared.ctl("exec", "--all", "--", "sh", "-c", 'echo "$DBNAME"; [ "$ORGANISATION" = one ]',
                      check=False)
    assert sorted(done.stdout.split()) == sorted(["one:", "name-of-one", "two:", "name-of-two"])
    assert done.returncode == 1 and "1 of 2 done" in done.stderr and "two: exit 1" in done.stderr
