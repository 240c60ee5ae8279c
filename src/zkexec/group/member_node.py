"""A member's own node: making it, publishing its status in it, and noticing what others do to it.

- The node belongs to one living process.  One that an own earlier session left behind, or an
  earlier process with the same lock file, is replaced, and so is one that lasts and belongs to no
  session; any other is never touched.
- A status is written only over the version that was written last, so that a write of another
  process is noticed, if not before; at most one is on its way, and of those that wait only the
  newest is written.  A status that goes along with something else never makes that fail.
- Whether a member is unavailable is shown by a mark as well, see `MemberMarks`, which is written in
  the transaction that writes the status.
- The own node is watched for its end alone, by a request for the children that it never has: the
  own writes do not make such a watch fire, so it is set once for each connection.  What another
  process writes into it is looked for whenever the watches are set again.
- A process whose member ID another one has makes a node of another name, that only it can have: so
  operators see it.  That node goes when the process gets the ID; whether there is one is the core's
  to know, as an answer can be lost.
"""

from __future__ import annotations

from typing import Any

from zkexec import __version__
from zkexec.core.rollout.group_actions import Enrol
from zkexec.core.rollout.group_events import Enrolled, EnrolmentOccupied, GroupPart
from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen
from zkexec.group.member_codec import StatusFacts, decode_status, encode_status
from zkexec.group.member_marks import MemberMarks
from zkexec.group.member_profile import last_turn
from zkexec.group.paths import LARGEST_COMMIT, is_left_over
from zkexec.group.store import GroupStore
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


_TRIES = 5
_ALL_BITS = 2**64 - 1
_HAS_CHANGED = (NodeExistsError, NoNodeError, BadVersionError)
"""The outcomes of a request if the node is not as it was a moment ago."""


