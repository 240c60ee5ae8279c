"""The end that nobody wants: a mistake in zkexec itself, with a service in its hands."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zookeeper import wait_until

CRASHING = """
from zkexec.core.events import SignalReceived
from zkexec.core.member import Member

handle = Member.handle

def crash(member, event, now):
    if isinstance(event, SignalReceived):
        raise KeyError("a mistake\\nof ours")
    return handle(member, event, now)

Member.handle = crash

from zkexec.cli import main
main()
"""


def crash(folder: Path, serve: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Start a zkexec that crashes on USR1, send that once the child is ready, and wait."""
    ready = folder / "ready"
    command = [sys.executable, "-c", CRASHING, "--connect-timeout", "0.1", *options]
    with subprocess.Popen(
        [*command, "--", "/bin/sh", "-c", f"{serve}; : > {ready}; while :; do sleep 0.1; done"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        wait_until(ready.exists, "the child is ready")
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def test_a_crash_stops_the_child_in_order(tmp_path: Path) -> None:
    """The child is asked to stop and may finish; zkexec names the mistake and exits with 125."""
    stopped = tmp_path / "stopped"
    ended = crash(tmp_path, f"trap 'sleep 0.3; : > {stopped}; exit 0' TERM")
    assert ended.returncode == 125
    assert stopped.exists()
    assert "zkexec itself failed, the command is stopped: KeyError" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_crash_kills_who_does_not_stop(tmp_path: Path) -> None:
    """A child that ignores the request is killed after the kill timeout."""
    ended = crash(tmp_path, "trap '' TERM", "--kill-timeout", "0.2")
    assert ended.returncode == 125


@pytest.mark.parametrize(("option", "shown"), [("--verbose", True), ("--silent", False)])
def test_the_traceback_is_for_the_verbose(tmp_path: Path, option: str, shown: bool) -> None:
    """`--verbose` shows where the mistake is; `--silent` still tells that there is one."""
    ended = crash(tmp_path, ":", option)
    assert ("Traceback" in ended.stderr) is shown
    assert "zkexec itself failed" in ended.stderr
    if option == "--silent":
        assert ended.stderr.count("\n") == 1
