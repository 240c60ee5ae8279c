"""The decisions of a group as the bytes of the znode `state`, and back, see `json_fields`.

The entries of members in flight and the failures are in other znodes, see `entry_codec` and
`version_codec`: of a version only what is decided about it is written here.
"""

from __future__ import annotations

import re

from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed, AgreedMaxUnavailable
from zkexec.core.rollout.record import (
    MOST_AUDIT_ENTRIES,
    ActingHead,
    AuditEntry,
    HeldAgain,
    Hold,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version_state import VersionState
from zkexec.group.entry_codec import MEMBER, WRITTEN_AT, ZONE
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
    integer,
    nullable,
    to_json,
)
from zkexec.group.paths import check_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


_MOST_HELD_AGAIN = 20


def encode(record: RolloutRecord, now: float) -> bytes:
    """Make the bytes of the decisions; `now` becomes the time of what is new, in seconds."""
    return to_json(_RECORD.write(record, now))


def decode(content: bytes) -> RolloutRecord:
    """Read the decisions; no bytes at all are the empty record.  ValueError if it is not valid."""
    if not content:
        return RolloutRecord()
    record: RolloutRecord = _RECORD.read(Fields.of_bytes(content, "the record"))
    return record


def _max_unavailable(text: str) -> MaxUnavailable:
    found = re.fullmatch(r"([1-9][0-9]{0,8})(%(?:/zone)?)?", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the limit of max_unavailable")
    return MaxUnavailable(int(found[1]), bool(found[2]), found[2] == "%/zone")


def _max_failed(text: str) -> MaxFailed:
    found = re.fullmatch(r"(0|[1-9][0-9]{0,8})(%?)", text)
    if found is None or (found[2] and int(found[1]) > 100):
        raise ValueError("expected a number or a percentage as the limit of max_failed")
    return MaxFailed(int(found[1]), bool(found[2]))


def _limit(parse: Callable[[str], object]) -> Kind:
    return Kind(TEXT.read, lambda limit, _: str(limit)).checked(parse)


_VERSION = Table(
    VersionState,
    {
        "zxid": INTEGER,
        "scope": TEXT,
        "known_good": TRUTH,
        "succeeded_before": INTEGER.optional(0),
        "lost_zone": ZONE,
        "lost_until": integer(least=-1).optional(-1),
    },
)
_MAX_UNAVAILABLE = Table(AgreedMaxUnavailable, {"limit": _limit(_max_unavailable), "by": MEMBER})
_MAX_FAILED = Table(AgreedMaxFailed, {"limit": _limit(_max_failed), "by": MEMBER})
_PAUSE = Table(Pause, {"by": SHOWN, "reason": SHOWN, "at": WRITTEN_AT})
_HELD_AGAIN = Table(HeldAgain, {"digest": TEXT, "succeeded": INTEGER})
_HOLD = Table(
    Hold,
    {
        "after": _limit(_max_unavailable),
        "by": SHOWN,
        "reason": SHOWN,
        "known_good": TEXTS,
        "at": WRITTEN_AT,
        "token": TEXT,
        "again": array(_HELD_AGAIN, _MOST_HELD_AGAIN).optional(()),
    },
)
_HEAD = Table(ActingHead, {"member": MEMBER, "number": INTEGER, "since": WRITTEN_AT})
_AUDIT = Table(
    AuditEntry,
    {
        "operation": SHOWN,
        "by": SHOWN,
        "reason": SHOWN,
        "member": SHOWN,
        "at": WRITTEN_AT,
        "token": TEXT,
    },
)
_RECORD = Table(
    RolloutRecord,
    {
        "versions": by_name(_VERSION, check_part),
        "max_unavailable": nullable(_MAX_UNAVAILABLE),
        "max_failed": nullable(_MAX_FAILED),
        "paused": nullable(_PAUSE),
        "hold": nullable(_HOLD),
        "zone": ZONE,
        "head": nullable(_HEAD),
        "last_admitted": integer(least=-1),
        "admissions": INTEGER,
        "audit": array(_AUDIT, MOST_AUDIT_ENTRIES),
    },
)
