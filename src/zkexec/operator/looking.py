"""Looking at groups again and again: only what has changed is read anew.

The rules of this file:

- What was read is kept by its key until the watch that was armed with the reading fires; then it
  is read again, and nothing else is.
- Watches are known to one connection only; on the next one everything is read anew.  So it is after
  a while in any case: a server may have dropped a watch without a word.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from zkexec.operator.cluster import LOST, STALE, Cluster
from zkexec.operator.glance import Glance, Key
from zkexec.operator.natural import natural
from zkexec.operator.outcome import CANNOT_WORK, OperatorError
from zkexec.operator.sight import Sight
from zkexec.zookeeper.requests import Dialogue


class UnreachableError(OperatorError):
    """The cluster does not answer; it may later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CANNOT_WORK)


class Lookout:
    """Looks at one group, or at all below `ROOT`, on one cluster."""

    def __init__(self, cluster: Cluster, lock: str = "", *, live: bool) -> None:
        """Without `lock` it is all groups; `live` arms watches, for `touch` to be told of."""
        self._cluster = cluster
        self._lock = lock
        self._live = live
        self._connection = 0
        self._kept: Mapping[Key, Any] = {}

    def look(self, patience_s: float | None = None) -> tuple[Sight, ...]:
        """What there is to see; what has not been touched since is not read again.

        UnreachableError where the cluster does not answer within that time.
        """

        def question() -> Dialogue:
            connection = self._cluster.connection
            known = self._kept if connection == self._connection else {}
            glance = Glance(self._cluster.chroot, known, watching=self._live)
            bases = yield from glance.groups(self._lock)
            yield from glance.members(bases)
            return connection, glance.found, tuple(glance.sight(*each) for each in bases.items())

        try:
            self._connection, self._kept, sights = self._cluster.ask(question, patience_s)
        except OperatorError as error:
            raise UnreachableError(str(error)) from None
        return tuple(sorted(sights, key=lambda sight: natural(sight.name)))

    def touch(self, touched: Iterable[object]) -> None:
        """Forget what has changed, as `Cluster.touched` tells it."""
        gone = set(touched)
        kept = self._kept if gone.isdisjoint((LOST, STALE)) else {}
        self._kept = {key: found for key, found in kept.items() if key not in gone}
