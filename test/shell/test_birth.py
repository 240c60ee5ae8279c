"""What zkexec takes from its caller at birth, and how it ends: shown by real processes."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shell.marked_programs import MarkedPrograms

TELL = """
from zkexec.process.inheritance import inherit
i = inherit()
import json, os, signal
print(json.dumps({
    "mask": sorted(i.mask), "ignored": sorted(i.ignored), "handled": sorted(i.handled),
    "forwarded": sorted(i.forwarded), "has_terminal": i.has_terminal, "is_pid1": i.is_pid1,
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "python_catches": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "environment": [[k.decode("latin1"), v.decode("latin1")] for k, v in i.environment.items()],
}))
"""
DIE = """
import sys
from zkexec.process.inheritance import end_as, inherit
from zkexec.core.events import ExitStatus
inherit()
end_as(ExitStatus(code=int(sys.argv[1]), signal=int(sys.argv[2])))
"""
FORWARDED = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
    signal.SIGCONT,
}


def told(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """What the program TELL has told."""
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_what_is_handled_is_blocked(marked: MarkedPrograms) -> None:
    """The nine signals and SIGCHLD are blocked, and Python's INT is off."""
    birth = told(marked.python(TELL))
    handled = FORWARDED | {signal.SIGCHLD}

    assert set(birth["handled"]) == set(birth["blocked"]) == handled
    assert set(birth["forwarded"]) == FORWARDED
    assert birth["mask"] == birth["ignored"] == []
    assert not birth["python_catches"]
    assert not birth["is_pid1"]


def test_what_the_caller_ignored_is_left_alone(marked: MarkedPrograms) -> None:
    """A signal that the caller ignored, as nohup does, is noted, not blocked, not forwarded."""
    ignoring = ("sh", "-c", 'trap "" HUP INT PIPE; exec "$@"', "sh")
    birth = told(marked.python(TELL, before=ignoring))

    assert set(birth["ignored"]) == {signal.SIGHUP, signal.SIGINT}
    assert not {signal.SIGHUP, signal.SIGINT} & set(birth["blocked"])
    assert set(birth["forwarded"]) == FORWARDED - {signal.SIGHUP, signal.SIGINT}


def test_the_callers_mask_is_remembered(marked: MarkedPrograms) -> None:
    """The mask is the one that the caller handed down, not the one that zkexec works with."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGVTALRM})
    try:
        birth = told(marked.python(TELL))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGVTALRM})

    assert set(birth["mask"]) == {signal.SIGUSR2, signal.SIGVTALRM}


def test_an_ignored_sigchld_costs_no_status(marked: MarkedPrograms) -> None:
    """A caller that ignores SIGCHLD does not make the kernel throw the child's status away."""
    code = """
from zkexec.process.inheritance import inherit
ignored = inherit().ignored
import os, signal
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), signal.SIGCHLD in ignored)
"""
    ignoring = ("python3", "-c", IGNORE_CHLD_AND_EXEC)
    assert marked.python(code, before=ignoring).stdout == b"7 True\n"


IGNORE_CHLD_AND_EXEC = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_holes_are_filled(marked: MarkedPrograms, tmp_path: Path, closed: tuple[int, ...]) -> None:
    """A closed 0, 1 or 2 becomes /dev/null with the right mode, closed again for a child."""
    code = """
from zkexec.process.inheritance import inherit
inherit()
import fcntl, json, os, sys
seen = {n: [os.readlink(f"/proc/self/fd/{n}"), fcntl.fcntl(n, fcntl.F_GETFL) & os.O_ACCMODE,
            os.get_inheritable(n)] for n in range(3)}
open(sys.argv[1], "w").write(json.dumps(seen))
"""
    closing = "exec " + " ".join(f"{n}<&-" for n in closed) + '; exec "$@"'
    seen_file = tmp_path / "seen"
    done = marked.python(code, str(seen_file), before=("sh", "-c", closing, "sh"))
    seen = json.loads(seen_file.read_text())

    assert done.returncode == 0
    for descriptor in range(3):
        mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY
        is_null = seen[str(descriptor)] == ["/dev/null", mode, False]
        assert is_null == (descriptor in closed), seen


def test_the_environment_is_the_callers(marked: MarkedPrograms) -> None:
    """The environment is the caller's byte for byte and in its order, without Python's LC_CTYPE."""
    given = [
        ("ZETA", "1"),
        ("ALPHA", "a=b"),
        ("odd-name.", "\udcff\udc80"),
        ("EMPTY", ""),
        ("PYTHONPATH", marked.environment()["PYTHONPATH"]),
        ("LANG", "C"),
    ]
    birth = told(marked.python(TELL, env=dict(given)))

    as_bytes = [[name, os.fsencode(value).decode("latin1")] for name, value in given]
    assert birth["environment"] == as_bytes


def test_no_terminal_without_a_controlling_one(marked: MarkedPrograms) -> None:
    """A session that has no controlling terminal is known not to have one."""
    assert told(marked.python(TELL))["has_terminal"] is False


def test_a_controlling_terminal_is_found(marked: MarkedPrograms) -> None:
    """A controlling terminal is known, also where no descriptor leads to it any more."""
    master, slave = pty.openpty()
    try:
        hidden = 'exec "$@" </dev/null 2>/dev/null'
        done = marked.python(
            TELL,
            before=("setsid", "--ctty", "sh", "-c", hidden, "sh"),
            stdin=slave,
            start_new_session=False,
        )
        assert told(done)["has_terminal"] is True
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("code", [0, 1, 3, 125, 255])
def test_the_end_has_the_code(marked: MarkedPrograms, code: int) -> None:
    """zkexec ends with the code that the child ended with."""
    assert marked.python(DIE, str(code), "0").returncode == code


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGKILL,
        signal.SIGSEGV,
        signal.SIGPIPE,
        signal.SIGUSR1,
        signal.SIGRTMIN,
        signal.SIGRTMAX,
    ],
)
def test_the_end_is_by_the_signal(marked: MarkedPrograms, number: int) -> None:
    """zkexec dies of the signal that the child died of, blocked or ignored as it may have been."""
    done = marked.python(DIE, "0", str(number))

    assert done.returncode == -number
    assert not done.stdout
    assert not done.stderr


def test_no_core_is_left(marked: MarkedPrograms) -> None:
    """The death by a signal that dumps core dumps none, also where the limit allows one."""
    code = f"""
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
pid = os.posix_spawn(sys.executable, [sys.executable, "-c", {DIE!r}, "0", "3"], os.environ)
_, status = os.waitpid(pid, 0)
print(os.WTERMSIG(status), os.WCOREDUMP(status))
"""
    assert marked.python(code).stdout == b"3 False\n"


def test_pid_1_ends_with_128_and_the_signal(marked: MarkedPrograms) -> None:
    """PID 1 knows that it is, and as no signal can end it, it exits 128 + n."""
    isolated = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no namespaces")

    assert told(marked.python(TELL, before=isolated))["is_pid1"] is True
    assert marked.python(DIE, "0", "15", before=isolated).returncode == 128 + 15


def test_an_early_interrupt_is_silent(marked: MarkedPrograms) -> None:
    """An INT after the birth waits for the loop and prints nothing; unblocked, it kills."""
    code = """
from zkexec.process.inheritance import inherit
inherit()
import os, signal
os.kill(os.getpid(), signal.SIGINT)
print(signal.sigwaitinfo({signal.SIGINT}).si_signo, flush=True)
os.kill(os.getpid(), signal.SIGINT)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
print("lives on")
"""
    done = marked.python(code)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"2\n", b"")
