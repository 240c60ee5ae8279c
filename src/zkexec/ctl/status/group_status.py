"""The status of a group, computed from the contents of its znodes.

Everything here is a value: no znode is read, and a time is passed in.  Whether a version has
failed, and how many members may be in flight, is asked of the record, so that the rules of the
group exist once.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, is_same_contents, short
from zkexec.ctl.status.input_writes import InputWrite, InputWrites
from zkexec.ctl.status.member_row import (
    MISSING,
    UNREADABLE,
    IgnoredZnode,
    Intruder,
    LastWrite,
    MemberRow,
    MemberZnode,
)
from zkexec.ctl.status.progress import Progress
from zkexec.ctl.status.version_writes import VersionWrites, last_push, previous_of, request_of
from zkexec.frozen import frozen, replace
from zkexec.group.version_codec import MemberFailure
from zkexec.znode_paths import RESTART


class GroupState(Enum):
    """The state of a group in one word."""

    COMPLETE = "complete"
    """Every living member is up to date, and no member is in flight."""
    ROLLING = "rolling"
    FAILED = "failed"
    """The wanted version has failed on a member, and the others do not try it."""
    PAUSED = "paused"
    """An operator has paused the group, whether or not a member waits."""
    HELD = "held"
    """As many members have the wanted version as the hold on it allows, and others do not."""
    EMPTY = "empty"
    """No member is alive."""
    UNREADABLE = "unreadable"
    """The record may not be read, or is not understood."""
    GONE = "gone"
    """There is no such group."""


def counting_order(name: str) -> tuple[tuple[str, int, str], ...]:
    """Return a key that sorts names as a person counts: web2 before web10."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return (*((text, *_size_of(digits)) for text, digits in parts), (name, 0, ""))


def _size_of(digits: str) -> tuple[int, str]:
    """Return a key for a number: more digits are more, and no number is less than any."""
    if not digits:
        return -1, ""
    significant = digits.lstrip("0")
    return len(significant), significant


