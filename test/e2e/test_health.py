"""Health checks, as their commands and the log see them."""

import signal
import subprocess
import time

from support.mirrored_host import MirroredHost, quoted
from support.processes import is_alive, state
from support.waiting import lines, until

OFTEN = ("--health-delay=0.1", "--health-interval=0.1")


def check(*words: object) -> str:
    """The option of a health check: a script for sh and its $0, $1, ..."""
    return f"--health={quoted('sh', '-c', *words)}"


def test_checks_come_one_after_the_other(host: MirroredHost) -> None:
    """Each check is announced and judged before the next begins, and none before the command."""
    report = host.sandbox.folder / "checks"
    script = "echo begin >>$0; sleep 0.2; echo end >>$0"
    run = host.start(*OFTEN, check(script, report), "--", "sleep", "1000")

    run.until("successful health check", count=4)
    run.end()

    told = [line for line in run.stderr.lines if "health check" in line or "forked" in line]
    assert "forked" in told[0]
    assert all("health checking via: sh -c" in line for line in told[1::2])
    assert all(line.endswith("successful health check") for line in told[2::2])
    seen = lines(report)
    assert len(seen) >= 8
    assert set(seen[::2]) == {"begin"}
    assert set(seen[1::2]) == {"end"}


def test_the_first_check_waits_for_the_delay(host: MirroredHost) -> None:
    """Within --health-delay of a start there is no check, also after a restart."""
    host.create(a=b"one")
    run = host.wrap("--health-delay=1000", "--health-interval=0.01", "--health=true")
    host.born()

    host.set(a=b"two")
    host.born(2)

    assert run.end() == 0
    assert not run.stderr.matching("health check")


def test_a_failed_check_is_told_and_ends_nothing(host: MirroredHost) -> None:
    """A check that fails is a line with its status; the command runs on and checks go on."""
    host.create(a=b"one")
    run = host.wrap(*OFTEN, check("exit 3"))
    first = host.born()

    run.until("failed health check: exit status 3", count=3)

    host.only(first)
    assert run.end() == 0


def test_a_check_that_cannot_be_started_has_failed(host: MirroredHost) -> None:
    """A health command that does not exist is a failed check each time, and nothing else."""
    run = host.start(*OFTEN, "--health=/no/such/check", "--", "sleep", "1000")

    run.until("failed health check: .*No such file or directory", count=2)

    assert run.end() == -15


def test_a_hanging_check_is_killed_with_all_it_started(host: MirroredHost) -> None:
    """After --health-timeout the check and its background processes are gone, and it has failed."""
    report = host.sandbox.folder / "checks"
    script = "sleep 1000 & echo $! $$ >>$0; sleep 1000"
    options = (*OFTEN, "--health-timeout=0.5", check(script, report))
    run = host.start(*options, "--", "sleep", "1000")

    run.until("failed health check: no answer within 0.5 s", count=2)

    started = [int(pid) for line in lines(report)[:2] for pid in line.split()]
    assert len(started) == 4
    until(lambda: not any(map(is_alive, started)), "nothing of the checks is left")
    assert run.end() == -15


def test_a_check_of_an_earlier_child_does_not_count(host: MirroredHost) -> None:
    """A check that began before a restart is dropped, whatever it would have said."""
    host.create(a=b"one")
    mark = host.sandbox.folder / "first"
    alerts = host.sandbox.folder / "alerts"
    # The first check hangs, and would fail in the end; all others succeed.
    options = (check("mkdir $0 2>/dev/null || exit 0; sleep 1000; exit 1", mark), *OFTEN)
    run = host.wrap(*options, f"--alert=touch {alerts}")
    host.born()
    until(mark.exists, "the first check has begun")

    host.set(a=b"two")
    host.born(2)
    run.until("successful health check", count=2)

    assert run.end() == 0
    assert not run.stderr.matching("failed health check")
    assert not alerts.exists()


def test_a_check_may_be_a_list_of_commands(host: MirroredHost) -> None:
    """The dead man's switch of the tutorial works as typed: a check && touch a file."""
    report = host.sandbox.folder / "succeeded_at"
    run = host.start(*OFTEN, f"--health=true && touch {report}", "--", "sleep", "1000")

    run.until("successful health check")
    run.end()

    assert report.exists()


def test_a_check_reads_nothing_and_writes_to_stderr(host: MirroredHost) -> None:
    """A check's stdin is empty, what it prints comes on stderr, and stdout is the command's."""
    script = "cat; echo checked"
    run = host.start(*OFTEN, check(script), "--exec=cat", stdin=subprocess.PIPE)
    run.until("^checked$", count=2)
    run.enter("typed")
    run.close_stdin()

    assert run.wait() == 0
    assert run.stdout.lines == ["typed"]
    assert "typed" not in run.stderr.text


def test_a_check_does_not_outlive_zkexec(host: MirroredHost) -> None:
    """When the command ends, a check that is under way ends, too, with all it started."""
    report = host.sandbox.folder / "checks"
    script = "sleep 1000 & echo begin >>$0; sleep 1000"
    run = host.start(*OFTEN, check(script, report), "--", "sleep", "1000")
    until(lambda: lines(report), "the check has begun")

    assert run.end() == -15

    host.sandbox.wait_until_empty()


def test_checks_go_on_after_zkexec_was_stopped(host: MirroredHost) -> None:
    """A zkexec that is stopped past the time of a check, and continued, has received CONT only."""
    run = host.start("--verbose", *OFTEN, "--health=true", "--", "sleep", "1000")
    run.until("successful health check")
    (command,) = host.sandbox.sleepers()
    for count in range(1, 6):
        run.signal(signal.SIGSTOP)
        until(lambda: state(run.pid) == "T", "the stop")
        time.sleep(0.3)  # not a wait for something: nothing shows that the time is over
        run.signal(signal.SIGCONT)
        run.until("received SIGCONT", count=count)
        run.until(
            "successful health check",
            count=len(run.stderr.matching("successful health check")) + 2,
        )

    assert host.sandbox.sleepers() == [command]
    assert len(run.stderr.matching("received")) == 5
    run.end()
