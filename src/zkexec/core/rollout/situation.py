"""All that a member of a group knows and wants, in one place.

`Participant` takes in what its member wants and what the group answers; `steps` reads what follows
from it.  Neither holds anything of its own.
"""

from collections.abc import Callable, Sequence

from zkexec.core.actions import Action, Note
from zkexec.core.phases import Phase
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.core.rollout.group_events import GroupPart
from zkexec.core.rollout.group_requests import GroupRequests
from zkexec.core.rollout.lease import Lease, TurnOutcome
from zkexec.core.rollout.membership import Membership
from zkexec.core.rollout.queue_position import QueuePosition
from zkexec.core.rollout.record_view import RecordView
from zkexec.core.rollout.version import ConfigVersion, dated, version_of
from zkexec.core.snapshot import UNLIMITED, InputState, Snapshot
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

MOST_NAMED = 3
"""So many paths are named in one line of the log."""


class Situation:
    """Where a member stands in its group."""

    def __init__(self, policy: Policy, member: str, new_token: Callable[[], str]) -> None:
        self.policy = policy
        self.member = member
        self.membership = Membership(policy.session_timeout_s)
        self.requests = GroupRequests(policy.session_timeout_s)
        self.queue = QueuePosition(new_token)
        self.record_view = RecordView(member, policy.grace_s)
        self.lease = Lease(member, new_token)
        self.wanted: Snapshot | None = None
        self.current: Snapshot | None = None
        self.knowledge = InputState()
        self.outcomes: list[TurnOutcome] = []
        self.failure: TurnOutcome | None = None
        """What has failed here, as long as nothing else was tried since."""
        self.rejoins = False
        """Whether the turn in which that failed is still to be told to a new record."""
        self.vouched: ConfigVersion | None = None
        self.good: ConfigVersion | None = None
        """What the command of this run was healthy on last."""
        self.scope = ""
        """The set of znodes that is mirrored here, once anything was named."""
        self.agreed = False
        self.surveyed = self.settled = False
        """Whether, in this session, the mirrored znodes were read, and the record has its due."""
        self._has_settled = False
        self.admit_from: float | None = None
        """Before that nothing is admitted."""
        self._history = 0
        self.confirming = False
        self.adopted = False
        self._said: Note | None = None
        self._width_said: MaxUnavailable | None = None
        self._named: list[tuple[Snapshot, ConfigVersion]] = []

    @property
    def in_flight(self) -> bool:
        """Whether the record, as far as it is known, counts this member as restarting."""
        return self.member in self.record_view.record.in_flight and not self.has_stray

    @property
    def has_stray(self) -> bool:
        """Whether the record has an entry of this member that is none of its turns.

        What an earlier run has left behind was seen at the start.  What comes later comes from a
        record that was restored from a dump.
        """
        is_own = self.lease.entry_in(self.record_view.record) is not None
        is_there = self.member in self.record_view.record.in_flight
        return self._has_settled and is_there and not is_own

    @property
    def held(self) -> Snapshot | None:
        """What the turn is held for, if that is a turn of the present history."""
        held = self.lease.held
        return None if held is None or held.zxid > self.knowledge.newest else held

    @property
    def inherited(self) -> bool:
        """Whether it was an earlier run of this member that was counted as restarting."""
        return self.in_flight and (
            self.adopted or self.lease.entry_in(self.record_view.record) is None
        )

    @property
    def decides(self) -> bool:
        """Whether this member is the next to go on, and so has to see who is missing."""
        if self.wanted is None or self.is_settling or not self.may_go_in:
            return False
        return not self.holds_wanted if self.in_flight else self.queue.is_head

    @property
    def is_settling(self) -> bool:
        """Whether something else is wanted by now than what the turn was asked for."""
        return self.current is not None and self.current != self.wanted

    @property
    def may_go_in(self) -> bool:
        """Whether what is wanted is what the znodes hold, as they were read on this connection."""
        if self.admit_from is not None:
            return False
        return self.knowledge.is_current and not self.knowledge.is_lost

    @property
    def is_unread(self) -> bool:
        """Whether what is known is from before this connection, and a read is on its way."""
        return self.current is not None and not self.knowledge.is_answered

    @property
    def is_unsurveyed(self) -> bool:
        """Whether what is known is from before this session, so perhaps of another history."""
        return self.current is not None and not self.surveyed

    def has_failed(self, wanted: Snapshot) -> bool:
        """Whether this has failed here, and was not written since."""
        if self.failure is None or self.failure.target is None:
            return False
        failed, target = self.failure.target, self.target(wanted)
        return failed.digest == target.digest and target.zxid <= failed.zxid

    def begin_session(self) -> None:
        """Begin where everything may be another: the ensemble may have been wiped or restored."""
        self.surveyed = self.settled = False

    def survey(self, now: float) -> None:
        """Hold on to nothing that is newer than all that there is: it is of another history.

        What has failed here is told anew in each session, and in another history once it is known
        what all znodes hold in it: until that is written again, it counts as failed.  In another
        history all have a session timeout to tell this before anybody is admitted.
        """
        if not self.knowledge.is_current:
            return
        if self.knowledge.history != self._history:
            self._history = self.knowledge.history
            self.admit_from = now + self.membership.session_timeout_s
            self._disown()
        newest = self.knowledge.newest
        zxid = 0 if self.current is None else min(self.current.zxid, newest)
        if self.failure is not None:
            self._survey_failure(self.failure, self.failure.dated(newest, zxid))
        self.outcomes = [outcome.dated(newest, zxid) for outcome in self.outcomes]
        if self.vouched is not None:
            self.vouched = dated(self.vouched, newest, zxid)
        if self.good is not None:
            self.good = dated(self.good, newest, zxid)
        self.surveyed = True

    def _disown(self) -> None:
        """Compare nothing that is remembered with what is read now, whatever its revision."""
        self.lease.disown()
        self.outcomes = [outcome.disowned() for outcome in self.outcomes]
        if self.failure is not None:
            self.failure = self.failure.disowned()
        if self.vouched is not None:
            self.vouched = replace(self.vouched, zxid=UNLIMITED)
        if self.good is not None:
            self.good = replace(self.good, zxid=UNLIMITED)

    def _survey_failure(self, failure: TurnOutcome, as_of_now: TurnOutcome) -> None:
        is_of_this_history = failure == as_of_now
        if not is_of_this_history:
            self.outcomes = [outcome for outcome in self.outcomes if outcome != failure]
            if not self.knowledge.is_whole:
                return
            self.failure, self.rejoins = as_of_now, True
        if as_of_now not in self.outcomes and not (self.surveyed and is_of_this_history):
            self.outcomes.append(as_of_now)

    def end_settling(self) -> None:
        """Take note that the record has all that is owed to it."""
        self.outcomes.clear()
        self.vouched = None
        self.rejoins = False
        self.agreed = self.settled = self._has_settled = True

    @property
    def holds_wanted(self) -> bool:
        """Whether the turn is held for what is wanted."""
        held, wanted = self.held, self.wanted
        if held is None or wanted is None:
            return False
        if held is wanted:
            return True
        mine, theirs = self.target(held), self.target(wanted)
        # A znode that was emptied takes its revision away, and what failed then is not tried now.
        return mine.digest == theirs.digest and mine.zxid >= theirs.zxid

    def is_outdated(self, wanted: Snapshot) -> bool:
        """Whether the group has gone on from this, although no check of versions may show it.

        A znode that is not there cannot be checked, and one that was made again begins to count
        its versions anew.  The revision of all znodes together never becomes less.
        """
        return self.record_view.record.knows_newer(self.target(wanted))

    def target(self, snapshot: Snapshot) -> ConfigVersion:
        """The snapshot as the group knows it; the last few are remembered, they may be large."""
        for named, target in self._named:
            if named is snapshot:
                return target
        target = version_of(snapshot, self.policy.mirrors)
        self.scope = target.scope
        self._named = [(snapshot, target), *self._named[:2]]
        return target

    def touched(self, part: GroupPart) -> None:
        """A watch fired: what it was set on has to be looked at again."""
        if part is GroupPart.PREDECESSOR:
            self.queue.touched()
        elif part is GroupPart.OWN_NODE:
            self.membership.doubt()
        else:
            self.record_view.touched(of_record=part is GroupPart.RECORD)

    def show(self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None) -> None:
        """Fill in the card anew where the phase, the health, or what is wanted is another."""
        zxid, shown = 0 if wanted is None else wanted.zxid, self.membership.status
        if _news_in(status, zxid) == _news_in(shown, shown.zxid):
            return
        if running is not None:
            digest = self.target(running).digest
            status = replace(status, running=digest, running_at=running.changed_at)
        if wanted is not None:
            target = self.target(wanted)
            status = replace(
                status, wanted=target.digest, zxid=target.zxid, wanted_at=wanted.changed_at
            )
        self.membership.status = status

    def say(self, topic: str, **fields: object) -> list[Note]:
        """Tell the operator what is being waited for, once and not at each look."""
        note = Note(topic, fields)
        if note == self._said:
            return []
        self._said = note
        return [note]

    def say_width(self) -> list[Action]:
        """Tell which width counts, where it is not the one that this member asks for."""
        agreed, own = self.record_view.record.max_unavailable, self.policy.max_unavailable
        if not self.agreed or agreed is None or agreed.limit == self._width_said:
            return []
        self._width_said = agreed.limit
        if agreed.limit == own:
            return []
        return [
            Note(
                "max-unavailable-differs",
                {"max_unavailable": agreed.limit, "by": agreed.by, "own": own},
            )
        ]

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
        return f"{self.policy.restart_path.rpartition('/')[0]}/queue/{name}"

    def forget_said(self) -> None:
        """Something has happened since: the same words would be news."""
        self._said = None


def _news_in(status: MemberStatus, zxid: int) -> tuple[str, str, int]:
    """What makes a card worth a write; what runs changes with the phase, and loading is short."""
    return status.phase, status.health, 0 if status.phase == Phase.LOADING.value else zxid
