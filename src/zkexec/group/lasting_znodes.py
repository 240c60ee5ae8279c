"""Make the znodes of a group that last, so that its members find room for their own."""

from __future__ import annotations

from zkexec.core.rollout.record import RolloutRecord
from zkexec.group import record_codec
from zkexec.group.paths import ROOM_FOR_OTHERS
from zkexec.zookeeper.errors import NodeExistsError, NoNodeError
from zkexec.zookeeper.requests import Create, Dialogue
from zkexec.zookeeper.values import OPEN_ACL, Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.group.paths import Paths


class LastingZnodes:
    """The znodes of one group that last, and those above them."""

    def __init__(self, paths: Paths, acl: Sequence[Acl] | None, clock: Callable[[], float]) -> None:
        """`acl` is that of the znodes that are made, None for an open one."""
        self._paths = paths
        self._clock = clock
        self.acl: tuple[Acl, ...] = tuple(acl or OPEN_ACL)
        self._acl_above = self.acl if self.acl == OPEN_ACL else (*self.acl, *ROOM_FOR_OTHERS)

    def make(self) -> Dialogue:
        """Make all of them that do not exist; the record is the last one."""
        paths = self._paths
        for path in (
            paths.members,
            paths.queue,
            paths.in_flight,
            paths.unavailable,
            paths.versions,
            paths.zones,
            paths.restart,
        ):
            yield from self._make(path, b"")
        yield from self._make(paths.state, record_codec.encode(RolloutRecord(), self._clock()))
        return None

    def make_zone(self, zone: str) -> Dialogue:
        """Make the znode above the living members of a zone."""
        yield from self._make(self._paths.zone(zone), b"")
        return None

    def _make(self, path: str, content: bytes) -> Dialogue:
        """Make a lasting znode, and those above it only if they are missing.

        A member may lack the permission to make what exists already.  The chroot is never made: if
        it is gone, all that the members depend on is, and that has to show.
        """
        paths = self._paths
        acl = self.acl if path.startswith(paths.base) else self._acl_above
        create = Create(path, content, acl)
        (made,) = yield [create]
        if isinstance(made, NoNodeError):
            above = path.rpartition("/")[0]
            if above == paths.chroot:
                raise paths.without_chroot()
            yield from self._make(above, b"")
            (made,) = yield [create]
        if not isinstance(made, NodeExistsError):
            paths.demand(path, made)
        return None
