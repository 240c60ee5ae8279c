"""The operations that change what is known of one version, see `version_codec` for its znodes.

Each failure and each lost turn writes the znode of the version, whose version an admission checks.
A failure writes it over any version, so that many members can fail at once.  A lost turn writes it
only over the one that was read, so that the number of lost turns is exact.
"""

from __future__ import annotations

from zkexec.core.rollout.group_events import Conflict
from zkexec.core.rollout.record_basis import VersionBasis
from zkexec.core.rollout.version_state import AS_COMMITTED, VersionState
from zkexec.frozen import frozen
from zkexec.group.version_codec import (
    SUCCEEDED,
    condemned_name,
    encode_failure,
    encode_summary,
    failed_name,
    failure_names,
    lost_name,
    lost_names,
)
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    ZooKeeperError,
)
from zkexec.zookeeper.requests import Create, Delete, Operation, SetContent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zkexec.zookeeper.values import Acl

IS_OTHER = (BadVersionError, NoNodeError)
"""The outcomes if a znode is not the one that was read."""
EXISTS = (NodeExistsError,)
"""The outcome if another client has made a znode; without its parent it is refused."""

_IS_MADE = (NodeExistsError, NoNodeError)
_IS_USED = (NotEmptyError, NoNodeError)
_NOTHING_TRIED = VersionState(0, "")


@frozen()
class Change:
    """One operation, and the conflict that these errors of it mean; any other one is refused.

    `queue_number` is that of the queue node which the conflict is about.
    """

    operation: Operation
    errors: tuple[type[ZooKeeperError], ...]
    conflict: Conflict = Conflict.RECORD
    queue_number: int | None = None


@frozen()
class TurnsEnded:
    """What a commit is about, beside the new state: turns with this version that end in it.

    `lost` are the tokens of those that may be counted as lost.  `failed` are the members that fail
    with the version.
    """

    lost: Collection[str] = ()
    failed: Collection[str] = ()


class VersionChanges:
    """The operations on the znodes of one version, in order, and what there is after them."""

    def __init__(
        self, path: str, basis: VersionBasis | None, acl: Sequence[Acl], now: float
    ) -> None:
        """`basis` is None if there are no such znodes; `now` is in seconds of the epoch."""
        self._path = path
        self._acl = acl
        self._now = now
        self._version = 0 if basis is None else basis.version
        self._children = set(() if basis is None else basis.children)
        self.changes: list[Change] = []

    @property
    def basis(self) -> VersionBasis:
        """What there is after the changes."""
        return VersionBasis(self._version, tuple(sorted(self._children)))

    def drop(self) -> None:
        """Delete the znodes."""
        for name in sorted(self._children):
            self._delete(name)
        self._add(Delete(self._path), _IS_USED)

    def make(self, state: VersionState, ended: TurnsEnded) -> None:
        """Make the znodes."""
        self._version = 0
        summary = encode_summary(state, _last(_NOTHING_TRIED, state, ended), self._now)
        self._add(Create(self._path, summary, self._acl), EXISTS)
        self._write_below(_NOTHING_TRIED, state, ended)

    def change(self, known: VersionState, state: VersionState, ended: TurnsEnded) -> None:
        """Write what differs between these states."""
        is_counted = state.lost_turns > known.lost_turns
        if is_counted or _fails(known, state):
            summary = encode_summary(state, _last(known, state, ended), self._now)
            version = self._version if is_counted else -1
            self._add(SetContent(self._path, summary, version), IS_OTHER)
            self._version += 1
        self._write_below(known, state, ended)

    def _write_below(self, known: VersionState, state: VersionState, ended: TurnsEnded) -> None:
        self._write_failures(known, state, ended)
        self._write_lost_turns(known, state, ended)
        self._write_successes(known, state)

    def _write_failures(self, known: VersionState, state: VersionState, ended: TurnsEnded) -> None:
        before, after = failure_names(known), failure_names(state)
        recovered = set(known.failed_by).difference(state.failed_by)
        both = {name(m) for m in recovered for name in (failed_name, condemned_name)}
        for name in sorted(((before - after) | both) & self._children):
            self._delete(name)
        content = encode_failure(state, self._now)
        again = {failed_name(member) for member in ended.failed} & after
        for name in sorted((after - before) | again):
            self._write(name, content)

    def _write_lost_turns(
        self, known: VersionState, state: VersionState, ended: TurnsEnded
    ) -> None:
        more = state.lost_turns - known.lost_turns
        if more > 0:
            # The turn may have begun in this commit, or its token may be counted already.
            others = (f"unknown-{number}" for number in range(len(self._children) + more))
            names = [lost_name(token) for token in (*sorted(ended.lost), *others)]
            for name in [name for name in names if name not in self._children][:more]:
                self._write(name, b"")
        elif more < 0:
            names = lost_names(self._children)
            for name in names if not state.lost_turns else names[:-more]:
                self._delete(name)

    def _write_successes(self, known: VersionState, state: VersionState) -> None:
        more = state.succeeded - known.succeeded
        if more < 0 and SUCCEEDED in self._children:
            self._delete(SUCCEEDED)
        if SUCCEEDED not in self._children:
            more = state.succeeded
            self._write(SUCCEEDED, b"")
        for _ in range(more):
            self._write(SUCCEEDED, b"")

    def _write(self, name: str, content: bytes) -> None:
        path = f"{self._path}/{name}"
        if name in self._children:
            self._add(SetContent(path, content), IS_OTHER)
        else:
            self._add(Create(path, content, self._acl), _IS_MADE)
        self._children.add(name)

    def _delete(self, name: str) -> None:
        self._add(Delete(f"{self._path}/{name}"), IS_OTHER)
        self._children.discard(name)

    def _add(self, operation: Operation, errors: tuple[type[ZooKeeperError], ...]) -> None:
        self.changes.append(Change(operation, errors))


def _fails(known: VersionState, state: VersionState) -> bool:
    """Whether the version has failed now, on one more member or once more."""
    if not state.failed_by or state.at != AS_COMMITTED:
        return False
    before = (known.zxid, known.reason, known.step, known.at)
    is_again = before != (state.zxid, state.reason, state.step, state.at)
    return is_again or not set(state.failed_by).issubset(known.failed_by)


def _last(known: VersionState, state: VersionState, ended: TurnsEnded) -> str:
    """Return the member on which the version has failed now; "" if it is not clear."""
    added = set(state.failed_by).difference(known.failed_by)
    return next(iter([*sorted(added), *ended.failed]), "")
