"""Child, check and alert without a terminal, as zkexec under a service manager has them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.remote_processes import RemoteProcesses
from support.processes import is_alive, zombies
from support.waiting import lines, until, until_lines

Start = Callable[..., RemoteProcesses]
SIGNAL_LOG = str(Path(__file__).resolve().parents[1] / "libexec" / "signal-log")
# A process that nothing but its session, or its adoption, ties to the child any more.
ORPHAN = "(sleep 1000 & echo $! >>{pids})"
DAEMON = "setsid sh -c 'echo $$ >>{pids}; exec sleep 1000' &"


def sh(text: str) -> list[str]:
    """The words that run a text by the shell."""
    return ["/bin/sh", "-c", text]


def ended(code: int = 0, number: int = 0) -> dict[str, object]:
    """The event by which the end of the first child is told."""
    return {
        "name": "CommandExited",
        "generation": 1,
        "ending": {"code": code, "signal": number},
        "last_line": "",
    }


def gone(remote: RemoteProcesses) -> bool:
    """Whether nothing is left of the child's tree."""
    return remote.remaining() == 0


@pytest.mark.parametrize(("text", "code", "number"), [("exit 7", 7, 0), ("kill -6 $$", 0, 6)])
def test_the_end_of_the_child_is_told(drive: Start, text: str, code: int, number: int) -> None:
    """The child's own code, or the signal it died of, comes with its generation."""
    remote = drive(command=sh(text))
    remote.start_command()

    assert remote.event() == ended(code, number)
    assert zombies(remote.process.pid) == []


def test_a_start_that_fails_is_told(drive: Start) -> None:
    """A command that does not exist is a StartFailed with its status; the next start may work."""
    remote = drive(command=["no-such-command"])

    for generation in (1, 2):
        failed = remote.call("start_command", generation)
        assert (failed["name"], failed["generation"]) == ("StartFailed", generation)
        assert failed["status"] == 127
    assert remote.remaining() == 0


def test_each_generation_has_the_same_birth(drive: Start, tmp_path: Path) -> None:
    """The second child is born like the first: signals, folder, environment, descriptors."""
    told = tmp_path / "told"
    ask = f"(grep ^Sig[BIC] /proc/$$/status; pwd; cat /proc/$$/environ; ls /proc/$$/fd) >{told}.new"
    remote = drive(command=sh(f"{ask}; mv {told}.new {told}; exit 0"))
    births = []
    for generation in (1, 2):
        remote.start_command(generation)
        assert remote.event()["generation"] == generation
        births.append(told.read_bytes())

    assert births[0] == births[1]


def test_the_child_has_zkexecs_streams(drive: Start, tmp_path: Path) -> None:
    """Without a terminal too the child's streams are the very files that zkexec was given."""
    given = tmp_path / "given"
    given.write_text("typed")
    with given.open() as stdin, (tmp_path / "out").open("w") as stdout:
        remote = drive(command=["cat"], options={"stdin": stdin, "stdout": stdout})
        remote.start_command()
        assert remote.event() == ended()

    assert (tmp_path / "out").read_text() == "typed"


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "ALRM", "WINCH"])
def test_a_signal_reaches_the_whole_group_once(drive: Start, tmp_path: Path, name: str) -> None:
    """A signal to zkexec reaches shell and foreground program, and the program just once."""
    log = tmp_path / "log"
    remote = drive(command=sh(f"trap : {name}; {SIGNAL_LOG} {log} {name}; echo"))
    remote.start_command()
    pid = until_lines(log)[0].split()[1]

    remote.process.signal(signal.Signals[f"SIG{name}"])
    assert remote.signal() == [signal.Signals[f"SIG{name}"], False]
    until_lines(log, 2)
    remote.call("signal_group", signal.SIGRTMAX)
    assert until_lines(log, 3)[1:] == [f"{name} {pid}", f"RTMAX {pid}"]


