"""The requests of one connection that wait for their answers, in their order.

A server answers in the order of the requests, and each answer repeats the number of its request.
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.lean import deque
from zkexec.zookeeper.jute import MalformedFrameError
from zkexec.zookeeper.request_codec import encode, name_of
from zkexec.zookeeper.requests import MultiRead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from zkexec.zookeeper.session_requests import AnyRequest

LARGEST_FRAME = 64 * 1024 * 1024
LARGEST_ANSWER = 256 * 1024 * 1024
"""How many bytes an answer may have at most, and that of a multi-read."""

LARGEST_REQUEST = 0xFFFFF
"""A server whose `jute.maxbuffer` is not set hangs up on a larger request."""

_LAST_XID = 0x7FFFFFFF


@frozen(hidden=("request",))
class UnansweredRequest:
    """A request that is not answered; `size` is that of its frame."""

    xid: int
    request: AnyRequest
    key: Hashable
    size: int


class Exchange:
    """The requests of one connection that are not answered, and the number of the next."""

    def __init__(self, last_xid: int = 0) -> None:
        self._pending: deque[UnansweredRequest] = deque()
        self._large = 0
        self._xid = last_xid
        self.is_proven = False
        """Whether the server has answered a request on this connection."""

    def add(self, request: AnyRequest, key: Hashable) -> tuple[int, bytes]:
        """Enter a request → its number and its frame."""
        xid = self._xid % _LAST_XID + 1
        frame = encode(xid, request)
        self._xid = xid
        self._pending.append(UnansweredRequest(xid, request, key, len(frame) - 4))
        self._large += isinstance(request, MultiRead)
        return xid, frame

    def first(self, xid: int) -> UnansweredRequest:
        """Give the request whose answer is due; a `MalformedFrameError` if it has another xid."""
        if not self._pending:
            raise MalformedFrameError(f"an answer {xid} to no request")
        pending = self._pending[0]
        if pending.xid != xid:
            raise MalformedFrameError(f"an answer {xid}, but {pending.xid} is due")
        return pending

    def find(self, xid: int) -> UnansweredRequest | None:
        """Give the request of this number, whether its answer is due or not."""
        return next((one for one in self._pending if one.xid == xid), None)

    def remove(self, pending: UnansweredRequest) -> None:
        """Remove a request that was answered."""
        self._pending.remove(pending)
        self._large -= isinstance(pending.request, MultiRead)
        self.is_proven = True

    def clear(self) -> list[UnansweredRequest]:
        """Remove all requests; return them in their order."""
        pending = list(self._pending)
        self._pending.clear()
        self._large = 0
        return pending

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def limit(self) -> int:
        """How large the next frame may be."""
        return LARGEST_ANSWER if self._large else LARGEST_FRAME

    def describe(self) -> str:
        """Describe for a person what a server left unanswered that hangs up now; "" for nothing."""
        if not self._pending:
            return "" if self.is_proven else "right after the handshake; it may demand an identity"
        largest = max(self._pending, key=lambda one: one.size)
        named = f"{name_of(largest.request)} of {largest.size:,} bytes"
        if len(self._pending) > 1:
            named = f"{len(self._pending)} requests, the largest of them a {named}"
        text = f"instead of answering {named}"
        if largest.size > LARGEST_REQUEST:
            text += f"; without jute.maxbuffer a server accepts {LARGEST_REQUEST:,} bytes"
        return text
