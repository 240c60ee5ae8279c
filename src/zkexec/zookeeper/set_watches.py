"""One request that arms many watches (operation 101), which kazoo does not know.

It says how old that is which the client has seen: a watch whose znode has changed since fires at
once, all others are armed.  So watches can be armed after a read, as long as it is told of when.
"""

from __future__ import annotations

from kazoo.protocol.serialization import int_struct, long_struct, write_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class SetWatches:
    """The request as kazoo's connection wants it."""

    type = 101

    def __init__(
        self,
        seen: int,
        there: Sequence[str],
        missing: Sequence[str],
        children: Sequence[str] = (),
    ) -> None:
        """Watch znodes of which none was changed after the transaction `seen`, and missing ones.

        Of those in `children` it is their lists of children that were not changed.
        """
        self._seen = seen
        self._paths = (there, missing, children)

    def __repr__(self) -> str:
        """Stand in kazoo's log without filling it."""
        there, missing, children = map(len, self._paths)
        return f"SetWatches of {there} znodes, {missing} missing ones, the children of {children}"

    def serialize(self) -> bytes:
        """The body of the request, after xid and type."""
        frame = bytearray(long_struct.pack(self._seen))
        for paths in self._paths:
            frame += int_struct.pack(len(paths))
            for path in paths:
                frame += write_string(path)
        return bytes(frame)

    def deserialize(self, _frame: bytes, _offset: int) -> None:
        """The answer says no more than that it is done."""
