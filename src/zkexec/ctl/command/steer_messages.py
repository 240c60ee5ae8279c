"""What an operator gets to read about an operation: that it was done, or why not."""

import time
from collections.abc import Iterable, Sequence

from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, EntryPhase, Hold, Pause, RolloutRecord
from zkexec.core.rollout.version import short
from zkexec.core.step import failed_in
from zkexec.ctl.operation_store import REQUESTS
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.hold_phrases import author_text, held_text, members_text
from zkexec.ctl.status.phrases import names
from zkexec.ctl.status.time_phrases import full_time


def done(
    audit_entry: AuditEntry,
    before: RolloutRecord,
    after: RolloutRecord,
    alive: int,
    in_flight: Sequence[str] = (),
) -> str:
    """Write what was done; `alive` is the number of living members, `in_flight` are named."""
    match audit_entry.operation:
        case "pause":
            finishing = f"; in flight, and finishing: {names(in_flight)}" if in_flight else ""
            return f"paused: no member is admitted{finishing}"
        case "resume":
            was = f"; it was paused {_pause(before.paused)}" if before.paused else ""
            failed = _failed(before)
            return f"resumed{was}" + (f"; but {failed}" if failed else "")
        case "approve":
            return _approved(before, after)
        case "retry":
            member = "one member" if alive else "the first that starts, as no member is alive"
            return f"{_failed(before)}; it is tried again by {member}"
        case "restart":
            return _restarted(audit_entry.token[:4], alive, after.hold)
    return _forgotten(audit_entry.member, before, after)


def objected(
    objection: Objection,
    record: RolloutRecord,
    audit_entry: AuditEntry,
    in_flight: Sequence[str] = (),
) -> str:
    """Write why the record does not allow it; `in_flight` are the members with a turn."""
    paused, member = record.paused, audit_entry.member
    match objection:
        case Objection.PAUSED if paused is not None:
            is_pause = audit_entry.operation == "pause"
            already, first = ("already ", "") if is_pause else ("", "; resume it first")
            return f"{already}paused {_pause(paused)}{first}"
        case Objection.NOT_PAUSED:
            failed = _failed(record)
            hint = f"; {failed}: push other content, or retry" if failed else ""
            resumed = _newest(record, ["resume"])
            since = f" since {author_of(resumed)} has resumed it" if resumed else ""
            return f"not paused by an operator{since}{hint}"
        case Objection.NOT_HELD | Objection.SMALLER | Objection.SAME:
            return _not_approved(record, is_same=objection is Objection.SAME)
        case Objection.NOTHING_FAILED:
            return _nothing_failed(record)
        case Objection.ALIVE:
            return _alive(record, member)
    forgotten = _newest(record, ["forget"], member)
    why = f"in flight: {names(in_flight) or 'no member'}"
    if forgotten:
        why = f"{author_of(forgotten)} has forgotten it"
    return f"{member} has no turn; {why}"


def overtaken(record: RolloutRecord) -> str:
    """Write which operator was faster with a request."""
    request = _newest(record, REQUESTS)
    if request is None:
        return "another operator has requested a restart at the same time"
    return f"{author_of(request)} has requested a {request.operation} at the same time"


def failed_restart(group: GroupStatus) -> str:
    """Write that a failure is not over, which a restart does not end, and what does."""
    parts = [phrases.failure(group, time.time()), "a restart does not end this"]
    return "; ".join([*parts, *phrases.advice(group), "nothing was done"])


def already_requested(first: AuditEntry, left: Sequence[str]) -> str:
    """Write who has requested the same before, and which members are `left` to do it."""
    rest = f"{names(left)} still to restart" if left else "no member has tried it yet"
    return f"{author_of(first)} has already requested a {first.operation}, {rest}; nothing was done"


def unwanted(group: GroupStatus) -> str:
    """Write that no member wants what has failed, and how to end turns for it."""
    record = group.record
    failed = operations.failures(record)
    turns = [name for name, entry in record.in_flight.items() if entry.digest in failed]
    advice = "".join(f"; to end the turn of {m}: {_by_force(group, m)}" for m in turns[:1])
    return f"{_failed(record)}, but no living member wants it; nothing was done{advice}"