def test_no_signal_is_lost_at_the_start(drive: Start) -> None:
    """A TERM that comes while the child is being started reaches it, every time."""
    remote = drive(command=["sleep", "1000"])
    assert remote.call("inspect_tree", 0)["remaining"] == 0
    for generation in range(1, 61):
        remote.send("start_command", generation)
        time.sleep(generation / 10_000)  # each time at another moment of the start
        remote.process.signal(signal.SIGTERM)
        came_too_early = remote.comes_first() == "signal"
        assert remote.reply()["name"] == "CommandStarted"
        assert remote.signal() == [signal.SIGTERM, False]
        if came_too_early:
            remote.call("signal_group", signal.SIGTERM)
        assert remote.event()["ending"]["signal"] == signal.SIGTERM


def test_a_stop_reaches_everybody(drive: Start, tmp_path: Path) -> None:
    """signal_tree reaches the child, its background jobs, and orphans of its session, once."""
    log, pids = tmp_path / "log", tmp_path / "pids"
    orphan = f"({SIGNAL_LOG} {log} & echo $! >>{pids})"
    remote = drive(command=sh(f"{orphan}; {SIGNAL_LOG} {log} & exec {SIGNAL_LOG} {log}"))
    remote.start_command()
    ready = {line.split()[1] for line in until_lines(log, 3)}

    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event() == ended(0, signal.SIGTERM)
    until(lambda: gone(remote), "the end of the tree")
    assert sorted(lines(log)[3:]) == sorted(f"TERM {pid}" for pid in ready)


def test_a_grandchild_does_not_escape(drive: Start, tmp_path: Path) -> None:
    """After the shell of `cd x && server` is gone, the server still counts and can be killed."""
    log = tmp_path / "log"
    remote = drive(command=sh(f"cd / && {SIGNAL_LOG} {log} TERM; :"))
    remote.start_command()
    server = int(until_lines(log)[0].split()[1])

    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event() == ended(0, signal.SIGTERM)
    assert remote.remaining() == 1
    assert is_alive(server)
    remote.call("signal_tree", signal.SIGKILL)
    until(lambda: gone(remote), "the end of the server")
    assert not is_alive(server)


def test_who_left_the_session_does_not_escape(drive: Start, tmp_path: Path) -> None:
    """A descendant with a session of its own is killed, also once its parent is gone."""
    pids = tmp_path / "pids"
    remote = drive(command=sh(DAEMON.format(pids=pids) + " exec sleep 1000"))
    remote.start_command()
    daemon = int(until_lines(pids)[0])

    remote.call("signal_tree", signal.SIGSTOP)
    os.kill(int(Path(f"/proc/{daemon}/stat").read_text().split()[3]), signal.SIGKILL)
    assert remote.event() == ended(0, signal.SIGKILL)
    assert remote.remaining() == 1
    remote.call("signal_tree", signal.SIGKILL)
    until(lambda: gone(remote), "the end of the daemon")
    assert not is_alive(daemon)


def test_what_a_trap_starts_is_left_to_work(drive: Start, tmp_path: Path) -> None:
    """What the child starts in answer to a TERM is not signalled by that TERM."""
    done = tmp_path / "done"
    clean = f"sh -c 'sleep 0.3; echo clean >>{done}'"
    remote = drive(
        command=sh(f'trap "{clean}; exit 0" TERM; echo up >>{done}; while :; do :; done')
    )
    remote.start_command()
    until_lines(done)

    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event() == ended()
    assert lines(done) == ["up", "clean"]


def test_nor_is_what_it_starts_in_another_session(drive: Start, tmp_path: Path) -> None:
    """That holds for a session, too, in which only a look around can find it."""
    log = tmp_path / "log"
    answer = f"setsid {SIGNAL_LOG} {log} TERM & wait"
    remote = drive(command=sh(f'trap "{answer}" TERM; echo up >>{log}; while :; do :; done'))
    remote.start_command()
    until_lines(log)

    remote.call("signal_tree", signal.SIGTERM)
    started = int(until_lines(log, 2)[1].split()[1])
    os.kill(started, signal.SIGRTMAX)
    assert until_lines(log, 3)[2:] == [f"RTMAX {started}"]
    remote.call("signal_tree", signal.SIGKILL)
    assert remote.event() == ended(0, signal.SIGKILL)


