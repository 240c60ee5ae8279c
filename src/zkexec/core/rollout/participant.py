"""The turn of a member of a group: its way through queue, admission, lease and release.

The rules of this file (docs/protocol.md gives the reasons):

- One request is on its way at a time.  After each event, what is known is compared with what is
  wanted, and the next request follows from the difference (`next_request`).  So a lost reply needs
  no code of its own: it makes something unknown, and the next request finds it out.
- What ends a turn (known good, failed or released) is repeated until the record contains it.
- The command is stopped only within the lease: the time after a committed write in which no other
  member can have reclaimed the turn.
- If the ensemble is lost, a turn that was begun continues.
"""

from __future__ import annotations

from zkexec.core.actions import Action, Note
from zkexec.core.attempt import LocalFailure
from zkexec.core.events import (
    Event,
    SessionConnected,
    SessionLost,
    SessionSuspended,
)
from zkexec.core.policy import Policy
from zkexec.core.rollout import group_events
from zkexec.core.rollout.first_start import basis_of, may_rely_on
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ReadRecord,
    RenewQueueNode,
)
from zkexec.core.rollout.group_events import Conflict
from zkexec.core.rollout.group_requests import REFUSED_S, RETRY_S
from zkexec.core.rollout.lease import TurnOutcome, TurnResult
from zkexec.core.rollout.next_request import next_request
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.version import short
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.core.turn import Intent, Keeping, StartBasis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


CLOSE_S = 2.0
"""At its end zkexec waits at most this long for the release of its turn."""

_MAY_MOVE = (JoinQueue, FindQueueNode, LeaveQueue)
"""After one of these has failed, the own queue node may exist or not."""

_RELEASING = (Keeping.NOTHING, Keeping.PLACE)
_LEAVING = (Keeping.LEAVING, Keeping.ENTRY)


