"""A network without sockets: one server, which answers as a script says, and a clock.

A client does not notice the difference, and a whole conversation takes a millisecond.
"""

from collections.abc import Callable
from typing import cast

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse, FrameReader
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.server_rotation import ServerAddress
from zkexec.zookeeper.session_requests import AnyRequest
from zookeeper import wire_server

SERVER = ("192.0.2.1", 2181)
"""An address, so that no name has to be looked up."""

_PASSWORD = b"p" * 16
_FIRST_SESSION = 0x1234

Script = Callable[[int, AnyRequest], bytes]
"""Makes the frame by which a request of this xid is answered."""

Spoil = Callable[[bytes], bytes]
"""Changes the bytes of an answer on their way."""


class ScriptedConnection:
    """The connection with the server, open from the beginning."""

    is_open = True
    awaits_writing = False
    awaits_reading = True

    def __init__(
        self, server: ServerAddress, deadline: float, script: Script, spoil: Spoil
    ) -> None:
        self.server = server
        self.deadline = deadline
        self.is_closed = False
        self._script = script
        self._spoil = spoil
        self._arrived = b""
        self._answers = b""
        self._is_greeted = False

    @property
    def has_unread(self) -> bool:
        """Whether an answer was not read yet."""
        return bool(self._answers)

    def fileno(self) -> int:
        """Give no descriptor."""
        return -1

    def advance(self, _now: float) -> bool:
        """Be open."""
        return True

    def read(self) -> bytes | None:
        """Read all answers."""
        content, self._answers = self._answers, b""
        return content or None

    def write(self, content: bytes | bytearray) -> int:
        """Take requests and answer them."""
        for frame in wire_server.split(bytes(content)):
            self._answers += self._spoil(self._answer(frame))
        return len(content)

    def close(self) -> None:
        """Remember that."""
        self.is_closed = True

    def _answer(self, frame: bytes) -> bytes:
        if not self._is_greeted:
            self._is_greeted = True
            greeting = ConnectRequest.read_from(FrameReader(frame))
            session = greeting.session or _FIRST_SESSION
            return wire_server.welcome(ConnectResponse(greeting.timeout_ms, session, _PASSWORD))
        return self._script(*wire_server.read_request(frame))


class ScriptedNetwork(Network):
    """A network whose clock stands until a test moves it."""

    def __init__(self, script: Script, spoil: Spoil = bytes) -> None:
        super().__init__()
        self.time = 1000.0
        self.connections: list[ScriptedConnection] = []
        self._script = script
        self._spoil = spoil

    def now(self) -> float:
        """Give the time of the test."""
        return self.time

    def chance(self) -> float:
        """Give the same each time."""
        return 0.5

    def connect(self, server: ServerAddress, deadline: float) -> ServerConnection:
        """Connect at once."""
        connection = ScriptedConnection(server, deadline, self._script, self._spoil)
        self.connections.append(connection)
        return cast("ServerConnection", connection)
