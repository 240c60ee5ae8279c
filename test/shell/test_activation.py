"""What a service manager says to the process that it started reaches the command alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shell.remote_processes import RemoteProcesses
from support.waiting import until_lines
from zkexec.process.socket_activation import named_by_pid, of_command, of_others

Start = Callable[..., RemoteProcesses]
NAMES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC")
ASK = 'echo "$$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES $WATCHDOG_PID $WATCHDOG_USEC" >>{written}'
OTHERS = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "WATCHDOG_USEC": "30000000"}


def sh(text: str) -> list[str]:
    """The words that run a text by the shell."""
    return ["/bin/sh", "-c", text]


@pytest.fixture
def member(
    drive: Start, tmp_path: Path
) -> Callable[[str], tuple[RemoteProcesses, Path, Path, Path]]:
    """Start what writes down its variables, below a shell that exports these before."""

    def start(exported: str) -> tuple[RemoteProcesses, Path, Path, Path]:
        written = [tmp_path / name for name in ("child", "check", "alert")]
        child, check, alert = (sh(ASK.format(written=path)) for path in written)
        before = (*sh(f'export {exported}; exec "$@"'), "sh")
        remote = drive(command=child, health=check, alert=alert, before=before, environment=OTHERS)
        return remote, written[0], written[1], written[2]

    return start


def ask_all(remote: RemoteProcesses) -> None:
    """Start the child twice, then a check and an alert."""
    for generation in (1, 2):
        remote.start_command(generation)
        assert remote.event()["name"] == "CommandExited"
    remote.call("run_check", 2)
    assert remote.event()["name"] == "HealthCheckFinished"
    remote.call("run_alert", {})
    assert remote.event()["name"] == "AlertFinished"


ConnectedMember = Callable[[str], tuple[RemoteProcesses, Path, Path, Path]]


def test_check_and_alert_get_no_sockets(drive: Start, tmp_path: Path) -> None:
    """The passed descriptors are the command's alone, however many there are."""
    written = [tmp_path / name for name in ("child", "check", "alert")]
    child, check, alert = (
        sh(f"(: >&3; : >&4) 2>/dev/null && echo open >>{path} || echo closed >>{path}")
        for path in written
    )
    before = (*sh('exec 3>/dev/null 4>/dev/null; export LISTEN_PID=$$; exec "$@"'), "sh")
    environment = {"LISTEN_FDS": "2"}
    ask_all(drive(command=child, health=check, alert=alert, before=before, environment=environment))

    assert until_lines(written[0], 2) == ["open", "open"]
    assert [until_lines(path) for path in written[1:]] == [["closed"], ["closed"]]


def test_the_command_is_named_at_each_start(member: ConnectedMember) -> None:
    """What names zkexec's pid names the command's, each time; check and alert get nothing."""
    remote, child, check, alert = member("LISTEN_PID=$$ WATCHDOG_PID=$$")
    ask_all(remote)

    births = [line.split() for line in until_lines(child, 2)]
    assert births == [[pid, pid, "1", "web", pid, "30000000"] for pid, *_ in births]
    assert births[0] != births[1]
    assert [len(until_lines(path)[0].split()) for path in (check, alert)] == [1, 1]


def test_what_names_another_process_stays(member: ConnectedMember) -> None:
    """Variables that name another process are inherited by all, as they are."""
    remote, *written = member("LISTEN_PID=4711 WATCHDOG_PID=")
    ask_all(remote)

    for path in written:
        for line in until_lines(path):
            assert line.split(" ")[1:] == ["4711", "1", "web", "", "30000000"]


def test_each_of_the_two_stands_alone() -> None:
    """Sockets without a watchdog, and a watchdog without sockets."""
    sockets = {b"LISTEN_PID": b"7", b"LISTEN_FDS": b"1", b"LISTEN_PIDFDID": b"99", b"A": b"1"}
    watchdog = {b"WATCHDOG_PID": b"7", b"WATCHDOG_USEC": b"1", b"A": b"1"}

    assert named_by_pid(sockets, 7) == {b"LISTEN_PID"}
    assert named_by_pid(watchdog, 7) == {b"WATCHDOG_PID"}
    assert named_by_pid({**sockets, **watchdog}, 77) == frozenset()
    assert of_others({**sockets, b"WATCHDOG_USEC": b"1"}, 7) == {b"WATCHDOG_USEC": b"1", b"A": b"1"}
    assert of_others(watchdog, 7) == {b"A": b"1"}
    assert of_others(sockets, 77) == of_command(sockets, 77) == sockets


def test_a_second_name_of_the_process_is_left_out() -> None:
    """LISTEN_PIDFDID would contradict the command's LISTEN_PID, and may be missing."""
    given = {b"LISTEN_PID": b"7", b"LISTEN_FDS": b"1", b"LISTEN_PIDFDID": b"99"}

    assert of_command(given, 7) == {b"LISTEN_PID": b"7", b"LISTEN_FDS": b"1"}