class MemberNode:
    """The own node on one connection; nothing is known of it before it was made or seen."""

    def __init__(
        self,
        store: GroupStore,
        session: int,
        start_aside: Callable[[Dialogue], None],
        report_touched: Callable[[], None],
        is_zkexec: Callable[[int], bool],
    ) -> None:
        """`session` is the number of the session that the node belongs to.

        `start_aside` runs another dialogue on this connection; `report_touched` is called if the
        node is not ours any more; `is_zkexec` decides whether another zkexec has this pid.
        """
        self._store = store
        self._session = session
        self._start_aside = start_aside
        self._report_touched = report_touched
        self._is_zkexec = is_zkexec
        self._path = store.paths.member(store.profile.member_id)
        self._duplicate_path = store.paths.member(store.profile.duplicate_id)
        profile = store.profile
        self._marks = MemberMarks(store.paths, store.lasting, profile.member_id, profile.zone)
        self._version: int | None = None
        self._newest: MemberStatus | None = None
        self._is_writing = False

    def enrol(self, request: Enrol) -> Dialogue:
        """Make what the group needs, and the own node."""
        # What a write still on its way has to say is no longer of interest.
        self._version = self._newest = None
        paths, demand = self._store.paths, self._store.paths.demand
        for _ in range(_TRIES):
            state, made, members = yield [
                Exists(paths.state),
                self._create(request.status),
                Exists(paths.members),
            ]
            if isinstance(made, NoNodeError) or demand(paths.state, state) is None:
                yield from self._store.lasting.make()
            is_later = isinstance(made, NodeExistsError)
            if is_later:
                made = yield from self._take_over(self._path, self._content(request.status))
            if isinstance(made, _Holder):
                yield from self._be_duplicate(request.status)
                return EnrolmentOccupied(request.number, made.name)
            if not isinstance(made, _HAS_CHANGED):
                self._version = 0 if isinstance(made, str) else demand(self._path, made).version
                if request.may_be_duplicate:
                    yield from self._be_no_duplicate()
                has_replaced = is_later and isinstance(made, str)
                if has_replaced:
                    yield from self._store.clear_queue()
                yield from self._complete(request.status)
                stat = demand(paths.members, members)
                alive = stat.num_children if stat else 1
                return Enrolled(request.number, alive, has_replaced)
        raise RefusedError(f"{paths.shown(self._path)}: others change it all the time")

    def publish(self, status: MemberStatus) -> Dialogue:
        """Write the status as soon as nothing else is being written."""
        self._newest = status
        yield from self._write_waiting()
        return None

    def _write_waiting(self) -> Dialogue:
        if self._is_writing:
            return None
        self._is_writing = True
        try:
            while self._newest is not None and (version := self._version) is not None:
                status, self._newest = self._newest, None
                writes = self._writes(status, version)
                if len(writes) == 1:
                    (written,) = yield writes
                else:
                    (results,) = yield [Transaction(writes)]
                    written = self._outcome(status, results)
                if self._version is None:
                    return None
                if isinstance(written, Exception):
                    self._has_lost_it()
                    return None
                if written is None:
                    waiting: MemberStatus | None = self._newest
                    self._newest = status if waiting is None else waiting
                else:
                    self._version = written.version
        finally:
            self._is_writing = False
        return None

    def _outcome(self, status: MemberStatus, results: Any) -> Any:  # noqa: ANN401 -- of requests
        """Return the outcome of the write of a status; None if only its mark has failed."""
        if isinstance(results, Exception):
            return results
        refused = first_error(results)
        if refused is not None and refused[0] == 0:
            return refused[1]
        self._marks.changed(is_unavailable=status.unavailable)
        return results[0] if refused is None else None

    def _writes(self, status: MemberStatus, version: int) -> list[Operation]:
        """Return what publishes a status: the write of the own node, then that of a mark."""
        content = self._content(status)
        marks = self._marks.changes(is_unavailable=status.unavailable)
        return [SetContent(self._path, content, version), *marks]

    def write(self, operations: Sequence[Operation], status: MemberStatus | None) -> Dialogue:
        """Do these operations in one transaction, and publish the status with them if possible.

        Return the outcomes of the operations.
        """
        if status is not None:
            self._newest = status
        while (
            status is not None
            and (newest := self._newest) is not None
            and (version := self._version) is not None
        ):
            both = [*operations, *self._writes(newest, version)]
            if self._is_writing or size_of(Transaction(both)) > LARGEST_COMMIT:
                self._go_on_writing()
                break
            self._is_writing, self._newest = True, None
            try:
                (results,) = yield [Transaction(both)]
            finally:
                self._is_writing = False
            if self._take_written(operations, newest, results):
                self._go_on_writing()
                return results if isinstance(results, Exception) else results[: len(operations)]
        if not operations:
            return []
        (results,) = yield [Transaction(operations)]
        return results

    def _take_written(
        self,
        operations: Sequence[Operation],
        status: MemberStatus,
        results: Any,  # noqa: ANN401 -- the outcome of a transaction
    ) -> bool:
        """Note what became of a status that went along; return false if only that has failed."""
        if isinstance(results, Exception):
            return True
        refused = first_error(results)
        if refused is not None and refused[0] < len(operations):
            return True
        if refused is not None and refused[0] == len(operations):
            self._has_lost_it()
            return False
        self._marks.changed(is_unavailable=status.unavailable)
        if refused is None and self._version is not None:
            self._version = results[len(operations)].version
        if refused is not None and self._newest is None:
            self._newest = status
        return refused is None

    def _go_on_writing(self) -> None:
        """Write what waits, aside from what else is being written."""
        if self._newest is not None and not self._is_writing:
            self._start_aside(self._write_waiting())

    def _be_duplicate(self, status: MemberStatus) -> Dialogue:
        """Publish the status in a node of another name, also if it is there already."""
        path = self._duplicate_path
        content = self._content(status, duplicate_of=self._store.profile.member_id)
        made = yield from self._take_over(path, content)
        if isinstance(made, NoNodeError):
            (made,) = yield [self._create_at(path, content)]
        if not isinstance(made, _HAS_CHANGED):
            self._store.paths.demand(path, made)
        return None

    def _be_no_duplicate(self) -> Dialogue:
        (gone,) = yield [Delete(self._duplicate_path)]
        if not isinstance(gone, NoNodeError):
            self._store.paths.demand(self._duplicate_path, gone)
        return None

    def _take_over(self, path: str, new: bytes) -> Generator[Any, Any, Any]:
        """Write this into a node that is ours already, or was an earlier process's of ours."""
        (found,) = yield [Get(path)]
        if isinstance(found, Exception):
            return found
        content, stat = found
        if stat.ephemeral_owner == self._session:
            if content == new:
                return stat
            (written,) = yield [SetContent(path, new, stat.version)]
            return written
        holder = _holder(content, stat.ephemeral_owner)
        is_ours = holder.lock_file_id == self._store.profile.lock_file_id and not self._is_zkexec(
            holder.pid
        )
        if not is_ours and not is_left_over(stat):
            return holder
        replace: list[Operation] = [Delete(path, stat.version), self._create_at(path, new)]
        (results,) = yield [Transaction(replace)]
        if isinstance(results, Exception):
            return results
        refused = first_error(results)
        return refused[1] if refused else path

    def _complete(self, status: MemberStatus) -> Dialogue:
        """Watch the own node, make the marks, and write the status that came meanwhile."""
        requests = self._marks.requests(is_unavailable=status.unavailable)
        found, *outcomes = yield [Children(self._path, GroupPart.OWN_NODE), *requests]
        yield from self._marks.settle(requests, outcomes, self._session)
        if self._version is None:
            return None
        seen = (-1, 0)
        if not isinstance(found, Exception):
            seen = (found[1].version, found[1].ephemeral_owner)
        if seen != (self._version, self._session):
            self._has_lost_it()
            return None
        yield from self._write_waiting()
        return None

    def fired(self) -> Dialogue:
        """Take note that the watch of the own node has fired: the node is not ours any more."""
        yield from ()
        if self._version is not None:
            self._has_lost_it()

    def inspect(self) -> Dialogue:
        """Find out whether another process has written the own node: no watch reports that."""
        version = self._settled_version()
        if version is None:
            return None
        (found,) = yield [Exists(self._path)]
        if self._settled_version() != version or isinstance(found, Exception):
            return None
        if found is None or (found.version, found.ephemeral_owner) != (version, self._session):
            self._has_lost_it()
        return None

    def _settled_version(self) -> int | None:
        """The version of the own node, as long as no write of it is on its way."""
        return None if self._is_writing else self._version

    def _has_lost_it(self) -> None:
        self._version = self._newest = None
        self._report_touched()

    def _create(self, status: MemberStatus) -> Create:
        return self._create_at(self._path, self._content(status))

    def _create_at(self, path: str, content: bytes) -> Create:
        return Create(path, content, self._store.acl, ephemeral=True)

    def _content(self, status: MemberStatus, duplicate_of: str = "") -> bytes:
        profile, writer = self._store.profile, self._store.writer
        now = writer.clock()
        facts = StatusFacts(
            host=writer.host,
            pid=writer.pid,
            zkexec_version=__version__,
            lock_file_id=profile.lock_file_id,
            max_unavailable=profile.max_unavailable,
            since=profile.since.entered(status, now),
            inputs=profile.inputs,
            duplicate_of=duplicate_of,
            shared=profile.shared,
            zone=profile.zone,
            max_failed=profile.max_failed,
            first_check_s=profile.first_check_s,
            turn=last_turn(status.turn, now),
        )
        return encode_status(status, facts)


@frozen()
class _Holder:
    """The process that has the node: in words, with its lock file, None if that is unreadable."""

    name: str
    lock_file_id: str | None
    pid: int = 0


def _holder(content: bytes, session: int) -> _Holder:
    try:
        _, facts = decode_status(content)
    except ValueError:
        return _Holder(f"session {session & _ALL_BITS:#x}, without a readable status", None)
    return _Holder(f"{facts.host}, pid {facts.pid}", facts.lock_file_id or None, facts.pid)
