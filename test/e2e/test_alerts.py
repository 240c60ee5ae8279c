"""Alerts: when they run, what they are told, and when there are none."""

import os
import signal
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.waiting import lines, until_line

OFTEN = ("--health-delay=0.1", "--health-interval=0.1")
HOST = os.uname().nodename
TELL = (
    'printf "%s|%s|%s|%s|%s\\n" "$ZKEXEC_EVENT" "$ZKEXEC_REASON" "$ZKEXEC_LOCK" '
    '"$ZKEXEC_MEMBER" "${ZKEXEC_EXIT_STATUS-unset}" >>$0'
)


@pytest.fixture
def told(host: MirroredHost) -> Path:
    """The file that alerts write to, a line each."""
    return host.sandbox.folder / "alerts"


def alert(script: str, *words: object) -> str:
    """The option of an alert: a script for sh and its $0, $1, ..."""
    return f"--alert={quoted('sh', '-c', script, *words)}"


@pytest.mark.parametrize(
    ("script", "status", "line"),
    [
        ("exit 7", 7, f"command-failed|exit status 7||{HOST}|7"),
        ("kill -KILL $$", -9, f"command-failed|killed by SIGKILL||{HOST}|137"),
    ],
)
def test_a_command_that_fails(
    host: MirroredHost, told: Path, *, script: str, status: int, line: str
) -> None:
    """The alert is told the status, and has finished when zkexec ends as the command ended."""
    run = host.start(alert(f"sleep 0.3; {TELL}", told), "--", "sh", "-c", script)

    assert run.wait() == status
    assert lines(told) == [line]
    assert run.stderr.matching("command failed: (exit status 7|killed by SIGKILL)$")


def test_a_command_that_cannot_be_started(host: MirroredHost, told: Path) -> None:
    """A command that does not exist is alerted of, with 127 as its status."""
    run = host.start(alert(TELL, told), "--exec=/no/such/command")

    assert run.wait() == 127
    (line,) = lines(told)
    assert line.startswith("command-failed|")
    assert "/no/such/command" in line
    assert line.endswith(f"||{HOST}|127")


def test_a_command_that_succeeds(host: MirroredHost, told: Path) -> None:
    """A command that ends with 0 is no failure."""
    run = host.start(alert(TELL, told), "--exec=true")

    assert run.wait() == 0
    assert not told.exists()
    assert not run.stderr.matching("command failed|alert")


def test_each_failed_check_is_alerted_of(host: MirroredHost, told: Path) -> None:
    """While health fails the alert is repeated at each failed check, never two at once."""
    script = f"echo begin >>$0; sleep 0.3; {TELL}"
    options = (*OFTEN, f"--health={quoted('sh', '-c', 'exit 3')}", alert(script, told))
    run = host.start(*options, "--", "sleep", "1000")

    until_line(told, f"health-failed|exit status 3||{HOST}|", 3)
    run.end()

    seen = lines(told)
    assert set(seen[::2]) == {"begin"}
    assert "begin" not in seen[1::2]
    assert run.stderr.matching("alerting via: sh -c .* \\(health-failed: exit status 3\\)")


def test_repeats_keep_the_alert_interval(host: MirroredHost, told: Path) -> None:
    """Within --alert-interval a failure that lasts is alerted of once."""
    options = (*OFTEN, "--health=false", "--alert-interval=1000", alert(TELL, told))
    run = host.start(*options, "--", "sleep", "1000")

    run.until("failed health check", count=5)
    run.end()

    assert lines(told) == [f"health-failed|exit status 1||{HOST}|"]


def health_of(sick: Path) -> str:
    """The option of a check that fails as long as this file is there."""
    return f"--health=test ! -e {sick}"


@pytest.mark.parametrize("recovery", [True, False])
def test_recovery_is_told_where_asked_for(
    host: MirroredHost, told: Path, *, recovery: bool
) -> None:
    """The end of a failure is alerted of only with --alert-recovery; the next failure is new."""
    sick = host.sandbox.folder / "sick"
    sick.touch()
    options = [*OFTEN, health_of(sick), "--alert-interval=1000", alert(TELL, told)]
    options += ["--alert-recovery"] if recovery else []
    run = host.start(*options, "--", "sleep", "1000")
    until_line(told, f"health-failed|exit status 1||{HOST}|")

    sick.unlink()
    run.until("successful health check", count=2)
    sick.touch()
    until_line(told, f"health-failed|exit status 1||{HOST}|", 2)
    run.end()

    assert [line.split("|")[0] for line in lines(told)] == (
        ["health-failed", "recovered", "health-failed"]
        if recovery
        else ["health-failed", "health-failed"]
    )


