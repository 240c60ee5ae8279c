"""What an operator is told of a deed: that it was done and to whom, or why not and by whom."""

import shlex
from collections.abc import Iterable, Sequence

from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, Pause, RolloutRecord
from zkexec.core.rollout.version import short
from zkexec.operator.sentences import names
from zkexec.operator.times import when

ASKS = ("retry", "restart")
"""The verbs that the members have to hear of."""


def told(audit_entry: AuditEntry, before: RolloutRecord, after: RolloutRecord, alive: int) -> str:
    """What was done; `alive` is the number of members that are."""
    match audit_entry.operation:
        case "pause":
            flying = ", ".join(sorted(before.in_flight))
            goes_on = f"; in the middle of a restart, and going on: {flying}" if flying else ""
            return f"paused, nobody begins to restart{goes_on}"
        case "resume":
            was = f"; it was paused {_pause(before.paused)}" if before.paused else ""
            failed = _failed(before)
            return f"resumed{was}" + (f"; but {failed}" if failed else "")
        case "retry":
            who = "by one member" if alive else "by who starts first, as no member is alive"
            return f"{_failed(before)}; it is tried once more, {who}"
        case "restart":
            if not alive:
                return "no member is alive; who starts from now on has restarted"
            return f"rolling restart {audit_entry.token[:4]} asked for; members alive: {alive}"
    return _forgotten(audit_entry.member, before, after)


def objected(objection: Objection, record: RolloutRecord, audit_entry: AuditEntry) -> str:
    """Why it was not done."""
    paused = record.paused
    match objection:
        case Objection.PAUSED if paused is not None:
            if audit_entry.operation == "pause":
                return f"is paused already, {_pause(paused)}"
            return f"is paused {_pause(paused)}; resume it first"
        case Objection.NOT_PAUSED:
            failed = _failed(record)
            hint = f"; {failed}: push other content, or retry" if failed else ""
            resumed = _newest(record, ["resume"])
            since = f" since {_who(resumed)} has resumed it" if resumed else ""
            return f"no operator has paused it{since}{hint}"
        case Objection.NOTHING_FAILED:
            return "nothing has failed that could be tried once more"
        case Objection.ALIVE:
            member = audit_entry.member
            return f"{member} is alive and will end its turn itself; --force forgets it still"
    forgotten = _newest(record, ["forget"], audit_entry.member)
    flying = ", ".join(sorted(record.in_flight)) or "nobody"
    besides = f"{_who(forgotten)} has forgotten it" if forgotten else f"{flying} is"
    return f"{audit_entry.member} is not in the middle of a restart; {besides}"


def overtaken(record: RolloutRecord) -> str:
    """Who has asked the members for something at the same time."""
    asked = _newest(record, ASKS)
    if asked is None:
        return "somebody else has asked for a restart at the same time"
    return f"{_who(asked)} has asked for a {asked.operation} at the same time"


def under_way(first: AuditEntry, left: Sequence[str]) -> str:
    """That the same was asked for before, by whom, and who is `left` to do it."""
    goes_on = f"{names(left)} still to restart" if left else "nobody has tried it yet"
    return f"{_who(first)} has asked for a {first.operation} already, {goes_on}; nothing was done"


def unwanted(lock: str, record: RolloutRecord) -> str:
    """That a retry would be in vain, and what to do about turns for what has failed."""
    failed = operations.failures(record)
    held = [name for name, entry in record.in_flight.items() if entry.digest in failed]
    way_out = "".join(f"; to take back the turn of {m}: {_by_force(lock, m)}" for m in held[:1])
    return f"{_failed(record)}, but no member alive wants it; nothing was done{way_out}"


def unknown_turn(lock: str, member: str) -> str:
    """That a member will not end the turn that the record says it has, and what to do."""
    return (
        f"{member} is alive and has a turn in the record, but runs what it wants and does not know "
        f"of that turn; to take it back: {_by_force(lock, member)}"
    )


def _by_force(lock: str, member: str) -> str:
    return shlex.join(["zkexecctl", "forget", "--force", lock, member])


def _newest(record: RolloutRecord, verbs: Iterable[str], member: str = "") -> AuditEntry | None:
    found = [one for one in record.audit if one.operation in verbs and one.member == member]
    return found[-1] if found else None


def _who(audit_entry: AuditEntry) -> str:
    return f"{audit_entry.by} ({when(audit_entry.at)})"


def _forgotten(member: str, before: RolloutRecord, after: RolloutRecord) -> str:
    entry = before.in_flight.get(member)
    if entry is None:
        return f"{member} is forgotten"
    version_state = after.versions.get(entry.digest)
    condemned = (
        "; that configuration counts as failed" if version_state and version_state.failed_by else ""
    )
    was = f"{entry.phase.value} for {short(entry.digest)} since {when(entry.since)}"
    return f"{member} is forgotten ({was}){condemned}"


def _pause(paused: Pause) -> str:
    return f"by {paused.by} since {when(paused.at)}: {paused.reason}"


def _failed(record: RolloutRecord) -> str:
    """What has failed, in words; "" for nothing."""
    return ", ".join(
        f"configuration {short(digest)} failed on {', '.join(state.failed_by)} ({state.reason})"
        for digest, state in operations.failures(record).items()
    )
