"""fpmux-exec alone, over pipes: what a command gets, what is told of it, and how it ends."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from support import runner
from support.programs import wait_until
from support.runner import Runner, frame, request

PYTHON = "/usr/bin/python3"

# Each process burns CPU, and says at its end what it burned by its own clock.
BURN = """
import os, sys, time
def burn(seconds):
    while time.process_time() < seconds: pass
    os.write(1, b"%.6f\\n" % time.process_time())
def child(work):
    pid = os.fork()
    if pid == 0:
        try: work()
        finally: os._exit(0)
    return pid
"""


def python(text):
    return [PYTHON, "-c", BURN + text]


def run(argv, **asked):
    with Runner(argv, **asked) as ran:
        return ran.finish()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def read_pids(ran, count):
    """The pids that the command writes, one in each line."""
    while ran.output.count(b"\n") < count:
        assert ran.step() is not None
    return [int(line) for line in ran.output.split()[:count]]


# ---- What the command gets ----

def test_environment_is_exactly_what_was_asked_for():
    environment = {"PATH": "/usr/bin:/bin", "DBPASS": "two\nlines \"'$x é", "EMPTY": ""}
    ran = run(["env", "-0"], environment=environment)
    assert ran.output.decode().split("\0")[:-1] == [f"{k}={v}" for k, v in environment.items()]


def test_command_is_found_in_its_own_path(place):
    tool = place / "tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    assert run(["tool"], environment={"PATH": str(place)}).output == b"found\n"


def test_command_runs_in_its_directory(place):
    assert run(["pwd"], directory=str(place)).output.decode().strip() == str(place)


def test_command_has_three_pipes_and_nothing_of_the_runner():
    code = "import os; print(sorted(os.listdir('/proc/self/fd')), os.getpgid(0) == os.getpid())"
    assert run([PYTHON, "-c", code]).output == b"['0', '1', '2', '3'] True\n"  # 3: the listing's


def test_command_meets_signals_as_any_command_does():
    ran = run(["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"])
    assert {line.split()[1] for line in ran.output.split(b"\n")[:2]} == {b"0" * 16}


LOOK_INTO_THE_RUNNER = """
import os, signal
for name in ('fd', 'mem', 'environ'):
    path = f'/proc/{os.getppid()}/{name}'
    try:
        os.listdir(path) if name == 'fd' else open(path, 'rb')
        print('open', name)
    except PermissionError:
        print('closed', name)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_command_of_the_same_user_can_not_reach_into_the_runner(place):
    program = shutil.copy(runner.build_directory() / "fpmux-exec", place / "fpmux-exec")
    os.chmod(program, 0o711)  # not dumpable from its first instruction on
    ran = run([PYTHON, "-c", LOOK_INTO_THE_RUNNER], program=program,
              popen={"user": 33, "group": 33, "extra_groups": []})
    assert ran.output.split() == [b"closed", b"fd", b"closed", b"mem", b"closed", b"environ"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_command_of_another_user_can_neither_look_into_the_runner_nor_stop_it():
    ran = run([PYTHON, "-c", LOOK_INTO_THE_RUNNER + """
for number in (signal.SIGSTOP, signal.SIGKILL):
    try:
        os.kill(os.getppid(), number)
    except PermissionError:
        print('refused', number.name)
print(os.getresuid(), os.getresgid(), os.getgroups())
print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])
open('/dev/stdout')
"""], user="www-data")
    assert ran.output.decode().splitlines() == [
        "closed fd", "closed mem", "closed environ", "refused SIGSTOP", "refused SIGKILL",
        "(33, 33, 33) (33, 33, 33) [33]", "['" + "0" * 16 + "']"]
    assert ran.value == 0


def test_missing_user_is_told():
    ran = run(["true"], user="nobody-of-that-name")
    assert (ran.outcome, ran.value) == (runner.NOT_STARTED, 126)
    assert ran.text == "nobody-of-that-name: no such user"


# ---- Its input and output ----

def test_streams_pass_through_whole():
    data = os.urandom(1_000_000)
    with Runner() as ran:
        ran.send(request(["sh", "-c", "tee /dev/stderr"]))
        sent, ran.credit = 0, runner.WINDOW
        while sent < len(data) or ran.credit < runner.WINDOW:
            part = data[sent:sent + min(ran.credit, 16384)]
            if part:
                ran.send(frame("i", part))
                ran.credit -= len(part)
                sent += len(part)
            if not part:
                ran.step()
        ran.send(frame("c"))
        ran.finish()
    assert ran.output == data
    assert ran.errors == data


def test_input_that_the_command_does_not_read_is_taken_and_dropped():
    with Runner() as ran:
        ran.send(request(["sh", "-c", "exec <&-; sleep 0.2"]))
        ran.send(*[frame("i", bytes(16384))] * 4)
        while ran.credit < runner.WINDOW:
            ran.step()
        ran.send(frame("i", bytes(1000)))
        ran.finish()
    assert (ran.outcome, ran.value) == (runner.EXITED, 0)


def test_output_that_nobody_reads_stalls_the_command_and_takes_no_memory():
    with Runner(["dd", "if=/dev/zero", "bs=1M", "count=30", "status=none"]) as ran:
        def memory_kib():
            with open(f"/proc/{ran.pid}/status", encoding="ascii") as status:
                return int(status.read().split("VmHWM:")[1].split()[0])

        def command():
            with open(f"/proc/{ran.pid}/task/{ran.pid}/children", encoding="ascii") as children:
                return children.read().split()

        pid = int(wait_until(command, "the command runs")[0])
        before = memory_kib()
        wait_until(lambda: "pipe_write" in wchan(pid), "the command waits to write")
        assert memory_kib() - before < 1024
        assert len(ran.finish().output) == 30 << 20


def wchan(pid):
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        return file.read()


# ---- How it ends ----

@pytest.mark.parametrize("argv, outcome, value, text", [
    (["sh", "-c", "exit 3"], runner.EXITED, 3, ""),
    (["sh", "-c", "kill -SEGV $$"], runner.KILLED, signal.SIGSEGV, ""),
    (["no-such"], runner.NOT_STARTED, 127, "no-such: command not found"),
    (["/etc/passwd"], runner.NOT_STARTED, 126, "/etc/passwd: Permission denied"),
])
def test_end_is_told_as_a_shell_would(argv, outcome, value, text):
    ran = run(argv)
    assert (ran.outcome, ran.value, ran.text) == (outcome, value, text)


def test_missing_directory_is_told():
    ran = run(["true"], directory="/no/such")
    assert (ran.outcome, ran.value) == (runner.NOT_STARTED, 126)
    assert ran.text == "/no/such: No such file or directory"


def test_time_limit_ends_all_descendants():
    # The second one has left the process group and hears no SIGTERM.
    ran = Runner(["sh", "-c", "echo $$; setsid sh -c 'trap \"\" TERM; echo $$; sleep 99; sleep 99' &"
                              " sleep 99"], limit_ms=300)
    with ran:
        begin = time.monotonic()
        pids = read_pids(ran, 2)
        ran.finish()
    assert ran.outcome == runner.TIMED_OUT
    assert 5 < time.monotonic() - begin < 8  # SIGKILL comes after 5 s
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user with few processes")
def test_who_forks_without_end_is_ended_too():
    started = time.monotonic()
    bomb = "ulimit -u 300; trap '' TERM; bomb() { bomb | bomb & }; bomb; sleep 100"
    ran = run(["bash", "-c", bomb], limit_ms=500, user="games")
    assert ran.outcome == runner.TIMED_OUT  # told when no descendant is left
    assert time.monotonic() - started < 15


def test_stop_ends_the_command_and_is_still_told():
    with Runner(["sh", "-c", "echo $$; sleep 99"]) as ran:
        read_pids(ran, 1)
        ran.send(frame("k"))
        ran.finish()
    assert (ran.outcome, ran.value) == (runner.KILLED, signal.SIGTERM)


@pytest.mark.parametrize("fills_its_input", [False, True])
def test_end_of_input_means_that_the_asker_is_gone(fills_its_input):
    with Runner() as ran:
        ran.send(request(["sh", "-c", "echo $$; sleep 99 & echo $!; wait"]))
        pids = read_pids(ran, 2)
        if fills_its_input:  # which the command never reads
            ran.send(*[frame("i", bytes(16384))] * 4)
        ran.process.stdin.close()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "the command is ended")
        assert ran.process.wait(10) == 0


