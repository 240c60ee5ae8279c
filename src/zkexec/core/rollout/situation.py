"""Everything that a member of a group knows of it and wants from it, in one place.

`Participant` takes in what its member wants and what the group answers.  `next_request` reads
what follows from it.  Neither has any state of its own.
"""

from __future__ import annotations

from zkexec.core.actions import Action, Note
from zkexec.core.phases import Phase
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.core.rollout.admissions import Admissions
from zkexec.core.rollout.group_events import GroupPart
from zkexec.core.rollout.group_requests import GroupRequests
from zkexec.core.rollout.lease import Lease, TurnOutcome
from zkexec.core.rollout.membership import Membership, cause_of
from zkexec.core.rollout.queue_position import QueuePosition
from zkexec.core.rollout.queue_times import QueueTimes
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode, queue_name
from zkexec.core.rollout.record import EntryPhase, Refusal
from zkexec.core.rollout.record_view import RecordView
from zkexec.core.rollout.version import ConfigVersion, renumbered, short, version_of
from zkexec.core.snapshot import UNLIMITED, InputState, Snapshot
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


UNHEALTHY = "unhealthy"
"""The health of a command that failed its last health check."""

MOST_NAMED = 3
"""One line of the log names at most this many paths."""


class Situation:
    """The state of a member in its group."""

    def __init__(self, policy: Policy, member: str, new_token: Callable[[], str]) -> None:
        self.policy = policy
        self.member = member
        self.membership = Membership(policy.session_timeout_s)
        self.requests = GroupRequests()
        self.queue = QueuePosition()
        self.admissions = Admissions()
        self.times = QueueTimes(member)
        self.record_view = RecordView(member, policy.grace_s)
        self.lease = Lease(member, new_token)
        self.wanted: Snapshot | None = None
        """The snapshot for which the member requested a turn."""
        self.current: Snapshot | None = None
        """The newest snapshot, also during the settle time."""
        self.input_state = InputState()
        self.outcomes: list[TurnOutcome] = []
        """Results that the record does not contain yet."""
        self.failure: TurnOutcome | None = None
        """What has failed here, until another version is tried."""
        self.must_reenter = False
        """Whether the turn in which it failed is missing in a new record."""
        self.unrecorded_good: ConfigVersion | None = None
        """A known good version that the record does not contain yet."""
        self.last_good: ConfigVersion | None = None
        """The version on which the command of this run was healthy last."""
        self.scope = ""
        """The set of znodes of the inputs, once a version was computed."""
        self.has_requested_limits = False
        self.is_history_checked = self.is_recorded = False
        """Whether, in this session, the inputs were read, and the record is complete."""
        self._was_recorded = False
        self._readmission_digest = ""
        self.admit_from: float | None = None
        """No member is admitted before this time."""
        self._history = 0
        self.confirming = self.adopted = self.doubts_turn = False
        self._noted: Note | None = None
        self._max_unavailable_noted: MaxUnavailable | None = None
        self._last_versions: list[tuple[Snapshot, ConfigVersion]] = []

    @property
    def in_flight(self) -> bool:
        """Whether this member is in flight, as far as the record is known."""
        return self.member in self.record_view.record.in_flight and not self.has_restored_entry

    @property
    def has_restored_entry(self) -> bool:
        """Whether the record has an entry of this member that belongs to none of its turns.

        An entry of an earlier run is adopted at the start.  An entry that appears later comes
        from a record that was restored from a dump.
        """
        is_own = self.lease.entry_in(self.record_view.record) is not None
        is_there = self.member in self.record_view.record.in_flight
        return self._was_recorded and is_there and not is_own

    @property
    def has_unwanted_turn(self) -> bool:
        """Whether another member has admitted this one to what it does not want any more."""
        is_own = self.lease.entry_in(self.record_view.record) is not None
        is_wanted = self.wanted is not None or self.failure is not None or bool(self.outcomes)
        return is_own and not is_wanted and not self.adopted and self.lease.admitted is None

    @property
    def admitted(self) -> Snapshot | None:
        """The snapshot of this member's turn, if the turn is of the present history."""
        admitted = self.lease.admitted
        return None if admitted is None or admitted.zxid > self.input_state.newest else admitted

    @property
    def inherited(self) -> bool:
        """Whether the turn of this member was begun by an earlier run."""
        return self.in_flight and (
            self.adopted or self.lease.entry_in(self.record_view.record) is None
        )

    @property
    def decides(self) -> bool:
        """Whether this member is next to be admitted, so that it must look for missing members."""
        if self.wanted is None or self.is_debouncing or not self.may_be_admitted:
            return False
        return not self.is_admitted_to_wanted if self.in_flight else self.is_head

    @property
    def is_head(self) -> bool:
        """Whether this member admits itself and others.

        It does if no queue node is before its own, or if the head before it has hung.
        """
        if not self.queue.is_waiting:
            return self.queue.is_head
        head = self.record_view.record.head
        is_acting = head is not None and head.number == self.queue.number
        return is_acting or (self.times.takeover.acts and self.queue.waits_for_acting_head)

    @property
    def queued(self) -> QueuedMember:
        """What the own queue node is to contain; only if a version is wanted."""
        wanted = self.wanted
        digest = "" if wanted is None else self.version_of(wanted).digest
        return QueuedMember(self.member, self.lease.token, digest, self.policy.zone)

    @property
    def limits_differ(self) -> bool:
        """Whether the limits in force are not those of this member."""
        record, policy = self.record_view.record, self.policy
        unavailable, failed = record.max_unavailable, record.max_failed
        if unavailable is None or failed is None:
            return True
        return (unavailable.limit, failed.limit) != (policy.max_unavailable, policy.max_failed)

    @property
    def own_queue_node(self) -> QueueNode:
        """The own queue node, whatever its version; only if there is one."""
        number = -1 if self.queue.number is None else self.queue.number
        return QueueNode(number, -1, self.queued)

    @property
    def zones(self) -> frozenset[str]:
        """The zones of which the living members are to be counted."""
        known = self.record_view.record.max_unavailable
        limits = [self.policy.max_unavailable, *([known.limit] if known is not None else [])]
        if not any(limit.per_zone for limit in limits):
            return frozenset()
        return frozenset({self.policy.zone, self.record_view.record.zone} - {""})

    @property
    def digests(self) -> frozenset[str]:
        """The versions of which all is to be known when the record is read."""
        snapshots = (self.wanted, self.current, self.lease.admitted)
        versions = [self.version_of(one) for one in snapshots if one is not None]
        versions += [one for one in (self.last_good, self.unrecorded_good) if one is not None]
        versions += [one.version for one in self.outcomes if one.version is not None]
        known = self.record_view.record
        entry = known.in_flight.get(self.member)
        own = () if entry is None else (entry.digest,)
        return frozenset((*own, *known.versions, *(version.digest for version in versions)))

    @property
    def is_debouncing(self) -> bool:
        """Whether the inputs have changed since the turn was requested."""
        return self.current is not None and self.current != self.wanted

    @property
    def may_be_admitted(self) -> bool:
        """Whether the wanted version is what was read on this connection."""
        if self.admit_from is not None:
            return False
        return self.input_state.is_current and not self.input_state.is_lost

    @property
    def awaits_read(self) -> bool:
        """Whether the inputs were not read on this connection yet."""
        return self.current is not None and not self.input_state.is_answered

    @property
    def awaits_history(self) -> bool:
        """Whether the inputs were not read in this session yet: the history may be another."""
        return self.current is not None and not self.is_history_checked

    def has_failed(self, wanted: Snapshot) -> bool:
        """Whether this version failed here, and was not written again since."""
        if self.failure is None or self.failure.version is None:
            return False
        failed, version = self.failure.version, self.version_of(wanted)
        return failed.digest == version.digest and version.last_written <= failed.zxid

    def begin_session(self) -> None:
        """Begin a session: the ensemble may have been wiped or restored from a dump."""
        self.is_history_checked = self.is_recorded = False

    def check_history(self, now: float) -> None:
        """Lower the zxids that are above all that exist: they are of another history.

        A failure is recorded again in each session.  In another history it is recorded as soon as
        the contents of all znodes are known.  Then the version counts as failed until it is
        written again.  In another history every member has a session timeout to record its
        failure before any member is admitted.
        """
        if not self.input_state.is_current:
            return
        if self.input_state.history != self._history:
            self._history = self.input_state.history
            self.admit_from = now + self.membership.session_timeout_s
            self._begin_history()
        newest = self.input_state.newest
        zxid = 0 if self.current is None else min(self.current.zxid, newest)
        if self.failure is not None:
            self._check_failure(self.failure, self.failure.renumbered(newest, zxid))
        self.outcomes = [outcome.renumbered(newest, zxid) for outcome in self.outcomes]
        if self.unrecorded_good is not None:
            self.unrecorded_good = renumbered(self.unrecorded_good, newest, zxid)
        if self.last_good is not None:
            self.last_good = renumbered(self.last_good, newest, zxid)
        self.is_history_checked = True

    def _begin_history(self) -> None:
        """Count all that is remembered as of another history, whatever its zxid."""
        self.lease.begin_history()
        self.outcomes = [outcome.of_other_history() for outcome in self.outcomes]
        if self.failure is not None:
            self.failure = self.failure.of_other_history()
        if self.unrecorded_good is not None:
            self.unrecorded_good = replace(self.unrecorded_good, zxid=UNLIMITED)
        if self.last_good is not None:
            self.last_good = replace(self.last_good, zxid=UNLIMITED)

    def _check_failure(self, failure: TurnOutcome, as_of_now: TurnOutcome) -> None:
        is_of_this_history = failure == as_of_now
        if not is_of_this_history:
            self.outcomes = [outcome for outcome in self.outcomes if outcome != failure]
            if not self.input_state.is_whole:
                return
            self.failure, self.must_reenter = as_of_now, True
        is_missing = as_of_now not in self.outcomes
        if is_missing and not (self.is_history_checked and is_of_this_history):
            self.outcomes.append(as_of_now)

    def recorded(self) -> None:
        """Note that the record contains everything that it should."""
        self.outcomes.clear()
        self.unrecorded_good = None
        self.must_reenter = False
        self.has_requested_limits = self.is_recorded = self._was_recorded = True

    @property
    def is_admitted_to_wanted(self) -> bool:
        """Whether the turn of this member is for the wanted version."""
        admitted, wanted = self.admitted, self.wanted
        if admitted is None or wanted is None:
            return False
        if admitted is wanted:
            return True
        own, newest = self.version_of(admitted), self.version_of(wanted)
        # If a znode was emptied, its zxid is lost.  What failed then must not be tried now.
        return own.digest == newest.digest and own.zxid >= newest.zxid

    def is_takeover_due(self, now: float) -> bool:
        """Whether it is time to find out whether the head before this member hangs."""
        due = self.takeover_at
        return due is not None and now >= due

    @property
    def takeover_at(self) -> float | None:
        """When it is to be found out whether the head before this member hangs."""
        if not (self.queue.is_waiting and self.queue.waits_for_acting_head):
            return None
        return self.times.takeover_at(self.membership.session_timeout_s)

    def pause_after_conflict(self, now: float) -> None:
        """Try again a little later than others that had the same conflict."""
        in_flight = self.record_view.record.others_in_flight(self.member)
        pause_s = self.times.spread.retry_s(in_flight)
        if pause_s:
            self.requests.pause(now, pause_s)

    def readmission_pause_s(self, version: ConfigVersion) -> float:
        """Return how long to wait before this member tries to be readmitted to a version.

        All members in flight may want it at the same moment.
        """
        if self._readmission_digest == version.digest:
            return 0.0
        self._readmission_digest = version.digest
        return self.times.spread.retry_s(self.record_view.record.others_in_flight(self.member))

    def take_admission(self) -> list[Action]:
        """Take up the turn to which another member has admitted this one, if it has.

        An entry that has failed is one that this member has made: no admission is.
        """
        entry, wanted = self.lease.entry_in(self.record_view.record), self.wanted
        if entry is None or entry.phase is EntryPhase.FAILED or wanted is None:
            return []
        if self.lease.admitted is not None or self.adopted:
            return []
        if self.version_of(wanted).digest != entry.digest:
            return []
        self.lease.take(wanted)
        return [Note("admitted", {"digest": short(entry.digest)})]

    def look_for_hung_head(self, now: float) -> None:
        """Compare what was read with the read before, if this member waits for an acting head."""
        if self.wanted is None or not self.queue.waits_for_acting_head:
            self.times.takeover.forget()
            return
        view, version = self.record_view, self.version_of(self.wanted)
        entry = self.lease.entry_for(version, self.policy.zone)
        found = view.record.admit(self.member, entry, version.scope)
        has_room = not isinstance(found, Refusal)
        timeout_s = self.membership.session_timeout_s
        self.times.takeover.read(view.record, view.basis, now, timeout_s, has_room=has_room)

    @property
    def survey_at(self) -> float | None:
        """When the members in flight are to be surveyed, if this member waits for room."""
        since = self.times.room_since
        return None if since is None else self.record_view.survey_at(since)

    def is_outdated(self, wanted: Snapshot) -> bool:
        """Whether the group has a newer version, even if no check of znode versions shows it.

        A deleted znode cannot be checked, and one that was created again counts its versions
        from the start.  The zxid of all znodes together never becomes less.
        """
        return self.record_view.record.knows_newer(self.version_of(wanted))

    def version_of(self, snapshot: Snapshot) -> ConfigVersion:
        """Return the version of a snapshot; the last few are cached, as snapshots may be large."""
        for known, version in self._last_versions:
            if known is snapshot:
                return version
        version = version_of(snapshot, self.policy.inputs)
        self.scope = version.scope
        self._last_versions = [(snapshot, version), *self._last_versions[:2]]
        return version

    def touched(self, part: GroupPart, now: float) -> None:
        """Note that a watch fired: this part of the group has to be read again."""
        if part in (GroupPart.PREDECESSOR, GroupPart.QUEUE_NODE):
            self.queue.touched(is_own=part is GroupPart.QUEUE_NODE)
        elif part is GroupPart.OWN_NODE:
            self.membership.doubt()
        else:
            self.admissions.is_read = False
            if part is GroupPart.IN_FLIGHT:
                self.admissions.collect(now)
            self.record_view.touched(part)

    def publish(
        self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None
    ) -> None:
        """Replace the status if the phase, the step, the health, or the wanted version changed."""
        is_unavailable = status.health == UNHEALTHY and not self.in_flight
        status = replace(status, unavailable=is_unavailable)
        zxid, known = 0 if wanted is None else wanted.zxid, self.membership.status
        if _essentials(status, zxid) == _essentials(known, known.zxid):
            return
        if running is not None:
            version = self.version_of(running)
            status = replace(
                status,
                running=version.digest,
                running_at=running.changed_at,
                # It is not known of what was on disk before, and of another history of the servers.
                running_zxid=version.zxid if 0 < version.zxid < UNLIMITED else 0,
            )
        if wanted is not None:
            version = self.version_of(wanted)
            status = replace(
                status, wanted=version.digest, zxid=version.zxid, wanted_at=wanted.changed_at
            )
        self.membership.change(status)

    def note_once(self, topic: str, **fields: object) -> list[Note]:
        """Log what this member waits for, once, and not at each read."""
        note = Note(topic, fields)
        if note == self._noted:
            return []
        self._noted = note
        return [note]

    def note_max_unavailable(self) -> list[Action]:
        """Log the max unavailable in force, if it differs from the one of this member."""
        agreed, own = self.record_view.record.max_unavailable, self.policy.max_unavailable
        if agreed is None or not self.has_requested_limits:
            return []
        if agreed.limit == self._max_unavailable_noted:
            return []
        self._max_unavailable_noted = agreed.limit
        if agreed.limit == own:
            return []
        return [
            Note(
                "max-unavailable-differs",
                {"max_unavailable": agreed.limit, "by": agreed.by, "own": own},
            )
        ]

    def note_unknown_nodes(self, names: Sequence[str]) -> list[Action]:
        """Log the nodes in the queue that no member has made, the first few by their paths."""
        if not names:
            return []
        more = len(names) - MOST_NAMED
        paths = ", ".join(map(self._queue_path, names[:MOST_NAMED]))
        return [Note("queue-strays", {"paths": f"{paths} and {more} more" if more > 0 else paths})]

    def note_left_over(self, number: int | None) -> list[Action]:
        """Log a queue node that belongs to no session; None if there is no new one."""
        if number is None:
            return []
        return [Note("queue-left-over", {"path": self._queue_path(queue_name(number))})]

    def _queue_path(self, name: str) -> str:
        # The queue is beside the znode of restarts.
        return f"{self.policy.restart_path.rpartition('/')[0]}/queue/{name}"

    @property
    def reason_to_wait(self) -> Note | None:
        """What was logged last of what this member waits for; the next one is named as well."""
        if self._noted is None or self._noted.topic != "turn-next":
            return self._noted
        members = sorted(self.record_view.record.in_flight)
        more = len(members) - MOST_NAMED
        named = ", ".join(members[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return Note("turn-awaits-room", {**self._noted.fields, "members": named or "none"})

    def forget_note(self) -> None:
        """Allow the same note again: something has happened since."""
        self._noted = None


def _essentials(status: MemberStatus, zxid: int) -> tuple[str, str, str, int, bool, str]:
    """Return what makes a status worth a write: what runs changes with the phase.

    While a member is loading, its zxid does not count, as this phase is short.  One failure can
    follow another without a phase between them.
    """
    counted = 0 if status.phase == Phase.LOADING.value else zxid
    return status.phase, status.step, status.health, counted, status.unavailable, cause_of(status)
