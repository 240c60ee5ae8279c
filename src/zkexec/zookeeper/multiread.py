"""The server-side multi-read (operation 22, ZooKeeper 3.6 and later), which kazoo does not know.

Many getData operations travel as one request and are answered from one state of the server,
so no transaction is ever seen in half.  The frame is that of a transaction: before each
operation and each result stands a header (type, done, error), and a header with `done` set is
the end.  A single operation that fails does not fail the others.
"""

import struct
from collections.abc import Sequence

from kazoo.protocol.serialization import GetData, MultiHeader, int_struct

from zkexec.frozen import frozen

ERROR_TYPE = -1


@frozen()
class Found:
    """What the server says of one znode, or an error code below zero; `mtime` in milliseconds."""

    content: bytes = b""
    mzxid: int = 0
    version: int = -1
    mtime: int = 0
    error: int = 0


class MultiRead:
    """The request as kazoo's connection wants it: a type, a way out and a way back in."""

    type = 22

    def __init__(self, paths: Sequence[str]) -> None:
        """Ask for these absolute paths, chroot included; at least one."""
        self._paths = tuple(paths)

    def __repr__(self) -> str:
        """Stand in kazoo's log without filling it."""
        return f"MultiRead of {len(self._paths)} znodes"

    def serialize(self) -> bytes:
        """The body of the request, after xid and type."""
        frame = bytearray()
        header = MultiHeader(GetData.type, False, -1).serialize()
        for path in self._paths:
            frame += header + GetData(path, None).serialize()
        return bytes(frame + MultiHeader(-1, True, -1).serialize())

    def deserialize(self, frame: bytes, offset: int) -> list[Found]:
        """One Found for each path, in order; struct.error where the answer is not that."""
        results: list[Found] = []
        header, offset = MultiHeader.deserialize(frame, offset)
        while not header.done:
            if header.type == GetData.type:
                content, stat = GetData.deserialize(frame, offset)
                offset += int_struct.size + len(content or b"") + _STAT_SIZE
                results.append(Found(content or b"", stat.mzxid, stat.version, stat.mtime))
            elif header.type == ERROR_TYPE:
                results.append(Found(error=int_struct.unpack_from(frame, offset)[0]))
                offset += int_struct.size
            else:
                raise struct.error(f"a multi-read was answered with a result {header.type}")
            header, offset = MultiHeader.deserialize(frame, offset)
        if len(results) != len(self._paths):
            raise struct.error(f"{len(self._paths)} znodes asked for, {len(results)} answered")
        return results


_STAT_SIZE = struct.calcsize("!qqqqiiiqiiq")
