"""A whole zkexec with what it says, and the scene on which a test plays its operator.

The rules of this file:

- Whatever is started belongs to a Stage, which kills it when the test is over.
- A line is waited for by a pattern and by how often it has come, so that no test depends on
  what it has looked at before.
- The command is a recorder unless a test brings its own: what it read at each of its starts is
  the measure of everything.
"""

import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kazoo.client import KazooClient

from e2e.stage import LIBEXEC, PATIENCE_S, ZKEXEC, Stage, Word, is_alive, lines, until
from zookeeper import wait_until

RECORDER = str(LIBEXEC / "recorder")


@dataclass(frozen=True)
class Birth:
    """One start of the recorder: what it read, by the names of the files, and whether alone."""

    pid: int
    alone: bool
    files: dict[str, str | None]


class Running:
    """One zkexec; `lines` is what has come on its stderr so far, `out` what has come on stdout."""

    def __init__(
        self, stage: Stage, *words: Word, program: Sequence[Word] = ZKEXEC, **options: Any
    ) -> None:
        """Start zkexec, or another program, with these arguments; `options` are those of Popen."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = stage.start(*program, *words, **{**pipes, **options})
        self.lines: list[str] = []
        self.out: list[str] = []
        self._readers = [
            threading.Thread(target=_collect, args=pair, daemon=True)
            for pair in ((self.process.stderr, self.lines), (self.process.stdout, self.out))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def said(self) -> str:
        """All of stderr so far."""
        return "\n".join(self.lines)

    def all(self, pattern: str) -> list[str]:
        """The lines that hold the pattern."""
        return [line for line in tuple(self.lines) if re.search(pattern, line)]

    def line(self, pattern: str, count: int = 1, patience_s: float = PATIENCE_S) -> str:
        """Wait until that many lines hold the pattern, and return the last of them."""

        def found() -> bool:
            listening = self._readers[0].is_alive()
            enough = len(self.all(pattern)) >= count
            assert enough or listening, f"ended without {count} x {pattern!r}:\n{self.said}"
            return enough

        try:
            wait_until(found, pattern, patience_s)
        except TimeoutError:
            raise AssertionError(f"in vain: {count} x {pattern!r} in\n{self.said}") from None
        return self.all(pattern)[count - 1]

    def signal(self, number: int) -> None:
        """Send a signal to zkexec alone."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; the status as Popen tells it."""
        status = self.process.wait(timeout=PATIENCE_S)
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)
        return status

    def end(self) -> int:
        """Ask zkexec to end, and wait for that."""
        self.process.terminate()
        return self.wait()


def _collect(stream: IO[bytes], into: list[str]) -> None:
    for line in stream:
        # One by one, as they come: an extend would be seen by nobody before its end.
        into += [line.decode("utf-8", "backslashreplace").rstrip("\n")]


class Scene:
    """Mirrored znodes below `root`, each with a file of its name, and a zkexec on them."""

    def __init__(self, stage: Stage, client: KazooClient, root: str, hosts: str) -> None:
        """Let zkexec connect to `hosts`, and `client` write below `root` ("" for the top)."""
        self.stage = stage
        self.client = client
        self.root = root
        self.hosts = hosts
        self.folder = stage.folder / "mirrored"
        self.record = stage.folder / "record"
        self.folder.mkdir()

    def path(self, name: str) -> str:
        """The znode of this name."""
        return f"{self.root}/{name}"

    def file(self, name: str) -> Path:
        """The file of this name."""
        return self.folder / name

    def content(self, name: str) -> bytes:
        """What the file of this name holds."""
        return self.file(name).read_bytes()

    def create(self, **contents: bytes) -> None:
        """Make znodes, each in a transaction of its own."""
        for name, content in contents.items():
            self.client.create(self.path(name), content)

    def set(self, **contents: bytes) -> None:
        """Write znodes, all in one transaction."""
        transaction = self.client.transaction()
        for name, content in contents.items():
            transaction.set_data(self.path(name), content)
        assert not [e for e in transaction.commit() if isinstance(e, Exception)]

    def delete(self, name: str) -> None:
        """Delete a znode."""
        self.client.delete(self.path(name))

    def mirrors(self, *names: str) -> list[str]:
        """The options that mirror these znodes."""
        return [f"--mirror={self.file(name)}={self.path(name)}" for name in names]

    def start(self, *options: Word, **popen: Any) -> Running:
        """Start zkexec on this scene's cluster, with these arguments and nothing else."""
        return Running(self.stage, f"--cluster={self.hosts}", *options, **popen)

    def wrap(self, *options: str, names: str = "a", recorder: tuple[str, ...] = ()) -> Running:
        """Start zkexec on a recorder that reads the files of these names, blank between them."""
        command = self.recorder(*names.split(), options=recorder)
        return self.start(*self.mirrors(*names.split()), *options, f"--exec={command}")

    def recorder(self, *names: str, options: tuple[str, ...] = ()) -> str:
        """The COMMAND of a recorder that reads the files of these names at each start."""
        return shell(RECORDER, self.record, *options, *(self.file(name) for name in names))

    def births(self) -> list[Birth]:
        """All starts of the recorder so far."""
        return [
            Birth(
                told["pid"],
                told["alone"],
                {os.path.basename(path): text for path, text in told["files"].items()},
            )
            for told in map(json.loads, lines(self.record))
            if told["event"] == "born"
        ]

    def born(self, count: int = 1) -> Birth:
        """Wait for so many starts, and return the last of them."""
        try:
            until(lambda: len(self.births()) >= count, f"{count} births")
        except TimeoutError:
            raise AssertionError(f"in vain: {count} births in {self.births()}") from None
        return self.births()[count - 1]

    def born_with(self, **contents: str) -> Birth:
        """Wait until the newest start saw these contents."""

        def newest() -> list[Birth]:
            return [b for b in self.births()[-1:] if contents.items() <= b.files.items()]

        return until(newest, f"a birth with {contents}")[0]

    def asked(self, count: int = 1) -> None:
        """Wait until recorders were asked to end so often."""
        until(lambda: sum('"asked"' in line for line in lines(self.record)) >= count, "a TERM")

    def only(self, birth: Birth) -> None:
        """Demand that this child lives, and that no other was born."""
        assert self.births() == [birth]
        assert is_alive(birth.pid)


def shell(*words: object) -> str:
    """Quote words into one COMMAND."""
    return shlex.join(map(str, words))
