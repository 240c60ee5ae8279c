"""Health checks, as their commands and the log see them."""

import signal
import subprocess
import time

from e2e.scene import Scene, shell
from e2e.stage import is_alive, lines, state, until

OFTEN = ("--health-delay=0.1", "--health-interval=0.1")


def check(*words: object) -> str:
    """The option of a health check: a script for sh and its $0, $1, ..."""
    return f"--health={shell('sh', '-c', *words)}"


def test_checks_come_one_after_the_other(scene: Scene) -> None:
    """Each check is announced and judged before the next begins, and none before the command."""
    report = scene.stage.folder / "checks"
    script = "echo begin >>$0; sleep 0.2; echo end >>$0"
    run = scene.start(*OFTEN, check(script, report), "--", "sleep", "1000")

    run.line("successful health check", 4)
    run.end()

    told = [line for line in run.lines if "health check" in line or "forked" in line]
    assert "forked" in told[0]
    assert all("health checking via: sh -c" in line for line in told[1::2])
    assert all(line.endswith("successful health check") for line in told[2::2])
    seen = lines(report)
    assert len(seen) >= 8
    assert set(seen[::2]) == {"begin"}
    assert set(seen[1::2]) == {"end"}


def test_the_first_check_waits_for_the_delay(scene: Scene) -> None:
    """Within --health-delay of a start there is no check, also after a restart."""
    scene.create(a=b"one")
    run = scene.wrap("--health-delay=1000", "--health-interval=0.01", "--health=true")
    scene.born()

    scene.set(a=b"two")
    scene.born(2)

    assert run.end() == 0
    assert not run.all("health check")


def test_a_failed_check_is_told_and_ends_nothing(scene: Scene) -> None:
    """A check that fails is a line with its status; the command runs on and checks go on."""
    scene.create(a=b"one")
    run = scene.wrap(*OFTEN, check("exit 3"))
    first = scene.born()

    run.line("failed health check: exit status 3", 3)

    scene.only(first)
    assert run.end() == 0


def test_a_check_that_cannot_be_started_has_failed(scene: Scene) -> None:
    """A health command that does not exist is a failed check each time, and nothing else."""
    run = scene.start(*OFTEN, "--health=/no/such/check", "--", "sleep", "1000")

    run.line("failed health check: .*No such file or directory", 2)

    assert run.end() == -15


def test_a_hanging_check_is_killed_with_all_it_started(scene: Scene) -> None:
    """After --health-timeout the check and its background processes are gone, and it has failed."""
    report = scene.stage.folder / "checks"
    script = "sleep 1000 & echo $! $$ >>$0; sleep 1000"
    options = (*OFTEN, "--health-timeout=0.5", check(script, report))
    run = scene.start(*options, "--", "sleep", "1000")

    run.line("failed health check: no answer within 0.5 s", 2)

    started = [int(pid) for line in lines(report)[:2] for pid in line.split()]
    assert len(started) == 4
    until(lambda: not any(map(is_alive, started)), "nothing of the checks is left")
    assert run.end() == -15


def test_a_check_of_an_earlier_child_does_not_count(scene: Scene) -> None:
    """A check that began before a restart is dropped, whatever it would have said."""
    scene.create(a=b"one")
    mark = scene.stage.folder / "first"
    alerts = scene.stage.folder / "alerts"
    # The first check hangs, and would fail in the end; all others succeed.
    options = (check("mkdir $0 2>/dev/null || exit 0; sleep 1000; exit 1", mark), *OFTEN)
    run = scene.wrap(*options, f"--alert=touch {alerts}")
    scene.born()
    until(mark.exists, "the first check has begun")

    scene.set(a=b"two")
    scene.born(2)
    run.line("successful health check", 2)

    assert run.end() == 0
    assert not run.all("failed health check")
    assert not alerts.exists()


def test_a_check_may_be_a_list_of_commands(scene: Scene) -> None:
    """The dead man's switch of the tutorial works as typed: a check && touch a file."""
    report = scene.stage.folder / "succeeded_at"
    run = scene.start(*OFTEN, f"--health=true && touch {report}", "--", "sleep", "1000")

    run.line("successful health check")
    run.end()

    assert report.exists()


def test_a_check_reads_nothing_and_writes_to_stderr(scene: Scene) -> None:
    """A check's stdin is empty, what it prints comes on stderr, and stdout is the command's."""
    script = "cat; echo checked"
    run = scene.start(*OFTEN, check(script), "--exec=cat", stdin=subprocess.PIPE)
    run.line("^checked$", 2)
    stdin = run.process.stdin
    assert stdin
    stdin.write(b"typed\n")
    stdin.close()

    assert run.wait() == 0
    assert run.out == ["typed"]
    assert "typed" not in run.said


def test_a_check_does_not_outlive_zkexec(scene: Scene) -> None:
    """When the command ends, a check that is under way ends, too, with all it started."""
    report = scene.stage.folder / "checks"
    script = "sleep 1000 & echo begin >>$0; sleep 1000"
    run = scene.start(*OFTEN, check(script, report), "--", "sleep", "1000")
    until(lambda: lines(report), "the check has begun")

    assert run.end() == -15

    scene.stage.wait_until_empty()


def test_checks_go_on_after_zkexec_was_stopped(scene: Scene) -> None:
    """A zkexec that is stopped past the time of a check, and continued, has received CONT only."""
    run = scene.start("--verbose", *OFTEN, "--health=true", "--", "sleep", "1000")
    run.line("successful health check")
    (command,) = scene.stage.sleepers()
    for count in range(1, 6):
        run.signal(signal.SIGSTOP)
        until(lambda: state(run.pid) == "T", "the stop")
        time.sleep(0.3)  # not a wait for something: nothing shows that the time is over
        run.signal(signal.SIGCONT)
        run.line("received SIGCONT", count)
        run.line("successful health check", len(run.all("successful health check")) + 2)

    assert scene.stage.sleepers() == [command]
    assert len(run.all("received")) == 5
    run.end()
