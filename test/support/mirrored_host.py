"""One host whose files mirror znodes, with the zkexec that a test starts there.

The command is a recorder unless a test brings its own: it writes down what it read at each of its
starts, and that is what the tests compare.
"""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from support.processes import is_alive
from support.program import Program, Word
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.waiting import lines, until

RECORDER = str(LIBEXEC / "recorder")


@dataclass(frozen=True)
class Birth:
    """One start of the recorder: what it read, by the names of the files, and whether alone.

    Of a folder it has read all files below it, by their paths below it.
    """

    pid: int
    alone: bool
    files: dict[str, Any]
    variables: dict[str, str | None] = field(default_factory=dict)


class MirroredHost:
    """Mirrored znodes below `root`, each with a file of its name, and a zkexec on them."""

    def __init__(self, sandbox: Sandbox, client: KazooClient, root: str, hosts: str) -> None:
        """Let zkexec connect to `hosts`, and `client` write below `root` ("" for the top)."""
        self.sandbox = sandbox
        self.client = client
        self.root = root
        self.hosts = hosts
        self.folder = sandbox.folder / "mirrored"
        self.record = sandbox.folder / "record"
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

    def start(self, *options: Word, program: Sequence[Word] = ZKEXEC, **popen: Any) -> Program:
        """Start zkexec, or another program, on this host's cluster, with these arguments alone."""
        return self.sandbox.start(*program, f"--cluster={self.hosts}", *options, **popen)

    def wrap(self, *options: str, names: str = "a", recorder: tuple[str, ...] = ()) -> Program:
        """Start zkexec on a recorder that reads the files of these names, blank between them."""
        command = self.recorder(*names.split(), options=recorder)
        return self.start(*self.mirrors(*names.split()), *options, f"--exec={command}")

    def recorder(self, *names: str, options: tuple[str, ...] = ()) -> str:
        """The COMMAND of a recorder that reads the files of these names at each start."""
        return quoted(RECORDER, self.record, *options, *(self.file(name) for name in names))

    def births(self) -> list[Birth]:
        """All starts of the recorder so far."""
        return [
            Birth(
                start["pid"],
                start["alone"],
                {os.path.basename(path): text for path, text in start["files"].items()},
                start["variables"],
            )
            for start in map(json.loads, lines(self.record))
            if start["event"] == "born"
        ]

    def born(self, count: int = 1) -> Birth:
        """Wait until the recorder has started `count` times, and return the last start."""
        until(
            lambda: len(self.births()) >= count,
            lambda: f"{count} starts in {self.births()}",
        )
        return self.births()[count - 1]

    def born_with(self, **contents: str) -> Birth:
        """Wait until the newest start saw these contents."""

        def newest() -> list[Birth]:
            return [b for b in self.births()[-1:] if contents.items() <= b.files.items()]

        return until(newest, f"a start with {contents}")[0]

    def asked(self, count: int = 1) -> None:
        """Wait until recorders got `count` TERMs."""
        until(lambda: sum('"asked"' in line for line in lines(self.record)) >= count, "a TERM")

    def only(self, birth: Birth) -> None:
        """Demand that this was the only start, and that the recorder still runs."""
        assert self.births() == [birth]
        assert is_alive(birth.pid)


def quoted(*words: object) -> str:
    """Quote words into one COMMAND."""
    return shlex.join(map(str, words))
