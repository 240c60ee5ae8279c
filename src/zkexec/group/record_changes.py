"""What has to be written so that a group's znodes contain another record: only the difference.

Members that release a turn, confirm it or fail do so without a write of the decisions, so they do
not wait for each other.  Each operation comes with the conflict that it means if a znode is not as
it was read.

A version has its znodes exactly if the decisions contain it.  If this was broken by hand, the next
commit repairs it.
"""

from __future__ import annotations

from zkexec.core.rollout.group_events import Conflict
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.group import record_codec
from zkexec.group.entry_codec import encode_entry
from zkexec.group.version_changes import EXISTS, IS_OTHER, Change, TurnsEnded, VersionChanges
from zkexec.zookeeper.errors import BadVersionError, ZooKeeperError
from zkexec.zookeeper.requests import Check, Create, Delete, Operation, SetContent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.core.rollout.group_actions import CommitRecord
    from zkexec.core.rollout.record import InFlightEntry
    from zkexec.group.paths import Paths
    from zkexec.zookeeper.values import Acl


class RecordChanges:
    """The operations of one commit, and the versions of the znodes after it."""

    def __init__(self, request: CommitRecord, paths: Paths, acl: Sequence[Acl], now: float) -> None:
        """`now` is the time of what is new, in seconds of the epoch."""
        self._request = request
        self._paths = paths
        self._acl = acl
        self._now = now
        self._entries = dict(request.basis.entries)
        self._versions = dict(request.basis.versions)
        self._made = [
            digest
            for digest in request.after.versions
            if digest not in request.basis.versions or digest not in request.before.versions
        ]
        self.changes: list[Change] = []
        self._add_checks()
        is_decided = self._add_decisions()
        self._add_versions()
        self._add_admissions()
        self._add_entries()
        self.basis = RecordBasis(request.basis.state + is_decided, self._entries, self._versions)
        """The versions of the znodes after the commit."""

    @property
    def operations(self) -> list[Operation]:
        """The operations, in the order in which they are done."""
        return [change.operation for change in self.changes]

    def _add_checks(self) -> None:
        request, paths = self._request, self._paths
        for path, version in request.checks.items():
            check = Check(paths.mirrored(path), version)
            self.changes.append(Change(check, IS_OTHER, Conflict.CONFIGURATION))
        tried = request.basis.versions.get(request.tried)
        if tried is not None and request.tried not in self._made:
            self._add(Check(paths.version(request.tried), tried.version))

    def _add_decisions(self) -> bool:
        """Write the decisions if necessary; return whether it is."""
        request, path = self._request, self._paths.state
        before = record_codec.encode(request.before, self._now)
        after = record_codec.encode(request.after, self._now)
        if before == after and not self._made and not request.is_exclusive:
            return False
        self._add(SetContent(path, after, request.basis.state), BadVersionError)
        return True

    def _add_versions(self) -> None:
        before, after = self._request.before.versions, self._request.after.versions
        dropped = [digest for digest in before if digest not in after]
        for digest in [*dropped, *self._made]:
            if digest in self._versions:
                self._drop(digest)
        for digest, state in after.items():
            changes = self._on_version(digest)
            if digest in self._made:
                changes.make(state, self._ended(digest))
            elif state != before[digest]:
                changes.change(before[digest], state, self._ended(digest))
            self.changes += changes.changes
            self._versions[digest] = changes.basis

    def _drop(self, digest: str) -> None:
        changes = self._on_version(digest)
        changes.drop()
        self.changes += changes.changes
        del self._versions[digest]

    def _ended(self, digest: str) -> TurnsEnded:
        """Find the turns with this version that end with this commit."""
        before, after = self._request.before.in_flight, self._request.after.in_flight
        lost, failed = [], []
        for name, entry in before.items():
            own = after.get(name)
            is_tried = entry.digest == digest and entry.phase is not EntryPhase.FAILED
            if is_tried and (own is None or own.token != entry.token):
                lost.append(entry.token)
            if own is not None and own.digest == digest and own != entry:
                failed += [name] if own.phase is EntryPhase.FAILED else []
        return TurnsEnded(lost, failed)

    def _add_admissions(self) -> None:
        for node in self._request.admitted:
            delete = Delete(self._paths.queue_node(node.number), node.version)
            self.changes.append(Change(delete, IS_OTHER, Conflict.QUEUE_NODE, node.number))

    def _add_entries(self) -> None:
        before, after = self._request.before.in_flight, self._request.after.in_flight
        numbers = {node.queued.member: node.number for node in self._request.admitted}
        for name in before:
            if name not in after:
                self._add(Delete(self._paths.entry(name), self._entries.pop(name)))
        for name, entry in after.items():
            known = before.get(name)
            if known is None:
                number = numbers.get(name)
                conflict = Conflict.RECORD if number is None else Conflict.QUEUE_NODE
                self.changes.append(Change(self._create(name, entry), EXISTS, conflict, number))
                self._entries[name] = 0
            elif known.phase is not entry.phase and entry.phase is EntryPhase.FAILED:
                # So the watches on the names of the members in flight fire.
                self._add(Delete(self._paths.entry(name), self._entries[name]))
                self._add(self._create(name, entry), *EXISTS)
                self._entries[name] = 0
            elif known != entry or name == self._request.confirms:
                content = encode_entry(entry, self._now)
                self._add(SetContent(self._paths.entry(name), content, self._entries[name]))
                self._entries[name] += 1

    def _create(self, name: str, entry: InFlightEntry) -> Create:
        return Create(self._paths.entry(name), encode_entry(entry, self._now), self._acl)

    def _on_version(self, digest: str) -> VersionChanges:
        known = self._versions.get(digest)
        return VersionChanges(self._paths.version(digest), known, self._acl, self._now)

    def _add(self, operation: Operation, *errors: type[ZooKeeperError]) -> None:
        self.changes.append(Change(operation, errors or IS_OTHER))
