"""A member's turn in znodes of its own: its queue node, then its entry among those in flight.

Both are JSON objects, see `json_fields`.
"""

from __future__ import annotations

from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import EntryPhase, InFlightEntry
from zkexec.core.rollout.version_state import AS_COMMITTED
from zkexec.frozen import replace
from zkexec.group.json_fields import (
    INTEGER,
    TEXT,
    TIME,
    Fields,
    Table,
    choice,
    to_json,
)
from zkexec.group.paths import check_member, check_part

PART = TEXT.checked(check_part)
"""A digest, a token or a zone."""

MEMBER = TEXT.checked(check_member)

WRITTEN_AT = replace(TIME, write=lambda time, now: round(now if time == AS_COMMITTED else time, 3))
"""Seconds of the epoch, or the time of the writing."""

ZONE = TEXT.checked(lambda zone: zone and check_part(zone)).optional("")

_ENTRY = Table(
    InFlightEntry,
    {
        "token": PART,
        "digest": PART,
        "zxid": INTEGER,
        "phase": choice(EntryPhase),
        "since": WRITTEN_AT,
        "zone": ZONE,
        "admission": INTEGER,
    },
)
_QUEUED = Table(QueuedMember, {"member": MEMBER, "token": PART, "digest": PART, "zone": ZONE})


def encode_entry(entry: InFlightEntry, now: float) -> bytes:
    """Make the bytes of an entry; `now` becomes its time if it is new, in seconds."""
    return to_json(_ENTRY.write(entry, now))


def decode_entry(content: bytes, mzxid: int) -> InFlightEntry:
    """Read an entry that was written last by the transaction `mzxid`.

    A zxid above that is of another history, see `RolloutRecord.clamped_to`.  ValueError if the
    content is not valid.
    """
    entry: InFlightEntry = _ENTRY.read(Fields.of_bytes(content, "the entry"))
    return replace(entry, zxid=mzxid) if entry.zxid > mzxid else entry


def encode_queued(queued: QueuedMember) -> bytes:
    """Make the bytes of a queue node."""
    return to_json(_QUEUED.write(queued))


def decode_queued(content: bytes) -> QueuedMember:
    """Read what a queue node contains; ValueError if it is not valid."""
    queued: QueuedMember = _QUEUED.read(Fields.of_bytes(content, "the queue node"))
    return queued
