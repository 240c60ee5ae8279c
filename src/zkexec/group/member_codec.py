"""The status of a member as the bytes of its node, and back, see `json_fields`."""

from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen
from zkexec.group.json_fields import (
    INTEGER,
    SHOWN,
    TEXT,
    TEXTS,
    TIME,
    TRUTH,
    Fields,
    Table,
    nullable,
    pairs,
    to_json,
)
from zkexec.group.member_profile import LastTurn


@frozen()
class StatusFacts:
    """What a node contains beside the core's status: who wrote it, on which host and when.

    `lock_file_id` is a text that two living processes never have in common.  `max_unavailable` and
    `max_failed` are those of the options as texts; `since` is the time at which the phase was
    entered, in seconds of the epoch.  `inputs` are the paths of the inputs, below the chroot.

    `duplicate_of` is the member ID of this process if another process has it, so that the node has
    another name.  `shared` are members of the same host that write to the same files, with one of
    these files each.  `first_check_s` is how long after its start a command has its first health
    check, 0 if it has none.  `turn` is its last one.
    """

    host: str
    pid: int
    zkexec_version: str
    lock_file_id: str
    max_unavailable: str
    since: float
    inputs: tuple[str, ...] = ()
    duplicate_of: str = ""
    shared: tuple[tuple[str, str], ...] = ()
    zone: str = ""
    max_failed: str = "0"
    first_check_s: float = 0.0
    turn: LastTurn | None = None


_STATUS = Table(
    MemberStatus,
    {
        "phase": SHOWN,
        "running": TEXT,
        "wanted": TEXT,
        "health": SHOWN,
        "reason": SHOWN,
        "zxid": INTEGER,
        "running_at": TIME,
        "wanted_at": TIME,
        "step": SHOWN,
        "unavailable": TRUTH.optional(False),
        "running_zxid": INTEGER.optional(0),
    },
)
_TURN = Table(
    LastTurn,
    {
        "began": TIME,
        "digest": TEXT,
        "ended": TIME,
        "action": SHOWN.optional(""),
        "result": SHOWN.optional(""),
    },
)
_FACTS = Table(
    StatusFacts,
    {
        "host": SHOWN,
        "pid": INTEGER,
        "zkexec_version": SHOWN,
        "lock_file_id": TEXT,
        "max_unavailable": SHOWN,
        "since": TIME,
        "inputs": TEXTS,
        "duplicate_of": TEXT.optional(""),
        "shared": pairs("member", "file").optional(()),
        "zone": SHOWN.optional(""),
        "max_failed": SHOWN,
        "first_check_s": TIME.optional(0.0),
        "turn": nullable(_TURN).optional(None),
    },
)


def encode_status(status: MemberStatus, facts: StatusFacts) -> bytes:
    """Make the bytes of a member's node."""
    return to_json(_STATUS.write(status) | _FACTS.write(facts))


def decode_status(content: bytes) -> tuple[MemberStatus, StatusFacts]:
    """Read what a member's node contains; ValueError if that is no status."""
    fields = Fields.of_bytes(content, "the member status")
    return _STATUS.read(fields), _FACTS.read(fields)
