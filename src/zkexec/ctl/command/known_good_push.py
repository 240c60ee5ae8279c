"""Find out whether contents that are to be held were known good before: a hold is not about these.

A member knows a version by the newest transaction that wrote its inputs.  The histories have the
transactions of what was pushed, so they show which contents a version was made of.  What another
tool has written shows nothing, and neither does a version that the record has forgotten.

The file is short because the rule is about holds alone, and `push` is long.
"""

from collections.abc import Iterator, Sequence

from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory, digest_of
from zkexec.ctl.history.tree_content import contains
from zkexec.ctl.status.group_status import GroupStatus


def known_good_label(changes: Sequence[ContentChange], group: GroupStatus) -> str:
    """Return which revision of a path was known good with these contents, "" if none was."""
    for zxid in _known_good(group.record):
        found = [_entry_of(change, zxid) for change in changes]
        if found and None not in found and not _is_changed_beside(changes, group, zxid):
            entry = found[0]
            return f"{changes[0].path}@{entry.revision}" if entry else ""
    return ""


def _known_good(record: RolloutRecord) -> Iterator[int]:
    """Give the zxids of the versions that a hold of this moment is not about."""
    held = record.hold
    for digest, state in record.versions.items():
        if state.known_good and (held is None or digest in held.known_good):
            yield state.zxid


def _entry_of(change: ContentChange, zxid: int) -> HistoryEntry | None:
    """Return the entry of the new content, if the path had it in this transaction."""
    entry = _entry_at(change.history, zxid)
    return entry if entry and entry.digest == digest_of(change.content) else None


def _entry_at(history: PathHistory, zxid: int) -> HistoryEntry | None:
    """Return the entry of what a path contained in a transaction, if it is known."""
    # The index has no zxid of its newest entry, as it was written in the same transaction.
    begins = [entry.zxid or history.index_mzxid for entry in history.entries]
    for entry, begin, end in zip(history.entries, begins, [*begins[1:], 0], strict=False):
        if begin == zxid or (entry.lasted and begin < zxid < end):
            return entry
    return None


def _is_changed_beside(changes: Sequence[ContentChange], group: GroupStatus, zxid: int) -> bool:
    """Return whether another input was written since, so that the version will be another one."""
    paths = [change.path for change in changes]
    return any(
        write.zxid > zxid and not any(path == one or contains(one, path) for path in paths)
        for one, write in group.znodes.items()
    )
