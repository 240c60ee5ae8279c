"""What is known of a group from its znodes, and what follows from that.

The rules of this file:

- Everything is a value: no znode is read here, and no clock; where `now` is needed it is passed in.
- What stands against a configuration, and how many may be in flight, is asked of the record
  itself: this is no second copy of its rules.
- Members that mirror different znodes have different aims; most groups have one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, is_same_contents
from zkexec.frozen import frozen, replace
from zkexec.operator.aims import MISSING, TURN, UNREADABLE, Aim, Intruder, Row, Seen, Stray, Written
from zkexec.operator.natural import natural
from zkexec.znode_paths import RESTART


class State(Enum):
    """How it stands with a group."""

    DONE = "done"
    """Everybody alive runs the newest, and nobody is in flight."""
    ROLLING = "rolling"
    FAILED = "failed"
    """What is wanted now has failed on a member, and the others do not get it."""
    PAUSED = "paused"
    """An operator holds the group; there may be nothing that waits for its end."""
    EMPTY = "empty"
    """No member is alive."""
    UNREADABLE = "unreadable"
    """What stands in the znodes cannot be read."""
    GONE = "gone"
    """There is no such group."""


@frozen(kw_only=True)
class Sight:
    """The znodes of one group at one moment.

    `znodes` are the mirrored ones that are there, `absent` those that are not, `restart` is the one
    of that name, `queue` the members that wait, first come first, `tickets` the paths of their
    nodes in the same order.  `trouble` says why the record cannot be read, `forbidden` that it is a
    matter of permissions, and `is_newer` that a later zkexec has written it.
    """

    name: str
    base: str
    record: RolloutRecord = RolloutRecord()
    members: Mapping[str, Seen] = {}
    queue: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    znodes: Mapping[str, Written] = {}
    absent: tuple[str, ...] = ()
    restart: Written | None = None
    strays: tuple[Stray, ...] = ()
    trouble: str = ""
    forbidden: bool = False
    is_newer: bool = False
    exists: bool = True

    @property
    def in_flight(self) -> tuple[Row, ...]:
        """Those that have a turn, or had one when they were lost."""
        return tuple(row for row in self.rows if row.place == TURN)

    @property
    def waiting(self) -> tuple[Row, ...]:
        """Those in the queue, first come first."""
        waiting = [row for row in self.rows if row.place]
        return tuple(sorted(waiting, key=lambda row: row.place or 0))

    @property
    def intruders(self) -> tuple[Intruder, ...]:
        """What stands in the queue with the name of nobody who is there or missed."""
        names = {*self.members, *self.record.in_flight}
        tickets = zip(self.queue, self.tickets, strict=False)
        return tuple(
            Intruder(place, name, path)
            for place, (name, path) in enumerate(tickets, 1)
            if name not in names
        )

    @property
    def missing(self) -> tuple[Row, ...]:
        """Those in flight whose nodes are gone."""
        return tuple(row for row in self.rows if not row.is_alive)

    @property
    def duplicates(self) -> tuple[Row, ...]:
        """Those whose member ID another process has."""
        return tuple(row for row in self.rows if row.duplicate_of)

    @property
    def done(self) -> int:
        """How many are through."""
        return sum(row.is_through for row in self.rows)

    @property
    def is_through(self) -> bool:
        """Whether the rollout of what is wanted now has arrived everywhere."""
        is_known = self.exists and not self.trouble and bool(self.members)
        return is_known and self.done == len(self.rows)

    @property
    def failure(self) -> Aim | None:
        """The aim that has failed, if one has."""
        return next((aim for aim in self.aims if aim.failure is not None), None)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing goes on before an operator does something."""
        if self.failure is not None:
            return True
        return self.record.paused is not None and any(row.is_held_by_pause for row in self.rows)

    @property
    def state(self) -> State:
        """All of it in one word."""
        if not self.exists:
            return State.GONE
        if self.trouble:
            return State.UNREADABLE
        if not self.members:
            return State.EMPTY
        if self.failure is not None:
            return State.FAILED
        if self.record.paused is not None:
            return State.PAUSED
        return State.DONE if self.is_through else State.ROLLING

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The members as a person counts them, those that are missed among them."""
        compared = {row.name: row for rows in self._scopes.values() for row in _compared(rows)}
        return tuple(compared.get(row.name, row) for row in self._rows)

    @cached_property
    def aims(self) -> tuple[Aim, ...]:
        """What is wanted, the newest first."""
        rows = {row.name: row for row in self.rows}
        aims = [
            self._aim(paths, tuple(rows[row.name] for row in scope))
            for paths, scope in self._scopes.items()
        ]
        return tuple(sorted(aims, key=lambda aim: (-aim.zxid, aim.paths)))

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        """The members, each by itself."""
        names = {*self.members, *self.record.in_flight} - set(self._superseded())
        return tuple(self._row(name) for name in sorted(names, key=natural))

    @cached_property
    def _scopes(self) -> Mapping[tuple[str, ...], Sequence[Row]]:
        """Those that mirror the same znodes."""
        scopes: dict[tuple[str, ...], list[Row]] = {}
        others = []
        for row in self._rows:
            if row.seen.facts is None:
                others.append(row)
            else:
                scopes.setdefault(tuple(sorted(set(row.seen.facts.inputs))), []).append(row)
        if len(scopes) == 1:
            # Of whom nothing is known, nothing else is to be expected.
            for rows in scopes.values():
                rows.extend(others)
        return scopes

    def _superseded(self) -> Iterable[str]:
        """The duplicates' nodes whose processes have got the ID, which go in this moment."""
        for name, seen in self.members.items():
            if seen.facts is not None and seen.facts.duplicate_of:
                first = self.members.get(seen.facts.duplicate_of, Seen()).facts
                if first is not None and first.lock_file_id == seen.facts.lock_file_id:
                    yield name

    def _row(self, name: str) -> Row:
        entry = self.record.in_flight.get(name)
        seen = self.members.get(name)
        if entry is None and seen is not None:
            place = self._places.get(name)
            return Row(name=name, place=place, seen=seen, **self._told_by(name, seen))
        if entry is not None and seen is not None:
            told = self._told_by(name, seen)
            return Row(name=name, place=TURN, seen=seen, entry=entry.phase, **told)
        if entry is None:
            raise LookupError(name)
        how = "after its restart had failed" if _failed(entry.phase) else "in the middle of it"
        return Row(
            name=name,
            phase=MISSING,
            place=TURN,
            entry=entry.phase,
            since=entry.since,
            wanted=entry.digest,
            reason=f"has the turn, and went away {how}",
        )

    def _told_by(self, name: str, seen: Seen) -> dict[str, Any]:
        if seen.status is None or seen.facts is None:
            return {"phase": UNREADABLE, "reason": seen.trouble}
        return {
            "phase": seen.status.phase,
            "since": seen.facts.since,
            "wanted": seen.status.wanted,
            "reason": seen.status.reason,
            "shares_with": tuple(self._sharing(name)),
            "absent": tuple(path for path in self.absent if path in seen.facts.inputs),
            "untaken": tuple(
                path
                for path, written in self._sources(seen.facts.inputs)
                if written.zxid > seen.status.zxid
            ),
        }

    def _sharing(self, name: str) -> Iterable[tuple[str, str]]:
        """With whom it shares files.  Of two members only the one that came later tells."""
        facts = self.members[name].facts
        told = dict(facts.shared) if facts else {}
        for other, seen in self.members.items():
            if seen.facts is not None and name in (shared := dict(seen.facts.shared)):
                told.setdefault(other, shared[name])
        return sorted(told.items(), key=lambda item: natural(item[0]))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in reversed(tuple(enumerate(self.queue, 1)))}

    def _sources(self, paths: Iterable[str]) -> list[tuple[str, Written]]:
        """The znodes whose writes make up the revision, those that are there."""
        found = [(path, self.znodes[path]) for path in paths if path in self.znodes]
        if self.restart is not None and self.restart.size:
            found.append((f"{self.base}/{RESTART}", self.restart))
        return found

    def _aim(self, paths: tuple[str, ...], rows: tuple[Row, ...]) -> Aim:
        writes = [written for _, written in self._sources(paths)]
        newest = max(writes, key=lambda written: written.zxid, default=Written(0))
        target = _wanted(rows)
        digest = target.digest
        is_known_good = bool(digest) and self.record.is_known_good(target)
        is_settled = all(row.is_settled for row in rows if not row.duplicate_of)
        return Aim(
            paths=paths,
            rows=rows,
            zxid=newest.zxid,
            at=newest.at,
            digest=digest,
            is_known_good=is_known_good,
            at_once=self.record.allowed(len(self.members)) if is_known_good else 1,
            failure=self.record.failure_of(target) if digest and not is_settled else None,
            missing=tuple(path for path in self.absent if path in paths),
        )


def _wanted(rows: Sequence[Row]) -> ConfigVersion:
    """What most of those want that know the newest; without a digest where nobody does."""
    informed = [row.status for row in rows if row.seen.status is not None and not row.untaken]
    zxid = max((status.zxid for status in informed), default=0)
    digests = Counter(status.wanted for status in informed if status.zxid == zxid)
    return ConfigVersion(digests.most_common(1)[0][0] if digests else "", zxid, "")


def _compared(rows: Sequence[Row]) -> Iterable[Row]:
    """The same members, with what the others want where that is something else.

    Nobody who knows all that is written could want other contents of the same znodes: one of them
    may not read a znode, or keeps what was in one that does not exist any more.
    """
    digest = _wanted(rows).digest
    for row in rows:
        own = row.status.wanted
        is_other = bool(own and digest) and not row.untaken and not is_same_contents(own, digest)
        yield replace(row, others_want=digest) if is_other else row


def _failed(phase: EntryPhase) -> bool:
    return phase is EntryPhase.FAILED
