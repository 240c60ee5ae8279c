"""All that a member of a group knows and wants, in one place.

`LockedTurn` takes in what its member wants and what the group answers; `steps` reads what follows
from it.  Neither holds anything of its own.
"""

from collections.abc import Callable, Sequence

from zkexec.core.actions import Action, Card, Note
from zkexec.core.group_events import GroupPart
from zkexec.core.ledger import Ledger
from zkexec.core.line import Line
from zkexec.core.membership import Membership
from zkexec.core.outcome import Outcome
from zkexec.core.requests import Requests
from zkexec.core.snapshot import Snapshot
from zkexec.core.target import Target, target_of
from zkexec.core.tenure import Tenure
from zkexec.core.terms import Terms
from zkexec.core.transitions import Phase
from zkexec.core.value import replace
from zkexec.core.width import Width

MOST_NAMED = 3
"""So many paths are named in one line of the log."""


class Standing:
    """Where a member stands in its group."""

    def __init__(self, terms: Terms, member: str, new_token: Callable[[], str]) -> None:
        self.terms = terms
        self.member = member
        self.membership = Membership(terms.session_timeout_s)
        self.requests = Requests(terms.session_timeout_s)
        self.line = Line(new_token)
        self.ledger = Ledger(member, terms.grace_s)
        self.tenure = Tenure(member, new_token)
        self.wanted: Snapshot | None = None
        self.current: Snapshot | None = None
        self.outcomes: list[Outcome] = []
        self.vouched: Target | None = None
        self.agreed = False
        self.confirming = False
        self.adopted = False
        self._said: Note | None = None
        self._width_said: Width | None = None
        self._named: list[tuple[Snapshot, Target]] = []

    @property
    def in_flight(self) -> bool:
        """Whether the record, as far as it is known, counts this member as restarting."""
        return self.member in self.ledger.record.inflight

    @property
    def inherited(self) -> bool:
        """Whether it was an earlier run of this member that was counted as restarting."""
        return self.in_flight and (self.adopted or self.tenure.entry_in(self.ledger.record) is None)

    @property
    def decides(self) -> bool:
        """Whether this member is the next to go on, and so has to see who is missing."""
        if self.wanted is None or self.is_settling:
            return False
        return not self.holds_wanted if self.in_flight else self.line.is_head

    @property
    def is_settling(self) -> bool:
        """Whether something else is wanted by now than what the turn was asked for."""
        return self.current is not None and self.current != self.wanted

    @property
    def holds_wanted(self) -> bool:
        """Whether the turn is held for what is wanted."""
        held, wanted = self.tenure.held, self.wanted
        if held is None or wanted is None:
            return False
        if held is wanted:
            return True
        mine, theirs = self.target(held), self.target(wanted)
        # A znode that was emptied takes its revision away, and what failed then is not tried now.
        return mine.digest == theirs.digest and mine.revision >= theirs.revision

    def is_outdated(self, wanted: Snapshot) -> bool:
        """Whether the group has gone on from this, although no check of versions may show it.

        A znode that is not there cannot be checked, and one that was made again begins to count
        its versions anew.  The revision of all znodes together never becomes less.
        """
        return self.ledger.record.knows_newer(self.target(wanted))

    def target(self, snapshot: Snapshot) -> Target:
        """The snapshot as the group knows it; the last few are remembered, they may be large."""
        for named, target in self._named:
            if named is snapshot:
                return target
        target = target_of(snapshot, self.terms.mirrors)
        self._named = [(snapshot, target), *self._named[:2]]
        return target

    def touched(self, part: GroupPart) -> None:
        """A watch fired: what it was set on has to be looked at again."""
        if part is GroupPart.PREDECESSOR:
            self.line.touched()
        elif part is GroupPart.OWN_NODE:
            self.membership.doubt()
        else:
            self.ledger.touched(of_record=part is GroupPart.RECORD)

    def show(self, card: Card, running: Snapshot | None, wanted: Snapshot | None) -> None:
        """Fill in the card anew where the phase, the health, or what is wanted is another."""
        revision, shown = 0 if wanted is None else wanted.revision, self.membership.card
        if _news_in(card, revision) == _news_in(shown, shown.revision):
            return
        if running is not None:
            digest = self.target(running).digest
            card = replace(card, running=digest, running_at=running.changed_at)
        if wanted is not None:
            target = self.target(wanted)
            card = replace(
                card, wanted=target.digest, revision=target.revision, wanted_at=wanted.changed_at
            )
        self.membership.card = card

    def say(self, topic: str, **fields: object) -> list[Note]:
        """Tell the operator what is being waited for, once and not at each look."""
        note = Note(topic, fields)
        if note == self._said:
            return []
        self._said = note
        return [note]

    def say_width(self) -> list[Action]:
        """Tell which width counts, where it is not the one that this member asks for."""
        agreed, own = self.ledger.record.width, self.terms.max_unavailable
        if not self.agreed or agreed is None or agreed.width == self._width_said:
            return []
        self._width_said = agreed.width
        if agreed.width == own:
            return []
        return [Note("group-width", {"width": agreed.width, "by": agreed.by, "own": own})]

    def say_strays(self, names: Sequence[str]) -> list[Action]:
        """Tell what is in the queue that no member has put there, the first few by their paths."""
        if not names:
            return []
        more = len(names) - MOST_NAMED
        paths = ", ".join(map(self._queue_path, names[:MOST_NAMED]))
        return [Note("queue-strays", {"paths": f"{paths} and {more} more" if more > 0 else paths})]

    def say_left_over(self, name: str, *, is_new: bool) -> list[Action]:
        """Tell of a queue node that lasts, once."""
        return [Note("queue-left-over", {"path": self._queue_path(name)})] if is_new else []

    def _queue_path(self, name: str) -> str:
        # It lies beside the znode of restarts.
        return f"{self.terms.restart_path.rpartition('/')[0]}/queue/{name}"

    def forget_said(self) -> None:
        """Something has happened since: the same words would be news."""
        self._said = None


def _news_in(card: Card, revision: int) -> tuple[str, str, int]:
    """What makes a card worth a write; what runs changes with the phase, and loading is short."""
    return card.phase, card.health, 0 if card.phase == Phase.LOADING.value else revision