@frozen(kw_only=True)
class GroupStatus:
    """The znodes of one group at one moment, and what follows from them.

    The record has the entries of all members in flight, and the numbers of the living members.
    `failures` are those of versions on single members, by digest and member.

    `writes` are those of the inputs that exist, `absent` are those that do not, `restart` is the
    znode of that name.  `queue` are the names of the queue nodes, the first in the queue first, and
    `queue_paths` their paths.  `error` is why the record cannot be read, `is_forbidden` if a
    permission is missing, `is_newer` if a later version of zkexec has written it.
    `connection_words` are the connection options that commands for this group have to repeat.
    """

    name: str
    base: str
    record: RolloutRecord = RolloutRecord()
    members: Mapping[str, MemberZnode] = {}
    queue: tuple[str, ...] = ()
    queue_paths: tuple[str, ...] = ()
    writes: InputWrites = InputWrites()
    absent: tuple[str, ...] = ()
    restart: LastWrite | None = None
    ignored: tuple[IgnoredZnode, ...] = ()
    failures: Mapping[str, Mapping[str, MemberFailure]] = {}
    error: str = ""
    is_forbidden: bool = False
    is_newer: bool = False
    exists: bool = True
    connection_words: tuple[str, ...] = ()

    @property
    def znodes(self) -> Mapping[str, LastWrite]:
        """The newest writes of the inputs that exist."""
        return self.writes.znodes

    @property
    def in_flight(self) -> tuple[MemberRow, ...]:
        """The members that have a turn, or had one when they went missing."""
        return tuple(row for row in self.rows if row.is_in_flight)

    @property
    def waiting(self) -> tuple[MemberRow, ...]:
        """The members in the queue, the first one first."""
        waiting = [row for row in self.rows if row.queue_position is not None]
        return tuple(sorted(waiting, key=lambda row: row.queue_position or 0))

    @property
    def intruders(self) -> tuple[Intruder, ...]:
        """The queue nodes whose name is that of no member."""
        names = {*self.members, *self.record.in_flight}
        nodes = zip(self.queue, self.queue_paths, strict=False)
        return tuple(
            Intruder(position, name, path)
            for position, (name, path) in enumerate(nodes, 1)
            if name not in names
        )

    @property
    def missing(self) -> tuple[MemberRow, ...]:
        """The members in flight whose znodes are gone."""
        return tuple(row for row in self.rows if not row.is_alive)

    @property
    def duplicates(self) -> tuple[MemberRow, ...]:
        """The processes whose member ID another process has."""
        return tuple(row for row in self.rows if row.duplicate_of)

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs of all living members."""
        facts = [znode.facts for znode in self.members.values() if znode.facts]
        return frozenset(path for each in facts for path in each.inputs)

    @property
    def oversized(self) -> tuple[str, ...]:
        """The trees that are too much to be read by any member."""
        return tuple(path for path, write in self.znodes.items() if write.excess)

    @property
    def partly_hidden(self) -> tuple[str, ...]:
        """The trees of which a part may not be read here, so that a newer write may be in it."""
        return tuple(path for path, write in self.znodes.items() if write.is_partly_hidden)

    @cached_property
    def serving_count(self) -> int:
        """How many members serve."""
        return sum(row.is_serving for row in self.rows)

    @cached_property
    def unavailable(self) -> tuple[MemberRow, ...]:
        """The members that do not serve."""
        return tuple(row for row in self.rows if not row.is_serving)

    @cached_property
    def has_zones(self) -> bool:
        """Whether any member has a zone."""
        return any(row.zone for row in self.rows)

    @property
    def open_zone(self) -> str | None:
        """The zone of the members in flight; None if no member is in flight, or has a zone."""
        return self.record.zone if self.has_zones and self.record.in_flight else None

    @cached_property
    def up_to_date_count(self) -> int:
        """How many members are up to date."""
        return sum(row.is_up_to_date for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether all members are up to date."""
        is_known = self.exists and not self.error and bool(self.members)
        return is_known and self.up_to_date_count == len(self.rows)

    @property
    def failure(self) -> Progress | None:
        """The rollout that has failed, if one has."""
        return next((one for one in self.progress if one.failure is not None), None)

    @property
    def held(self) -> Progress | None:
        """The rollout that a hold has stopped, if one has, and all others are at their end."""
        left = [one for one in self.progress if not one.is_complete]
        return left[0] if left and all(one.is_held for one in left) else None

    @property
    def needs_operator(self) -> bool:
        """Whether the rollout goes on only after an operator has acted."""
        if self.failure is not None or self.state is GroupState.HELD:
            return True
        return self.record.paused is not None and any(row.needs_resume for row in self.rows)

    @cached_property
    def state(self) -> GroupState:
        """The state of the group: the first that applies."""
        states = (
            (not self.exists, GroupState.GONE),
            (bool(self.error), GroupState.UNREADABLE),
            (not self.members, GroupState.EMPTY),
            (self.failure is not None, GroupState.FAILED),
            (self.record.paused is not None, GroupState.PAUSED),
            (self.held is not None, GroupState.HELD),
            (not self.is_complete, GroupState.ROLLING),
        )
        return next((state for applies, state in states if applies), GroupState.COMPLETE)

    @cached_property
    def rows(self) -> tuple[MemberRow, ...]:
        """The members in counting order, with the missing ones."""
        compared = {row.name: row for rows in self._scopes.values() for row in _compared(rows)}
        return tuple(compared.get(row.name, row) for row in self._rows)

    @cached_property
    def progress(self) -> tuple[Progress, ...]:
        """How far each set of inputs is, the one that was written last first."""
        rows = {row.name: row for row in self.rows}
        found = [
            self._progress_of(inputs, tuple(rows[row.name] for row in scope))
            for inputs, scope in self._scopes.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.zxid, one.inputs)))

    @cached_property
    def versions(self) -> VersionWrites:
        """The writes behind the versions that members run and want."""
        return VersionWrites(self.record, self.writes, self.progress)

    @property
    def last_push(self) -> InputWrite | None:
        """The newest write of all inputs; None if none is known."""
        return last_push(self.progress)

    @cached_property
    def _rows(self) -> tuple[MemberRow, ...]:
        """The members, each by itself."""
        names = {*self.members, *self.record.in_flight} - set(self._former_duplicates())
        return tuple(self._row(name) for name in sorted(names, key=counting_order))

    @cached_property
    def _scopes(self) -> Mapping[tuple[str, ...], Sequence[MemberRow]]:
        """The members by the set of their inputs."""
        scopes: dict[tuple[str, ...], list[MemberRow]] = {}
        others = []
        for row in self._rows:
            if row.znode.facts is None:
                others.append(row)
            else:
                scopes.setdefault(tuple(sorted(set(row.znode.facts.inputs))), []).append(row)
        if len(scopes) == 1:
            # The inputs of these members are not known; most probably they are the same.
            for rows in scopes.values():
                rows.extend(others)
        return scopes

    def _former_duplicates(self) -> Iterable[str]:
        """The znodes of duplicates that have just got the ID, and remove these znodes next."""
        for name, znode in self.members.items():
            if znode.facts is not None and znode.facts.duplicate_of:
                first = self.members.get(znode.facts.duplicate_of, MemberZnode()).facts
                if first is not None and first.lock_file_id == znode.facts.lock_file_id:
                    yield name

    def _row(self, name: str) -> MemberRow:
        entry = self.record.in_flight.get(name)
        znode = self.members.get(name)
        if znode is not None:
            return MemberRow(
                name=name,
                queue_position=None if entry else self._queue_positions.get(name),
                turn_phase=entry.phase if entry else None,
                znode=znode,
                has_mark=name in self.record.unavailable,
                **self._published(name, znode),
            )
        if entry is None:
            raise LookupError(name)
        has_failed = entry.phase is EntryPhase.FAILED
        return MemberRow(
            name=name,
            phase=MISSING,
            turn_phase=entry.phase,
            since=entry.since,
            wanted=entry.digest,
            zone=entry.zone,
            reason="missing after its change failed" if has_failed else "missing in its turn",
        )

    def _published(self, name: str, znode: MemberZnode) -> dict[str, Any]:
        """The fields of a row that come from the member's own status."""
        if znode.status is None or znode.facts is None:
            return {"phase": UNREADABLE, "reason": znode.error}
        return {
            "phase": znode.status.phase,
            "since": znode.facts.since,
            "zone": znode.facts.zone,
            "wanted": znode.status.wanted,
            "reason": znode.status.reason,
            "shares_with": tuple(self._sharing(name)),
            "absent": tuple(sorted(self._absent.intersection(znode.facts.inputs))),
            "inputs_behind": tuple(
                path
                for path, write in self._writes(znode.facts.inputs)
                if write.zxid > znode.status.zxid or write.excess
            ),
        }

    @cached_property
    def _absent(self) -> frozenset[str]:
        """The inputs that do not exist.  A member status can name very many."""
        return frozenset(self.absent)

    def _sharing(self, name: str) -> Iterable[tuple[str, str]]:
        """The members that write to the same files.  Only the one that came later knows it."""
        facts = self.members[name].facts
        found = dict(facts.shared) if facts else {}
        found = {**self._shared_with.get(name, {}), **found}
        return sorted(found.items(), key=lambda item: counting_order(item[0]))

    @cached_property
    def _shared_with(self) -> dict[str, dict[str, str]]:
        """By member, those that have found that they write to the same files, with one of these."""
        found: dict[str, dict[str, str]] = {}
        for other, znode in self.members.items():
            for name, file in znode.facts.shared if znode.facts else ():
                found.setdefault(name, {})[other] = file
        return found

    @cached_property
    def _queue_positions(self) -> dict[str, int]:
        return {name: position for position, name in reversed(tuple(enumerate(self.queue, 1)))}

    def _writes(self, inputs: Iterable[str]) -> list[tuple[str, LastWrite]]:
        """The newest writes of the inputs that exist, the znode of restarts among them."""
        found = [(path, self.znodes[path]) for path in inputs if path in self.znodes]
        if self.restart is not None and self.restart.size:
            found.append((f"{self.base}/{RESTART}", self.restart))
        return found

    def _progress_of(self, inputs: tuple[str, ...], rows: tuple[MemberRow, ...]) -> Progress:
        own = frozenset(inputs)
        writes = [write for _, write in self._writes(inputs)]
        newest = max(writes, key=lambda write: write.zxid, default=LastWrite(0))
        is_requested = newest is self.restart
        version = _wanted(rows)
        is_known_good = bool(version.digest) and self.record.is_known_good(version)
        has_finished = all(row.has_finished for row in rows if not row.duplicate_of)
        can_fail = version.digest and not has_finished
        found = Progress(
            inputs=inputs,
            rows=rows,
            zxid=newest.zxid,
            written_at=newest.at,
            digest=version.digest,
            is_known_good=is_known_good,
            allowed=self.record.allowed(version, self.record.zone) if is_known_good else 1,
            failure=self.record.failure_of(version) if can_fail else None,
            succeeded=self.record.ended_well(version) if version.digest else 0,
            failures=self.failures.get(version.digest, {}),
            is_held=not all(row.is_up_to_date for row in rows) and self._is_held(version),
            missing=tuple(sorted(self._absent.intersection(inputs))),
            oversized=tuple(path for path in self.oversized if path in own),
            partly_hidden=tuple(path for path in self.partly_hidden if path in own),
            write=self.writes.newest(inputs),
            request=request_of(self.record, newest) if is_requested else None,
            first_turn_at=self._first_turn_at(rows, version.digest),
            can_go_on=self.record.paused is None and not self._is_limited(version),
        )
        digest, previous = previous_of(self.record, found, self.writes)
        return replace(found, previous=previous, previous_digest=digest)

    def _first_turn_at(self, rows: Sequence[MemberRow], digest: str) -> float:
        """Return when the first member has begun to apply a version; 0 if that is not known."""
        turns = [row.znode.facts.turn for row in rows if row.znode.facts]
        began = [turn.began for turn in turns if turn and digest and turn.digest == short(digest)]
        entries = self.record.in_flight.values()
        began += [entry.since for entry in entries if entry.digest == digest and entry.since]
        return min(began, default=0.0)

    def _is_limited(self, version: ConfigVersion) -> bool:
        """Whether a hold ends the rollout of a version before the last member."""
        hold = self.record.hold
        return hold is not None and not hold.approves(version)

    def _is_held(self, version: ConfigVersion) -> bool:
        """Whether no member is admitted to a version because of a hold, and none is busy with it.

        A member that failed on the version counts as one that has it.  One that failed on another
        version tries this one next, in the same turn.
        """
        entries = self.record.in_flight
        having = {name: one for name, one in entries.items() if one.digest == version.digest}
        is_busy = any(one.phase is EntryPhase.RESTARTING for one in entries.values())
        is_busy |= any(name in self.members for name in entries.keys() - having.keys())
        known = replace(self.record, in_flight=having, in_flight_count=len(having))
        return bool(version.digest) and not is_busy and known.is_held(version, "")


def _wanted(rows: Sequence[MemberRow]) -> ConfigVersion:
    """The version that most members want that have read the newest write; its digest can be ""."""
    informed = [row.status for row in rows if row.znode.status and not row.inputs_behind]
    zxid = max((status.zxid for status in informed), default=0)
    digests = Counter(status.wanted for status in informed if status.zxid == zxid)
    return ConfigVersion(digests.most_common(1)[0][0] if digests else "", zxid, "")


def _compared(rows: Sequence[MemberRow]) -> Iterable[MemberRow]:
    """The same members, each with the digest that most others want if it differs.

    Members that have read the newest writes want the same contents, unless one of them may not
    read an input, or keeps the content of one that does not exist any more.
    """
    digest = _wanted(rows).digest
    for row in rows:
        own = row.status.wanted
        can_differ = bool(own and digest) and not row.inputs_behind
        differs = can_differ and not is_same_contents(own, digest)
        yield replace(row, others_want=digest) if differs else row
