"""The record of a scripted group: how its znodes are read, and what a commit changes in them.

It follows the rules of the store: a commit writes only what differs between two records, and each
znode that it changes has to be as it was read.
"""

from zkexec.core.rollout.group_actions import CommitRecord
from zkexec.core.rollout.group_events import Conflict, GroupPart
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import MISSING, RecordBasis, VersionBasis
from zkexec.core.rollout.version_state import AS_COMMITTED, VersionState
from zkexec.frozen import replace

NEW = VersionState(0, "")


class ScriptedRecord:
    """All that the znodes of a group's record contain, and their versions."""

    def __init__(self) -> None:
        """Begin without any znode."""
        self.contents = RolloutRecord()
        self.basis = RecordBasis()
        self.clock = 0.0
        """The time of the next commit, in seconds of the epoch."""

    def create(self) -> None:
        """Make an empty record, unless there is one."""
        if not self.basis.exists:
            self.basis = replace(self.basis, state=0)

    def read_by(self, member: str, *, survey: bool) -> tuple[RolloutRecord, RecordBasis]:
        """Return what a member reads: all entries in a survey, else its own only."""
        entries = self.contents.in_flight
        known = {name: entry for name, entry in entries.items() if survey or name == member}
        record = replace(self.contents, in_flight=known, in_flight_count=len(entries))
        return record, replace(
            self.basis, entries={name: self.basis.entries[name] for name in known}
        )

    def conflict_of(self, request: CommitRecord) -> Conflict | None:
        """Return the conflict of a commit with the record as it is now."""
        before, after, read, now = request.before, request.after, request.basis, self.basis
        tried = request.tried
        if tried in before.versions and _version_in(read, tried) != _version_in(now, tried):
            return Conflict.RECORD
        if _writes_decisions(before, after, request.is_exclusive) and read.state != now.state:
            return Conflict.RECORD
        added, kept = _names_of_entries(before, after, request.confirms)
        is_other = (
            any(name in now.entries for name in added)
            or any(read.entries[name] != now.entries.get(name) for name in kept)
            or any(self._is_other(request, d) for d in {*before.versions, *after.versions})
        )
        return Conflict.RECORD if is_other else None

    def _is_other(self, request: CommitRecord, digest: str) -> bool:
        """Whether the znodes of a version are not as they have to be for this commit."""
        before = request.before.versions.get(digest)
        after = request.after.versions.get(digest)
        now = self.contents.versions.get(digest)
        if before is None:
            return now is not None
        if now is None:
            return after is None or _tries_of(before) != _tries_of(after)
        if after is None:
            return _children_of(now) != _children_of(before)
        new = set(_children_of(after)) - set(_children_of(before))
        if after.lost_turns > before.lost_turns:
            return _version_in(request.basis, digest) != _version_in(self.basis, digest)
        return bool(new & set(_children_of(now)))

    def commit(self, request: CommitRecord) -> tuple[set[GroupPart], RecordBasis]:
        """Carry out a commit without a conflict; return what it touches, and its basis."""
        before, after, read = request.before, request.after, request.basis
        was = self.basis
        touched = self.write(
            before, after, is_exclusive=request.is_exclusive, confirms=request.confirms
        )
        # What the commit has not written may have changed since it was read.
        written = {
            name for names in _names_of_entries(before, after, request.confirms) for name in names
        }
        entries = {
            name: (self.basis if name in written else read).entries[name]
            for name in after.in_flight
        }
        versions = {
            digest: read.versions[digest]
            if digest in read.versions and self.basis.versions[digest] is was.versions.get(digest)
            else self.basis.versions[digest]
            for digest in after.versions
        }
        return touched, RecordBasis(read.state + (GroupPart.RECORD in touched), entries, versions)

    def write(
        self,
        before: RolloutRecord,
        after: RolloutRecord,
        *,
        is_exclusive: bool = False,
        confirms: str = "",
    ) -> set[GroupPart]:
        """Write the difference between two records; return which parts are touched."""
        touched = {GroupPart.IN_FLIGHT} if self._write_entries(before, after, confirms) else set()
        is_decided = _writes_decisions(before, after, is_exclusive)
        versions, bases = {}, {}
        for digest, state in sorted(after.versions.items()):
            known = before.versions.get(digest)
            versions[digest] = self._merged(digest, known, state, is_decided=is_decided)
            bases[digest] = self._basis_of(digest, known, state, versions[digest])
        others = {d: one for d, one in self.contents.versions.items() if d not in before.versions}
        kept = {d: self.basis.versions[d] for d in others if d not in versions}
        decided = after if is_decided else self.contents
        in_flight = self.contents.in_flight
        self.contents = replace(decided, in_flight=in_flight, versions={**others, **versions})
        self.basis = replace(self.basis, versions={**kept, **bases})
        if is_decided:
            touched.add(GroupPart.RECORD)
            self.basis = replace(self.basis, state=self.basis.state + 1)
            self._stamp()
        return touched

    def _write_entries(self, before: RolloutRecord, after: RolloutRecord, confirms: str) -> bool:
        """Write the entries that differ; return whether one was made or deleted."""
        _, changed = _names_of_entries(before, after, confirms)
        entries, bases = dict(self.contents.in_flight), dict(self.basis.entries)
        was = dict(entries)
        for name in set(before.in_flight) - set(after.in_flight):
            del entries[name], bases[name]
        for name, entry in after.in_flight.items():
            known = before.in_flight.get(name)
            if known == entry and name not in changed:
                continue
            has_failed = entry.phase is EntryPhase.FAILED and known != entry
            is_made = known is None or has_failed
            bases[name] = 0 if is_made else bases[name] + 1
            entries[name] = self._stamped(entry)
        self.contents = replace(self.contents, in_flight=dict(sorted(entries.items())))
        self.basis = replace(self.basis, entries=bases)
        phases = {name: entry.phase for name, entry in entries.items()}
        return phases != {name: entry.phase for name, entry in was.items()}

    def _stamped(self, entry: InFlightEntry) -> InFlightEntry:
        return replace(entry, since=self.clock) if entry.since == AS_COMMITTED else entry

    def _merged(
        self, digest: str, before: VersionState | None, after: VersionState, *, is_decided: bool
    ) -> VersionState:
        """Return what is known of a version after the commit."""
        now = self.contents.versions.get(digest)
        if before is None or now is None:
            return self._dated(after)
        failed = _merged(now.failed_by, before.failed_by, after.failed_by)
        is_reset = after.succeeded < before.succeeded
        is_lost = after.lost_turns != before.lost_turns
        is_about = set(after.failed_by) > set(before.failed_by) or is_lost
        about = after if is_about else now
        decided = after if is_decided else now
        merged = replace(
            decided,
            failed_by=failed,
            condemned_by=_merged(now.condemned_by, before.condemned_by, after.condemned_by),
            lost_turns=after.lost_turns if is_lost else now.lost_turns,
            succeeded=0 if is_reset else now.succeeded + after.succeeded - before.succeeded,
            reason=about.reason if failed else "",
            step=about.step if failed else "",
            at=about.at if failed else AS_COMMITTED,
        )
        return self._dated(merged)

    def _dated(self, state: VersionState) -> VersionState:
        is_new = bool(state.failed_by) and state.at == AS_COMMITTED
        return replace(state, at=self.clock) if is_new else state

    def _basis_of(
        self, digest: str, before: VersionState | None, after: VersionState, merged: VersionState
    ) -> VersionBasis:
        known = self.basis.versions.get(digest)
        if before is None or known is None:
            return VersionBasis(0, _children_of(merged))
        is_written = (
            after.lost_turns > before.lost_turns
            or bool(set(after.failed_by) - set(before.failed_by))
            or bool(set(after.condemned_by) - set(before.condemned_by))
        )
        changed = VersionBasis(known.version + is_written, _children_of(merged))
        return known if changed == known else changed

    def _stamp(self) -> None:
        """Give the decisions that are new the time of the commit."""
        record = self.contents
        if record.paused is not None and record.paused.at == AS_COMMITTED:
            record = replace(record, paused=replace(record.paused, at=self.clock))
        if record.hold is not None and record.hold.at == AS_COMMITTED:
            record = replace(record, hold=replace(record.hold, at=self.clock))
        if record.head is not None and record.head.since == AS_COMMITTED:
            record = replace(record, head=replace(record.head, since=self.clock))
        self.contents = record


