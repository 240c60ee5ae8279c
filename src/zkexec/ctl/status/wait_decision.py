"""Decide whether `wait` is finished, and with which exit status.

A missing member is waited for: a server that was down takes sessions with it, and an init system
takes its time.  After that the rollout is counted without it.  A failure, or a pause that keeps a
member from its turn, ends the wait at once.  So does a hold, as soon as all members that it allows
have succeeded: for the push that began it this is the end that it waits for.  A duplicate is never
up to date, so it ends the wait as well, but not at once.

A member that is missing in its turn may come back, and otherwise the next in the queue ends its
turn.  If all others are up to date, no member does: the wait ends, and names the command for it.
"""

from zkexec.core.phases import Phase
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.hold_phrases import approval, held_text
from zkexec.frozen import frozen

_MOST_NAMES = 3
_IN_A_CHANGE = frozenset({Phase.DRAINING.value, Phase.STOPPING.value, Phase.VERIFYING.value})

RETURN_S = 10.0
"""`wait` waits this long for a missing member to come back."""
DUPLICATE_S = 30.0
"""`wait` waits this long for a duplicate to get the ID, if all others are up to date.

What an earlier process of the ID has left behind is gone when its session has expired.
"""

LOST_TURN_S = 120.0
"""`wait` waits this long for a member that is missing in its turn, if all others are up to date.

It is twice the grace period of a member with the default times: those of others are not known.
"""


@frozen()
class WaitOutcome:
    """How the wait has ended: the exit status, and why.

    `failure` is why the rollout of the push that is waited for has failed, "" if it has not.
    """

    status: int
    text: str
    is_held: bool = False
    failure: str = ""


class WaitDecision:
    """Sees each status of a group, and decides which one ends the wait."""

    def __init__(self, at_least: int = 0, *, until_held: bool = False) -> None:
        """`at_least` is the zxid that the inputs of a member must have, 0 for any.

        If `until_held`, a hold that has been reached is what is waited for.
        """
        self._at_least = at_least
        self._until_held = until_held
        self._met: set[str] = set()
        self._away: dict[str, float] = {}
        self._is_first = True
        self._duplicates_until: float | None = None
        self._lost_until: float | None = None

    @property
    def away(self) -> tuple[str, ...]:
        """The missing members that are waited for."""
        return tuple(sorted(self._away))

    def deadline(self) -> float | None:
        """Return when the decision can change without a change of the group; monotonic seconds."""
        lasting = (self._duplicates_until, self._lost_until)
        due = [*self._away.values(), *(until for until in lasting if until is not None)]
        return min(due, default=None)

    def decide(self, group: GroupStatus, now: float, monotonic: float) -> WaitOutcome | None:
        """Return the outcome, or None if the wait goes on; `now` is in seconds of the epoch."""
        self._note_missing(group, monotonic)
        is_first, self._is_first = self._is_first, False
        if group.state in (GroupState.GONE, GroupState.UNREADABLE):
            status = CANNOT_WORK if group.state is GroupState.UNREADABLE else NO
            return WaitOutcome(status, phrases.headline(group, now))
        if is_first and self._at_least and all(p.zxid < self._at_least for p in group.progress):
            text = f"{group.name}: no living member has what was pushed as an input"
            return WaitOutcome(NO, text)
        if group.state is GroupState.HELD:
            return None if _is_finishing(group) else self._held(group)
        if group.needs_operator:
            reason = phrases.failure(group, now) or phrases.pause(group, now)
            return WaitOutcome(NO, f"{group.name}: {reason}")
        return None if self._away else self._decide_on_members(group, now, monotonic)

    def _held(self, group: GroupStatus) -> WaitOutcome:
        """Return the outcome of a hold that has been reached.

        A failed member that is tolerated counts as one that has the version, and not as a success.
        """
        hold, alive = group.record.hold, group.record.population.members
        if hold is None:
            raise ValueError(f"{group.name} is not held")
        left = [one for one in group.progress if not one.is_complete]
        has_succeeded = all(one.succeeded >= hold.after.of(alive) for one in left)
        status = DONE if self._until_held and has_succeeded else NO
        failed = "" if has_succeeded else ", but not all of these have succeeded"
        way_on = approval(group.name, group.connection_words)
        text = f"{group.name}: {held_text(hold, alive)}{failed}; {way_on}"
        return WaitOutcome(status, text, is_held=True)

    def _decide_on_members(
        self, group: GroupStatus, now: float, monotonic: float
    ) -> WaitOutcome | None:
        if group.state is GroupState.EMPTY:
            return WaitOutcome(NO, phrases.headline(group, now))
        if self._are_duplicates_here_to_stay(group, monotonic):
            text = "; ".join(phrases.duplicate_member(group, row) for row in group.duplicates)
            return WaitOutcome(NO, f"{group.name}: {text}")
        if self._are_turns_lost(group, monotonic):
            text = "; ".join(lost_turns(group))
            return WaitOutcome(NO, f"{group.name}: {text}")
        return WaitOutcome(DONE, phrases.headline(group, now)) if group.is_complete else None

    def _are_duplicates_here_to_stay(self, group: GroupStatus, monotonic: float) -> bool:
        """Return whether for `DUPLICATE_S` only duplicates have not been up to date."""
        left = [row for row in group.rows if not row.is_up_to_date]
        if not left or not all(row.duplicate_of for row in left):
            self._duplicates_until = None
            return False
        if self._duplicates_until is None:
            self._duplicates_until = monotonic + DUPLICATE_S
        return monotonic >= self._duplicates_until

    def _are_turns_lost(self, group: GroupStatus, monotonic: float) -> bool:
        """Return whether for `LOST_TURN_S` only members have been left that are missing."""
        left = [row for row in group.rows if not row.is_up_to_date]
        if not left or any(row.is_alive for row in left):
            self._lost_until = None
            return False
        if self._lost_until is None:
            self._lost_until = monotonic + LOST_TURN_S
        return monotonic >= self._lost_until

    def _note_missing(self, group: GroupStatus, monotonic: float) -> None:
        # A duplicate comes back under another name, or not at all.
        names = {row.name for row in group.rows if not row.duplicate_of}
        for name in self._met - names:
            self._away.setdefault(name, monotonic + RETURN_S)
        for name in names:
            self._away.pop(name, None)
        gone = {name for name, until in self._away.items() if until <= monotonic}
        self._away = {name: until for name, until in self._away.items() if name not in gone}
        self._met = (self._met | names) - gone


def _is_finishing(group: GroupStatus) -> bool:
    """Return whether a member without a turn is not done: its status comes after its release."""
    return any(row.phase in _IN_A_CHANGE and not row.is_in_flight for row in group.rows)


def lost_turns(group: GroupStatus) -> list[str]:
    """Write which turns are lost, each with the command that ends it; the first few."""
    missing = group.missing
    lines = [
        f"the turn of {row.name} is lost; to end it: "
        f"{printed_command(group.connection_words, 'forget', group.name, row.name)}"
        for row in missing[:_MOST_NAMES]
    ]
    more = len(missing) - len(lines)
    return [*lines, f"{more} more turns are lost"] if more else lines