def unknown_turn(group: GroupStatus, member: str) -> str:
    """Write that a member will not end the turn that the record has, and what to do."""
    return (
        f"{member} is alive and has a turn in the record, but runs what it wants and does not know "
        f"of this turn; to end it: {_by_force(group, member)}"
    )


def _by_force(group: GroupStatus, member: str) -> str:
    return printed_command(group.connection_words, "forget", "--force", group.name, member)


def _newest(record: RolloutRecord, wanted: Iterable[str], member: str = "") -> AuditEntry | None:
    found = [one for one in record.audit if one.operation in wanted and one.member == member]
    return found[-1] if found else None


def author_of(audit_entry: AuditEntry) -> str:
    """Name the operator of an audit entry, and when it was written."""
    return f"{audit_entry.by} ({full_time(audit_entry.at)})"


def _restarted(name: str, alive: int, hold: Hold | None) -> str:
    if not alive:
        return "no member is alive; members that start from now on count as restarted"
    held = "; what is held is restarted when an operator approves it" if hold else ""
    return f"rolling restart {name} requested; living members: {alive}{held}"


def _approved(before: RolloutRecord, after: RolloutRecord) -> str:
    """Write what an approval did to the hold; `before` has no hold if a reply was lost."""
    hold = before.hold
    if after.hold is None:
        what = "approved: all members follow"
        was = f"it was held after {members_text(hold.after)} {author_text(hold)}" if hold else ""
    else:
        now, was = members_text(after.hold.after, after.population.members), ""
        what = f"approved: members follow until {now} have the new version"
        if hold:
            was = f"it was {members_text(hold.after)}, held {author_text(hold)}"
    paused = f"but paused {_pause(after.paused)}" if after.paused else ""
    failed = _failed(after)
    return "; ".join(filter(None, (what, was, paused, failed and f"but {failed}")))


def _alive(record: RolloutRecord, member: str) -> str:
    """Write that a living member keeps its turn, and what ends it."""
    entry = record.in_flight.get(member)
    if entry is None or entry.phase is not EntryPhase.FAILED:
        return f"{member} is alive and will end its turn itself: add --force to end it anyway"
    return (
        f"{member} is alive, has failed, and keeps its turn until a newer push or a retry succeeds "
        "on it: add --force to end it anyway"
    )


def _not_approved(record: RolloutRecord, *, is_same: bool) -> str:
    """Write why an approval is refused: there is no hold, or it would not be raised."""
    hold = record.hold
    if hold is None:
        ended = _newest(record, ["approve", "undo"])
        how = "undone the push" if ended and ended.operation == "undo" else "approved it"
        return "not held" + (f" since {author_of(ended)} has {how}" if ended else "")
    held = held_text(hold, record.population.members)
    larger = "write a larger --hold=N, or leave it out to let all members follow"
    if is_same:
        return f"it is {hold.after} already: {held}; {larger}"
    return f"{held}; a hold can only be raised: {larger}"


def _nothing_failed(record: RolloutRecord) -> str:
    """Write that no version has failed, and who has requested its retry if that came last."""
    by = [author_of(last) for last in record.audit[-1:] if last.operation == "retry"]
    retried = f"; {by[0]} has requested a retry" if by else ""
    return f"no version has failed that could be tried again{retried}"


def _forgotten(member: str, before: RolloutRecord, after: RolloutRecord) -> str:
    entry = before.in_flight.get(member)
    if entry is None:
        return f"the turn of {member} is reclaimed"
    version_state = after.versions.get(entry.digest)
    has_failed = version_state is not None and version_state.has_failed(after.tolerated)
    failed = "; this version counts as failed" if has_failed else ""
    turn = f"{entry.phase.value} for {short(entry.digest)} since {full_time(entry.since)}"
    return f"the turn of {member} is reclaimed ({turn}){failed}"


def _pause(paused: Pause) -> str:
    return f"by {paused.by} since {full_time(paused.at)}: {paused.reason}"


def _failed(record: RolloutRecord) -> str:
    """Write which versions have failed; "" if none has."""
    return ", ".join(
        f"version {short(digest)} {failed_in(state.step)} on {', '.join(state.failed_by)} "
        f"({state.reason})"
        for digest, state in operations.failures(record).items()
    )
