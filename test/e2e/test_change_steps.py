"""One zkexec without a group: real checks, reloads and hooks, and what follows if they fail."""

import json
import signal
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.processes import is_alive
from support.waiting import lines, until, until_line, until_lines

WRITE_ALERT = 'echo "$ZKEXEC_EVENT|$ZKEXEC_STEP|$ZKEXEC_REASON" >>$0'
REFUSES_BAD = 'if grep -n bad "$1"; then exit 3; fi'


@pytest.fixture
def alerts(host: MirroredHost) -> Path:
    """The file that alerts write to, a line each."""
    return host.sandbox.folder / "alerts"


def alert_into(alerts: Path) -> str:
    """The option of an alert that writes its event, step and reason into a file."""
    return f"--alert={quoted('sh', '-c', WRITE_ALERT, alerts)}"


def events(host: MirroredHost) -> list[str]:
    """What the recorder, and hooks that write into the same file, have recorded, in order."""
    return [json.loads(line)["event"] for line in lines(host.record)]


def recording(host: MirroredHost, event: str) -> str:
    """The COMMAND of a hook that adds an event to what the recorder records."""
    return f'echo \'{{"event": "{event}"}}\' >>{host.record}'


def test_a_check_refuses_a_file(host: MirroredHost, alerts: Path) -> None:
    """Files and command stay, the alert names the check, and newer content is tried."""
    host.create(a=b"one")
    run = host.wrap(alert_into(alerts), f"--check={REFUSES_BAD}")
    first = host.born()

    host.set(a=b"bad")
    until_line(alerts, "restart-failed|check|the check failed: exit status 3: 1:bad")
    host.only(first)
    assert host.content("a") == b"one"
    assert (
        len(run.stderr.matching("the check failed: exit status 3: 1:bad")) == 2
    )  # With the alert.
    host.set(a=b"three")

    assert host.born(2).files == {"a": "three"}
    assert run.end() == 0
    assert len(lines(alerts)) == 1


def test_a_check_that_hangs(host: MirroredHost, alerts: Path) -> None:
    """After --check-timeout the check is killed, and what it printed is part of the reason."""
    host.create(a=b"one")
    check = '--check=if grep bad "$1"; then sleep 1000; fi'
    run = host.wrap(alert_into(alerts), check, "--check-timeout=1.5")
    first = host.born()

    host.set(a=b"bad")
    until_line(alerts, "restart-failed|check|the check failed: no end within 1.5 s: bad")
    assert not host.sandbox.sleepers()
    host.only(first)
    assert run.end() == 0


def test_the_same_bytes_are_checked_again(host: MirroredHost, alerts: Path) -> None:
    """A refused file that is written again is checked again, as a deliberate retry."""
    is_good = host.sandbox.folder / "good"
    host.create(a=b"one")
    is_good.touch()
    run = host.wrap(alert_into(alerts), f"--check=test -e {is_good} && :")
    host.born()
    is_good.unlink()

    host.set(a=b"two")
    until_line(alerts, "restart-failed|check|the check failed: exit status 1")
    is_good.touch()
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_first_start_that_is_refused(host: MirroredHost) -> None:
    """Without a command that runs, a refused file ends zkexec with 125, and no file is written."""
    host.create(a=b"bad")
    run = host.wrap(f"--check={REFUSES_BAD}")

    assert run.wait() == 125
    assert "exit status 3: 1:bad" in run.stderr.lines[-1]
    assert not host.births()
    assert not host.file("a").exists()


def test_a_reload_that_is_refused(host: MirroredHost, alerts: Path) -> None:
    """The old file is put back, the command keeps running, and newer content is reloaded."""
    host.create(a=b"one")
    loaded = host.sandbox.folder / "loaded"
    script = f"grep -n bad {host.file('a')} && exit 4; cat {host.file('a')} >{loaded}"
    run = host.wrap(alert_into(alerts), "--on-change=reload", f"--reload={script}")
    first = host.born()

    host.set(a=b"bad")
    until_line(alerts, "restart-failed|reload|the reload failed: exit status 4: 1:bad")
    until(lambda: host.content("a") == b"one", "the old file is put back")
    run.until("the reload failed; the old files are put back")
    assert not loaded.exists()
    host.set(a=b"three")
    until(loaded.exists, "newer content is reloaded")

    until(lambda: loaded.read_text() == "three", "the command has the newer content")
    host.only(first)
    assert run.end() == 0
    assert len(lines(alerts)) == 1


def test_a_reload_by_a_signal(host: MirroredHost) -> None:
    """The command gets the signal that is named, after the file was installed."""
    host.create(a=b"one")
    script = "trap 'echo got $(cat $0)' USR2; echo up; while :; do sleep 0.05; done"
    command = quoted("sh", "-c", script, host.file("a"))
    options = ("--on-change=reload", "--reload-signal=USR2")
    run = host.start(*host.mirrors("a"), *options, f"--exec={command}")
    run.until("^up$", on=run.stdout)

    host.set(a=b"two")

    run.until("^got two$", on=run.stdout)
    assert run.is_running()
    assert run.stdout.lines == ["up", "got two"]


