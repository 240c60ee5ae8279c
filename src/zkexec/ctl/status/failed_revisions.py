"""Whether an earlier content of a path has failed in a group, and which one was good there.

A version in the record of a group has the transaction of its newest input, and so has each entry of
a history.  The same content can have come more than once.
"""

from collections.abc import Iterable

from zkexec.ctl.history.content_history import HistoryEntry, PathHistory
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.input_users import concerns


def failed_revisions(
    history: PathHistory, entry: HistoryEntry, groups: Iterable[GroupStatus]
) -> list[str]:
    """Write in which groups this content of the path has failed, and what to go back to instead."""
    return [
        _warning(history, entry, group)
        for group in groups
        if any(concerns(one, history.path) for one in group.inputs)
        and _zxids(history, entry) & _failed(group)
    ]


def _warning(history: PathHistory, entry: HistoryEntry, group: GroupStatus) -> str:
    text = f"@{entry.revision} of {history.path} has failed in {group.name} as well"
    good = [
        one
        for one in history.entries
        if one.digest != entry.digest and _zxids(history, one) & _good(group)
    ]
    present = history.present
    earlier = [one for one in good if present is None or one.digest != present.digest]
    if not earlier:
        return f"{text}; none of the revisions in its history is known good there"
    revision = earlier[-1].revision
    words = ("undo", history.path, "--to", str(revision), "--lock", group.name)
    undo = printed_command(group.connection_words, *words)
    return f"{text}; the last known good is @{revision}: {undo}"


def _zxids(history: PathHistory, entry: HistoryEntry) -> set[int]:
    """Return the transactions in which the path got the content of this entry."""
    return {one.zxid for one in history.entries if one.digest == entry.digest and one.zxid}


def _failed(group: GroupStatus) -> set[int]:
    return {state.zxid for state in group.record.versions.values() if state.failed_by}


def _good(group: GroupStatus) -> set[int]:
    states = group.record.versions.values()
    return {state.zxid for state in states if state.known_good and not state.failed_by}