def test_asker_that_reads_no_more_is_gone():
    with Runner(["sh", "-c", "echo $$; exec yes"]) as ran:
        pid = read_pids(ran, 1)[0]
        ran.process.stdout.close()
        wait_until(lambda: not is_alive(pid), "the command is ended")
        assert ran.process.wait(10) == 0
        ran.process.stdout = open(os.devnull, "rb")


@pytest.mark.parametrize("frames", [
    frame("s"), frame("x"), frame("a", b"true") + frame("s"), frame("i", b"early"),
    b"a\xff\xff\xff\xff", request(["cat"]) + frame("i", bytes(70_000)),
    request(["cat"]) + frame("c") + frame("i", b"late"),
    frame("e", b"A=" + b"x" * 100_000) * 25,
], ids=["no-command", "no-such-frame", "no-directory", "early-input", "long-frame",
        "input-without-credit", "late-input", "long-request"])
def test_wrong_frames_are_refused(frames):
    with Runner() as ran:
        try:
            ran.send(frames)
        except BrokenPipeError:
            pass
        assert ran.process.wait(10) == 76
        assert ran.process.stderr.read().startswith(b"fpmux-exec: ")


def test_command_does_not_outlive_a_runner_that_gives_up():
    with Runner() as ran:
        ran.send(request(["sh", "-c", "echo $$; sleep 99"]))
        pid = read_pids(ran, 1)[0]
        ran.send(frame("x"))
        assert ran.process.wait(10) == 76
        wait_until(lambda: not is_alive(pid), "the command is ended")


