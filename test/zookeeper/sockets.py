"""Connections as a loop drives them, in the little time that a test has."""

import select
import time
from collections.abc import Callable

from zkexec.zookeeper.connection import ServerConnection

DEADLINE_S = 30.0


def opened(connection: ServerConnection) -> None:
    """Drive a connection until it is open; raises what it raises."""
    while not connection.advance(time.monotonic()):
        wait(connection)


def wait(connection: ServerConnection) -> None:
    """Wait until the socket is ready for what the connection awaits."""
    reading = [connection] if connection.awaits_reading else []
    writing = [connection] if connection.awaits_writing else []
    ready = select.select(reading, writing, [], DEADLINE_S)
    assert any(ready), "the socket is not ready"


def received(connection: ServerConnection, count: int) -> bytes:
    """Read that many bytes, or until the server hangs up."""
    content = b""
    while len(content) < count:
        piece = connection.read()
        if piece is None:
            assert not connection.has_unread
            wait(connection)
        elif not piece:
            break
        else:
            content += piece
    return content


def written(connection: ServerConnection, content: bytes, drain: Callable[[], object]) -> None:
    """Write everything; `drain` is called whenever the socket takes nothing."""
    while content:
        count = connection.write(content)
        content = content[count:]
        if not count:
            drain()
