"""What the daemon says when it can't start: one line that names the place, and exit code 78. And what
it says about a ledger that fails."""

import os
import socket
import subprocess

import pytest
from support.fpmux import Fpmux
from support.programs import wait_until

CONFIG = 78
NOBODY = 65534


@pytest.fixture
def fpmux(place):
    place.directory("fpmux-1").chmod(0o755)
    return Fpmux(place, "unix:/nonexistent/fpm.sock", "/var/www/html")


def refused(fpmux, *options, code=CONFIG, user=None):
    """What the daemon says, which must be one line."""
    fpmux.write_config()
    words = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}",
                                     "--clear-groups"]
    done = subprocess.run([*words, *fpmux.command(), *options], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == code, done
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    return done.stderr


def test_missing_configuration_is_told(fpmux):
    fpmux.write_config = fpmux.config_path.unlink
    assert refused(fpmux) == f"error: {fpmux.config_path}: No such file or directory\n"


def test_message_about_a_hostile_key_is_one_line(fpmux):
    fpmux.config["pools"]["default"]["php"] = {"a\n\x1b[31m": "1"}
    assert "a\\x0a\\x1b[31m" in refused(fpmux)


@pytest.mark.parametrize("key", ["ledger", "spool.dir", "tenant_sockets", "registry", "pages"])
def test_directory_that_is_a_file_is_told(fpmux, key):
    wrong = fpmux.place / "x"
    wrong.write_text("")
    set_directory(fpmux, key, wrong)
    text = refused(fpmux)
    assert text.startswith(f"error: {fpmux.config_path}: {key}: {wrong}")
    assert "ot a directory" in text


@pytest.mark.parametrize("key", ["ledger", "spool.dir", "tenant_sockets", "registry", "pages"])
def test_directory_that_can_not_be_made_is_told(fpmux, key):
    wrong = fpmux.place / "no" / "x"
    set_directory(fpmux, key, wrong)
    text = refused(fpmux)
    assert text.startswith(f"error: {fpmux.config_path}: {key}: {wrong}")
    assert "No such file or directory" in text


@pytest.mark.parametrize("key", ["ledger", "spool.dir", "tenant_sockets"])
def test_directory_of_somebody_else_is_told(fpmux, key):
    for path in (fpmux.home, fpmux.home / "spool", fpmux.sockets):
        os.chown(path, NOBODY, NOBODY)
    theirs = fpmux.place / "x"
    (theirs / "counters").mkdir(parents=True)
    set_directory(fpmux, key, theirs)
    text = refused(fpmux, user=NOBODY)
    assert text.startswith(f"error: {fpmux.config_path}: {key}: {theirs}")
    assert f"user {NOBODY} can't make files there" in text


def set_directory(fpmux, key, path):
    if key == "spool.dir":
        fpmux.config["spool"] = {"dir": str(path)}
    else:
        before = {"ledger": "sqlite:", "registry": "dir:"}.get(key, "")
        after = "/usage.db" if key == "ledger" else ""
        fpmux.config[key] = f"{before}{path}{after}"


def test_address_in_use_is_told(fpmux):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        fpmux.config["listen"] = [f"tcp:127.0.0.1:{other.getsockname()[1]}"]
        text = refused(fpmux)
    assert text.startswith(f"error: {fpmux.config_path}: listen: tcp:127.0.0.1:")
    assert "Address already in use" in text


def test_name_that_can_not_be_resolved_is_told_with_its_key(fpmux):
    fpmux.config["listen"] = ["tcp:nobody.invalid:9000"]
    assert refused(fpmux).startswith(f"error: {fpmux.config_path}: listen: tcp:nobody.invalid:9000")


def test_nowhere_to_listen_is_told(fpmux):
    fpmux.config["listen"] = []
    fpmux.config["tenant_sockets"] = False
    assert "nobody could connect" in refused(fpmux)


def test_check_says_each_error_once(fpmux):
    fpmux.tenant_text("wrong", "{")
    text = refused(fpmux, "--check", code=65)
    assert text.startswith(f"error: {fpmux.registry}/wrong.json:1:")


def test_each_reason_why_the_ledger_fails_is_said_once(fpmux):
    ledger = fpmux.home / "usage.db"
    ledger.mkdir()
    with fpmux:
        wait_until(lambda: fpmux.log_lines("not a regular file"), "the first reason")
        ledger.rmdir()
        ledger.write_text("this is no database")
    assert len(fpmux.log_lines("error: ledger: ")) == 2
    assert fpmux.log_lines("file is not a database")


def test_reason_that_stays_is_not_repeated(fpmux):
    (fpmux.home / "usage.db").mkdir()
    with fpmux:
        wait_until(lambda: fpmux.log_lines("not a regular file"), "the reason")
    assert len(fpmux.log_lines("error: ledger: ")) == 1
