"""The status of groups as JSON, for programs: docs/status.md describes each field."""

import json
from collections.abc import Sequence
from typing import Any

from zkexec.core.rollout.limits import AgreedMaxFailed, AgreedMaxUnavailable
from zkexec.core.rollout.record import EntryPhase, Hold
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.member_row import MemberRow
from zkexec.ctl.status.progress import Progress, RestartRequest
from zkexec.ctl.status.rollout_events import rollout_events
from zkexec.ctl.status.version_writes import VersionWrites
from zkexec.group.member_profile import LastTurn

FORMAT = 1


def status_json(
    groups: Sequence[GroupStatus],
    now: float,
    disconnected_since: float | None = None,
    *,
    with_events: bool = False,
) -> str:
    """Return one line; `disconnected_since` is when the connection was lost, if it is.

    `with_events` adds the events of the present rollout.
    """
    found = {
        "format": FORMAT,
        "at": _time(now),
        "disconnected_since": _time(disconnected_since or 0.0),
        "groups": [
            _group(group, now) | ({"events": _events(group)} if with_events else {})
            for group in groups
        ],
    }
    # Only ASCII: the texts of znodes must not reach a terminal as they are.
    return json.dumps(found, separators=(", ", ": "))


def _group(group: GroupStatus, now: float) -> dict[str, Any]:
    record = group.record
    paused = record.paused
    return {
        "name": group.name,
        "path": group.base,
        "state": group.state.value,
        "up_to_date": group.is_complete,
        "error": group.error or None,
        "alive": len(group.members),
        "up_to_date_count": group.up_to_date_count,
        "total": len(group.rows),
        "serving": group.serving_count,
        "unavailable": len(group.unavailable),
        "in_flight": [row.name for row in group.in_flight],
        "waiting": [row.name for row in group.waiting],
        "missing": [row.name for row in group.missing],
        "intruders": [
            {"queue_position": one.queue_position, "name": one.name, "path": one.path}
            for one in group.intruders
        ],
        "max_unavailable": _limit(record.max_unavailable, record.max_in_flight(record.zone)),
        "max_failed": _limit(record.max_failed, record.tolerated),
        "zone": group.open_zone,
        "head": record.head and {"member": record.head.member, "since": _time(record.head.since)},
        "paused": paused and {"by": paused.by, "reason": paused.reason, "at": _time(paused.at)},
        "held": _held(record.hold),
        "last_push": _write(group.last_push),
        "progress": [_progress(one, now) for one in group.progress],
        "members": [_member(row, group.versions) for row in group.rows],
        "ignored": [{"path": one.path, "reason": one.reason.value} for one in group.ignored],
        "audit": [
            {
                "operation": entry.operation,
                "by": entry.by,
                "reason": entry.reason,
                "member": entry.member or None,
                "at": _time(entry.at),
            }
            for entry in record.audit
        ],
    }


def _events(group: GroupStatus) -> list[dict[str, Any]]:
    return [
        {
            "at": _time(event.at),
            "event": event.event,
            "member": event.member or None,
            "by": event.by or None,
            "revision": event.revision or None,
            "step": event.step or None,
            "action": event.action or None,
            "reason": event.reason or None,
        }
        for event in rollout_events(group)
    ]


def _limit(
    agreed: AgreedMaxUnavailable | AgreedMaxFailed | None, allowed: int
) -> dict[str, Any] | None:
    if agreed is None:
        return None
    return {"requested": str(agreed.limit), "by": agreed.by, "allowed": allowed}


def _held(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "after": str(hold.after),
        "by": hold.by,
        "reason": hold.reason,
        "at": _time(hold.at),
    }


def _progress(progress: Progress, now: float) -> dict[str, Any]:
    failure = progress.failure
    return {
        "inputs": list(progress.inputs),
        "digest": progress.digest or None,
        "zxid": progress.zxid,
        "write": _write(progress.write),
        "request": _request(progress.request),
        "previous": _write(progress.previous),
        "written_at": _time(progress.written_at),
        "known_good": progress.is_known_good,
        "allowed": progress.allowed,
        "succeeded": progress.succeeded,
        "held": progress.is_held,
        "missing": list(progress.missing),
        "oversized": list(progress.oversized),
        "partly_hidden": list(progress.partly_hidden),
        "up_to_date_count": progress.up_to_date_count,
        "total": progress.total,
        "zones": [
            {"zone": one.zone, "up_to_date_count": one.up_to_date_count, "total": one.total}
            for one in progress.zones
        ],
        "took_s": _rounded(progress.took_s(now)),
        "remaining_s": _rounded(progress.remaining_s(now)),
        "failure": failure
        and {
            "failed_by": list(failure.failed_by),
            "step": failure.step or None,
            "reason": failure.reason,
            "at": _time(failure.at),
        },
        "failures": [
            {
                "member": name,
                "step": one.step or None,
                "reason": one.reason,
                "at": _time(one.at),
            }
            for name, one in progress.failures.items()
        ],
    }


def _write(write: InputWrite | None) -> dict[str, Any] | None:
    if write is None:
        return None
    return {
        "path": write.path,
        "revision": write.revision or None,
        "by": write.by or None,
        "message": write.message or None,
        "at": _time(write.at),
        "set_by_other_tool": write.set_by_other_tool,
        "also": list(write.also),
    }


def _request(request: RestartRequest | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {
        "operation": request.operation,
        "by": request.by or None,
        "reason": request.reason or None,
        "at": _time(request.at),
    }


def _member(row: MemberRow, versions: VersionWrites) -> dict[str, Any]:
    status, facts = row.status, row.znode.facts
    return {
        "name": row.name,
        "alive": row.is_alive,
        "up_to_date": row.is_up_to_date,
        "serving": row.is_serving,
        "zone": row.zone or None,
        "phase": row.phase,
        "step": row.step or None,
        "host": facts and facts.host,
        "pid": facts and facts.pid,
        "zkexec_version": facts and facts.zkexec_version,
        "running": _version(status.running, status.running_at),
        "wanted": _version(row.wanted, status.wanted_at),
        "running_revision": versions.running(row) or None,
        "wanted_revision": versions.wanted(row) or None,
        "zxid": status.zxid,
        "inputs": list(facts.inputs) if facts else [],
        "inputs_behind": list(row.inputs_behind),
        "health": status.health if row.znode.status else None,
        "first_check_at": _time(row.first_check_at),
        "turn": _turn(facts.turn) if facts else None,
        "since": _time(row.since),
        "in_flight": row.is_in_flight,
        "failed": row.turn_phase is EntryPhase.FAILED,
        "queue_position": row.queue_position,
        "duplicate_of": row.duplicate_of or None,
        "shares_with": [{"member": member, "file": file} for member, file in row.shares_with],
        "reason": row.reason,
    }


def _turn(turn: LastTurn | None) -> dict[str, Any] | None:
    if turn is None:
        return None
    return {
        "began": _time(turn.began),
        "ended": _time(turn.ended),
        "digest": turn.digest,
        "action": turn.action or None,
        "result": turn.result or None,
    }


def _version(digest: str, at: float) -> dict[str, Any] | None:
    return {"digest": digest, "written_at": _time(at)} if digest else None


def _time(at: float) -> float | None:
    """Seconds of the epoch; 0 means that it is not known."""
    return round(at, 3) if at else None


def _rounded(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 3)
