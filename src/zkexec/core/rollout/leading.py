"""What the head of the queue requests: an admission, of itself or of others, or a read.

A head that finds no room waits for the members in flight, and looks for missing ones from time to
time.  A member in flight that is to be admitted to newer inputs waits likewise.
"""

from __future__ import annotations

from zkexec.core.actions import Action, Note
from zkexec.core.rollout.admissions import STAY_FROM, Batch, batch_of
from zkexec.core.rollout.group_actions import CommitRecord, ReadQueue, ReadRecord, Watch
from zkexec.core.rollout.lease import Proposal
from zkexec.core.rollout.queued_member import QueueNode
from zkexec.core.rollout.record import Refusal, RolloutRecord
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.version import ConfigVersion, short
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, failed_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FOR_ROOM = (Refusal.FULL, Refusal.ZONE)


def lead(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    """Admit this member, or others, or wait."""
    if at.admissions.next_at is not None:
        return []
    if at.record_view.needs_reading():
        return read(at)
    if (head := at.record_view.record.head) is not None and not at.times.takeover.acts:
        request = at.queue.defer_to(head.number)
        if request is not None:
            return at.requests.send(request)
    return _find_missing(at, now) or _admit(at, wanted, now)


def _admit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    version, record = at.version_of(wanted), with_limits(at, at.record_view.record)
    if at.is_outdated(wanted):
        return wait(at, Refusal.OUTDATED, version, now)
    entry, node = at.lease.entry_for(version, at.policy.zone), at.own_queue_node
    found = record.admit(at.member, entry, version.scope, node.number)
    if isinstance(found, RolloutRecord) and at.record_view.is_old(now):
        return read(at)
    if isinstance(found, RolloutRecord) and not _may_admit_others(at, record, version):
        return commit_admission(at, found, wanted, now, (node,))
    is_blocked = found is Refusal.ZONE or (found is Refusal.FULL and bool(record.unavailable))
    if isinstance(found, Refusal) and not is_blocked:
        return wait(at, found, version, now)
    return _admit_others(at, record, wanted, now)


def _may_admit_others(at: Situation, record: RolloutRecord, version: ConfigVersion) -> bool:
    """Whether others are admitted before this member: many at once, or those of the open zone."""
    zone = at.policy.zone
    return record.allowed(version, zone) > STAY_FROM or record.zone != zone


def _admit_others(
    at: Situation, record: RolloutRecord, wanted: Snapshot, now: float
) -> Sequence[Action]:
    version, own = at.version_of(wanted), at.own_queue_node
    if not at.admissions.is_known:
        return _read_queue(at, version)
    found = batch_of(record, at.admissions.nodes, own, version)
    is_last = isinstance(found, Refusal) or own in found.nodes
    if is_last and not at.admissions.is_read:
        # Others may have queued meanwhile.
        return _read_queue(at, version)
    if isinstance(found, Refusal):
        if _is_in_the_way(at, record, version):
            return at.requests.send(at.queue.leave())
        return wait(at, found, version, now)
    return _commit_batch(at, found, wanted, now)


def _is_in_the_way(at: Situation, record: RolloutRecord, version: ConfigVersion) -> bool:
    """Whether an unavailable member that wants another version waits behind this one.

    It may always take its own turn.  This member cannot admit it, and has no room because of it.
    So it lets that one go first, and queues again.
    """
    if record.others_in_flight(at.member) or at.member in record.unavailable:
        return False
    own = at.own_queue_node
    return any(
        node.queued.member in record.unavailable and node.queued.digest != version.digest
        for node in at.admissions.nodes
        if node.number > own.number
    )


def _read_queue(at: Situation, version: ConfigVersion) -> Sequence[Action]:
    known = at.admissions.known(version)
    return at.requests.send(lambda number: ReadQueue(number, known))


def _commit_batch(at: Situation, batch: Batch, wanted: Snapshot, now: float) -> Sequence[Action]:
    version, before = at.version_of(wanted), at.record_view.record
    proposal = Proposal(before, batch.record, now)
    if at.own_queue_node in batch.nodes:
        proposal = Proposal(before, batch.record, now, wanted, version)
    return commit(at, proposal, batch.nodes, wanted)


def with_limits(at: Situation, record: RolloutRecord) -> RolloutRecord:
    """Request the own limits: once, and again if those in force are larger.

    The head also replaces the limits of a member that is gone.
    """
    policy, view = at.policy, at.record_view
    # If it is not known who is alive, the requesters of smaller limits are taken for alive.
    requesters = {known.by for known in (record.max_unavailable, record.max_failed) if known}
    is_known = view.knows_requesters or not at.has_requested_limits
    alive = {at.member} | (view.alive if is_known else requesters)
    return record.with_limits(
        at.member, policy.zone, policy.max_unavailable, policy.max_failed, alive=alive
    )


def commit_admission(
    at: Situation,
    found: RolloutRecord | Refusal,
    wanted: Snapshot,
    now: float,
    nodes: tuple[QueueNode, ...] = (),
    *,
    is_exclusive: bool = True,
) -> Sequence[Action]:
    """Commit the record with the own entry in it, unless the admission is refused."""
    version = at.version_of(wanted)
    if isinstance(found, RolloutRecord) and at.is_outdated(wanted):
        found = Refusal.OUTDATED
    if isinstance(found, Refusal):
        return wait(at, found, version, now)
    proposal = Proposal(at.record_view.record, found, now, wanted, version)
    return commit(at, proposal, nodes, wanted, is_exclusive=is_exclusive)


def wait(at: Situation, refusal: Refusal, version: ConfigVersion, now: float) -> Sequence[Action]:
    """Watch what may end the wait, and reclaim the turns of missing members."""
    view, watch = at.record_view, _watch_for(at, refusal)
    if view.needs_reading(watch):
        return read(at, watch, survey=at.in_flight and view.is_surveyed)
    if at.times.room_since is None:
        at.record_view.begin_wait()
    at.times.wait_for_room(now if _may_find_missing(at, refusal) else None)
    return _find_missing(at, now) or _note_reason(at, refusal, version)


def _may_find_missing(at: Situation, refusal: Refusal) -> bool:
    """Whether this member looks from time to time for what no watch reports.

    The head does whatever it waits for.  It finds missing members, so that the next rollout does
    not have to wait for them, unavailable ones in the queue, and failures that were deleted.
    """
    return not at.in_flight or refusal in _FOR_ROOM


def _find_missing(at: Situation, now: float) -> Sequence[Action]:
    """Find out from time to time who is missing, and reclaim the turns that are overdue."""
    view = at.record_view
    if at.times.room_since is None:
        return []
    if view.is_surveyed and (overdue := view.overdue()):
        return _reclaim(at, overdue, now)
    if now < view.survey_at(at.times.room_since):
        return []
    at.admissions.is_read = False
    return read(at, survey=True)


def _watch_for(at: Situation, refusal: Refusal) -> Watch:
    """Return what to watch; a member in flight does not watch all the others in flight."""
    if refusal in (Refusal.PAUSED, Refusal.OUTDATED) or at.in_flight:
        return Watch.DECISIONS
    return Watch.ROOM if refusal in _FOR_ROOM else Watch.BOTH


def _reclaim(at: Situation, overdue: Sequence[tuple[str, str]], now: float) -> Sequence[Action]:
    before = after = at.record_view.record
    for member, token in overdue:
        after = after.reclaim(member, token)
    notes = [Note("turn-reclaimed", {"member": member}) for member, _ in overdue]
    return [*notes, *commit(at, Proposal(before, after, now))]


_NOT_OF_HEALTH = (
    *(Step.RENDER.value, Step.CHECK.value),
    *(Step.RELOAD.value, Step.POST_HEALTHY.value),
)
"""The steps whose failure a healthy command does not end."""


def _note_reason(at: Situation, refusal: Refusal, version: ConfigVersion) -> Sequence[Action]:
    """Log why this member is not admitted."""
    record = at.record_view.record
    failure = record.failure_of(version)
    if refusal is Refusal.OUTDATED:
        return at.note_once("turn-outdated", digest=short(version.digest))
    if refusal is Refusal.PAUSED and record.paused is not None:
        paused = record.paused
        return at.note_once("turn-paused", by=paused.by, reason=paused.reason, since=paused.at)
    if refusal is Refusal.HELD and record.hold is not None:
        hold = record.hold
        return at.note_once(
            "turn-held",
            digest=short(version.digest),
            after=hold.after,
            by=hold.by,
            reason=hold.reason,
            since=hold.at,
        )
    if failure is not None:
        failed_by = ", ".join(failure.failed_by)
        or_else = f"; it also continues if the command on {failed_by} becomes healthy"
        return at.note_once(
            "turn-blocked",
            digest=short(version.digest),
            failed=failed_in(failure.step),
            failed_by=failed_by,
            step=failure.step,
            reason=failure.reason,
            or_else="" if failure.step in _NOT_OF_HEALTH else or_else,
            since=failure.at,
        )
    return at.note_once(
        "turn-next",
        in_flight=record.others_in_flight(at.member),
        unavailable=len(record.unavailable - {at.member}),
    )


def read(at: Situation, watch: Watch = Watch.NOTHING, *, survey: bool = False) -> Sequence[Action]:
    """Read the record."""
    at.record_view.begin()
    digests, zones = at.digests, at.zones
    limits = not at.has_requested_limits or (at.is_head and at.limits_differ)
    return at.requests.send(
        lambda number: ReadRecord(number, watch, digests, zones, survey, limits)
    )


def commit(
    at: Situation,
    proposal: Proposal,
    nodes: tuple[QueueNode, ...] = (),
    wanted: Snapshot | None = None,
    *,
    is_exclusive: bool = False,
) -> Sequence[Action]:
    """Commit a proposal; `wanted` is the snapshot that members are admitted to."""
    at.lease.proposal = proposal
    at.record_view.begin()
    before, after, basis = proposal.before, proposal.after, at.record_view.basis
    status = at.membership.take_unpublished()
    tried = "" if wanted is None else at.version_of(wanted).digest
    checks = {} if wanted is None else wanted.znode_versions
    # The queue nodes are deleted in this order: a member learns first that its own one is gone.
    admitted = tuple(sorted(nodes, key=lambda node: -node.number))
    is_exclusive |= _must_be_noticed(at, proposal)
    # Each commit in a turn writes the own entry: only that proves that it was not reclaimed.
    entry = at.lease.entry_in(after)
    confirms = at.member if entry is not None and entry == before.in_flight.get(at.member) else ""
    return at.requests.send(
        lambda number: CommitRecord(
            number,
            before,
            after,
            basis,
            checks,
            tried,
            admitted,
            is_exclusive,
            confirms,
            status,
        )
    )


def _must_be_noticed(at: Situation, proposal: Proposal) -> bool:
    """Whether the head of the queue notices a change only if the decisions are written.

    It watches the members in flight.  An entry that no admission makes has to be counted by the
    next admission.
    """
    is_flying = at.member in proposal.before.in_flight
    is_entered = at.member in proposal.after.in_flight and not is_flying
    changes_versions = proposal.after.versions != proposal.before.versions
    return is_entered or (changes_versions and not is_flying)
