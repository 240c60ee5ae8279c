"""What an operator gets to read about an operation: that it was done, or why not."""

import shlex
from collections.abc import Iterable, Sequence

from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, Pause, RolloutRecord
from zkexec.core.rollout.version import short
from zkexec.core.step import failed_in
from zkexec.ctl.operation_store import REQUESTS
from zkexec.ctl.status.phrases import full_time, names


def done(audit_entry: AuditEntry, before: RolloutRecord, after: RolloutRecord, alive: int) -> str:
    """Write what was done; `alive` is the number of living members."""
    match audit_entry.operation:
        case "pause":
            in_flight = ", ".join(sorted(before.in_flight))
            finishing = f"; in flight, and finishing: {in_flight}" if in_flight else ""
            return f"paused: no member is admitted{finishing}"
        case "resume":
            was = f"; it was paused {_pause(before.paused)}" if before.paused else ""
            failed = _failed(before)
            return f"resumed{was}" + (f"; but {failed}" if failed else "")
        case "retry":
            member = "one member" if alive else "the first that starts, as no member is alive"
            return f"{_failed(before)}; it is tried again by {member}"
        case "restart":
            if not alive:
                return "no member is alive; members that start from now on count as restarted"
            name = audit_entry.token[:4]
            return f"rolling restart {name} requested; living members: {alive}"
    return _forgotten(audit_entry.member, before, after)


def objected(objection: Objection, record: RolloutRecord, audit_entry: AuditEntry) -> str:
    """Write why the record does not allow it."""
    paused, member = record.paused, audit_entry.member
    match objection:
        case Objection.PAUSED if paused is not None:
            if audit_entry.operation == "pause":
                return f"already paused {_pause(paused)}"
            return f"paused {_pause(paused)}; resume it first"
        case Objection.NOT_PAUSED:
            failed = _failed(record)
            hint = f"; {failed}: push other content, or retry" if failed else ""
            resumed = _newest(record, ["resume"])
            since = f" since {_author(resumed)} has resumed it" if resumed else ""
            return f"not paused by an operator{since}{hint}"
        case Objection.NOTHING_FAILED:
            return "no version has failed that could be tried again"
        case Objection.ALIVE:
            return f"{member} is alive and will end its turn itself: add --force to end it anyway"
    forgotten = _newest(record, ["forget"], member)
    in_flight = ", ".join(sorted(record.in_flight)) or "no member"
    why = f"{_author(forgotten)} has forgotten it" if forgotten else f"in flight: {in_flight}"
    return f"{member} has no turn; {why}"


def overtaken(record: RolloutRecord) -> str:
    """Write which operator was faster with a request."""
    request = _newest(record, REQUESTS)
    if request is None:
        return "another operator has requested a restart at the same time"
    return f"{_author(request)} has requested a {request.operation} at the same time"


def already_requested(first: AuditEntry, left: Sequence[str]) -> str:
    """Write who has requested the same before, and which members are `left` to do it."""
    rest = f"{names(left)} still to restart" if left else "no member has tried it yet"
    return f"{_author(first)} has already requested a {first.operation}, {rest}; nothing was done"


def unwanted(lock: str, record: RolloutRecord) -> str:
    """Write that no member wants what has failed, and how to end turns for it."""
    failed = operations.failures(record)
    turns = [name for name, entry in record.in_flight.items() if entry.digest in failed]
    advice = "".join(f"; to end the turn of {m}: {_by_force(lock, m)}" for m in turns[:1])
    return f"{_failed(record)}, but no living member wants it; nothing was done{advice}"


def unknown_turn(lock: str, member: str) -> str:
    """Write that a member will not end the turn that the record has, and what to do."""
    return (
        f"{member} is alive and has a turn in the record, but runs what it wants and does not know "
        f"of this turn; to end it: {_by_force(lock, member)}"
    )


def _by_force(lock: str, member: str) -> str:
    return shlex.join(["zkexecctl", "forget", "--force", lock, member])


def _newest(record: RolloutRecord, wanted: Iterable[str], member: str = "") -> AuditEntry | None:
    found = [one for one in record.audit if one.operation in wanted and one.member == member]
    return found[-1] if found else None


def _author(audit_entry: AuditEntry) -> str:
    return f"{audit_entry.by} ({full_time(audit_entry.at)})"


def _forgotten(member: str, before: RolloutRecord, after: RolloutRecord) -> str:
    entry = before.in_flight.get(member)
    if entry is None:
        return f"the turn of {member} is reclaimed"
    version_state = after.versions.get(entry.digest)
    has_failed = version_state is not None and bool(version_state.failed_by)
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
