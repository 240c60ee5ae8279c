"""The sandbox of one test of the whole program: a folder, an environment, and what runs in it.

- What a test starts carries a mark in its environment.  By the mark the test sees which processes
  are left, and by it all of them are killed at the end of the test.
- The bare command is the yardstick: a test that can uses `BARE` and `WRAPPED` in the same places,
  and compares what it saw.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from support.processes import kill_all, proc, state, with_variable
from support.program import Program, Word
from support.waiting import DEADLINE_S, lines, until

TEST = Path(__file__).resolve().parent.parent
LIBEXEC = TEST / "libexec"
REPORTER = str(LIBEXEC / "reporter")
MARK = "TEST_OF_ZKEXEC"

ZKEXEC = (sys.executable, "-m", "zkexec")
BARE: tuple[str, ...] = ()
WRAPPED = (*ZKEXEC, "--silent", "--")


def faulty(kind: str, name: str, how: str, trip: Path) -> tuple[Word, ...]:
    """The words of `support/faulty_zkexec.py`, which makes a mistake once `trip` exists."""
    return sys.executable, TEST / "support" / "faulty_zkexec.py", kind, name, how, trip


def born(path: Path, count: int = 1) -> int:
    """Wait until `count` reporters have started, and return the pid of the last."""

    def pids() -> list[int]:
        return [int(line.split()[1]) for line in lines(path) if line.startswith("born ")]

    until(lambda: len(pids()) >= count, f"{count} reporters in {path.name}")
    return pids()[count - 1]


class Sandbox:
    """The folder and the cluster of one test, and the programs that it started."""

    def __init__(self, folder: Path, hosts: str) -> None:
        """Let programs run in this folder, and zkexec connect to these hosts."""
        self.folder = folder
        self.report = folder / "report"
        self._hosts = hosts
        self._mark = uuid.uuid4().hex
        self._started: list[Program] = []

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

    def start(self, *words: Word, **options: Any) -> Program:
        """Start a program here; `options` are a terminal, or those of Popen."""
        given = {"env": self.environment(), "cwd": self.folder, **options}
        self._started.append(Program(*words, **given))
        return self._started[-1]

    def run(self, *words: Word, **options: Any) -> tuple[int, bytes, bytes]:
        """Run a program to its end: the status, its stdout and its stderr."""
        given = {"env": self.environment(), "cwd": self.folder, "start_new_session": True}
        if "input" not in options:
            given["stdin"] = subprocess.DEVNULL
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        run = subprocess.run(
            words, check=False, timeout=DEADLINE_S, **{**streams, **given, **options}
        )
        return run.returncode, run.stdout or b"", run.stderr or b""

    def start_reporter(
        self, prefix: Sequence[str], *words: str, **options: Any
    ) -> tuple[Program, int]:
        """Start a reporter behind the prefix; also the pid of the reporter, once it listens."""
        before = sum(line.startswith("born ") for line in lines(self.report))
        program = self.start(*prefix, REPORTER, self.report, *words, **options)
        return program, born(self.report, before + 1)

    def present(self) -> list[int]:
        """The living processes that carry the mark."""
        return with_variable(MARK, self._mark)

    def sleepers(self) -> list[int]:
        """Those of them that are a `sleep`, which sets up nothing of its own, and sleep."""
        return [
            pid
            for pid in self.present()
            if proc(pid, "cmdline").startswith(b"sleep\0") and state(pid) == "S"
        ]

    def wait_until_empty(self) -> None:
        """Wait until all processes that were started are gone."""
        until(lambda: not self.present(), "nothing is left")

    def close(self) -> None:
        """Kill what is left."""
        kill_all(self.present())
        for program in self._started:
            program.close()


class Mirror:
    """A znode that is mirrored to a file; each `change` causes a restart."""

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