class Participant:
    """The turn of a member of the group `--lock`."""

    def __init__(self, policy: Policy, member: str, new_token: Callable[[], str]) -> None:
        """`new_token` returns a word that it never returns again, to this or another member."""
        self._at = Situation(policy, member, new_token)
        self._closing = False
        self._intent = Intent()
        self._close_by: float | None = None
        self.error = ""
        self.unreadable = ""

    @property
    def granted(self) -> Snapshot | None:
        """The snapshot that may be tried now."""
        is_over = any(outcome.result is not TurnResult.FAILED for outcome in self._at.outcomes)
        return None if is_over else self._at.admitted

    @property
    def in_flight(self) -> bool:
        """Whether the record counts this member as in flight."""
        return self._at.in_flight

    @property
    def log_fields(self) -> Mapping[str, str]:
        """What each line of the log names in a turn: the version, and the step if there is one."""
        entry = self._at.lease.entry_in(self._at.record_view.record)
        if entry is None:
            return {}
        step = self._at.membership.status.step
        return {"digest": short(entry.digest), **({"step": step} if step else {})}

    @property
    def inherited(self) -> bool:
        """Whether the turn of this member was begun by an earlier run."""
        return self._at.inherited

    @property
    def is_ready(self) -> bool:
        """Whether the record was read, so that `basis` can answer."""
        return self._at.record_view.known

    @property
    def awaited(self) -> Note | None:
        """Why this member has no turn yet, as it was logged; None if it waits for none."""
        is_waiting = self._at.wanted is not None and not self._at.in_flight
        return self._at.reason_to_wait if is_waiting else None

    @property
    def deadline(self) -> float | None:
        """When an attempt, a reclaim, or the end is due."""
        at = self._at
        due = [at.requests.deadline, self._close_by, at.membership.deadline, at.admit_from]
        if at.requests.is_idle and at.membership.enrolled:
            due += [at.times.join_from, at.takeover_at]
            if at.decides:
                due.append(at.admissions.next_at or at.survey_at)
        return min((at for at in due if at is not None), default=None)

    def basis(
        self, wanted: Snapshot, on_disk: Snapshot | None, *, was_healthy: bool = False
    ) -> StartBasis:
        """Return what a first start may run; an entry of an earlier run counts as lost."""
        at = self._at
        record = at.record_view.record
        if at.lease.entry_in(record) is None:
            record = record.adopt(at.member, "")
        disk = None if on_disk is None else at.version_of(on_disk)
        return basis_of(record, at.member, at.version_of(wanted), disk, was_healthy=was_healthy)

    def is_known_good(self, on_disk: Snapshot, *, was_healthy: bool = False) -> bool:
        """Whether the record or this host knows it as good, and this member did not fail on it."""
        at = self._at
        record, version = at.record_view.record, at.version_of(on_disk)
        return may_rely_on(record, at.member, version, was_healthy=was_healthy)

    def reconcile(self, intent: Intent, now: float) -> None:
        """Take in what the member wants now, and note what has changed since the last time."""
        at, was, self._intent = self._at, self._intent, intent
        at.membership.passed(now)
        self._refresh(intent.current, intent.known, now)
        if intent.keeping not in _LEAVING:
            self._keep(intent, was, now)
        elif was.keeping not in _LEAVING:
            self._leave()
        if intent.keeping is Keeping.STOP and not self.may_stop(now):
            at.confirming = True
        if intent.status is not None:
            at.publish(intent.status, intent.running, intent.current)

    def _keep(self, intent: Intent, was: Intent, now: float) -> None:
        """Go on with the turn, or end it, and request what is wanted now."""
        failure, succeeded, known_good = intent.failure, intent.succeeded, intent.known_good
        if failure is not None and failure != was.failure:
            self._fail(failure)
        is_released = intent.keeping in _RELEASING and was.keeping not in _RELEASING
        is_over = is_released or (intent.wanted is None and was.wanted is not None)
        if succeeded is not None and (succeeded is not was.succeeded or self._at.in_flight):
            self._succeed(succeeded)
        elif is_over:
            self._withdraw()
        is_new = known_good is not was.known_good and known_good is not succeeded
        if known_good is not None and is_new:
            self._report_known_good(known_good)
        if intent.wanted is not None and (is_over or intent.wanted is not was.wanted):
            self._request(intent.wanted, now)

    def _request(self, wanted: Snapshot, now: float) -> None:
        """Queue for a turn for this snapshot; if requested again, the newest counts.

        A version that failed here is not requested until it is written again.
        """
        is_new = wanted is not self._at.wanted and not self._at.has_failed(wanted)
        if not self._closing and is_new:
            if self._at.wanted is None:
                self._at.times.spread_join(now)
            self._at.wanted = wanted
            self._at.requests.end_pause()

    def _refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Take in the wanted snapshot; znode versions may differ for the same bytes."""
        at = self._at
        at.current, at.input_state = wanted, known
        at.check_history(now)
        if wanted is None:
            return
        if at.has_failed(wanted):
            # What was requested since is gone with its history, so the failed one is wanted again.
            at.wanted = None
        elif wanted == at.wanted and not at.is_admitted_to_wanted:
            self._request(wanted, now)

    def _withdraw(self) -> None:
        """Leave the queue, or release the turn: nothing is to be restarted any more."""
        self._at.wanted = self._at.failure = None
        if not any(outcome.result is not TurnResult.FAILED for outcome in self._at.outcomes):
            self._at.outcomes.append(TurnOutcome(TurnResult.RELEASED))

    def may_stop(self, now: float) -> bool:
        """Whether the turn was confirmed so recently that no member can have reclaimed it."""
        return self._at.lease.may_stop(now, self._at.membership.session_timeout_s)

    def _succeed(self, snapshot: Snapshot) -> None:
        """End the turn: the command is healthy on this snapshot."""
        self._at.wanted = self._at.failure = None
        version = self._at.version_of(snapshot)
        if snapshot.proves_nothing and not self.is_known_good(snapshot):
            # Another restart of what was not tried here, perhaps of what is untried elsewhere.
            self._at.outcomes = [TurnOutcome(TurnResult.RELEASED)]
            return
        self._at.last_good = version
        self._at.outcomes = [TurnOutcome(TurnResult.KNOWN_GOOD, self._at.last_good)]

    def _report_known_good(self, snapshot: Snapshot) -> None:
        """Report a snapshot as known good without ending any turn."""
        if snapshot.proves_nothing:
            return
        self._at.unrecorded_good = self._at.last_good = self._at.version_of(snapshot)

    def _fail(self, failure: LocalFailure) -> None:
        """Keep the turn, and record which snapshot failed, why, and in which step."""
        failed = self._at.version_of(failure.version)
        if self._at.wanted is not None and self._at.version_of(self._at.wanted) == failed:
            self._at.wanted = None
        if self._at.last_good is not None and self._at.last_good.digest == failed.digest:
            self._at.last_good = None
        step = "" if failure.step is None else failure.step.value
        self._at.failure = TurnOutcome(TurnResult.FAILED, failed, failure.reason, step)
        self._at.outcomes = [self._at.failure]

    def _leave(self) -> None:
        """Take no further turn: the end of zkexec has begun, its command may still run."""
        self._at.wanted = self._at.failure = None
        self._at.unrecorded_good = self._at.last_good = None
        self._at.has_requested_limits = self._at.is_recorded = True

    def close(self, now: float) -> bool:
        """Release the turn; return whether nothing is left to record, or there is no time or way.

        Call it again until it returns true.
        """
        at = self._at
        if not self._closing:
            self._closing = True
            self._close_by = now + CLOSE_S
            is_kept = self._intent.keeping is Keeping.ENTRY or at.lease.has_failed(
                at.record_view.record
            )
            has_proposal = at.lease.proposal is not None
            may_have_entry = at.in_flight or at.has_restored_entry or has_proposal
            if may_have_entry and not at.outcomes and not is_kept:
                at.outcomes = [TurnOutcome(TurnResult.RELEASED)]
        if self._close_by is not None:
            is_recorded = not at.outcomes and at.lease.proposal is None
            if is_recorded or not at.membership.connected or now >= self._close_by:
                self._close_by = None
        return self._close_by is None

    def _disconnect(self) -> None:
        """Expect nothing of this connection any more."""
        self._at.membership.disconnect()
        self._at.requests.forget()
        self._at.record_view.disconnected()
        self.error = self.unreadable = ""

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in an event of the group; other events have no effect."""
        match event:
            case SessionConnected():
                self._disconnect()
                if self._at.membership.connect(event):
                    self._at.queue.begin_session()
                    self._at.begin_session()
                self._at.queue.reconnected()
            case SessionSuspended() | SessionLost():
                self._disconnect()
            case group_events.GroupTouched(part):
                self._at.touched(part, now)
            case _:
                request = self._at.requests.answered(event)
                return [] if request is None else self._take(request, event, now)
        return []

    def advance(self, now: float) -> list[Action]:
        """Send the next request; called after each event and each change of what is wanted."""
        at = self._at
        if at.admit_from is not None and now >= at.admit_from:
            at.admit_from = None
        at.times.go_on(now)
        at.admissions.go_on(now)
        if not at.membership.connected:
            return []
        at.check_history(now)
        requests: Sequence[Action] = ()
        if at.requests.is_free(now):
            # The pause is over, even if there is nothing to request now.
            at.requests.end_pause()
            requests = next_request(at, now)
        joins = at.times.join_from is not None and at.wanted is not None
        published = at.membership.publish(now, may_go_along=bool(at.outcomes), joins=joins)
        return [*requests, *published]

    # One arm for each answer.
    def _take(self, request: Action, event: Event, now: float) -> list[Action]:
        at = self._at
        match event:
            case group_events.GroupRequestFailed() | group_events.GroupRequestForbidden():
                return self._on_failed(request, event, now)
            case group_events.Enrolled() if isinstance(request, Enrol):
                self._on_enrolled(request, event, now)
            case group_events.EnrolmentOccupied(holder=holder):
                at.requests.pause(now)
                return [*at.note_once("member-id-taken", member=at.member, holder=holder)]
            case group_events.RecordRead() if isinstance(request, ReadRecord):
                return self._on_read(event, request, now)
            case group_events.RecordCommitted() if isinstance(request, CommitRecord):
                return self._on_committed(request, event, now)
            case group_events.CommitRefused() if isinstance(request, CommitRecord):
                self._on_conflict(request, event, now)
            case _:
                return self._on_queue(event, now)
        return []

    def _on_queue(self, event: Event, now: float) -> list[Action]:
        """Take in an answer about the queue."""
        at = self._at
        at.times.moved(now)
        match event:
            case group_events.QueueJoined(queue_number=number):
                at.queue.joined(number)
                # The first of all queue nodes is the head at once, with what it read long ago.
                at.record_view.doubt()
            case group_events.QueueNodeFound(queue_number=number):
                at.queue.found(number)
                at.doubts_turn |= number is None
            case group_events.QueueListed(numbers=numbers, unknown=unknown):
                return at.note_unknown_nodes(at.queue.listed(numbers, unknown))
            case group_events.QueueRead():
                at.admissions.read(event)
            case group_events.QueueNodesRead():
                return self._on_nodes_read(event)
            case group_events.QueueLeft(was_there=was_there):
                at.queue.left()
                at.doubts_turn |= not was_there
        return []

    def _on_nodes_read(self, event: group_events.QueueNodesRead) -> list[Action]:
        at = self._at
        left_over = at.queue.nodes_read(
            is_own_there=event.is_own_there,
            is_before_there=event.is_before_there,
            is_left_over=event.is_left_over,
        )
        if not at.queue.is_waiting:
            return at.note_left_over(left_over)
        return [*at.note_left_over(left_over), *at.note_once("turn-awaited")]

    def _on_enrolled(self, request: Enrol, event: group_events.Enrolled, now: float) -> None:
        at = self._at
        at.membership.enrolled_with(request.status)
        at.times.population = event.population
        if at.wanted is not None and not at.queue.may_be_queued:
            at.times.spread_join(now)
        if request.may_be_duplicate or event.has_replaced:
            at.record_view.forget()
        if not at.record_view.basis.exists:
            at.record_view.doubt()

    def _on_read(
        self, event: group_events.RecordRead, request: ReadRecord, now: float
    ) -> list[Action]:
        at = self._at
        was_in_flight = at.in_flight
        was_foreign = was_in_flight and at.lease.entry_in(at.record_view.record) is None
        missing = at.record_view.read(event, request, now)
        at.doubts_turn = False
        at.queue.explain(event.record)
        at.look_for_hung_head(now)
        # If the answer to the commit of an adoption was lost, the adoption is found here.
        is_adoption = was_foreign and at.lease.entry_in(event.record) is not None
        actions = [*([Note("adopted")] if is_adoption else []), *at.note_max_unavailable()]
        at.adopted |= is_adoption
        if at.lease.read(event.record):
            at.confirming = at.adopted = False
            actions.append(Note("turn-lost"))
        elif was_in_flight and not at.in_flight:
            at.adopted = False
            actions.append(Note("turn-released"))
        actions += at.take_admission()
        if at.decides:
            grace_s = at.policy.grace_s
            actions += [Note("member-missing", {"member": m, "grace_s": grace_s}) for m in missing]
        return actions

    def _on_committed(
        self, request: CommitRecord, event: group_events.RecordCommitted, now: float
    ) -> list[Action]:
        at = self._at
        was_in_flight = at.in_flight
        is_adoption = was_in_flight and at.lease.entry_in(at.record_view.record) is None
        actions: list[Action] = [Note("adopted")] if is_adoption else []
        at.adopted |= is_adoption
        if at.confirming:
            at.confirming = False
            actions.append(Note("turn-confirmed"))
        proposal = at.lease.committed()
        at.record_view.committed(proposal.after, event.basis)
        at.forget_note()
        self.error = ""
        actions += self._on_admitted(request, now)
        at.times.room_since = now if at.is_head else None
        if proposal.version is not None:
            actions.append(Note("admitted", {"digest": short(proposal.version.digest)}))
        if was_in_flight and not at.in_flight:
            at.adopted = False
            actions.append(Note("turn-released"))
        return actions + at.note_max_unavailable()

    def _on_admitted(self, request: CommitRecord, now: float) -> list[Action]:
        """Take in that queue nodes were deleted: the own one, or those of others."""
        at = self._at
        numbers = [node.number for node in request.admitted]
        is_own = at.queue.number in numbers
        if is_own:
            at.queue.left()
            at.admissions.forget()
            at.times.takeover.forget()
        others = len(numbers) - is_own
        if not others:
            return []
        at.admissions.drop(numbers)
        if not is_own:
            at.admissions.admitted(others, request.after.max_in_flight(request.after.zone), now)
            at.record_view.doubt()
        return [Note("members-admitted", {"members": others})]

    def _on_conflict(
        self, request: CommitRecord, event: group_events.CommitRefused, now: float
    ) -> None:
        at = self._at
        at.membership.not_published(request.status)
        at.lease.refused()
        number, wanted = event.queue_number, at.wanted
        is_of_other = number is not None and number != at.queue.number
        if event.conflict is Conflict.QUEUE_NODE and is_of_other:
            at.admissions.drop({number})
            at.admissions.is_read = False
            return
        at.record_view.doubt()
        if event.conflict is Conflict.QUEUE_NODE:
            at.queue.doubt()
        is_of_inputs = event.conflict is Conflict.CONFIGURATION
        if is_of_inputs and wanted is not None and request.checks == wanted.znode_versions:
            # A newer read is on its way, and will end this pause.
            at.requests.pause(now)
        elif event.conflict is Conflict.RECORD:
            at.pause_after_conflict(now)

    def _on_failed(
        self,
        request: Action,
        failed: group_events.GroupRequestFailed | group_events.GroupRequestForbidden,
        now: float,
    ) -> list[Action]:
        """Assume neither that it was carried out nor that it was not; log a lasting failure."""
        at, reason = self._at, failed.reason
        repeated, self.error = reason == self.error, reason
        is_forbidden = isinstance(failed, group_events.GroupRequestForbidden)
        self.unreadable = reason if is_forbidden and isinstance(request, ReadRecord) else ""
        is_kept_out = repeated and failed.is_refused
        at.membership.is_kept_out = is_kept_out and isinstance(request, Enrol)
        leaves = at.membership.is_kept_out and at.queue.may_be_queued
        is_long = is_kept_out and not leaves and isinstance(request, Enrol | JoinQueue)
        at.requests.pause(now, REFUSED_S if is_long else RETRY_S)
        at.membership.doubt()
        at.record_view.doubt()
        is_admission = isinstance(request, CommitRecord) and bool(request.admitted)
        if is_admission:
            at.admissions.forget()
        if isinstance(request, RenewQueueNode):
            at.queue.doubt_content()
        elif is_admission or isinstance(request, _MAY_MOVE):
            at.queue.doubt()
        return [*at.note_once("group-trouble", reason=reason)] if repeated else []