def _names_of_entries(
    before: RolloutRecord, after: RolloutRecord, confirms: str
) -> tuple[list[str], list[str]]:
    """Return whose entries a commit makes, and whose it changes, confirms or deletes."""
    added = [name for name in after.in_flight if name not in before.in_flight]
    changed = [
        name
        for name, entry in before.in_flight.items()
        if after.in_flight.get(name) != entry or name == confirms
    ]
    return added, changed


def _writes_decisions(before: RolloutRecord, after: RolloutRecord, is_exclusive: bool) -> bool:
    return is_exclusive or _decisions_of(before) != _decisions_of(after)


def _decisions_of(record: RolloutRecord) -> tuple[RolloutRecord, dict[str, VersionState]]:
    """Return what the znode of the decisions contains."""
    decided = {
        digest: replace(
            NEW,
            zxid=state.zxid,
            scope=state.scope,
            known_good=state.known_good,
            lost_zone=state.lost_zone,
            lost_until=state.lost_until,
        )
        for digest, state in record.versions.items()
    }
    return replace(record, in_flight={}, versions={}), decided


def _version_in(basis: RecordBasis, digest: str) -> int:
    return basis.versions[digest].version if digest in basis.versions else MISSING


def _tries_of(state: VersionState) -> tuple[tuple[str, ...], int]:
    return _children_of(state), state.succeeded


def _children_of(state: VersionState) -> tuple[str, ...]:
    """Return the names of the znodes below that of a version."""
    condemned = {f"condemned.{name}" for name in state.condemned_by}
    failed = {f"failed.{name}" for name in state.failed_by if name not in state.condemned_by}
    lost = {f"lost.{number}" for number in range(state.lost_turns)}
    return ("succeeded", *sorted(condemned | failed | lost))


def _merged(
    now: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]
) -> tuple[str, ...]:
    """Add and take away what a commit adds and takes away."""
    return tuple(sorted((set(now) - (set(before) - set(after))) | (set(after) - set(before))))
