"""What is known of groups as JSON, for programs: docs/status.md tells what each field means."""

import json
from collections.abc import Sequence
from typing import Any

from zkexec.core.rollout.record import EntryPhase
from zkexec.operator.aims import TURN, Aim, Row
from zkexec.operator.sight import Sight

FORMAT = 1


def report(sights: Sequence[Sight], now: float, lost_since: float | None = None) -> str:
    """All of it in one line; `lost_since` is when the connection was lost that is not back yet."""
    found = {
        "format": FORMAT,
        "at": _time(now),
        "lost_since": _time(lost_since or 0.0),
        "groups": [_group(sight, now) for sight in sights],
    }
    # Only ASCII: what stands in znodes is not to reach a terminal as it is.
    return json.dumps(found, separators=(", ", ": "))


def _group(sight: Sight, now: float) -> dict[str, Any]:
    paused, width = sight.record.paused, sight.record.max_unavailable
    return {
        "name": sight.name,
        "path": sight.base,
        "state": sight.state.value,
        "through": sight.is_through,
        "trouble": sight.trouble or None,
        "alive": len(sight.members),
        "done": sight.done,
        "total": len(sight.rows),
        "in_flight": [row.name for row in sight.in_flight],
        "waiting": [row.name for row in sight.waiting],
        "missing": [row.name for row in sight.missing],
        "intruders": [
            {"place": one.place, "name": one.name, "path": one.path} for one in sight.intruders
        ],
        "width": width
        and {
            "asked": str(width.limit),
            "by": width.by,
            "allowed": sight.record.allowed(len(sight.members)),
        },
        "paused": paused and {"by": paused.by, "reason": paused.reason, "at": _time(paused.at)},
        "aims": [_aim(aim, now) for aim in sight.aims],
        "members": [_member(row) for row in sight.rows],
        "ignored": [{"path": one.path, "reason": one.kind.value} for one in sight.strays],
        "audit": [
            {
                "verb": audit_entry.operation,
                "by": audit_entry.by,
                "reason": audit_entry.reason,
                "member": audit_entry.member or None,
                "at": _time(audit_entry.at),
            }
            for audit_entry in sight.record.audit
        ],
    }


def _aim(aim: Aim, now: float) -> dict[str, Any]:
    failure = aim.failure
    return {
        "paths": list(aim.paths),
        "digest": aim.digest or None,
        "zxid": aim.zxid,
        "written_at": _time(aim.at),
        "known_good": aim.is_known_good,
        "at_once": aim.at_once,
        "missing": list(aim.missing),
        "done": aim.done,
        "total": aim.total,
        "took_s": _rounded(aim.took_s(now)),
        "left_s": _rounded(aim.left_s(now)),
        "failure": failure
        and {
            "members": list(failure.failed_by),
            "reason": failure.reason,
            "at": _time(failure.at),
        },
    }


def _member(row: Row) -> dict[str, Any]:
    status, facts = row.status, row.seen.facts
    return {
        "name": row.name,
        "alive": row.is_alive,
        "through": row.is_through,
        "phase": row.phase,
        "host": facts and facts.host,
        "pid": facts and facts.pid,
        "version": facts and facts.zkexec_version,
        "running": _content(status.running, status.running_at),
        "wanted": _content(row.wanted, status.wanted_at),
        "zxid": status.zxid,
        "unseen": list(row.untaken),
        "paths": list(facts.inputs) if facts else [],
        "health": status.health if row.seen.status else None,
        "since": _time(row.since),
        "in_flight": row.place == TURN,
        "failed": row.entry is EntryPhase.FAILED,
        "place": row.place or None,
        "duplicate_of": row.duplicate_of or None,
        "shares_with": [{"member": member, "file": file} for member, file in row.shares_with],
        "reason": row.reason,
    }


def _content(digest: str, at: float) -> dict[str, Any] | None:
    return {"digest": digest, "written_at": _time(at)} if digest else None


def _time(at: float) -> float | None:
    """Seconds of the epoch; 0 stands for a time that is not known."""
    return round(at, 3) if at else None


def _rounded(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 3)
