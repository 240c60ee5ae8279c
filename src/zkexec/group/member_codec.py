"""The members' cards as the bytes of their znodes, and back.

What is no valid card raises a ValueError whose one line says what is wrong, see `fields`.
"""

from typing import Any

from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen
from zkexec.group.json_fields import FORMAT, Fields, clean, to_json
from zkexec.text import cut


@frozen()
class StatusFacts:
    """What a card tells beside the member's own words: who wrote it, where and when.

    `place` is a text that two living processes never share; `max_unavailable` is that of
    `--max-unavailable` as a text; `since` is the time at which the phase was entered, in seconds
    of the epoch.  `paths` are those of the mirrored znodes, below the chroot.

    `duplicate_of` is the member ID of this process if another process has it, so that the node has
    another name.  `shared` are members of the same host that write to the same files, with one of
    these files each.
    """

    host: str
    pid: int
    version: str
    place: str
    max_unavailable: str
    since: float
    paths: tuple[str, ...] = ()
    duplicate_of: str = ""
    shared: tuple[tuple[str, str], ...] = ()


def encode_status(status: MemberStatus, facts: StatusFacts) -> bytes:
    """The bytes of a member's node."""
    return to_json(
        {
            "format": FORMAT,
            "host": clean(facts.host),
            "pid": facts.pid,
            "version": facts.version,
            "place": facts.place,
            "max_unavailable": facts.max_unavailable,
            "since": round(facts.since, 3),
            "phase": status.phase,
            "running": status.running,
            "wanted": status.wanted,
            "health": status.health,
            "reason": clean(cut(status.reason)),
            "zxid": status.zxid,
            "running_at": round(status.running_at, 3),
            "wanted_at": round(status.wanted_at, 3),
            "paths": list(facts.paths),
            **_marks(facts),
        }
    )


def _marks(facts: StatusFacts) -> dict[str, Any]:
    """What few members have to tell, and earlier versions did not."""
    marks: dict[str, Any] = {}
    if facts.duplicate_of:
        marks["duplicate_of"] = facts.duplicate_of
    if facts.shared:
        marks["shared"] = [{"member": m, "file": clean(file)} for m, file in facts.shared]
    return marks


def decode_status(content: bytes) -> tuple[MemberStatus, StatusFacts]:
    """What a member's node tells."""
    fields = Fields.of_bytes(content, "the card")
    status = MemberStatus(
        phase=fields.words("phase"),
        running=fields.text("running"),
        wanted=fields.text("wanted"),
        health=fields.words("health"),
        reason=fields.words("reason"),
        zxid=fields.integer("zxid"),
        running_at=fields.time("running_at"),
        wanted_at=fields.time("wanted_at"),
    )
    facts = StatusFacts(
        host=fields.words("host"),
        pid=fields.integer("pid", least=0),
        version=fields.words("version"),
        place=fields.text("place"),
        max_unavailable=fields.words("max_unavailable"),
        since=fields.time("since"),
        paths=tuple(fields.texts("paths")),
        duplicate_of=fields.text("duplicate_of") if fields.has("duplicate_of") else "",
        shared=tuple(
            (item.text("member"), item.text("file"))
            for item in (fields.items("shared") if fields.has("shared") else ())
        ),
    )
    return status, facts
