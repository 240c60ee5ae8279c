"""zkexecctl run by a test, its result, and the history that it left.

A command runs in the process of the test, on streams that are no terminals.  If it is to be killed
or to ask a question, the test starts it as a Program.  Each history is read from the znodes.
"""

import io
import json
import os
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from zkexec.ctl import entry
from zkexec.ctl.terminal.console import Console

ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")


@dataclass(frozen=True)
class CompletedRun:
    """How a command ended, and what it wrote."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """What it wrote to stdout, as text."""
        return self.raw.decode()


class Zkexecctl:
    """Runs commands for one cluster; `folder` is where its files are."""

    def __init__(self, hosts: str, folder: Path, *options: str) -> None:
        self._hosts = hosts
        self._options = options
        self.folder = folder

    def __call__(self, *words: str) -> CompletedRun:
        """Run zkexecctl to its end."""
        out, err = io.BytesIO(), io.StringIO()
        console = Console(io.TextIOWrapper(out, "utf-8"), err, {}, io.StringIO())
        environment = {**os.environ, "ZKEXEC_CLUSTER": self._hosts}
        status = entry.run([*words, *self._options], console, environment)
        return CompletedRun(status, out.getvalue(), err.getvalue())

    def does(self, *words: str) -> CompletedRun:
        """Run a command that has to succeed."""
        answer = self(*words)
        assert answer.status == 0, (words, answer)
        return answer

    def file(self, content: bytes, name: str = "new") -> str:
        """The path of a file with this content."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def push(self, path: str, content: bytes, *options: str) -> CompletedRun:
        """Push one content, which has to succeed."""
        return self.does("push", f"{path}={self.file(content)}", "--yes", *options)

    def refused(self, path: str, content: bytes, *options: str) -> CompletedRun:
        """Push one content, which has to fail."""
        answer = self("push", f"{path}={self.file(content)}", "--yes", *options)
        assert answer.status, answer
        return answer

    def contents(self, path: str) -> list[dict[str, Any]]:
        """The contents of `history --json`, newest first."""
        found: list[dict[str, Any]] = json.loads(self.does("history", path, "--json").out)[
            "contents"
        ]
        return found


def index_of(path: str, chroot: str = "") -> str:
    """The znode of the history of a path."""
    return f"{chroot}/zkexec/.history/{quote(path, safe='')}"


def entries(client: KazooClient, path: str, chroot: str = "") -> list[dict[str, Any]]:
    """The entries of the history, oldest first; none if there is no history."""
    try:
        content, _ = client.get(index_of(path, chroot))
    except NoNodeError:
        return []
    found: list[dict[str, Any]] = json.loads(content)["entries"]
    return found


def kept(client: KazooClient, path: str) -> set[str]:
    """The digests of the contents that are kept."""
    try:
        return set(client.get_children(index_of(path)))
    except NoNodeError:
        return set()


def is_whole(client: KazooClient, path: str) -> bool:
    """Whether the history matches the content of the znode, and has all of its contents."""
    found = entries(client, path)
    missing = {entry["digest"] for entry in found} - kept(client, path)
    content, stat = client.get(path)
    index = client.exists(index_of(path))
    if not found:
        return not missing
    is_ours = found[-1]["digest"] == _digest(content) and index.mzxid == stat.mzxid
    return is_ours and not missing


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
