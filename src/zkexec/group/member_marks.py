"""The empty ephemeral nodes of a member beside its own, which others only count.

One is below its zone, as long as the member is alive; the other one is below `unavailable`, as
long as the member reports itself as unavailable.  A mark never makes fail what it goes along with.
"""

from __future__ import annotations

from zkexec.zookeeper.errors import NodeExistsError, NoNodeError
from zkexec.zookeeper.requests import Create, Delete, Dialogue, Exists, Operation, Transaction
from zkexec.zookeeper.values import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from zkexec.group.lasting_znodes import LastingZnodes
    from zkexec.group.paths import Paths


class MemberMarks:
    """The marks of one member on one connection."""

    def __init__(self, paths: Paths, lasting: LastingZnodes, member: str, zone: str) -> None:
        """`zone` is "" for none."""
        self._lasting = lasting
        self._zone = zone
        self._zone_path = f"{paths.zone(zone)}/{member}" if zone else ""
        self._unavailable_path = paths.unavailable_member(member)
        self._is_unavailable = False
        """What the mark shows, as far as it is known; a mark that cannot be made is not tried
        again before this changes."""

    def requests(self, *, is_unavailable: bool) -> list[Create | Exists]:
        """Make the requests of an enrolment: make the marks that are needed, find the others."""
        self._is_unavailable = is_unavailable
        wanted = [self._unavailable_path] if is_unavailable else []
        wanted += [self._zone_path] if self._zone else []
        unwanted = [] if is_unavailable else [Exists(self._unavailable_path)]
        return [*map(self._create, wanted), *unwanted]

    def settle(
        self, requests: Sequence[Create | Exists], outcomes: Sequence[Any], session: int
    ) -> Dialogue:
        """Correct what the answers to these requests show."""
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, NodeExistsError):
                yield from self._replace(request.path, session)
            elif isinstance(outcome, NoNodeError) and request.path == self._zone_path:
                yield from self._lasting.make_zone(self._zone)
                yield [self._create(request.path)]
            elif isinstance(outcome, Stat):
                yield [Delete(request.path)]
        return None

    def _replace(self, path: str, session: int) -> Dialogue:
        """Make a mark anew that an earlier process of this member has left behind."""
        (stat,) = yield [Exists(path)]
        if isinstance(stat, Stat) and stat.ephemeral_owner != session:
            yield [Transaction([Delete(path), self._create(path)])]
        return None

    def changes(self, *, is_unavailable: bool) -> list[Operation]:
        """Return what has to be done with the next status: at most one operation."""
        if is_unavailable == self._is_unavailable:
            return []
        path = self._unavailable_path
        return [self._create(path) if is_unavailable else Delete(path)]

    def changed(self, *, is_unavailable: bool) -> None:
        """Note that the mark shows this, or that it cannot."""
        self._is_unavailable = is_unavailable

    def _create(self, path: str) -> Create:
        return Create(path, b"", self._lasting.acl, ephemeral=True)
