"""The turn of a member of a group: its way through queue, admission, lease and release.

The rules of this file (docs/protocol.md says why):

- One request is on its way at a time.  After each event, what is known is compared with what
  is wanted, and the next request follows from the difference (`steps`); so a lost reply needs no
  path of its own: it makes something unknown, and the next request finds it out.
- What ends a turn (proof, failure, giving back) is repeated until the record says so.
- The child is stopped only within the lease: the time after a committed write in which nobody
  can have taken this member for dead.
- Losing the ensemble takes nothing away from a turn that was begun.
"""

from collections.abc import Callable, Sequence

from zkexec.core.actions import Action, Note
from zkexec.core.events import (
    Event,
    SessionClosed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
)
from zkexec.core.policy import Policy
from zkexec.core.rollout import group_events
from zkexec.core.rollout.first_start import basis_of
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ReadRecord,
    WatchQueueNode,
)
from zkexec.core.rollout.group_events import Conflict
from zkexec.core.rollout.group_requests import REFUSED_S, RETRY_S
from zkexec.core.rollout.lease import TurnOutcome, TurnResult
from zkexec.core.rollout.next_request import next_step
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.version import short
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.core.turn import MemberStatus, StartBasis

CLOSE_S = 2.0
"""How long the end of zkexec waits for its turn to be given back."""


