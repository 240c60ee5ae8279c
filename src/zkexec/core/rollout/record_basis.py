"""The znodes that a record was read from, by their versions: what a commit is checked against."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING = -1
"""The version of a znode that does not exist."""


@frozen()
class VersionBasis:
    """The znodes of one configuration version.

    `version` is that of the znode which every failure and lost turn writes.  `children` are the
    names of the znodes below it.
    """

    version: int
    children: tuple[str, ...] = ()


@frozen()
class RecordBasis:
    """The versions of the znodes of a record as it was read.

    `state` is that of the decisions, MISSING if there are none yet.  `entries` are those of the
    known members in flight.  `versions` are by digest.
    """

    state: int = MISSING
    entries: Mapping[str, int] = {}
    versions: Mapping[str, VersionBasis] = {}

    @property
    def exists(self) -> bool:
        """Whether there is a record."""
        return self.state != MISSING
