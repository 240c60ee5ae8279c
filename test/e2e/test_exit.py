"""How zkexec ends: as the command ended, leaving nothing, and never waiting for strangers."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.processes import children, is_alive, zombies
from support.sandbox import BARE, WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.waiting import lines, until

DEADLY = ("TERM", "INT", "HUP", "QUIT", "KILL", "SEGV", "ABRT", "PIPE", "USR1", "ALRM", "XCPU")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 125, 126, 127, 128, 130, 143, 255])
def test_an_exit_code_is_passed_on(sandbox: Sandbox, code: int) -> None:
    """The command's exit code is zkexec's."""
    assert sandbox.run(*WRAPPED, "sh", "-c", f"exit {code}")[0] == code


@pytest.mark.parametrize("name", DEADLY)
def test_death_by_a_signal_is_passed_on(sandbox: Sandbox, name: str) -> None:
    """A command that died of a signal makes zkexec die of the same, as waitpid sees it."""
    number = signal.Signals[f"SIG{name}"]
    process = sandbox.start(*WRAPPED, "sh", "-c", f"ulimit -c 0; kill -{name} $$; sleep 1000")

    assert process.wait() == -number


def test_no_core_of_zkexec_is_left(sandbox: Sandbox) -> None:
    """A command that dumps core makes zkexec die of that signal without a second core."""
    script = 'ulimit -c unlimited; "$@" sh -c "ulimit -c 0; kill -ABRT \\$\\$"'
    process = sandbox.start("sh", "-c", f'{script}; echo "$?" >status', "sh", *WRAPPED)
    process.wait()

    assert lines(sandbox.folder / "status") == [str(128 + signal.SIGABRT)]
    assert list(sandbox.folder.glob("core*")) == []


def test_a_daemon_that_the_command_leaves_delays_nothing(sandbox: Sandbox) -> None:
    """`server & exit 3` gives 3 at once, and the server lives on, as without zkexec."""
    script = "sleep 1000 & echo $!; exit 3"
    pids = []
    for prefix in (BARE, WRAPPED):
        path = sandbox.folder / "pid"
        with path.open("wb") as out:
            assert sandbox.start(*prefix, "sh", "-c", script, stdout=out).wait() == 3
        pids.append(int(path.read_text()))

    assert [is_alive(pid) for pid in pids] == [True, True]


def test_an_open_pipe_delays_nothing(sandbox: Sandbox) -> None:
    """zkexec waits for the command and not for whoever holds its output open."""
    process = sandbox.start(*WRAPPED, "sh", "-c", "sleep 1000 & exit 4")

    assert process.wait() == 4


@pytest.mark.parametrize(
    ("make", "status"),
    [("missing", 127), ("plain", 126), ("folder", 126), ("lost interpreter", 126)],
)
def test_what_cannot_be_executed(sandbox: Sandbox, make: str, status: int) -> None:
    """A command that is not there gives 127, one that cannot be executed 126, as in a shell."""
    path = sandbox.folder / "command"
    if make == "folder":
        path.mkdir()
    elif make != "missing":
        path.write_text("#!/nowhere\n")
        path.chmod(0o755 if make == "lost interpreter" else 0o644)
    ended, out, err = sandbox.run(*WRAPPED, path)

    assert (ended, out) == (status, b"")
    assert str(path).encode() in err
    assert err.count(b"\n") == 1


def test_a_name_that_is_not_in_the_path(sandbox: Sandbox) -> None:
    """A bare name is looked up in the PATH, and one that is not there gives 127 and one line."""
    status, out, err = sandbox.run(*WRAPPED, "no-such-command-anywhere")

    assert (status, out, err.count(b"\n")) == (127, b"", 1)


def test_a_failed_start_leaves_no_zombie_and_no_alert_behind(sandbox: Sandbox) -> None:
    """What could not be started is a failed command: the alert is told the status."""
    alert = "echo $ZKEXEC_EVENT $ZKEXEC_EXIT_STATUS"
    status, out, err = sandbox.run(*ZKEXEC, "-s", "-a", alert, "-e", "/no/such/command")

    assert (status, out) == (127, b"")
    assert b"command-failed 127\n" in err
    sandbox.wait_until_empty()


def test_nothing_is_left_after_term(sandbox: Sandbox) -> None:
    """TERM reaches all that the command started, other sessions too; the check is gone as well."""
    check = "sh -c 'sleep 1000 & sleep 1000; true'"
    # Only who was asked to end is gone before this kill timeout.
    words = ("-s", "--kill-timeout", "600", "--health", check, "-d", "0")
    command = "sleep 1000 & setsid sleep 1000 & sleep 1000"
    process = sandbox.start(*ZKEXEC, *words, "-e", command)
    until(lambda: len(sandbox.sleepers()) == 5, "command and check run")

    assert process.end() == -signal.SIGTERM
    # What the kernel has been told to kill may take a moment to be gone.
    sandbox.wait_until_empty()


def test_a_check_does_not_outlive_a_command_that_ends(sandbox: Sandbox) -> None:
    """When the command ends by itself, a check that is under way is killed with all it started."""
    words = ("-s", "--health", "sh -c 'sleep 1000 & sleep 1000; true'", "-d", "0")
    process = sandbox.start(*ZKEXEC, *words, "-e", "read line; exit 6", stdin=subprocess.PIPE)
    until(lambda: len(sandbox.sleepers()) == 2, "the check runs")
    process.enter("go")

    assert process.wait() == 6
    sandbox.wait_until_empty()


def test_an_alert_may_finish(sandbox: Sandbox) -> None:
    """zkexec waits for the alert of its end, and ends with the command's status."""
    alert = "sleep 0.5; echo told"

    assert sandbox.run(*ZKEXEC, "-s", "-a", alert, "-e", "exit 5") == (5, b"", b"told\n")


