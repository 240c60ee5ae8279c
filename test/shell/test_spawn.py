"""How a process is born from zkexec: shown by programs that report what they were born with.

Each test is run for every way to start a process.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shell.spawning_programs import SpawningPrograms
from support.processes import is_gone
from support.waiting import until

# Starts argv[2:] with the traits of argv[1] and ends as it ended, or prints the SpawnError.
LAUNCH = """
from zkexec.process.inheritance import inherit, end_as
i = inherit()
import json, os, sys
from zkexec.core.events import ExitStatus
from zkexec.process.spawn import SpawnError, SpawnRequest, spawn
traits = {"own_session": False, **json.loads(sys.argv[1])}
request = SpawnRequest(argv=[os.fsencode(a) for a in sys.argv[2:]], environment=i.environment,
                mask=i.mask, ignored=i.ignored, **traits)
BEFORE
try:
    pid = spawn(request)
except SpawnError as error:
    try:
        os.waitpid(-1, os.WNOHANG)
        left = True
    except ChildProcessError:
        left = False
    os.write(1, json.dumps([error.status, error.reason, left]).encode())
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
end_as(ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code))
"""


# The program itself has some: these are closed on exec.
NO_DESCRIPTOR_LEFT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
while os.open("/dev/null", os.O_RDONLY) < 7: pass
"""


# What `posix_spawn` cannot do.
not_by_posix_spawn = pytest.mark.parametrize("marked", ["starter", "fork"], indirect=True)


@pytest.fixture(params=["posix-spawn", "starter", "fork"])
def marked(request: pytest.FixtureRequest) -> Iterator[SpawningPrograms]:
    """Starts the programs of this test, and kills them by their mark."""
    programs = SpawningPrograms(request.param)
    yield programs
    programs.close()