def test_the_status_is_the_childs_alone(drive: Start, tmp_path: Path) -> None:
    """`server & exit 3` gives 3 at once, and nothing is done to the server."""
    pids = tmp_path / "pids"
    remote = drive(command=sh(f"sleep 1000 & echo $! >>{pids}; exit 3"))
    remote.start_command()

    assert remote.event() == ended(3)
    remote.send("die", 3, 0)
    assert remote.end() == 3
    assert is_alive(int(until_lines(pids)[0]))


def test_orphans_are_reaped_by_a_subreaper(drive: Start, tmp_path: Path) -> None:
    """With --subreaper an orphan comes to zkexec and is reaped; its status is nobody's."""
    pids = tmp_path / "pids"
    orphan = f"(sh -c 'echo $$ >>{pids}; read line <{tmp_path}/gate; exit 9' &)"
    os.mkfifo(tmp_path / "gate")
    remote = drive(command=sh(f"{orphan}; exec sleep 1000"), subreaper=True)
    remote.start_command()
    pid = int(until_lines(pids)[0])
    parent = Path(f"/proc/{pid}/stat")
    until(lambda: int(parent.read_text().split()[3]) == remote.process.pid, "the adoption")

    (tmp_path / "gate").write_text("open\n")
    until(lambda: not Path(f"/proc/{pid}").exists(), "the reaping")
    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event() == ended(0, signal.SIGTERM)


def test_pid_1_reaps_orphans(drive: Start, tmp_path: Path) -> None:
    """As PID 1 every orphan is reaped, and the child's end is told as ever."""
    isolated = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no namespaces")
    count = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    told = tmp_path / "told"
    orphans = "i=0; while [ $i -lt 20 ]; do (true & ); i=$((i+1)); done"
    wait = f'n=0; while [ "$({count})" != 0 ] && [ $n -lt 500 ]; do n=$((n+1)); sleep 0.02; done'
    remote = drive(command=sh(f"{orphans}; {wait}; {count} >{told}; exit 5"), before=isolated)
    remote.start_command()

    assert remote.event() == ended(5)
    assert told.read_text() == "0\n"


def test_a_sudden_death_takes_the_child_along(drive: Start) -> None:
    """When zkexec is SIGKILLed the kernel kills the child and the health check."""
    remote = drive(command=["sleep", "1000"], health=["sleep", "1001"])
    pid = remote.start_command()
    remote.call("run_check", 1)
    children = Path(f"/proc/{remote.process.pid}/task/{remote.process.pid}/children")
    pids = [int(word) for word in children.read_text().split()]
    assert pid in pids
    assert len(pids) == 2

    remote.process.kill()
    until(lambda: not any(is_alive(one) for one in pids), "the death of child and check")


@pytest.mark.parametrize(
    ("text", "passed", "reason"),
    [
        ("exit 0", True, "exit status 0"),
        ("exit 3", False, "exit status 3"),
        ("kill -9 $$", False, "killed by SIGKILL"),
    ],
)
def test_a_check_is_told(drive: Start, text: str, passed: bool, reason: str) -> None:
    """A check's result comes with the generation that it was asked for."""
    remote = drive(health=sh(text))

    assert remote.call("run_check", 4) == []
    told = {"name": "HealthCheckFinished", "generation": 4, "passed": passed, "reason": reason}
    told["last_line"] = ""
    assert remote.event() == told


def test_check_and_alert_that_cannot_start_are_told(drive: Start) -> None:
    """What cannot be started is an event as well, with the reason."""
    remote = drive(health=["/no/check"], alert=["/no/alert"])
    words = "No such file or directory"

    check = {"name": "HealthCheckFinished", "generation": 2, "passed": False, "last_line": ""}
    assert remote.call("run_check", 2) == [
        {**check, "reason": f"cannot execute /no/check: {words}"}
    ]
    alert = {"name": "AlertFinished", "reason": f"cannot execute /no/alert: {words}"}
    assert remote.call("run_alert", {}) == [alert]


