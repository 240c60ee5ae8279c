"""What zkexecctl makes of the content of one znode of a group; no content is an error here.

Whatever a znode contains was written by others.  What cannot be understood becomes a value that
explains why.
"""

from collections.abc import Callable
from typing import Any

from zkexec.core.input_options import root_of
from zkexec.core.inputs import restart_name
from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.history.content_history import HistoryEntry, decode_index
from zkexec.ctl.status.member_row import IgnoreReason, LastWrite, MemberZnode
from zkexec.ctl.status.read_key import ReadKey, ZnodeKind
from zkexec.frozen import frozen, replace
from zkexec.group import record_codec
from zkexec.group.entry_codec import decode_queued
from zkexec.group.json_fields import NewerFormatError
from zkexec.group.member_codec import decode_status
from zkexec.group.paths import is_left_over
from zkexec.group.version_codec import MemberFailure, decode_failure
from zkexec.text import cut
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.values import Stat


@frozen()
class DecisionsFound:
    """The decisions of a group, or why they are not known."""

    record: RolloutRecord
    error: str = ""
    is_newer: bool = False


@frozen()
class HistoryFound:
    """The entries of a history, each with its zxid; None if they are not understood."""

    entries: tuple[HistoryEntry, ...] | None


@frozen()
class WaitingNode:
    """A node in the queue; the member is "" if it is not known."""

    member: str = ""
    is_left_over: bool = False


def understood(key: ReadKey, outcome: Any) -> object:  # noqa: ANN401 -- as each request has it
    """Return what the answer to a read means."""
    if key.kind is ZnodeKind.COUNT:
        return outcome[1]
    if key.kind is ZnodeKind.INPUT:
        return outcome and _last_write(outcome)
    meaning = _MEANINGS.get(key.kind)
    return outcome if meaning is None else meaning(*outcome)


def is_tree(path: str) -> bool:
    """Whether an input is a tree."""
    return path.endswith("/") and bool(path.strip("/"))


def _decisions(content: bytes, stat: Stat) -> DecisionsFound:
    try:
        return DecisionsFound(record_codec.decode(content).clamped_to(stat.mzxid))
    except ValueError as error:
        is_newer = isinstance(error, NewerFormatError)
        return DecisionsFound(RolloutRecord(), str(error), is_newer)


def _member(content: bytes, stat: Stat) -> MemberZnode:
    created_at = stat.ctime / 1000
    if is_left_over(stat):
        return MemberZnode(created_at=created_at, is_left_over=True)
    try:
        status, facts = decode_status(content)
        for path in facts.inputs:
            check_zk_path(root_of(path) if is_tree(path) else path)
    except ValueError as error:
        return MemberZnode(created_at=created_at, error=str(error))
    # Such a zxid is from before the ensemble was wiped or restored.
    if status.zxid > stat.mzxid:
        status = replace(status, zxid=0)
    if status.running_zxid > stat.mzxid:
        status = replace(status, running_zxid=0)
    return MemberZnode(status, facts, created_at)


def _queue_node(content: bytes, stat: Stat) -> WaitingNode:
    try:
        member = decode_queued(content).member
    except ValueError:
        member = ""
    return WaitingNode(member, is_left_over(stat))


def _failure(content: bytes, stat: Stat) -> MemberFailure:
    try:
        return decode_failure(content)
    except ValueError as error:
        return MemberFailure(str(error), "", stat.mtime / 1000, stat.mzxid)


def _last_write(stat: Stat) -> LastWrite:
    return LastWrite(stat.mzxid, stat.mtime / 1000, stat.data_length)


def _restart(content: bytes, stat: Stat) -> LastWrite | IgnoreReason:
    if restart_name(content) is None:
        return IgnoreReason.NO_REQUEST
    return replace(_last_write(stat), request=cut(content.decode(errors="replace")))


def _history(content: bytes, stat: Stat) -> HistoryFound:
    try:
        return HistoryFound(decode_index(content, stat.mzxid))
    except ValueError:
        return HistoryFound(None)


_MEANINGS: dict[ZnodeKind, Callable[[bytes, Stat], object]] = {
    ZnodeKind.RECORD: _decisions,
    ZnodeKind.MEMBER: _member,
    ZnodeKind.QUEUE_NODE: _queue_node,
    ZnodeKind.FAILURE: _failure,
    ZnodeKind.RESTART: _restart,
    ZnodeKind.HISTORY: _history,
}
"""What becomes of the content and the statistics of a znode; all else is kept as it is."""
