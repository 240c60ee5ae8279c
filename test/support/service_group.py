"""A group whose members run services that answer on ports: web servers, nginx, HAProxy.

Each member has a folder of its own, in which its zkexec and its service run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from support.program import Program, Word
from support.sandbox import Sandbox
from support.waiting import DEADLINE_S, until
from support.zkexecctl import CompletedRun, Zkexecctl
from support.zookeeper import Port

T = TypeVar("T")


class ServiceGroup:
    """The members that a test starts, and zkexecctl for their group."""

    def __init__(self, sandbox: Sandbox, client: KazooClient, root: str) -> None:
        """Let the group, and the znodes of its configuration, be below `root`."""
        self.sandbox = sandbox
        self.root = root
        self.lock = f"{root}/group"
        self.zkexecctl = Zkexecctl(sandbox.environment()["ZKEXEC_CLUSTER"], sandbox.folder)
        self.members: dict[str, Program] = {}
        self._client = client
        self._ports: list[Port] = []

    def port(self) -> int:
        """Reserve a port for this test."""
        self._ports.append(Port())
        return self._ports[-1].number

    def folder(self, name: str) -> Path:
        """Make the folder of a member."""
        folder = self.sandbox.folder / name
        folder.mkdir()
        return folder

    def start(self, name: str, *words: Word, **options: Any) -> None:
        """Start a member in its folder."""
        folder = self.sandbox.folder / name
        self.members[name] = self.sandbox.start(*words, **{"cwd": folder, **options})

    def complete(self) -> None:
        """Wait until all members have joined the group and are up to date."""
        self.until(lambda: self._joined() == set(self.members), "all members have joined")
        done = self.zkexecctl("wait", self.lock, f"--timeout={DEADLINE_S:g}")
        assert done.status == 0, f"{done.err}\n{self.story()}"

    def status(self, *options: str) -> CompletedRun:
        """Run `zkexecctl status` for the group."""
        return self.zkexecctl.does("status", self.lock, *options)

    def logged(self, pattern: str) -> list[str]:
        """The lines in which the pattern is found, in the logs of all members."""
        return [line for one in self.members.values() for line in one.stderr.matching(pattern)]

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Wait for a condition; AssertionError shows what all members logged."""
        try:
            return until(condition, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def story(self) -> str:
        """What all members have logged."""
        return "\n".join(one.story() for one in self.members.values())

    def close(self) -> None:
        """Release the ports; the sandbox kills the members."""
        for port in self._ports:
            port.release()

    def _joined(self) -> set[str]:
        try:
            return set(self._client.get_children(f"{self.lock}/members"))
        except NoNodeError:
            return set()


@contextmanager
def service_group(sandbox: Sandbox, client: KazooClient, root: str) -> Iterator[ServiceGroup]:
    """A group without members, whose ports are released when the test is over."""
    group = ServiceGroup(sandbox, client, root)
    try:
        yield group
    finally:
        group.close()
