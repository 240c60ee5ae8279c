"""The commands of steps: what they get, how their end is reported, and what is left of them."""

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shell.remote_processes import RemoteProcesses
from support.processes import is_alive, zombies
from support.waiting import lines, until, until_line, until_lines

Start = Callable[..., RemoteProcesses]
SIGNAL_LOG = str(Path(__file__).resolve().parents[1] / "libexec" / "signal-log")
ASK = 'echo "$ZKEXEC_STEP,$ZKEXEC_PID,$ZKEXEC_EVENT,$ZKEXEC_LOCK,$ZKEXEC_MEMBER,$#" >>{log}'


def sh(text: str) -> list[str]:
    """The words that run a text by the shell."""
    return ["/bin/sh", "-c", text]


def finished(
    step: str, *, passed: bool = False, reason: str = "", of_host: bool = False, number: int = 1
) -> dict[str, Any]:
    """The event by which the end of a step is reported."""
    outcome = {"passed": passed, "reason": reason, "is_of_host": of_host}
    return {"name": "StepFinished", "step": step, "number": number, "outcome": outcome}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files, in which copies are written."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def check(drive: Start, temporary: Path) -> Callable[..., RemoteProcesses]:
    """Start a program with this text as the check of two targets."""

    def start(text: str, **config: Any) -> RemoteProcesses:
        return drive(
            steps={"check": sh(text)},
            targets=["/etc/app/b.conf", "/etc/app/a.conf"],
            environment={"TMPDIR": str(temporary)},
            **config,
        )

    return start


FILES = {"/etc/app/a.conf": "a", "/etc/app/b.conf": "b"}


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("exit 0", finished("reload", passed=True)),
        ("exit 3", finished("reload", reason="exit status 3")),
        ("echo bad >&2; echo; exit 3", finished("reload", reason="exit status 3: bad")),
        ("kill -9 $$", finished("reload", reason="killed by SIGKILL")),
        ("exit 126", finished("reload", reason="exit status 126", of_host=True)),
    ],
)
def test_the_end_of_a_step_is_reported(drive: Start, text: str, event: dict[str, Any]) -> None:
    """Exit 0 passes; a failure has its reason, with what was printed last."""
    remote = drive(steps={"reload": sh(text)})

    assert remote.call("run_step", "reload") == []
    assert remote.event() == event
    assert zombies(remote.process.pid) == []


def test_a_command_that_is_missing_is_a_matter_of_the_host(drive: Start) -> None:
    """A program that is not there is no fault of the configuration, also below a shell."""
    remote = drive(steps={"pre-stop": ["/no/hook"], "post-healthy": sh("/no/hook; exit $?")})
    [event] = remote.call("run_step", "pre-stop", 7)
    words = "cannot execute /no/hook: No such file or directory"
    assert event == finished("pre-stop", reason=words, of_host=True, number=7)

    assert remote.call("run_step", "post-healthy") == []
    outcome = remote.event()["outcome"]
    assert outcome["is_of_host"]
    assert outcome["reason"].startswith("exit status 127: ")
    assert outcome["reason"].endswith("not found")


def test_a_step_knows_what_it_is_for(drive: Start, tmp_path: Path) -> None:
    """The variables name the step, the command, the group and the member."""
    log = tmp_path / "log"
    ask = sh(ASK.format(log=log))
    remote = drive(command=["sleep", "1000"], steps={"pre-stop": ask, "post-healthy": ask})
    remote.call("run_step", "post-healthy")
    assert remote.event()["outcome"]["passed"]
    pid = remote.start_command()
    remote.call("run_step", "pre-stop", 1, "restart")
    assert remote.event()["outcome"]["passed"]

    assert lines(log) == ["post-healthy,,,web,a1,0", f"pre-stop,{pid},restart,web,a1,0"]


def test_a_step_reads_nothing_and_prints_to_stderr(drive: Start, tmp_path: Path) -> None:
    """Stdin is empty, both outputs go to zkexec's stderr, and the step leads a session."""
    out, err = tmp_path / "out", tmp_path / "err"
    (tmp_path / "in").write_text("typed")
    ask = sh('cat; [ "$(ps -o sid= -p $$)" -eq $$ ] && echo leads; echo 2 >&2')
    with (tmp_path / "in").open() as stdin, out.open("w") as stdout, err.open("w") as stderr:
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        remote = drive(steps={"reload": ask}, options=streams)
        remote.call("run_step", "reload")
        assert remote.event()["outcome"]["passed"]

    assert (out.read_text(), err.read_text()) == ("", "leads\n2\n")