def test_the_streams_of_a_check_and_an_alert(drive: Start, tmp_path: Path) -> None:
    """Neither can read the stdin of zkexec, and both write to its stderr."""
    out, err = tmp_path / "out", tmp_path / "err"
    (tmp_path / "in").write_text("typed")
    speak = sh('cat; [ "$(ps -o sid= -p $$)" -eq $$ ] && echo "$0" leads')
    with (tmp_path / "in").open() as stdin, out.open("w") as stdout, err.open("w") as stderr:
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        remote = drive(health=[*speak, "check"], alert=[*speak, "alert"], options=streams)
        remote.call("run_check", 1)
        assert remote.event()["passed"]
        remote.call("run_alert", {})
        assert remote.event() == {"name": "AlertFinished", "reason": ""}

    assert (out.read_text(), err.read_text()) == ("", "check leads\nalert leads\n")


def test_an_alert_knows_what_happened(drive: Start, tmp_path: Path) -> None:
    """The additions are in an alert's environment beside all that zkexec was given."""
    told = tmp_path / "told"
    ask = f'echo "$ZKEXEC_EVENT/$ZKEXEC_REASON/$GIVEN" >{told}; exit 2'
    remote = drive(alert=sh(ask), environment={"GIVEN": "kept"})
    remote.call("run_alert", {"ZKEXEC_EVENT": "recovered", "ZKEXEC_REASON": "é\0\udcff"})

    assert remote.event() == {"name": "AlertFinished", "reason": "exit status 2"}
    assert told.read_bytes() == b"recovered/\xc3\xa9\xff/kept\n"


def test_a_killed_check_takes_everything_along(drive: Start, tmp_path: Path) -> None:
    """kill_check ends the check with all that it started, and its end is told."""
    pids = tmp_path / "pids"
    text = f"{ORPHAN}; {DAEMON} sleep 1000 & echo $! >>{{pids}}; wait".format(pids=pids)
    remote = drive(health=sh(text))
    remote.call("run_check", 1)
    started = [int(pid) for pid in until_lines(pids, 3)]

    remote.call("kill_check")
    assert remote.event()["reason"] == "killed by SIGKILL"
    until(lambda: not any(is_alive(pid) for pid in started), "the end of all")
    assert remote.call("kill_check") is None


def test_a_check_piles_up_nothing(drive: Start, tmp_path: Path) -> None:
    """What a check leaves behind is killed when it ends; what an alert leaves lives on."""
    pids = tmp_path / "pids"
    leave = sh(ORPHAN.format(pids=pids))
    remote = drive(health=leave, alert=leave)
    remote.call("run_check", 1)
    assert remote.event()["passed"]
    remote.call("run_alert", {})
    assert remote.event()["name"] == "AlertFinished"
    by_check, by_alert = (int(pid) for pid in until_lines(pids, 2))

    until(lambda: not is_alive(by_check), "the end of what the check left")
    assert is_alive(by_alert)


def test_a_restart_leaves_alerts_alone(drive: Start, tmp_path: Path) -> None:
    """Neither an alert nor what it left behind counts as the child's tree, and both live on."""
    pids = tmp_path / "pids"
    remote = drive(
        command=["sleep", "1000"],
        alert=sh(ORPHAN.format(pids=pids) + f"; echo $$ >>{pids}; sleep 1000 & wait"),
        subreaper=True,
    )
    remote.start_command()
    remote.call("run_alert", {})
    pair = [int(pid) for pid in until_lines(pids, 2)]

    remote.call("signal_tree", signal.SIGKILL)
    assert remote.event() == ended(0, signal.SIGKILL)
    assert remote.remaining() == 0
    assert all(is_alive(pid) for pid in pair)


def test_closing_ends_checks_and_alerts(drive: Start) -> None:
    """After close neither check nor alert is there, and no zombie of them."""
    remote = drive(health=["sleep", "1000"], alert=["sleep", "1001"])
    remote.call("run_check", 1)
    remote.call("run_alert", {})

    remote.call("close")
    folder = Path(f"/proc/{remote.process.pid}/task/{remote.process.pid}/children")
    assert folder.read_text() == ""


def test_a_start_prints_nothing(drive: Start, tmp_path: Path) -> None:
    """A start, also one beside another thread, prints nothing on stderr."""
    with (tmp_path / "err").open("w") as stderr:
        remote = drive(command=["true"], options={"stderr": stderr})
        remote.start_command()
        assert remote.event() == ended()
        remote.send("die", 0, 0)
        assert remote.end() == 0

    assert (tmp_path / "err").read_text() == ""