def test_a_file_that_the_command_watches(host: MirroredHost) -> None:
    """With `none` a file is only installed; a change of another file still restarts."""
    host.create(a=b"one", b=b"one")
    run = host.wrap(f"--on-change={host.file('a')}=none", names="a b")
    first = host.born()

    host.set(a=b"two")
    until(lambda: host.content("a") == b"two", "the file is installed")
    host.only(first)
    host.set(b=b"two")

    assert host.born(2).files == {"a": "two", "b": "two"}
    assert run.end() == 0


def test_hooks_around_a_restart(host: MirroredHost) -> None:
    """Pre-stop ends before the command is stopped, and post-healthy runs after each start."""
    host.create(a=b"one")
    # From its TERM to its next start the command is not healthy.
    health = f"tail -n 1 {host.record} | grep -q 'born\\|warm'"
    pace = (f"--health={health}", "--health-delay=0.1", "--health-interval=0.1")
    before = f"sleep 0.2; {recording(host, 'drained')}"
    after = recording(host, "warm")
    run = host.wrap(*pace, f"--pre-stop={before}", f"--post-healthy={after}")
    until(lambda: events(host) == ["born", "warm"], lambda: f"{events(host)}")

    host.set(a=b"two")

    whole = ["born", "warm", "drained", "asked", "born", "warm"]
    until(lambda: events(host) == whole, lambda: f"{events(host)}")
    assert run.is_running()


def test_pre_stop_that_ends_the_command(host: MirroredHost, alerts: Path) -> None:
    """A command that pre-stop has ended is started on the new file, as after any stop."""
    host.create(a=b"one")
    hook = f"kill -TERM $ZKEXEC_PID; sleep 0.2; {recording(host, 'drained')}"
    run = host.wrap(alert_into(alerts), f"--pre-stop={hook}")
    host.born()

    host.set(a=b"two")
    assert host.born(2).files == {"a": "two"}
    assert events(host) == ["born", "asked", "drained", "born"]
    assert run.is_running()
    assert not alerts.exists()


def test_pre_stop_at_the_end(host: MirroredHost) -> None:
    """A TERM runs pre-stop, with the event `end`, before the command gets its TERM."""
    host.create(a=b"one")
    seen = host.sandbox.folder / "seen"
    hook = f'echo "$ZKEXEC_EVENT $ZKEXEC_STEP $ZKEXEC_PID" >{seen}; {recording(host, "drained")}'
    run = host.wrap(f"--pre-stop={hook}")
    first = host.born()

    assert run.end() == 0
    assert events(host) == ["born", "drained", "asked"]
    assert lines(seen) == [f"end pre-stop {first.pid}"]


def test_pre_stop_that_fails_at_the_end(host: MirroredHost, alerts: Path) -> None:
    """A pre-stop that fails at the end delays nothing, and raises no alert."""
    host.create(a=b"one")
    run = host.wrap(alert_into(alerts), "--pre-stop=echo no; exit 5")
    host.born()

    assert run.end() == 0
    assert events(host) == ["born", "asked"]
    assert run.stderr.matching("pre-stop failed: exit status 5: no$")
    assert not alerts.exists()


def test_a_second_term_cuts_pre_stop_short(host: MirroredHost) -> None:
    """The command runs while pre-stop does; a second TERM kills pre-stop and ends the command."""
    host.create(a=b"one")
    draining = host.sandbox.folder / "draining"
    run = host.wrap(f"--pre-stop=echo begun >>{draining}; sleep 1000", "--pre-stop-timeout=900")
    first = host.born()

    run.terminate()
    until_lines(draining)
    host.only(first)
    run.terminate()

    assert run.wait() == 0
    assert events(host) == ["born", "asked"]
    assert not is_alive(first.pid)
    host.sandbox.wait_until_empty()


def test_a_pre_stop_that_fails_stops_nothing(host: MirroredHost, alerts: Path) -> None:
    """The command stays, the alert names the hook, and the next attempt succeeds."""
    host.create(a=b"one")
    open_now = host.sandbox.folder / "open"
    run = host.wrap(alert_into(alerts), f"--pre-stop=test -e {open_now}")
    first = host.born()

    host.set(a=b"two")
    until_line(alerts, "restart-failed|pre-stop|the pre-stop failed: exit status 1")
    host.only(first)
    assert host.content("a") == b"one"
    open_now.touch()
    run.until("next attempt in 10 s|another attempt")
    host.set(a=b"three")

    assert host.born(2).files == {"a": "three"}
    assert run.end(signal.SIGTERM) == 0