def test_what_waits_for_an_alert_is_only_the_newest(host: MirroredHost, told: Path) -> None:
    """What happens while an alert is under way waits; of several things the newest is told."""
    sick, gate = host.sandbox.folder / "sick", host.sandbox.folder / "gate"
    sick.touch()
    script = f"echo begin >>$0; while [ ! -e $1 ]; do sleep 0.05; done; {TELL}"
    options = (*OFTEN, health_of(sick), "--alert-recovery", alert(script, told, gate))
    run = host.start(*options, "--", "sleep", "1000")
    until_line(told, "begin")

    run.until("failed health check", count=3)
    sick.unlink()
    run.until("successful health check")
    assert lines(told) == ["begin"]
    gate.touch()

    until_line(told, f"recovered|the health check succeeds again||{HOST}|")
    run.end()
    assert [line.split("|")[0] for line in lines(told)] == [
        "begin",
        "health-failed",
        "begin",
        "recovered",
    ]


def test_a_restart_that_fails(host: MirroredHost, told: Path) -> None:
    """Files that cannot be written are alerted of once for each reason, and so is their end."""
    host.create(a=b"one")
    run = host.wrap(alert(TELL, told), "--alert-recovery")
    host.born()
    host.file("a").unlink()
    host.file("a").mkdir()

    reason = f"{host.file('a')}: Is a directory"
    host.set(a=b"two")
    until_line(told, f"restart-failed|{reason}||{HOST}|")
    host.set(a=b"three")
    run.until("cannot write", count=2)
    host.file("a").rmdir()
    host.set(a=b"four")

    host.born_with(a="four")
    until_line(told, f"recovered|the failure is over: {reason}||{HOST}|")
    assert run.end() == 0
    assert len(lines(told)) == 2


def test_an_end_that_waits_for_an_alert(host: MirroredHost) -> None:
    """An alert that hangs at the end is killed after --kill-timeout, with all it started."""
    hangs = alert("sleep 1000 & sleep 1000")
    run = host.start("--kill-timeout=0.5", hangs, "--", "sh", "-c", "exit 5")

    assert run.wait() == 5
    assert run.stderr.matching("the alert command took too long; killed")
    host.sandbox.wait_until_empty()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_end_that_was_asked_for(host: MirroredHost, told: Path, number: int) -> None:
    """A signal that ends the command by way of zkexec is no failure: no alert, no such line."""
    run = host.start(alert(TELL, told), "--", "sleep", "1000")
    run.until("forked")

    run.signal(number)

    assert run.wait() == -number
    assert not told.exists()
    assert not run.stderr.matching("command failed|alert")


def test_a_status_after_a_term_is_no_failure(host: MirroredHost, told: Path) -> None:
    """A command that answers the TERM with a status other than 0 has not failed."""
    host.create(a=b"one")
    run = host.wrap(alert(TELL, told), recorder=("--status", "7"))
    host.born()

    assert run.end() == 7
    assert not told.exists()
    assert not run.stderr.matching("command failed")


def test_the_end_of_an_old_child_is_no_failure(host: MirroredHost, told: Path) -> None:
    """With whatever status a command is stopped for a restart: no alert."""
    host.create(a=b"one")
    run = host.wrap(alert(TELL, told), recorder=("--status", "7"))
    host.born()

    host.set(a=b"two")
    host.born(2)

    assert run.end() == 7
    assert not told.exists()


def test_an_alert_prints_on_stderr(host: MirroredHost) -> None:
    """What an alert prints comes on stderr, as stdout is the command's."""
    run = host.start("--silent", "--alert=echo FOO", "--", "sh", "-c", "echo BAR; exit 1")

    assert run.wait() == 1
    assert run.stdout.lines == ["BAR"]
    assert run.stderr.lines == ["FOO"]


def test_an_alert_that_fails_is_told(host: MirroredHost) -> None:
    """An alert command that fails, or cannot be started, is a line and nothing else."""
    for command, words in (("false", "exit status 1"), ("/no/such/alert", "No such file")):
        run = host.start(f"--alert={command}", "--", "sh", "-c", "exit 6")

        assert run.wait() == 6
        assert run.stderr.matching(f"the alert command failed: .*{words}")
