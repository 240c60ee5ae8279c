"""`--keep-stderr`: why a command ends is part of the reason, and stderr passes as without it."""

import os
import re
import signal
import sys
from pathlib import Path

from support.sandbox import MARK, WRAPPED, ZKEXEC, Mirror, Sandbox, born, faulty
from support.waiting import lines, until

KEPT = (*WRAPPED[:-1], "--keep-stderr", "--")
FAILS = 'echo "reading a.conf" >&2; printf "unknown directive\\tat line 3" >&2; exit 1'
REASON = 'exit status 1: "unknown directive\\tat line 3"'

# Writes two megabytes, more than fits into the pipes, and reports a signal even while it waits.
CHATTY = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got USR1\\n"))
os.write(1, b"listening\\n")
for number in range(40_000):
    os.write(2, b"%050d\\n" % number)
"""


def test_the_last_line_is_part_of_the_reason(sandbox: Sandbox) -> None:
    """The log and the alert end with it, without control characters, and only with the option."""
    alert = 'printf "%s\\n" "$ZKEXEC_REASON" >>alerts'
    for words in ((*ZKEXEC, "--keep-stderr"), ZKEXEC):
        status, out, err = sandbox.run(*words, "--alert", alert, "--", "sh", "-c", FAILS)

        assert (status, out) == (1, b"")
        # A line of zkexec's own log can come between them.
        assert b"reading a.conf\n" in err
        assert b"unknown directive\tat line 3" in err
        assert (f"command failed: {REASON}\n".encode() in err) == ("--keep-stderr" in words)
    assert lines(sandbox.folder / "alerts") == [REASON, "exit status 1"]


def test_bytes_and_exit_status_pass_unchanged(sandbox: Sandbox) -> None:
    """A megabyte of any bytes arrives whole and in order, and the status is the command's."""
    every = bytes(range(256)) * 4096
    script = "cat >&2; exit 7"

    assert sandbox.run(*KEPT, "sh", "-c", script, input=every) == (7, b"", every)


def test_only_stderr_is_a_pipe(sandbox: Sandbox) -> None:
    """The other streams are the caller's own, and no variable names stderr as the journal."""
    given = [sandbox.folder / name for name in ("in", "out", "err")]
    given[0].write_bytes(b"")
    script = "readlink /proc/$$/fd/*; env >&2"
    with given[0].open("rb") as stdin, given[1].open("wb") as out, given[2].open("wb") as err:
        streams = {"stdin": stdin, "stdout": out, "stderr": err}
        environment = sandbox.environment(JOURNAL_STREAM="8:12345")
        run = sandbox.start(*KEPT, "sh", "-c", script, env=environment, **streams)
        assert run.wait() == 0

    opened = lines(given[1])
    assert opened[:2] == [str(path) for path in given[:2]]
    assert opened[2].startswith("pipe:")
    assert any(line.startswith(f"{MARK}=") for line in lines(given[2]))
    assert not [line for line in lines(given[2]) if line.startswith("JOURNAL_STREAM")]


def test_a_daemon_with_the_pipe_keeps_nothing_waiting(sandbox: Sandbox) -> None:
    """zkexec ends with the command though a process that it left has stderr open."""
    script = "sleep 1000 & echo started >&2; exit 4"

    assert sandbox.run(*KEPT, "sh", "-c", script, stdout=None) == (4, b"", b"started\n")
    assert sandbox.sleepers()


def test_a_reader_that_is_gone_ends_no_command(sandbox: Sandbox) -> None:
    """If zkexec's stderr is closed from the other end, the command goes on writing."""
    reading, writing = os.pipe()
    os.close(reading)
    script = "for i in 1 2 3; do echo line $i >&2 || exit 9; done; echo done"
    run = sandbox.start(*KEPT, "sh", "-c", script, stderr=writing)
    os.close(writing)

    assert run.wait() == 0
    assert run.stdout.text == "done\n"


def test_a_slow_reader_loses_nothing(sandbox: Sandbox) -> None:
    """If no reader takes anything, the command waits, signals pass, and later all arrives."""
    reading, writing = os.pipe()
    run = sandbox.start(*KEPT, sys.executable, "-c", CHATTY, stderr=writing)
    os.close(writing)
    with open(reading, "rb") as stream:
        run.until("listening", on=run.stdout)
        run.signal(signal.SIGUSR1)
        run.until("got USR1", on=run.stdout)
        arrived = stream.read()

    assert arrived.split(b"\n")[:-1] == [b"%050d" % number for number in range(40_000)]
    assert run.wait() == 0


