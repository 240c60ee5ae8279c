"""Run what can block for long, such as a sync of files, while the session keeps its pulse.

It runs on a thread of its own.  That ends before `run_aside` returns, so that zkexec has one thread
whenever it forks.
"""

from __future__ import annotations

import os
import select
from _thread import start_new_thread

from zkexec.lean import suppress
from zkexec.runtime.inbox import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from zkexec.runtime.inbox import Source

    Result = TypeVar("Result")
    StartThread = Callable[[Callable[[int], None], tuple[int]], object]


def run_aside(
    do: Callable[[], Result],
    source: Source | None,
    start_thread: StartThread = start_new_thread,
) -> Result:
    """Return what `do` returns, or raise what it raises; advance the source meanwhile.

    Without a source that has something to do, and if this host has no thread or descriptor to
    spare, `do` is just called.  A source that fails is advanced no more: the loop notices it.
    """
    if source is None or (source.descriptor is None and source.deadline is None):
        return do()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run(writer: int) -> None:
        try:
            results.append(do())
        except BaseException as error:  # noqa: BLE001 -- it is raised below
            errors.append(error)
        finally:
            os.close(writer)

    reader = _started(run, start_thread)
    if reader is None:
        return do()
    with suppress(Exception):
        while not _has_ended(reader, source):
            source.advance()
    # The end of the pipe is the last that the thread does.
    os.read(reader, 1)
    os.close(reader)
    if errors:
        raise errors[0]
    return results[0]


def _started(run: Callable[[int], None], start_thread: StartThread) -> int | None:
    """Start a thread that closes a pipe in the end → what to poll; None if it cannot start."""
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError:
        return None
    try:
        start_thread(run, (writer,))
    except RuntimeError:
        os.close(writer)
        os.close(reader)
        return None
    return reader


def _has_ended(reader: int, source: Source) -> bool:
    """Wait until the pipe has ended, or the source has something to do."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if source.descriptor is not None:
        poll.register(*source.descriptor)
    due = source.deadline
    ready = poll.poll(None if due is None else 1000 * max(0.0, due - now()))
    return any(descriptor == reader for descriptor, _ in ready)
