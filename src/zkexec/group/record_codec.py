"""The group's record as the bytes of its znode, and back, see `json_fields`.

Names of members become parts of paths, so only what can be one is taken for a name.  What is
missing is filled in only if its meaning is clear: an entry that has failed is a failure itself.
"""

from __future__ import annotations

import re

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
from zkexec.frozen import replace
from zkexec.group.json_fields import (
    INTEGER,
    SHOWN,
    TEXT,
    TEXTS,
    TRUTH,
    Fields,
    Kind,
    Table,
    array,
    by_name,
    choice,
    integer,
    nullable,
    to_json,
)
from zkexec.znode_paths import check_zk_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_LONGEST_NAME = 255
_MOST_LOST_TURNS = 1000
"""More than that are not counted: two make a version fail already."""


def encode(record: RolloutRecord, now: float) -> bytes:
    """Make the bytes of the record; `now` becomes the time of what is new, in seconds."""
    return to_json(_RECORD.write(record, now))


def decode(content: bytes) -> RolloutRecord:
    """Read the record; no bytes at all are the empty one.  ValueError if it is not valid."""
    if not content:
        return RolloutRecord()
    record: RolloutRecord = _RECORD.read(Fields.of_bytes(content, "the record"))
    return replace(record, versions=dict(_with_failures(record.in_flight, record.versions)))


def _with_failures(
    in_flight: Mapping[str, InFlightEntry], versions: Mapping[str, VersionState]
) -> Iterable[tuple[str, VersionState]]:
    """Add the versions that are known as failed only by the entries of members in flight."""
    yield from versions.items()
    unknown: dict[str, list[str]] = {}
    for name, entry in in_flight.items():
        if entry.phase is EntryPhase.FAILED and entry.digest not in versions:
            unknown.setdefault(entry.digest, []).append(name)
    for digest, names in unknown.items():
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


def _limit(text: str) -> MaxUnavailable:
    found = re.fullmatch(r"([1-9][0-9]{0,8})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the limit of max_unavailable")
    return MaxUnavailable(int(found[1]), bool(found[2]))


_FILLED = TEXT.checked(_filled)
_MEMBER = TEXT.checked(_member)
_TIME = Kind(Fields.time, lambda time, now: round(now if time == AS_COMMITTED else time, 3))
_IN_FLIGHT = Table(
    InFlightEntry,
    {
        "token": _FILLED,
        "digest": _FILLED,
        "zxid": INTEGER,
        "phase": choice(EntryPhase),
        "since": _TIME,
    },
)
_VERSION = Table(
    VersionState,
    {
        "zxid": INTEGER,
        "scope": TEXT,
        "known_good": TRUTH,
        "failed_by": TEXTS.checked(lambda names: tuple(map(_member, names))),
        "lost_turns": INTEGER.checked(lambda number: min(number, _MOST_LOST_TURNS)),
        "reason": SHOWN,
        "at": _TIME,
        "step": SHOWN,
    },
)
_MAX_UNAVAILABLE = Table(
    AgreedMaxUnavailable,
    {"limit": Kind(TEXT.read, lambda limit, _: str(limit)).checked(_limit), "by": _MEMBER},
)
_PAUSE = Table(Pause, {"by": SHOWN, "reason": SHOWN, "at": _TIME})
_AUDIT = Table(
    AuditEntry,
    {"operation": SHOWN, "by": SHOWN, "reason": SHOWN, "member": SHOWN, "at": _TIME, "token": TEXT},
)
_RECORD = Table(
    RolloutRecord,
    {
        "in_flight": by_name(_IN_FLIGHT, _member),
        "versions": by_name(_VERSION, _filled),
        "max_unavailable": nullable(_MAX_UNAVAILABLE),
        "paused": nullable(_PAUSE),
        "last_admitted": integer(least=-1),
        "audit": array(_AUDIT, MOST_AUDIT_ENTRIES),
    },
)