class Participant:
    """A member of the group `--lock`, as the turn that it takes."""

    in_group = True

    def __init__(self, policy: Policy, member: str, new_token: Callable[[], str]) -> None:
        """`new_token` gives a word that nobody else is ever given."""
        self._at = Situation(policy, member, new_token)
        self._closing = self._keeps_entry = False
        self._close_by: float | None = None
        self.trouble = ""

    @property
    def granted(self) -> Snapshot | None:
        """The snapshot that may be tried now."""
        is_over = any(outcome.result is not TurnResult.FAILED for outcome in self._at.outcomes)
        return None if is_over else self._at.held

    @property
    def has_entry(self) -> bool:
        """Whether the group counts this member as being in the middle of a restart."""
        return self._at.in_flight

    @property
    def inherited(self) -> bool:
        """Whether it was an earlier run of this member that began that restart."""
        return self._at.inherited

    @property
    def known(self) -> bool:
        """Whether the record was read."""
        return self._at.record_view.known

    @property
    def deadline(self) -> float | None:
        """When something is due: an answer, an attempt, a missing member, the end."""
        at = self._at
        due = [at.requests.deadline, self._close_by, at.membership.deadline, at.admit_from]
        if due[0] is None and self._at.decides and self._at.membership.enrolled:
            due.append(self._at.record_view.reclaim_at)
        return min((at for at in due if at is not None), default=None)

    def basis(self, wanted: Snapshot, on_disk: Snapshot | None) -> StartBasis:
        """What a first start may run; an entry of an earlier incarnation counts as its loss."""
        at = self._at
        record = at.record_view.record
        if at.lease.entry_in(record) is None:
            record = record.adopt(at.member, "")
        disk = None if on_disk is None else at.target(on_disk)
        return basis_of(record, at.member, at.target(wanted), disk)

    def ask(self, wanted: Snapshot) -> None:
        """Queue for a restart to this snapshot; asked again, the newest counts.

        What has failed here is asked for in vain until it is written again.
        """
        is_news = wanted is not self._at.wanted and not self._at.has_failed(wanted)
        if not self._closing and is_news:
            self._at.wanted = wanted
            self._at.requests.hurry()

    def refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Learn what is wanted now; the same bytes as were asked for may have other versions."""
        at = self._at
        at.current, at.knowledge = wanted, known
        at.survey(now)
        if wanted is None:
            return
        if at.has_failed(wanted):
            # It may be wanted again: what was asked for since is gone with its history.
            at.wanted = None
        elif wanted == at.wanted and not at.holds_wanted:
            self.ask(wanted)

    def withdraw(self) -> None:
        """Leave the queue, or give the turn back: nothing is to be restarted any more."""
        self._at.wanted = self._at.failure = None
        if not any(outcome.result is not TurnResult.FAILED for outcome in self._at.outcomes):
            self._at.outcomes.append(TurnOutcome(TurnResult.GIVEN_BACK))

    def may_stop(self, now: float) -> bool:
        """Whether the turn was confirmed so lately that nobody else can have been given it."""
        return self._at.lease.may_stop(now, self._at.membership.session_timeout_s)

    def confirm(self) -> None:
        """Have the turn confirmed, because `may_stop` said no."""
        self._at.confirming = True

    def prove(self, snapshot: Snapshot) -> None:
        """End the turn: the child is healthy on this snapshot."""
        self._at.wanted = self._at.failure = None
        self._at.good = self._at.target(snapshot)
        self._at.outcomes = [TurnOutcome(TurnResult.KNOWN_GOOD, self._at.good)]

    def report_known_good(self, snapshot: Snapshot) -> None:
        """Count a snapshot as proven without ending any turn."""
        self._at.vouched = self._at.good = self._at.target(snapshot)

    def fail(self, snapshot: Snapshot, reason: str) -> None:
        """Keep the turn, and have the group know that this snapshot failed."""
        failed = self._at.target(snapshot)
        if self._at.wanted is not None and self._at.target(self._at.wanted) == failed:
            self._at.wanted = None
        if self._at.good is not None and self._at.good.digest == failed.digest:
            self._at.good = None
        self._at.failure = TurnOutcome(TurnResult.FAILED, failed, reason)
        self._at.outcomes = [self._at.failure]

    def stand_down(self, *, keeps_entry: bool) -> None:
        """Take no further turn: the end of zkexec has begun, its child may still run.

        The entry is kept where the member is down for it and nobody meant it to be, in this run or
        since an earlier one that was lost.
        """
        self._keeps_entry = keeps_entry
        self._at.wanted = self._at.vouched = self._at.failure = self._at.good = None
        self._at.agreed = self._at.settled = True

    def close(self, now: float) -> bool:
        """Give back what is held; tell whether nothing is left to be told, or no time or way."""
        at = self._at
        if not self._closing:
            self._closing = True
            self._close_by = now + CLOSE_S
            is_kept = self._keeps_entry or at.lease.has_failed(at.record_view.record)
            may_hold = at.in_flight or at.has_stray or at.lease.proposal is not None
            if may_hold and not at.outcomes and not is_kept:
                at.outcomes = [TurnOutcome(TurnResult.GIVEN_BACK)]
        if self._close_by is not None:
            is_told = not at.outcomes and at.lease.proposal is None
            if is_told or not at.membership.connected or now >= self._close_by:
                self._close_by = None
        return self._close_by is None

    def is_mute(self, now: float) -> bool:
        """Whether a request has gone unanswered so long that the connection is worthless."""
        return self._at.requests.is_mute(now)

    def disconnect(self) -> None:
        """Expect nothing of this connection any more."""
        self._at.membership.disconnect()
        self._at.requests.forget()
        self._at.record_view.disconnected()
        self.trouble = ""

    def show(self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None) -> None:
        """Let others see where this member stands."""
        self._at.show(status, running, wanted)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in news of the group; other events mean nothing here."""
        match event:
            case SessionConnected():
                self.disconnect()
                if self._at.membership.connect(event):
                    self._at.queue.begin_session()
                    self._at.begin_session()
                self._at.queue.reconnected()
            case SessionSuspended() | SessionLost() | SessionClosed():
                self.disconnect()
            case group_events.GroupTouched(part):
                self._at.touched(part)
            case _:
                request = self._at.requests.answered(event)
                return [] if request is None else self._take(request, event, now)
        return []

    def advance(self, now: float) -> list[Action]:
        """Ask for what is to be asked next; called after each event and each change of mind."""
        at = self._at
        if at.admit_from is not None and now >= at.admit_from:
            at.admit_from = None
        if not at.membership.connected:
            return []
        at.survey(now)
        asked: Sequence[Action] = ()
        if at.requests.is_free(now):
            # A pause is over, also where there is nothing to ask now.
            at.requests.hurry()
            asked = next_step(at, now)
        return [*asked, *at.membership.show(now, may_go_along=bool(at.outcomes))]

    # One arm for each answer.
    def _take(self, request: Action, event: Event, now: float) -> list[Action]:  # noqa: PLR0911
        at = self._at
        match event:
            case group_events.GroupRequestFailed():
                return self._on_failed(request, event, now)
            case group_events.Enrolled() if isinstance(request, Enrol):
                self._on_enrolled(request)
            case group_events.EnrolmentOccupied(holder=holder):
                at.requests.pause(now)
                return [*at.say("member-id-taken", member=at.member, holder=holder)]
            case group_events.QueueJoined(name=name):
                at.queue.joined(name)
            case group_events.QueueListed(names=names):
                return at.say_strays(at.queue.listed(names))
            case group_events.QueueNodeRead() if isinstance(request, WatchQueueNode):
                return self._on_seen(event, request.name)
            case group_events.RecordRead() if isinstance(request, ReadRecord):
                return self._on_read(event, request.watch, now)
            case group_events.RecordCommitted() if isinstance(request, CommitRecord):
                return self._on_committed(request)
            case group_events.CommitRefused(conflict=conflict) if isinstance(request, CommitRecord):
                self._on_conflict(request, conflict, now)
            case _:
                at.queue.gone()  # QueueLeft
        return []

    def _on_enrolled(self, request: Enrol) -> None:
        record_view = self._at.record_view
        self._at.membership.enrolled_with(request.status)
        if request.may_be_duplicate:
            record_view.forget()
        if record_view.version < 0:
            record_view.touched(of_record=True)

    def _on_seen(self, event: group_events.QueueNodeRead, name: str) -> list[Action]:
        at = self._at
        if event.is_left_over:
            return at.say_left_over(name, is_new=at.queue.ignore(name))
        at.queue.seen(event.member)
        if event.member is None:
            return []
        return [*at.say("turn-awaited", ahead=at.queue.ahead, behind=event.member)]

    def _on_read(self, event: group_events.RecordRead, watched: bool, now: float) -> list[Action]:
        at = self._at
        was_in_flight = at.in_flight
        was_foreign = was_in_flight and at.lease.entry_in(at.record_view.record) is None
        missing = at.record_view.read(event, watched, now)
        at.queue.explain(event.record.last_admitted)
        # The commit of an adoption whose answer was lost is found here.
        is_adoption = was_foreign and at.lease.entry_in(event.record) is not None
        actions = [*([Note("adopted")] if is_adoption else []), *at.say_width()]
        at.adopted |= is_adoption
        if at.lease.read(event.record):
            at.confirming = at.adopted = False
            actions.append(Note("turn-lost"))
        elif was_in_flight and not at.in_flight:
            at.adopted = False
            actions.append(Note("turn-released"))
        if at.decides:
            grace_s = at.policy.grace_s
            actions += [Note("member-missing", {"member": m, "grace_s": grace_s}) for m in missing]
        return actions

    def _on_committed(self, request: CommitRecord) -> list[Action]:
        at = self._at
        was_in_flight = at.in_flight
        is_adoption = was_in_flight and at.lease.entry_in(at.record_view.record) is None
        actions: list[Action] = [Note("adopted")] if is_adoption else []
        at.adopted |= is_adoption
        if at.confirming:
            at.confirming = False
            actions.append(Note("turn-confirmed"))
        proposal = at.lease.committed()
        at.record_view.committed(proposal.record)
        at.forget_said()
        self.trouble = ""
        if request.place:
            at.queue.gone()
        if proposal.target is not None:
            actions.append(Note("admitted", {"digest": short(proposal.target.digest)}))
        if was_in_flight and not at.in_flight:
            at.adopted = False
            actions.append(Note("turn-released"))
        return actions + at.say_width()

    def _on_conflict(self, request: CommitRecord, conflict: Conflict, now: float) -> None:
        at = self._at
        at.membership.not_shown(request.status)
        proposal = at.lease.refused()
        at.record_view.touched(of_record=True)
        if conflict is Conflict.PLACE:
            at.queue.lost()
        if conflict is Conflict.CONFIGURATION and proposal and proposal.admits is at.wanted:
            # A newer reading is on its way; it need not wait for the pause to be over.
            at.requests.pause(now)

    def _on_failed(
        self, request: Action, failed: group_events.GroupRequestFailed, now: float
    ) -> list[Action]:
        """Take nothing for done and nothing for not done; speak of it where it lasts."""
        at, reason = self._at, failed.reason
        repeated, self.trouble = reason == self.trouble, reason
        is_kept_out = repeated and failed.is_refused
        at.membership.is_kept_out = is_kept_out and isinstance(request, Enrol)
        leaves = at.membership.is_kept_out and at.queue.may_be_in
        is_long = is_kept_out and not leaves and isinstance(request, Enrol | JoinQueue)
        at.requests.pause(now, REFUSED_S if is_long else RETRY_S)
        at.membership.doubt()
        at.record_view.touched(of_record=True)
        is_admission = isinstance(request, CommitRecord) and request.place
        if is_admission or isinstance(request, JoinQueue | LeaveQueue):
            at.queue.lost()
        return [*at.say("group-trouble", reason=reason)] if repeated else []