def launch(
    marked: SpawningPrograms,
    *argv: str | bytes,
    traits: Mapping[str, int] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program as zkexec would start it."""
    code = LAUNCH.replace("BEFORE", options.pop("code_before", ""))
    traits = {"dies_with_parent": marked.way != "posix-spawn", **(traits or {})}
    return marked.python(code, json.dumps(traits), *argv, **options)


def refusal(done: subprocess.CompletedProcess[bytes]) -> tuple[int, str]:
    """The status and the reason with which a start failed; it must have left no process."""
    status, reason, left = json.loads(done.stdout)
    assert not left
    return status, reason


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    """Write an executable script."""
    path.write_text(text)
    path.chmod(mode)
    return path


def birth_signals(done: subprocess.CompletedProcess[bytes]) -> dict[str, int]:
    """The sets of ignored and of blocked signals out of /proc/PID/status.

    Without 32 and 33: these belong to the C library, and `make` hands them on as ignored.
    """
    words = done.stdout.decode().split()
    found = {name: int(words[words.index(f"{name}:") + 1], 16) for name in ("SigIgn", "SigBlk")}
    return {name: numbers & ~bits(32, 33) for name, numbers in found.items()}


def test_the_path_is_searched(marked: SpawningPrograms, tmp_path: Path) -> None:
    """A name without a slash is looked for along the PATH that the environment holds."""
    (tmp_path / "one" / "tool").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    script(tmp_path / "two" / "tool", "#!/bin/sh\necho two")
    env = marked.environment(PATH=f"{tmp_path}/none:{tmp_path}/one:{tmp_path}/two:/bin")

    assert launch(marked, "tool", env=env).stdout == b"two\n"


def test_an_empty_folder_of_the_path_is_here(marked: SpawningPrograms, tmp_path: Path) -> None:
    """An empty entry of the PATH is the working directory, as it is for execvp."""
    script(tmp_path / "tool", "#!/bin/sh\necho here")

    assert launch(marked, "tool", env=marked.environment(PATH=""), cwd=tmp_path).stdout == b"here\n"


def test_without_a_path_the_usual_places_hold(marked: SpawningPrograms) -> None:
    """An environment without PATH finds what lies in /bin and /usr/bin."""
    env = marked.environment()
    del env["PATH"]

    assert launch(marked, "echo", "found", env=env).stdout == b"found\n"


def test_a_script_without_a_first_line_runs(marked: SpawningPrograms, tmp_path: Path) -> None:
    """A script without `#!` is run by /bin/sh with its arguments, found by PATH or by name."""
    plain = script(tmp_path / "plain", 'echo "$0 $1 $#"; exit 4\n')
    env = marked.environment(PATH=f"{tmp_path}:/bin")

    for name in (str(plain), "plain"):
        done = launch(marked, name, "a b", "c", env=env)
        assert (done.returncode, done.stdout) == (4, f"{plain} a b 2\n".encode())


def test_any_arguments_pass(marked: SpawningPrograms) -> None:
    """Arguments that are no UTF-8, empty ones, and 100 KB of them reach the program."""
    argv = [b"\xff\xfe", b"", b"a\nb", b"x" * 100_000]

    done = launch(marked, "printf", "[%s]", *argv)
    assert done.stdout == b"".join(b"[" + word + b"]" for word in argv)


def test_the_birth_is_the_callers(marked: SpawningPrograms, tmp_path: Path) -> None:
    """Folder, umask, limits and environment are those of a start without zkexec, byte for byte."""
    ask = "pwd; umask; ulimit -a; cat /proc/self/environ"
    options: dict[str, Any] = {
        "cwd": tmp_path,
        "umask": 0o027,
        "env": {"LANG": "C", "PYTHONPATH": marked.environment()["PYTHONPATH"], "ODD": "\udcff"},
    }
    alone = subprocess.run(["/bin/sh", "-c", ask], capture_output=True, check=True, **options)

    assert launch(marked, "/bin/sh", "-c", ask, **options).stdout == alone.stdout


def test_no_disposition_is_of_our_making(marked: SpawningPrograms) -> None:
    """Without ignored signals in the caller, the program ignores and blocks none."""
    found = birth_signals(launch(marked, "cat", "/proc/self/status"))

    assert (found["SigIgn"], found["SigBlk"]) == (0, 0)


def test_ignored_and_blocked_signals_are_handed_on(marked: SpawningPrograms) -> None:
    """What the caller ignored or blocked, the program ignores or blocks, SIGCHLD included."""
    prepare = """
import os, signal, sys
for n in (signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
    signal.signal(n, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGVTALRM})
os.execvp(sys.argv[1], sys.argv[1:])
"""
    done = launch(marked, "cat", "/proc/self/status", before=(sys.executable, "-c", prepare))
    found = birth_signals(done)

    assert found["SigIgn"] == bits(signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)
    assert found["SigBlk"] == bits(signal.SIGTERM, signal.SIGVTALRM)


def bits(*numbers: int) -> int:
    """The set of signals as the kernel prints it."""
    return sum(1 << (number - 1) for number in numbers)


def test_only_the_callers_descriptors_pass(marked: SpawningPrograms) -> None:
    """A descriptor that the caller left open reaches the program, none of zkexec's does."""
    reading, writing = os.pipe()
    ours = "import socket; kept = [open('/dev/null'), socket.socket(), os.pipe()]"
    try:
        done = launch(marked, "sh", "-c", "ls /proc/$$/fd; :", code_before=ours, pass_fds=[writing])
    finally:
        os.close(reading)
        os.close(writing)

    assert {int(fd) for fd in done.stdout.split()} == {0, 1, 2, writing}


def test_closed_descriptors_stay_closed(marked: SpawningPrograms, tmp_path: Path) -> None:
    """A program whose caller had closed its stdin finds it closed, as without zkexec."""
    seen = tmp_path / "seen"
    ask = f"[ -e /proc/$$/fd/0 ]; echo $? >{seen}"
    launch(marked, "sh", "-c", ask, before=("sh", "-c", 'exec 0<&-; exec "$@"', "sh"))

    assert seen.read_text() == "1\n"


def test_a_session_of_its_own_on_demand(marked: SpawningPrograms) -> None:
    """A process leads a session of its own only where the launch says so."""
    ask = "import os; print(os.getsid(0) == os.getpid() == os.getpgrp())"
    for wanted in (True, False):
        done = launch(marked, sys.executable, "-c", ask, traits={"own_session": wanted})
        assert done.stdout == f"{wanted}\n".encode()


def replaced(**fields: object) -> str:
    """Code that changes these fields of the request."""
    listed = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return f"from zkexec.frozen import replace\nrequest = replace(request, {listed})\n"


@not_by_posix_spawn
def test_variables_name_the_new_process(marked: SpawningPrograms) -> None:
    """Variables that must contain the pid of the new process do, and keep their places."""
    names = frozenset({b"LISTEN_PID", b"WATCHDOG_PID"})
    ask = "import os; print(os.getpid()); print(open('/proc/self/environ').read(), end='')"
    env = marked.environment(LISTEN_PID="1", BETWEEN="2", WATCHDOG_PID="12345678", AFTER="3")
    before = replaced(named_by_pid=names)
    done = launch(marked, sys.executable, "-c", ask, env=env, code_before=before)
    pid, _, environment = done.stdout.decode().partition("\n")

    named = {**env, "LISTEN_PID": pid, "WATCHDOG_PID": pid}
    assert environment == "".join(f"{name}={value}\0" for name, value in named.items())


@not_by_posix_spawn
@pytest.mark.parametrize("count", [2, 900_000])
def test_the_first_descriptors_are_closed(marked: SpawningPrograms, count: int) -> None:
    """As many descriptors as the request says are closed, from 3 on; others still pass."""
    ours = "for n in range(3, 8): os.dup2(1, n)\n" + replaced(closed=count)
    done = launch(marked, "sh", "-c", "ls /proc/$$/fd; :", code_before=ours)

    kept = {0, 1, 2, 5, 6, 7} if count == 2 else {0, 1, 2}
    assert {int(fd) for fd in done.stdout.split()} == kept


@not_by_posix_spawn
def test_the_new_process_enters_its_cgroup(marked: SpawningPrograms, tmp_path: Path) -> None:
    """The new process writes itself into the cgroup; without the cgroup it runs all the same."""
    group = tmp_path / "gr\udcffoup"
    group.mkdir()
    (group / "cgroup.procs").touch()
    for folder in (group, tmp_path / "none"):
        done = launch(marked, "echo", "runs", code_before=replaced(cgroup=str(folder)))
        assert done.stdout == b"runs\n"

    assert (group / "cgroup.procs").read_bytes() == b"0"


@not_by_posix_spawn
def test_what_no_program_can_get(marked: SpawningPrograms) -> None:
    """An argument or a variable with a NUL byte is refused with 125."""
    for fields in ({"argv": [b"true", b"a\0b"]}, {"environment": {b"PATH": b"/bin", b"A": b"\0"}}):
        answer = refusal(launch(marked, "true", code_before=replaced(**fields)))
        assert answer == (125, "cannot start true: embedded null byte")


def test_streams_as_a_check_has_them(marked: SpawningPrograms) -> None:
    """With null_stdin nothing can be read, with an output all output goes there."""
    traits = {"null_stdin": True, "output": 2}
    done = launch(marked, "sh", "-c", "cat; echo out", traits=traits, input=b"typed")

    assert (done.stdout, done.stderr) == (b"", b"out\n")


def test_streams_as_the_child_has_them(marked: SpawningPrograms) -> None:
    """Otherwise the streams are the caller's own, and zkexec has read nothing of stdin."""
    done = launch(marked, "cat", input=b"typed")

    assert (done.stdout, done.stderr) == (b"typed", b"")


def test_it_dies_with_its_parent(marked: SpawningPrograms, tmp_path: Path) -> None:
    """A process that is to die with zkexec is killed when zkexec is SIGKILLed, others live on."""
    for wanted in (True, False):
        pid_file = tmp_path / f"pid-{wanted}"
        ask = f"echo $$ >{pid_file}; kill -9 $PPID; exec sleep 1000 >/dev/null 2>&1"
        done = launch(marked, "sh", "-c", ask, traits={"dies_with_parent": wanted})

        assert done.returncode == -signal.SIGKILL
        pid = int(pid_file.read_text())
        if wanted:
            until(partial(is_gone, pid), "the death of the orphan")
        else:
            assert not is_gone(pid)
            os.kill(pid, signal.SIGKILL)


def test_what_is_not_there(marked: SpawningPrograms, tmp_path: Path) -> None:
    """A name that nothing answers to is refused with 127."""
    for name in ("no-such-command", f"{tmp_path}/none", "/dev/null/x", ""):
        status, reason = refusal(launch(marked, name))
        assert status == 127
        assert reason.startswith(f"cannot execute {name}: ")


def test_what_cannot_be_executed(marked: SpawningPrograms, tmp_path: Path) -> None:
    """What is there but cannot be executed is refused with 126 and a reason."""
    plain = script(tmp_path / "plain", "echo no", mode=0o644)
    orphan = script(tmp_path / "orphan", "#!/no/such/interpreter\n")
    expected = {
        plain: "Permission denied",
        tmp_path: "Is a directory",
        orphan: "the interpreter in its first line does not exist",
    }
    for path, reason in expected.items():
        answer = refusal(launch(marked, str(path)))
        assert answer == (126, f"cannot execute {path}: {reason}")
    env = marked.environment(PATH=str(tmp_path))
    assert refusal(launch(marked, "plain", env=env))[0] == 126


def test_what_is_too_long(marked: SpawningPrograms) -> None:
    """Arguments beyond what the kernel takes are refused with 126."""
    too_long = (
        "from zkexec.frozen import replace\n"
        "request = replace(request, argv=[b'true', b'x' * 2**22])"
    )
    status, reason = refusal(launch(marked, "true", code_before=too_long))

    assert (status, reason) == (126, "cannot execute true: Argument list too long")


def test_only_stderr_goes_elsewhere(marked: SpawningPrograms, tmp_path: Path) -> None:
    """With a descriptor for stderr only stderr is written there, also beside one for both."""
    before = f"aside = os.open({str(tmp_path / 'aside')!r}, os.O_WRONLY | os.O_CREAT)\n"
    words = ("sh", "-c", "echo out; echo error >&2; readlink /proc/$$/fd/2")
    for traits, out in (({}, b"out\n"), ({"output": 2}, b"")):
        (tmp_path / "aside").write_bytes(b"")
        change = "from zkexec.frozen import replace; request = replace(request, stderr=aside)"
        done = launch(marked, *words, traits=traits, code_before=before + change)

        assert done.stdout.startswith(out)
        assert (tmp_path / "aside").read_bytes() == b"error\n"
        assert os.fsencode(tmp_path / "aside") in done.stdout + done.stderr


def test_no_room_for_another_process(marked: SpawningPrograms) -> None:
    """Where the fork itself fails, it is zkexec that could not work: 125."""
    shortage = """
import resource
if os.getuid() == 0:
    os.setgroups([])
    os.setresuid(54321, 54321, 54321)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
"""
    status, reason = refusal(launch(marked, "true", code_before=shortage))

    assert (status, reason) == (125, "cannot start true: Resource temporarily unavailable")


def test_no_descriptor_left(marked: SpawningPrograms) -> None:
    """A fork needs a pipe: where none can be made, nothing is started, 125.  Others need none."""
    done = launch(marked, "true", code_before=NO_DESCRIPTOR_LEFT)

    if marked.way == "fork":
        assert refusal(done) == (125, "cannot start true: Too many open files")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@not_by_posix_spawn
def test_trouble_before_exec_ends_the_new_process(marked: SpawningPrograms) -> None:
    """What fails in the new process before exec is reported as 125, and no second zkexec runs."""
    shortage = NO_DESCRIPTOR_LEFT
    if marked.way == "fork":
        shortage += "os.close(5); os.close(6)"  # for its pipe
    done = launch(marked, "true", traits={"null_stdin": True}, code_before=shortage)

    assert refusal(done) == (125, "cannot start true: Too many open files")


def test_threads_beside_the_fork_cause_no_words(marked: SpawningPrograms) -> None:
    """Another thread, such as one that looks a name up, is no reason for a line on stderr."""
    beside = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
    done = launch(marked, "echo", "fine", code_before=beside)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"fine\n", b"")


def test_only_the_main_thread_starts_processes(marked: SpawningPrograms) -> None:
    """A start from another thread crashes loudly: its end would kill the process."""
    beside = """
import threading
def attempt():
    try:
        spawn(request)
    except RuntimeError as error:
        print(error, flush=True)
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
os._exit(0)
"""
    done = launch(marked, "echo", "started", code_before=beside)
    assert done.stdout == b"only the main thread may start processes\n"