def test_an_alert_that_hangs_is_given_the_kill_timeout(sandbox: Sandbox) -> None:
    """An alert that does not finish is killed after --kill-timeout with all that it started."""
    alert = "sleep 1000 & sleep 1000; true"

    assert sandbox.run(*ZKEXEC, "-s", "-a", alert, "--kill-timeout", "0.3", "-e", "false")[0] == 1
    sandbox.wait_until_empty()


def test_zkexec_has_no_zombies(sandbox: Sandbox, mirror: Mirror) -> None:
    """Checks, alerts and restarts are reaped while zkexec runs."""
    words = (*ZKEXEC, "-s", mirror.option, "-d", "0", "-i", "0.01", "-H", "date >>checked; false")
    process, _ = sandbox.start_reporter((*words, "-a", "date >>alerted", "--"))
    for count in range(2, 5):
        mirror.change()
        born(sandbox.report, count)
    wanted = [sandbox.folder / "checked", sandbox.folder / "alerted"]
    until(lambda: all(len(lines(path)) > 20 for path in wanted), "many checks and alerts")
    for _ in range(20):
        # A zombie may be seen in the moment before it is reaped, but never for long.
        until(lambda: not zombies(process.pid), "all are reaped")
    assert len(children(process.pid)) <= 3

    assert process.end() == 0


def test_the_last_words_of_a_failed_command(sandbox: Sandbox) -> None:
    """A command that fails is told as `command failed`; one that was asked to end is not."""
    said = sandbox.run(*ZKEXEC, "--", "sh", "-c", "exit 3")[2].decode().splitlines()
    process = sandbox.start(*ZKEXEC, "--", "sleep", "1000")
    until(sandbox.sleepers, "the command runs")
    process.end()

    assert said[-1].endswith("] command failed: exit status 3")
    assert process.stderr.matching("forked")
    assert not process.stderr.matching("command failed")


def test_an_end_that_was_asked_for_raises_no_alert(sandbox: Sandbox) -> None:
    """A command that fails because of a signal to zkexec is no failure."""
    told = sandbox.folder / "told"
    words = (*ZKEXEC, "-s", "-a", f"date >>{told}", "--")
    for name in ("TERM", "INT", "QUIT"):
        sandbox.report = sandbox.folder / f"report-{name}"
        process, _ = sandbox.start_reporter(words, "--until", name, "--status", "9")
        process.signal(signal.Signals[f"SIG{name}"])
        assert process.wait() == 9

    assert not told.exists()


def test_a_command_that_fails_on_reload_is_a_failure(sandbox: Sandbox) -> None:
    """HUP asks a service to read its files again; one that ends badly over it has failed."""
    told = sandbox.folder / "told"
    words = (*ZKEXEC, "-s", "-a", f"echo $ZKEXEC_EVENT >>{told}", "--")
    process, _ = sandbox.start_reporter(words, "--until", "HUP", "--status", "9")
    process.signal(signal.SIGHUP)

    assert process.wait() == 9
    assert told.read_text() == "command-failed\n"


def session_of(pid: int) -> int:
    """The session of a process; 0 if it is gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_without_a_terminal_the_command_leads_a_session(sandbox: Sandbox) -> None:
    """Where there is no terminal, the command can be signalled as a group of its own."""
    process, pid = sandbox.start_reporter(WRAPPED)
    seen = session_of(pid), os.getpgid(pid)
    process.end()

    assert seen == (pid, pid)
    assert not Path(f"/proc/{pid}").exists()
