"""What a group knows of one version beside the decisions: failures, lost turns and successes.

Each failure and each lost turn has a znode of its own below that of the version.  Its name has the
kind of the znode, a dot, and the member or the token of the turn.  The version of the znode
`succeeded` counts the turns that ended well.
"""

from __future__ import annotations

from zkexec.core.rollout.version_state import AS_COMMITTED, VersionState
from zkexec.frozen import frozen, replace
from zkexec.group.entry_codec import WRITTEN_AT
from zkexec.group.json_fields import INTEGER, SHOWN, Fields, Table, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


SUCCEEDED = "succeeded"
_FAILED = "failed"
_CONDEMNED = "condemned"
_LOST = "lost"
_MOST_LOST_TURNS = 1000
"""More than that are not counted."""


@frozen()
class FailureSummary:
    """The last failure of a version; `member` is "" if it is unknown."""

    member: str
    reason: str
    step: str
    at: float


@frozen()
class MemberFailure:
    """The failure of a version on one member; `zxid` is that of the version."""

    reason: str
    step: str
    at: float
    zxid: int


_SUMMARY = Table(
    FailureSummary, {"member": SHOWN, "reason": SHOWN, "step": SHOWN, "at": WRITTEN_AT}
)
_FAILURE = Table(MemberFailure, {"reason": SHOWN, "step": SHOWN, "at": WRITTEN_AT, "zxid": INTEGER})


def failed_name(member: str) -> str:
    """Return the name of the znode of a failure."""
    return f"{_FAILED}.{member}"


def condemned_name(member: str) -> str:
    """Return the name of the znode of a lost turn that made the version fail."""
    return f"{_CONDEMNED}.{member}"


def lost_name(token: str) -> str:
    """Return the name of the znode of a lost turn."""
    return f"{_LOST}.{token}"


def failure_names(state: VersionState) -> set[str]:
    """Return the names of the znodes of all failures."""
    condemned = {condemned_name(member) for member in state.condemned_by}
    others = set(state.failed_by).difference(state.condemned_by)
    return condemned | {failed_name(member) for member in others}


def lost_names(children: Collection[str]) -> list[str]:
    """Return those of these names that are of lost turns."""
    return sorted(name for name in children if _parts(name)[0] == _LOST)


def encode_summary(state: VersionState, member: str, now: float) -> bytes:
    """Make the bytes of a version's znode; none if it has failed on no member."""
    if not state.failed_by:
        return b""
    summary = FailureSummary(member, state.reason, state.step, state.at)
    return to_json(_SUMMARY.write(summary, now))


def encode_failure(state: VersionState, now: float) -> bytes:
    """Make the bytes of the znode of a failure, which is the last one of this state."""
    failure = MemberFailure(state.reason, state.step, AS_COMMITTED, state.zxid)
    return to_json(_FAILURE.write(failure, now))


def decode_failure(content: bytes) -> MemberFailure:
    """Read the znode of a failure; ValueError if it is not valid."""
    failure: MemberFailure = _FAILURE.read(Fields.of_bytes(content, "the failure"))
    return failure


def decode_summary(content: bytes) -> FailureSummary:
    """Read the znode of a version; ValueError if it is not valid."""
    if not content:
        return FailureSummary("", "", "", AS_COMMITTED)
    summary: FailureSummary = _SUMMARY.read(Fields.of_bytes(content, "the summary of failures"))
    return summary


def with_trials(
    state: VersionState, content: bytes, children: Collection[str], succeeded: int
) -> VersionState:
    """Complete the decisions on a version by the znodes below its own.

    `content` is that of its own znode, `succeeded` the version of the znode of this name.
    ValueError if the content is not valid.
    """
    parts = [_parts(name) for name in children]
    condemned = sorted(rest for kind, rest in parts if kind == _CONDEMNED and rest)
    failed = {rest for kind, rest in parts if kind == _FAILED and rest}.union(condemned)
    summary = decode_summary(content)
    found = replace(
        state,
        failed_by=tuple(sorted(failed)),
        condemned_by=tuple(condemned),
        lost_turns=min(len(lost_names(children)), _MOST_LOST_TURNS),
        succeeded=succeeded,
    )
    if not failed:
        return found
    return replace(found, reason=summary.reason, step=summary.step, at=summary.at)


def _parts(name: str) -> tuple[str, str]:
    kind, _, rest = name.partition(".")
    return kind, rest