def test_runner_takes_no_arguments():
    done = subprocess.run([runner.build_directory() / "fpmux-exec", "x"], capture_output=True,
                          check=False)
    assert done.returncode == 64


# ---- What it used ----

@pytest.mark.parametrize("work, processes", [
    ("burn(0.2)", 1),
    ("os.waitpid(child(lambda: burn(0.2)), 0); burn(0.05)", 2),
    # Left behind: a grandchild in a session of its own, whose parent is gone.
    ("child(lambda: child(lambda: (os.setsid(), burn(0.3)))); burn(0.05)", 2),
    ("[child(lambda: burn(0.1)) for _ in range(4)]; burn(0.02)", 5),
], ids=["itself", "child", "grandchild-left-behind", "four-at-a-time"])
def test_cpu_is_what_the_processes_say(work, processes):
    ran = run(python(work))
    said = [float(line) for line in ran.output.split()]
    assert len(said) == processes
    assert abs(ran.cpu_s - sum(said)) <= max(0.01 * sum(said), 0.01 * processes), said


def test_cpu_is_told_while_it_runs_and_survives_what_ends():
    """Of a child that lives, then of one that was waited for: no step counts it twice."""
    ran = run(python("os.waitpid(child(lambda: burn(1.3)), 0); time.sleep(1.1); burn(0.3)"))
    said = sum(float(line) for line in ran.output.split())
    assert len(ran.cpu_ns) >= 3
    assert 0 < ran.cpu_ns[0] < ran.cpu_ns[-1]
    assert abs(ran.cpu_s - said) <= 0.03, (ran.cpu_ns, ran.output)


def test_cpu_of_what_is_killed_counts():
    ran = run(python("print(os.getpid()); child(lambda: burn(99)); burn(99)"), limit_ms=4000)
    assert ran.outcome == runner.TIMED_OUT
    assert 0.5 < ran.cpu_s < 8.2  # as much of two cores as others leave
