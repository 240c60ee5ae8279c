"""What the members of a process send and receive, counted on their connections."""

from collections import Counter
from dataclasses import dataclass, field

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.server_rotation import ServerAddress

_NAMES = {
    1: "create", 2: "delete", 3: "exists", 4: "get", 5: "set", 8: "children", 9: "sync",
    11: "ping", 12: "children", 14: "transaction", 18: "remove watches", 22: "multi-read",
    100: "authenticate", 101: "set watches", 103: "ephemerals",
    105: "set watches", -11: "close",
}  # fmt: skip
"""The kinds of requests, by their numbers in the protocol."""

NOT_COUNTED = frozenset({"connect", "authenticate", "ping", "close"})
"""What keeps a session, and belongs to no rollout."""

_EVENT = -1
_LENGTH = 4
_HEAD = 8


@dataclass
class WireCounts:
    """How much was sent and received by all members of a process."""

    requests: Counter[str] = field(default_factory=Counter)
    events: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    @property
    def total(self) -> int:
        """How many requests were sent, without what keeps the sessions."""
        return sum(count for name, count in self.requests.items() if name not in NOT_COUNTED)

    def add(self, other: "WireCounts") -> None:
        """Add what another process has counted."""
        self.requests.update(other.requests)
        self.events += other.events
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes

    def since(self, before: "WireCounts") -> "WireCounts":
        """Return what was counted since an earlier moment."""
        return WireCounts(
            self.requests - before.requests,
            self.events - before.events,
            self.sent_bytes - before.sent_bytes,
            self.received_bytes - before.received_bytes,
        )


class Frames:
    """The first bytes of each frame in a stream that comes in pieces."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._skip = 0
        """How many more bytes of the present frame come after those of its head."""

    def take(self, piece: bytes | bytearray | memoryview) -> list[tuple[int, int]]:
        """Take the next piece; return the first two numbers of each frame that begins in it."""
        found, at = [], 0
        while at < len(piece):
            if self._skip:
                passed = min(self._skip, len(piece) - at)
                self._skip -= passed
                at += passed
                continue
            wanted = _LENGTH + _HEAD - len(self._head)
            self._head += piece[at : at + wanted]
            at += wanted
            if len(self._head) == _LENGTH + _HEAD:
                length, first, second = (
                    int.from_bytes(self._head[start : start + 4], "big", signed=True)
                    for start in (0, 4, 8)
                )
                found.append((first, second))
                self._skip = length - _HEAD
                self._head.clear()
        return found


class CountedConnection(ServerConnection):
    """A connection whose frames are counted."""

    def __init__(self, server: ServerAddress, deadline: float, counts: WireCounts) -> None:
        self._counts = counts
        self._sent, self._received = Frames(), Frames()
        self._is_greeted = False
        super().__init__(server, deadline)

    def read(self) -> bytes | None:
        """Read what has arrived, and count the events in it."""
        content = super().read()
        if content:
            self._counts.received_bytes += len(content)
            self._counts.events += sum(xid == _EVENT for xid, _ in self._received.take(content))
        return content

    def write(self, content: bytes | bytearray) -> int:
        """Write what fits, and count the requests that begin in it."""
        written = super().write(content)
        self._counts.sent_bytes += written
        for _, kind in self._sent.take(content[:written]):
            # The first frame has neither number nor kind.
            name = _NAMES.get(kind, f"kind {kind}") if self._is_greeted else "connect"
            self._is_greeted = True
            self._counts.requests[name] += 1
        return written


class CountedNetwork(Network):
    """The network of one member; `connections` is how many it has begun."""

    def __init__(self, counts: WireCounts) -> None:
        super().__init__()
        self._counts = counts
        self.connections = 0

    def connect(self, server: ServerAddress, deadline: float) -> ServerConnection:
        """Begin to connect to a server."""
        self.connections += 1
        return CountedConnection(server, deadline, self._counts)
