"""The group's record as the bytes of its znode, and back.

What is no valid record raises a ValueError whose one line says what is wrong, see `fields`.
Names of members become parts of paths, so only what can be one is taken for a name.  What is
missing is filled in only where its meaning is clear: an entry that has failed tells so itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AS_COMMITTED,
    MOST_AUDIT_ENTRIES,
    AgreedMaxUnavailable,
    AuditEntry,
    EntryPhase,
    InFlightEntry,
    Pause,
    RolloutRecord,
    VersionState,
)
from zkexec.group.json_fields import FORMAT, Fields, clean, to_json
from zkexec.text import cut
from zkexec.zookeeper.connect_string import check_zk_path

_LONGEST_NAME = 255
_MOST_LOSSES = 1000
"""More losses than that are not counted: two condemn already."""


def encode(record: RolloutRecord, now: float) -> bytes:
    """The bytes of the record; `now` (seconds of the epoch) becomes the time of what is new."""
    return to_json(
        {
            "format": FORMAT,
            "in_flight": {name: _from_entry(e, now) for name, e in record.in_flight.items()},
            "versions": {
                digest: _from_version_state(v, now) for digest, v in record.versions.items()
            },
            "max_unavailable": _from_max_unavailable(record.max_unavailable),
            "paused": _from_pause(record.paused, now),
            "last_admitted": record.last_admitted,
            "audit": [_from_audit_entry(audit_entry, now) for audit_entry in record.audit],
        }
    )


def decode(content: bytes) -> RolloutRecord:
    """The record; no bytes at all are the empty one."""
    if not content:
        return RolloutRecord()
    fields = Fields.of_bytes(content, "the record")
    in_flight = {_member(name): _entry(e) for name, e in fields.each("in_flight")}
    versions = {_filled(digest): _version_state(v) for digest, v in fields.each("versions")}
    return RolloutRecord(
        in_flight=in_flight,
        versions=dict(_with_the_untold(in_flight, versions)),
        max_unavailable=fields.optional("max_unavailable", _max_unavailable),
        paused=fields.optional("paused", _pause),
        last_admitted=fields.integer("last_admitted", least=-1),
        audit=tuple(_audit_entry(item) for item in fields.items("audit")[-MOST_AUDIT_ENTRIES:]),
    )


def _with_the_untold(
    in_flight: Mapping[str, InFlightEntry], versions: Mapping[str, VersionState]
) -> Iterable[tuple[str, VersionState]]:
    """The verdicts, and for failed entries to which there is none what these themselves tell."""
    yield from versions.items()
    untold: dict[str, list[str]] = {}
    for name, entry in in_flight.items():
        if entry.phase is EntryPhase.FAILED and entry.digest not in versions:
            untold.setdefault(entry.digest, []).append(name)
    for digest, names in untold.items():
        newest = max((in_flight[name] for name in names), key=lambda entry: entry.zxid)
        yield (
            digest,
            VersionState(
                newest.zxid,
                "",
                failed_by=tuple(names),
                reason="the record does not say why",
                at=newest.since,
            ),
        )


def _from_entry(entry: InFlightEntry, now: float) -> dict[str, Any]:
    return {
        "token": entry.token,
        "digest": entry.digest,
        "zxid": entry.zxid,
        "phase": entry.phase.value,
        "since": _time(entry.since, now),
    }


def _entry(fields: Fields) -> InFlightEntry:
    return InFlightEntry(
        token=_filled(fields.text("token")),
        digest=_filled(fields.text("digest")),
        zxid=fields.integer("zxid"),
        phase=fields.choice("phase", EntryPhase),
        since=fields.time("since"),
    )


def _from_version_state(version_state: VersionState, now: float) -> dict[str, Any]:
    return {
        "zxid": version_state.zxid,
        "scope": version_state.scope,
        "known_good": version_state.known_good,
        "failed_by": list(version_state.failed_by),
        "lost_turns": version_state.lost_turns,
        "reason": clean(cut(version_state.reason)),
        "at": _time(version_state.at, now),
    }


def _version_state(fields: Fields) -> VersionState:
    return VersionState(
        zxid=fields.integer("zxid"),
        scope=fields.text("scope"),
        known_good=fields.truth("known_good"),
        failed_by=tuple(_member(name) for name in fields.texts("failed_by")),
        lost_turns=min(fields.integer("lost_turns"), _MOST_LOSSES),
        reason=fields.words("reason"),
        at=fields.time("at"),
    )


def _from_max_unavailable(max_unavailable: AgreedMaxUnavailable | None) -> dict[str, Any] | None:
    return (
        None
        if max_unavailable is None
        else {"limit": str(max_unavailable.limit), "by": max_unavailable.by}
    )


def _max_unavailable(fields: Fields) -> AgreedMaxUnavailable:
    text = fields.text("limit")
    found = re.fullmatch(r"([1-9][0-9]{0,8})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the width")
    return AgreedMaxUnavailable(
        MaxUnavailable(int(found[1]), bool(found[2])), _member(fields.text("by"))
    )


def _from_pause(pause: Pause | None, now: float) -> dict[str, Any] | None:
    if pause is None:
        return None
    by, reason = clean(cut(pause.by)), clean(cut(pause.reason))
    return {"by": by, "reason": reason, "at": _time(pause.at, now)}


def _pause(fields: Fields) -> Pause:
    return Pause(fields.words("by"), fields.words("reason"), fields.time("at"))


def _member(name: str) -> str:
    try:
        check_zk_path(f"/{name}")
    except ValueError:
        name = ""
    if not name or "/" in name or len(name) > _LONGEST_NAME:
        raise ValueError("expected a name that a member may have")
    return name


def _filled(text: str) -> str:
    if not text:
        raise ValueError("expected a token or a digest, got an empty text")
    return text


def _from_audit_entry(audit_entry: AuditEntry, now: float) -> dict[str, Any]:
    return {
        "verb": audit_entry.operation,
        "by": clean(cut(audit_entry.by)),
        "reason": clean(cut(audit_entry.reason)),
        "member": audit_entry.member,
        "at": _time(audit_entry.at, now),
        "token": audit_entry.token,
    }


def _audit_entry(fields: Fields) -> AuditEntry:
    return AuditEntry(
        operation=fields.words("verb"),
        by=fields.words("by"),
        reason=fields.words("reason"),
        member=fields.words("member"),
        at=fields.time("at"),
        token=fields.text("token"),
    )


def _time(time: float, now: float) -> float:
    return round(now if time == AS_COMMITTED else time, 3)
