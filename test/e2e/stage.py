"""What the tests of the whole program share: zkexec as a process, beside the bare command.

The rules of this file:

- The yardstick is the command run bare.  A test that can says `BARE` and `WRAPPED` in the same
  places and compares what it saw.
- What a test starts carries a mark in its environment.  By it the test sees who is still there,
  and by it everything is killed when the test is over.
- Without a terminal means in a session of its own, so that it does not matter from where the
  tests are run.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kazoo.client import KazooClient

from zookeeper import wait_until

TEST = Path(__file__).resolve().parent.parent
LIBEXEC = TEST / "libexec"
WITNESS = str(LIBEXEC / "witness")
PATIENCE_S = 60.0
MARK = "ZKEXEC_TEST_MARK"

ZKEXEC = (sys.executable, "-m", "zkexec")
BARE: tuple[str, ...] = ()
WRAPPED = (*ZKEXEC, "--silent", "--")

T = TypeVar("T")
Word = str | bytes | Path


def faulty(kind: str, name: str, how: str, trip: Path) -> tuple[Word, ...]:
    """A zkexec with a mistake, see `shell/faulty.py`, which it makes once `trip` is there."""
    return sys.executable, TEST / "shell" / "faulty.py", kind, name, how, trip


def until(get: Callable[[], T], what: str) -> T:
    """Poll until there is a truthy answer, and return it."""
    answers: list[T] = []

    def ask() -> T:
        answers[:] = [get()]
        return answers[0]

    wait_until(ask, what, PATIENCE_S)
    return answers[0]


def lines(path: Path) -> list[str]:
    """The complete lines of a file; none if it is not there."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def until_line(path: Path, line: str, count: int = 1) -> list[str]:
    """Wait until this line is there so often, and return all lines."""
    try:
        wait_until(lambda: lines(path).count(line) >= count, line, PATIENCE_S)
    except TimeoutError:
        raise AssertionError(f"in vain: {count} times {line!r} in {lines(path)}") from None
    return lines(path)


def born(path: Path, count: int = 1) -> int:
    """Wait for the birth of so many witnesses, and return the pid of the last."""

    def pids() -> list[int]:
        return [int(line.split()[1]) for line in lines(path) if line.startswith("born ")]

    until(lambda: len(pids()) >= count, f"{count} births in {path.name}")
    return pids()[count - 1]


def fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if there is no such process."""
    return proc(pid, "stat").decode("utf-8", "replace").rpartition(")")[2].split()


def state(pid: int) -> str:
    """The letter by which /proc tells a process's state; empty if there is none."""
    return (fields(pid) or [""])[0]


def proc(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty if the process is gone or may not be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether there is such a process, other than a zombie."""
    return state(pid) not in ("", "Z", "X")


def pids() -> list[int]:
    """All processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(parent: int) -> list[int]:
    """The children of a process, zombies as well."""
    return [pid for pid in pids() if fields(pid)[1:2] == [str(parent)]]


def zombies(parent: int) -> list[int]:
    """The children that a process has not reaped."""
    return [pid for pid in children(parent) if state(pid) == "Z"]


class Stage:
    """What one test has on it: its folder, its cluster, and the processes that it started."""

    def __init__(self, folder: Path, hosts: str) -> None:
        self.folder = folder
        self.report = folder / "report"
        self._hosts = hosts
        self._mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[bytes]] = []

    def environment(self, **additions: str) -> dict[str, str]:
        """A small environment with the mark and the cluster; nothing in it changes Python."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "ZKEXEC_CLUSTER": self._hosts,
            MARK: self._mark,
            **additions,
        }

    def start(self, *words: Word, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program without a terminal; `options` are those of Popen."""
        given: dict[str, Any] = {
            "env": self.environment(),
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            **options,
        }
        self._started.append(subprocess.Popen(words, **given))
        return self._started[-1]

    def run(self, *words: Word, **options: Any) -> tuple[int, bytes, bytes]:
        """Run a program to its end; its status as Popen tells it, its output and its stderr."""
        typed = options.pop("input", None)
        if typed is not None:
            options["stdin"] = subprocess.PIPE
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.start(*words, **{**pipes, **options})
        out, err = process.communicate(typed, timeout=PATIENCE_S)
        return process.returncode, out or b"", err or b""

    def witness(
        self, prefix: Sequence[str], *words: str, **options: Any
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start a witness behind the prefix; also the pid of the witness, once it listens."""
        before = sum(line.startswith("born ") for line in lines(self.report))
        process = self.start(*prefix, WITNESS, self.report, *words, **options)
        return process, born(self.report, before + 1)

    def present(self) -> list[int]:
        """The living processes that carry the mark."""
        entry = f"{MARK}={self._mark}".encode()
        return [pid for pid in pids() if entry in proc(pid, "environ").split(b"\0")]

    def sleepers(self) -> list[int]:
        """Those of them that are a `sleep`, which sets up nothing of its own, and sleep."""
        return [
            pid
            for pid in self.present()
            if proc(pid, "cmdline").startswith(b"sleep\0") and state(pid) == "S"
        ]

    def wait_until_empty(self) -> None:
        """Wait until nothing of what was started lives any more."""
        until(lambda: not self.present(), "nothing is left")

    def close(self) -> None:
        """Kill what is left."""
        for pid in self.present():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self._started:
            process.wait(timeout=PATIENCE_S)


class Mirror:
    """A znode that is mirrored to a file; each `change` is a restart."""

    def __init__(self, client: KazooClient, path: str, local: Path) -> None:
        self._client = client
        self._path = path
        self.local = local
        self._number = 0
        self.option = f"--mirror={local}={path}"
        client.create(path, b"content 0")

    def change(self) -> bytes:
        """Write new content, and return it."""
        self._number += 1
        content = f"content {self._number}".encode()
        self._client.set(self._path, content)
        return content


def end(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process; its status as Popen tells it."""
    return process.wait(timeout=PATIENCE_S)