def test_output_comes_at_once(drive: Start, tmp_path: Path) -> None:
    """What a step prints is on stderr while it still runs."""
    err, gate = tmp_path / "err", tmp_path / "gate"
    os.mkfifo(gate)
    with err.open("w") as stderr:
        remote = drive(
            steps={"reload": sh(f"echo begun; read line <{gate}")}, options={"stderr": stderr}
        )
        remote.call("run_step", "reload")
        until_line(err, "begun")
        gate.write_text("open\n")
        assert remote.event() == finished("reload", passed=True)


def test_two_steps_run_at_once(drive: Start, tmp_path: Path) -> None:
    """The commands of two steps run beside each other; each end is reported as its own."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    os.mkfifo(gate)
    remote = drive(
        steps={"check": sh(f"echo up >>{log}; read line <{gate}"), "post-healthy": sh("exit 4")}
    )
    remote.call("run_step", "check")
    until_lines(log)
    remote.call("run_step", "post-healthy", 2)
    assert remote.event() == finished("post-healthy", reason="exit status 4", number=2)
    gate.write_text("open\n")

    assert remote.event() == finished("check", passed=True)


def test_a_check_gets_the_copies(
    check: Callable[..., RemoteProcesses], tmp_path: Path, temporary: Path
) -> None:
    """$1 onward are copies in the order of the targets; ZKEXEC_STAGED has them at full paths."""
    log = tmp_path / "log"
    ask = 'cat "$@"; echo; basename -a "$@"; cd "$ZKEXEC_STAGED" && find . -type f | sort'
    remote = check(f"{{ {ask}; }} >{log}")
    remote.call("run_step", "check", 1, "", FILES)
    assert remote.event() == finished("check", passed=True)

    assert lines(log) == ["ba", "b.conf", "a.conf", "./etc/app/a.conf", "./etc/app/b.conf"]
    until(lambda: not list(temporary.iterdir()), "the copies are removed")


def test_a_refusal_names_the_target(check: Callable[..., RemoteProcesses]) -> None:
    """The reason has the path of the target, not that of the copy, and the last three lines."""
    remote = check('echo a; echo b; printf "in %s:3\\n" "$1"; printf "\\033c"; exit 1')
    remote.call("run_step", "check", 1, "", FILES)

    reason = "exit status 1: b; in /etc/app/b.conf:3; \\x1bc"
    assert remote.event() == finished("check", reason=reason)


def test_copies_that_cannot_be_written_are_a_matter_of_the_host(
    check: Callable[..., RemoteProcesses], temporary: Path
) -> None:
    """Without a place for the copies the check is not started, and can be run later."""
    remote = check("exit 0")
    temporary.rmdir()
    [event] = remote.call("run_step", "check", 1, "", FILES)
    reason = f"cannot write copies in {temporary}: No such file or directory"
    assert event == finished("check", reason=reason, of_host=True)

    temporary.mkdir()
    assert remote.call("run_step", "check", 2, "", FILES) == []
    assert remote.event() == finished("check", passed=True, number=2)


def test_a_killed_step_takes_everything_along(
    check: Callable[..., RemoteProcesses], tmp_path: Path, temporary: Path
) -> None:
    """kill_step ends the command and what it started, and the copies are removed."""
    pids = tmp_path / "pids"
    daemon = f"setsid sh -c 'echo $$ >>{pids}; exec sleep 1000' &"
    remote = check(f"{daemon} sleep 1000 & echo $! >>{pids}; echo begun; wait")
    remote.call("run_step", "check", 1, "", FILES)
    started = [int(pid) for pid in until_lines(pids, 2)]
    assert list(temporary.iterdir()) != []

    remote.call("kill_step", "check")
    assert remote.event() == finished("check", reason="killed by SIGKILL: begun")
    until(lambda: not any(is_alive(pid) for pid in started), "the end of all")
    until(lambda: not list(temporary.iterdir()), "the copies are removed")
    assert remote.call("kill_step", "check") is None


def test_a_step_piles_up_nothing(drive: Start, tmp_path: Path) -> None:
    """What a step leaves in its session is killed; a daemon lives on, and delays nothing."""
    pids = tmp_path / "pids"
    daemon = f"setsid sh -c 'trap \"\" PIPE; echo $$ >>{pids}; exec sleep 1000' &"
    wait = f'while [ "$(wc -l <{pids})" -lt 2 ]; do sleep 0.01; done'
    remote = drive(steps={"reload": sh(f"sleep 1000 & echo $! >>{pids}; ({daemon}); {wait}")})
    remote.call("run_step", "reload")
    assert remote.event() == finished("reload", passed=True)
    left, daemon_pid = (int(pid) for pid in until_lines(pids, 2))

    until(lambda: not is_alive(left), "the end of what the step left")
    assert is_alive(daemon_pid)


def test_a_restart_leaves_steps_alone(drive: Start, tmp_path: Path) -> None:
    """A step is not part of the process tree of the command, and a stop does not reach it."""
    pids = tmp_path / "pids"
    remote = drive(
        command=["sleep", "1000"], steps={"check": sh(f"echo $$ >>{pids}; exec sleep 1000")}
    )
    remote.start_command()
    remote.call("run_step", "check")
    pid = int(until_lines(pids)[0])

    remote.call("signal_tree", signal.SIGKILL)
    assert remote.event()["name"] == "CommandExited"
    assert remote.remaining() == 0
    assert is_alive(pid)


def test_a_sudden_death_takes_a_step_along(drive: Start, tmp_path: Path) -> None:
    """If zkexec is SIGKILLed, the kernel kills the command of a step."""
    pids = tmp_path / "pids"
    remote = drive(steps={"check": sh(f"echo $$ >>{pids}; exec sleep 1000")})
    remote.call("run_step", "check")
    pid = int(until_lines(pids)[0])

    remote.process.kill()
    until(lambda: not is_alive(pid), "the end of the step")


def test_a_reset_drops_a_step(
    check: Callable[..., RemoteProcesses], tmp_path: Path, temporary: Path
) -> None:
    """A dropped step is killed, its copies are gone, its end is not reported, the next can run."""
    pids = tmp_path / "pids"
    remote = check(f"echo $$ >>{pids}; [ -z $1 ] || exec sleep 1000")
    remote.call("run_step", "check", 1, "", FILES)
    pid = int(until_lines(pids)[0])
    assert list(temporary.iterdir()) != []

    remote.call("reset_steps")
    assert list(temporary.iterdir()) == []
    until(lambda: not is_alive(pid), "the end of the step")
    remote.call("run_step", "check", 2)
    assert remote.event() == finished("check", passed=True, number=2)
    assert zombies(remote.process.pid) == []


def test_closing_ends_steps(drive: Start, tmp_path: Path) -> None:
    """After close no step is there, and no zombie of it."""
    pids = tmp_path / "pids"
    remote = drive(steps={"reload": sh(f"echo $$ >>{pids}; exec sleep 1000")})
    remote.call("run_step", "reload")
    pid = int(until_lines(pids)[0])

    remote.call("close")
    assert not is_alive(pid)
    folder = Path(f"/proc/{remote.process.pid}/task/{remote.process.pid}/children")
    assert folder.read_text() == ""


def test_a_step_that_prints_without_end_is_killed(drive: Start) -> None:
    """A stderr that nobody reads and a step that never stops printing keep zkexec from nothing."""
    reading, writing = os.pipe()
    remote = drive(steps={"reload": ["yes"]}, options={"stderr": writing})
    remote.call("run_step", "reload")
    until(lambda: not select.select((), (writing,), (), 0)[1], "the pipe is full")
    for _ in range(20):
        assert remote.remaining() == 0

    remote.call("kill_step", "reload")
    assert remote.event() == finished("reload", reason="killed by SIGKILL: y; y; y")
    assert set(os.read(reading, 100)) == set(b"y\n")
    os.close(reading)
    os.close(writing)


def test_a_reload_signal_is_for_the_command_alone(drive: Start, tmp_path: Path) -> None:
    """SignalCommand reaches the command's own process, and none that it started."""
    log = tmp_path / "log"
    remote = drive(command=sh(f"{SIGNAL_LOG} {log} HUP & exec {SIGNAL_LOG} {log} HUP"))
    assert remote.call("signal_command", signal.SIGHUP) is None
    pid = remote.start_command()
    until_lines(log, 2)

    remote.call("signal_command", signal.SIGHUP)
    until_line(log, f"HUP {pid}")
    remote.call("signal_group", signal.SIGUSR1)
    until_lines(log, 5)
    assert [line for line in lines(log) if line.startswith("HUP")] == [f"HUP {pid}"]


def test_sockets_of_the_command_are_closed_for_a_step(drive: Start, tmp_path: Path) -> None:
    """A step gets no socket that a service manager passed, and its output in spite of that."""
    err = tmp_path / "err"
    before = (*sh('exec 3>/dev/null; export LISTEN_PID=$$; exec "$@"'), "sh")
    with err.open("w") as stderr:
        remote = drive(
            steps={"reload": sh("(: >&3) 2>/dev/null && echo open || echo closed")},
            before=before,
            environment={"LISTEN_FDS": "500"},
            options={"stderr": stderr},
        )
        remote.call("run_step", "reload")
        assert remote.event() == finished("reload", passed=True)

    assert "closed" in lines(err)