def test_it_goes_on_after_a_restart_a_stop_and_a_mistake(
    sandbox: Sandbox, mirror: Mirror, tmp_path: Path
) -> None:
    """Each command writes through zkexec, also when that was stopped, and has failed internally."""
    trip = tmp_path / "trip"
    script = (
        "trap 'echo usr1 >&2' USR1; trap 'echo last words >&2; exit 3' USR2;"
        f" echo born $$ >>{sandbox.report}; while :; do sleep 0.05; done"
    )
    words = (*faulty("event", "ZnodesRead", "natural-once", trip), "--keep-stderr", mirror.option)
    run = sandbox.start(*words, "--", "sh", "-c", script)
    born(sandbox.report)
    mirror.change()
    born(sandbox.report, 2)
    run.signal(signal.SIGSTOP)
    run.signal(signal.SIGCONT)

    def answers(count: int) -> bool:
        run.signal(signal.SIGUSR1)
        return len(run.stderr.matching("^usr1$")) >= count

    run.until(lambda: answers(1), "the second command writes")
    trip.touch()
    mirror.change()
    run.until("zkexec failed internally")
    seen = len(run.stderr.matching("^usr1$"))
    run.until(lambda: answers(seen + 1), "the caretaker passes it on")
    born(sandbox.report, 3)
    seen = len(run.stderr.matching("^usr1$"))
    run.until(lambda: answers(seen + 1), "the third command writes")
    run.signal(signal.SIGUSR2)

    assert run.wait() == 3
    run.until('command failed: exit status 3: "last words"')


def test_a_group_shows_why_its_member_failed(sandbox: Sandbox, mirror: Mirror, root: str) -> None:
    """The reason of the config failure contains the last line, in the log and in the status."""
    lock = f"{root}/group"
    script = f"grep -q 0 {mirror.local} || {{ {FAILS}; }}; exec sleep 1000"
    words = ("--keep-stderr", f"--lock={lock}", mirror.option, "--", "sh", "-c", script)
    run = sandbox.start(*ZKEXEC, *words)
    until(sandbox.sleepers, "the command runs")
    mirror.change()

    run.until(f"restart failed: the command ended .{re.escape(REASON)}.;")
    ctl = (sys.executable, "-m", "zkexec.ctl")
    until(lambda: REASON in sandbox.run(*ctl, "status", lock)[1].decode(), "status shows it")


def test_a_group_shows_what_an_unhealthy_command_wrote_last(
    sandbox: Sandbox, mirror: Mirror, root: str
) -> None:
    """A command that goes on running is quoted in the log, the alert and the status."""
    lock = f"{root}/group"
    fails = "printf 'reading\\ncannot bind\\tport 80\\n' >&2"
    script = f"echo old >&2; grep -q 0 {mirror.local} || {fails}; exec sleep 1000"
    wrote = r'the command wrote last: "cannot bind\tport 80"'
    reason = f"not healthy within 2 s: exit status 1; {wrote}"
    health = (f"--health=grep -q 0 {mirror.local}", "--health-delay=2")
    alert = '--alert=printf "%s\\n" "$ZKEXEC_REASON" >>alerts'
    words = ("--keep-stderr", f"--lock={lock}", mirror.option, *health, alert)
    run = sandbox.start(*ZKEXEC, *words, "--", "sh", "-c", script)
    until(sandbox.sleepers, "the command runs")
    mirror.change()

    run.until(f"restart failed: {re.escape(reason)};")
    until((sandbox.folder / "alerts").exists, "the alert runs")
    until(lambda: reason in lines(sandbox.folder / "alerts"), "the alert has the reason")
    ctl = (sys.executable, "-m", "zkexec.ctl")
    until(lambda: reason in sandbox.run(*ctl, "status", lock)[1].decode(), "status shows it")
    assert sandbox.sleepers()


def test_what_was_written_before_a_reload_is_no_reason_after_it(
    sandbox: Sandbox, mirror: Mirror, root: str
) -> None:
    """Of a reloaded command only a line since the reload counts; without one there is none."""
    script = (
        f"trap 'echo got HUP >>{sandbox.report}' HUP; echo of the start >&2;"
        f" echo born $$ >>{sandbox.report}; while :; do sleep 0.05; done"
    )
    health = (f"--health=grep -q 0 {mirror.local}", "--health-delay=1")
    reload = ("--on-change=reload", "--check=true")
    words = ("--keep-stderr", f"--lock={root}/group", mirror.option, *health, *reload)
    run = sandbox.start(*ZKEXEC, *words, "--", "sh", "-c", script)
    born(sandbox.report)
    run.until("of the start")
    mirror.change()
    run.until("restart failed: not healthy within 1 s: exit status 1")

    assert lines(sandbox.report)[1:] == ["got HUP"]
    assert not run.stderr.matching("wrote last")
