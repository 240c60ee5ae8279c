"""What the page of one group shows, computed from its status: values that the templates print.

The sentences are those of `zkexecctl status`.  Names and texts in them come from znodes, so they
are printed as texts only.  A command is shown as one only if it was written here or in `phrases`.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from zkexec.core.rollout.record import AuditEntry, EntryPhase
from zkexec.core.rollout.version import short
from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus, counting_order
from zkexec.ctl.status.hold_phrases import group_hold, hold_advice
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.member_row import MemberRow
from zkexec.ctl.status.rollout_events import rollout_events
from zkexec.ctl.web.cluster_views import GroupView, SeenChange
from zkexec.ctl.web.page_addresses import ACTIONS
from zkexec.ctl.web.page_marks import (
    MARK_WORDS,
    TONES,
    Mark,
    MarkCount,
    MeterPart,
    mark_of,
    meter,
)
from zkexec.ctl.web.page_timeline import TimelineEntry, timeline_of
from zkexec.frozen import frozen

MOST_TILES = 40
"""A group with more members is drawn as squares without names."""

_MOST_LISTED = 200
"""Of a group with more members there is no table with all of them."""

_MOST_BUTTONS = 5
_MOST_HISTORIES = 20

MOST_ROWS = 50
"""A table has at most this many members."""

_URGENT = (
    *(Mark.FAILED, Mark.MISSING, Mark.BLOCKED, Mark.UNREADABLE, Mark.UNAVAILABLE),
    *(Mark.DUPLICATE, Mark.IN_ITS_TURN, Mark.BEHIND, Mark.WAITING, Mark.UP_TO_DATE),
)
"""The marks in the order of a table: those that delay the others first."""

_TROUBLED = _URGENT[:6]
"""The marks of members that need attention."""


@frozen()
class GroupNote:
    """A sentence about the group; `tone` is its class in the style sheet."""

    tone: str
    text: str


@frozen()
class NextCommand:
    """A command that an operator can paste, and what it is for."""

    purpose: str
    line: str


@frozen()
class InputHistory:
    """The last pushes to one path, the newest first."""

    path: str
    entries: tuple[HistoryEntry, ...]


@frozen(kw_only=True)
class MemberView:
    """One member in a row of a table: `runs` is its version, `wants` the one that it waits for."""

    row: MemberRow
    mark: Mark
    runs: str
    wants: str
    reason: str

    @property
    def word(self) -> str:
        """The word of its mark."""
        return MARK_WORDS[self.mark]

    @property
    def activity(self) -> str:
        """What it does now, more exactly than its mark."""
        row = self.row
        return f"{row.phase} ({row.step})" if row.step else row.phase

    @property
    def health(self) -> str:
        """The result of its last health check, or why there is none."""
        return self.row.health_words

    @property
    def turn(self) -> str:
        """Whether it has a turn, or its position in the queue."""
        if self.row.is_in_flight:
            return "in its turn"
        position = self.row.queue_position
        return "" if position is None else f"{phrases.ordinal(position)} in the queue"


@frozen(kw_only=True)
class ZoneView:
    """The members of one zone, or all members if none has a zone."""

    name: str
    is_open: bool
    members: tuple[tuple[MemberRow, Mark], ...]

    @property
    def member_names(self) -> tuple[str, ...]:
        """The names of its members, in counting order."""
        return tuple(row.name for row, _ in self.members)

    @property
    def up_to_date_count(self) -> int:
        """How many of its members are up to date."""
        return sum(row.is_up_to_date for row, _ in self.members)


_OUTDATED = (
    "This status was read long before the group could not be read any more: it can be another one "
    "by now, so nothing is proposed."
)


class GroupPage:
    """The status of a group, and what its page prints of it."""

    def __init__(self, view: GroupView, status: GroupStatus) -> None:
        """Show this status, and the pushes and changes in the view."""
        self.status = status
        self.name = status.name
        self.now = view.read_at
        self._view = view

    @cached_property
    def state(self) -> GroupState:
        """The state of the group."""
        return self.status.state

    @property
    def tone(self) -> str:
        """The class of its state in the style sheet."""
        return TONES[self.state]

    @cached_property
    def sentence(self) -> str:
        """The headline of `status`, without the name of the group."""
        text = phrases.headline(self.status, self.now).removeprefix(f"{self.name}: ")
        return text.removeprefix(f"{self.state.value}, ")

    @cached_property
    def marks(self) -> tuple[tuple[MemberRow, Mark], ...]:
        """All members, each with its mark."""
        return tuple((row, mark_of(row)) for row in self.status.rows)

    @cached_property
    def counts(self) -> tuple[MarkCount, ...]:
        """How many members have which mark, without those that no member has."""
        found = Counter(mark for _, mark in self.marks)
        return tuple(MarkCount(mark, found[mark]) for mark in MARK_WORDS if found[mark])

    @property
    def meter(self) -> tuple[MeterPart, ...]:
        """The parts of the bar."""
        return meter(self.counts)

    @cached_property
    def zones(self) -> tuple[ZoneView, ...]:
        """The members zone by zone, those of the open zone first."""
        status = self.status
        if not status.has_zones:
            return (ZoneView(name="", is_open=False, members=self.marks),) if self.marks else ()
        found: dict[str, list[tuple[MemberRow, Mark]]] = {}
        for row, mark in self.marks:
            found.setdefault(row.zone, []).append((row, mark))
        is_open = status.open_zone
        names = sorted(found, key=lambda name: (name != is_open, not name, counting_order(name)))
        return tuple(
            ZoneView(name=name, is_open=name == is_open, members=tuple(found[name]))
            for name in names
        )

    @property
    def shows_tiles(self) -> bool:
        """Whether the members are drawn with their names."""
        return len(self.marks) <= MOST_TILES

    @cached_property
    def attention(self) -> tuple[MemberView, ...]:
        """The members that a person has to know of, the most urgent first."""
        found = [
            (row, mark)
            for row, mark in self.marks
            if mark in _TROUBLED or row.inputs_behind or row.absent or row.others_want
        ]
        return self._by_urgency(found)

    @property
    def attention_rows(self) -> tuple[MemberView, ...]:
        """The first of them, as many as a table has."""
        return self.attention[:MOST_ROWS]

    def found(self, text: str) -> tuple[MemberView, ...]:
        """Return the members whose name, host or zone contains a text, in counting order."""
        wanted = text.casefold()
        return tuple(
            self._member(row, mark)
            for row, mark in self.marks
            if any(wanted in each.casefold() for each in _searched(row))
        )

    @cached_property
    def all_rows(self) -> tuple[MemberView, ...]:
        """All members for the table; none if there are too many for it."""
        if len(self.marks) > _MOST_LISTED:
            return ()
        return tuple(self._member(row, mark) for row, mark in self.marks)

    @cached_property
    def notes(self) -> tuple[GroupNote, ...]:
        """What stops the rollout, and what else needs attention, in sentences."""
        status, now = self.status, self.now
        if self.state in (GroupState.GONE, GroupState.UNREADABLE):
            return _notes("idle", (phrases.record_advice(status),))
        return (
            *_notes("warn", (_OUTDATED,) if self._view.is_outdated else ()),
            *_notes("bad", (phrases.failure(status, now), *phrases.member_failures(status, now))),
            *_notes("idle", (phrases.others_serve(status),)),
            *_notes("warn", phrases.tolerated_failures(status)),
            *_notes("warn", (phrases.pause(status, now), group_hold(status))),
            *_notes("bad", [phrases.missing_since(row, now) for row in self._missing]),
            *_notes("bad", phrases.absent_inputs(status)),
            *_notes("bad", phrases.oversized_inputs(status)),
            *_notes("idle", (phrases.partly_hidden_inputs(status),)),
            *_notes("bad", phrases.duplicate_members(status)),
            *_notes("bad", phrases.intruders(status)),
            *_notes("warn", phrases.ignored_znodes(status)),
        )

    @cached_property
    def commands(self) -> tuple[NextCommand, ...]:
        """What an operator can do next; nothing if that is not known."""
        if self._view.is_outdated:
            return ()
        lines = (*phrases.advice(self.status), *hold_advice(self.status))
        found = [NextCommand(*line.split(": ", 1)) for line in lines]
        found += [
            NextCommand(
                f"if {row.name} does not come back",
                printed_command(self.status.connection_words, "forget", self.name, row.name),
            )
            for row in self._missing
        ]
        return tuple(found)

    @property
    def _missing(self) -> tuple[MemberRow, ...]:
        """The first few members that are missing in their turns."""
        return self.status.missing[:_MOST_BUTTONS]

    @property
    def unavailable_count(self) -> int:
        """How many members do not serve, without those that are being restarted."""
        return sum(
            not (row.is_alive and row.turn_phase is EntryPhase.RESTARTING)
            for row in self.status.unavailable
        )

    @property
    def waits_for(self) -> str:
        """What the rollout waits for now."""
        if self.state is not GroupState.ROLLING:
            return ""
        return phrases.waits_for(self.status, with_steps=True)

    @property
    def pace(self) -> str:
        """How long the rollout has taken, and will take."""
        progress = self.status.progress
        return phrases.pace(progress[0], self.now) if len(progress) == 1 else ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """How far the rollout of each set of inputs is, if members have different ones."""
        progress = self.status.progress
        if len(progress) == 1:
            return ()
        # The pace changes by itself.
        return tuple(phrases.progress_line(one, self.now, with_pace=False) for one in progress)

    @property
    def limit(self) -> str:
        """The max unavailable with who set it, and why it is less for now; "" if unknown."""
        return phrases.max_unavailable(self.status)

    @property
    def max_unavailable(self) -> str:
        """How many members may be in flight; "" if it is not known."""
        agreed = self.status.record.max_unavailable
        return str(agreed.limit) if agreed is not None else ""

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations on the group that make sense now; none if that is not known."""
        is_known = not self._view.is_outdated
        return tuple(name for name in ACTIONS if is_known and self._makes_sense(name))

    @property
    def forgettable(self) -> tuple[str, ...]:
        """The members whose turns can be reclaimed."""
        return () if self._view.is_outdated else tuple(row.name for row in self._missing)

    @property
    def histories(self) -> tuple[InputHistory, ...]:
        """The histories of the inputs, the one that was written last first."""
        found = [
            InputHistory(path, tuple(reversed(entries)))
            for path, entries in self.status.writes.histories.items()
            if entries
        ]
        return tuple(sorted(found, key=lambda one: -one.entries[0].zxid)[:_MOST_HISTORIES])

    @property
    def push(self) -> InputWrite | None:
        """The newest write of an input; None if none is known."""
        return self.status.last_push

    @property
    def is_push_in_sentence(self) -> bool:
        """Whether the headline names the push, with its author and its message."""
        push = self.push
        return push is not None and bool(push.label) and push.label in self.sentence

    @property
    def version(self) -> str:
        """The digest of the wanted version; "" if there are several."""
        found = self.status.progress
        return short(found[0].digest) if len(found) == 1 else ""

    @cached_property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """What happened in the present rollout, the newest first."""
        return timeline_of(rollout_events(self.status))

    @property
    def seen(self) -> tuple[SeenChange, ...]:
        """What the server saw happen, the newest first."""
        return self._view.seen[::-1][:MOST_ROWS]

    @property
    def audit(self) -> tuple[AuditEntry, ...]:
        """What operators did, the newest first."""
        return tuple(reversed(self.status.record.audit))

    def _makes_sense(self, operation: str) -> bool:
        if self.state in (GroupState.GONE, GroupState.UNREADABLE):
            return False
        record = self.status.record
        failed = any(mark is Mark.FAILED for _, mark in self.marks)
        return {
            "pause": record.paused is None,
            "resume": record.paused is not None,
            "approve": record.hold is not None,
            "retry": failed or self.status.failure is not None,
            "restart": bool(self.marks) and self.status.failure is None,
        }.get(operation, False)

    def _by_urgency(self, found: Sequence[tuple[MemberRow, Mark]]) -> tuple[MemberView, ...]:
        ordered = sorted(found, key=lambda one: (_URGENT.index(one[1]), one[0].queue_position or 0))
        return tuple(self._member(row, mark) for row, mark in ordered)

    def _member(self, row: MemberRow, mark: Mark) -> MemberView:
        versions = self.status.versions
        wants = ""
        if row.inputs_behind:
            wants = "what it has not read yet"
        elif row.wanted != row.status.running:
            wants = versions.wanted(row) or short(row.wanted)
        runs = versions.running(row) or short(row.status.running)
        reason = phrases.member_reason(row, self.status)
        return MemberView(row=row, mark=mark, runs=runs, wants=wants, reason=reason)


def members_found(view: GroupView, text: str) -> tuple[MemberView, ...]:
    """Return the members of a group whose name, host or zone contains a text."""
    return () if view.status is None or not text else GroupPage(view, view.status).found(text)


def _notes(tone: str, texts: Sequence[str]) -> tuple[GroupNote, ...]:
    return tuple(GroupNote(tone, text) for text in texts if text)


def _searched(row: MemberRow) -> tuple[str, ...]:
    return row.name, row.znode.facts.host if row.znode.facts else "", row.zone
