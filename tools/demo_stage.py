"""Where the demo plays: a ZooKeeper, a folder, and zkexec as a user would start it.

The rules of this file:

- Everything that is made is noted at once with how it is given back, see Belongings.
- The znodes with configuration are ephemeral: ZooKeeper itself removes them when the demo's
  session ends, even after a sudden death of the demo.
- zkexec is started with exactly the words that are shown.
"""

import logging
import os
import shlex
import shutil
import socket
import sys
import tempfile
import uuid
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "src")]

from kazoo.client import KazooClient  # noqa: E402
from kazoo.exceptions import NoNodeError  # noqa: E402
from kazoo.handlers.threading import KazooTimeoutError  # noqa: E402

from demo_belongings import Belongings  # noqa: E402 -- the paths come first
from demo_screen import Screen  # noqa: E402
from e2e.wrapped import ZKEXEC, Stream, Wrapped  # noqa: E402
from zkexec.operator.outcome import OperatorError  # noqa: E402
from zkexec.zookeeper.connect_string import parse_cluster  # noqa: E402
from zookeeper import Port, Server  # noqa: E402

_CONNECT_TIMEOUT_S = 10.0


class DemoError(Exception):
    """Why the demo cannot go on, in words for the user."""


class Stage:
    """A ZooKeeper, a folder, and a port that can be open or closed.

    `cluster` is the user's own, with its chroot; where it is empty, a throwaway server is used.
    """

    def __init__(self, screen: Screen, belongings: Belongings, cluster: str) -> None:
        self.screen = screen
        self.belongings = belongings
        self.is_throwaway = not cluster
        self.cluster = cluster or self._start_server()
        # In a cluster of the user's own, no znode must meet one that is there.
        self.znode = f"/zkexec-demo-{uuid.uuid4().hex[:8]}" if cluster else "/prefix"
        self._folder = self._make_folder()
        self.client = self._connect()
        with belongings.undisturbed():
            self._port = Port()
            belongings.give_back(self._port.release)
        self.service_port = self._port.number
        self._service: socket.socket | None = None

    def create_znode(self, path: str, content: str) -> None:
        """Create a znode with configuration."""
        try:
            self.client.create(path, content.encode(), ephemeral=True)
        except NoNodeError:
            raise DemoError(
                f"the chroot of ZKEXEC_CLUSTER does not exist: {self.cluster}"
            ) from None

    def set_znode(self, path: str, content: str) -> None:
        """Give a znode another content."""
        self.client.set(path, content.encode())

    def open_service(self) -> None:
        """Open the port that the health check looks at."""
        with self.belongings.undisturbed():
            self._service = socket.create_server(("127.0.0.1", self.service_port))
            self.belongings.give_back(self._service.close)

    def close_service(self) -> None:
        """Close it again."""
        if self._service is not None:
            self._service.close()

    def start(self, shown: str) -> Wrapped:
        """Show a command line of zkexec, and start zkexec with it."""
        self.screen.shell(shown)
        return self.start_unseen(shown)

    def start_unseen(self, command: str) -> Wrapped:
        """Start zkexec with a command line that is like one that was shown."""
        words = shlex.split(command.replace("\\\n", ""))[1:]
        folders = [str(Path(sys.executable).parent), str(ROOT / "test" / "libexec")]
        script = Path(sys.executable).with_name("zkexec")
        with self.belongings.undisturbed():
            zkexec = Wrapped(
                *words,
                environment={
                    "ZKEXEC_CLUSTER": self.cluster,
                    "PATH": os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]),
                },
                cwd=self._folder,
                program=(str(script),) if script.exists() else ZKEXEC,
            )
            self.belongings.give_back(zkexec.close)
        return zkexec

    def show_until(self, zkexec: Wrapped, stream: Stream, text: str) -> None:
        """Show what comes, up to the line that contains the text."""
        for line in zkexec.lines_until(stream, text):
            self._show(line.stream, line.text)

    def show_end(self, zkexec: Wrapped) -> int:
        """Show what still comes, and return the status as a shell would tell it."""
        for line in zkexec.lines():
            self._show(line.stream, line.text)
        status = zkexec.end()
        return status if status >= 0 else 128 - status

    def _show(self, stream: Stream, text: str) -> None:
        show = self.screen.log if stream is Stream.LOG else self.screen.output
        show(text)

    def _start_server(self) -> str:
        with self.belongings.undisturbed():
            server = Server()
            self.belongings.give_back(server.close)
            try:
                server.launch()
            except OperatorError as error:
                raise DemoError(str(error)) from None
        server.wait_until_serving()
        return server.hosts

    def _make_folder(self) -> Path:
        with self.belongings.undisturbed():
            folder = Path(tempfile.mkdtemp(prefix="zkexec-demo-"))
            self.belongings.give_back(lambda: shutil.rmtree(folder))
        return folder

    def _connect(self) -> KazooClient:
        # What goes wrong is told once, in the demo's own words.
        logging.getLogger("kazoo").addHandler(logging.NullHandler())
        try:
            parse_cluster(self.cluster)
        except ValueError as mistake:
            raise DemoError(f"ZKEXEC_CLUSTER: {mistake}, got {self.cluster!r}") from None
        client = KazooClient(hosts=self.cluster)
        self.belongings.give_back(client.close)
        self.belongings.give_back(client.stop)
        try:
            with warnings.catch_warnings(action="ignore"):
                client.start(timeout=_CONNECT_TIMEOUT_S)
        except KazooTimeoutError:
            raise DemoError(f"no ZooKeeper answers at {self.cluster}") from None
        return client
