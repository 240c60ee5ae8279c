"""Reads of many znodes: at one moment if the servers can do that, else one after the other.

Servers before 3.6 do not know the multi-read.  There the znodes are read in the order in which
they are requested, so that the first ones are the oldest.
"""

from __future__ import annotations

from zkexec.zookeeper.requests import Get, MultiRead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    from zkexec.group.paths import Paths
    from zkexec.zookeeper.requests import Request

MOST_AT_ONCE = 500
"""This many znodes are read at once at most, so that an answer stays below a megabyte."""


class BulkRead:
    """Reads many znodes on one connection."""

    def __init__(self, paths: Paths, lacks_multi_read: Callable[[], bool]) -> None:
        """`lacks_multi_read` is called at each read: whether the servers are older than 3.6."""
        self._paths = paths
        self.lacks_multi_read = lacks_multi_read

    def at_once(
        self, paths: Sequence[str], before: Sequence[Request] = ()
    ) -> Generator[Any, Any, tuple[Sequence[Any], dict[str, Any]]]:
        """Send other requests, and in the same batch read all these znodes.

        Return the outcomes of the other requests, and for each path that of a `Get`.
        """
        if self.lacks_multi_read():
            outcomes = yield [*before, *map(Get, paths)]
            found = outcomes[len(before) :]
        else:
            outcomes = yield [*before, MultiRead(tuple(paths))]
            found = self._paths.demand(self._paths.base, outcomes[-1])
        return outcomes[: len(before)], dict(zip(paths, found, strict=True))

    def in_parts(self, paths: Sequence[str]) -> Generator[Any, Any, dict[str, Any]]:
        """Read these znodes, some at a time → for each path the outcome of a `Get`."""
        found: dict[str, Any] = {}
        for first in range(0, len(paths), MOST_AT_ONCE):
            _, part = yield from self.at_once(paths[first : first + MOST_AT_ONCE])
            found |= part
        return found
