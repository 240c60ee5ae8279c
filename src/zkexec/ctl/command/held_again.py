"""Find the versions that a push makes once more, so that its hold is about them as well.

A hold is not about what was known good before it.  But an operator who pushes known good contents
again with a hold wants to see them on a few members first.

A member knows a version by the newest transaction that wrote its inputs.  The histories have the
transactions of what was pushed, so they show which contents a version was made of.  A version that
the record has forgotten is not known good any more.

The file is short because the rule is about holds alone, and `push` is long.
"""

from collections.abc import Sequence

from zkexec.core.rollout.version import ConfigVersion
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory, digest_of
from zkexec.ctl.history.tree_content import contains
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.frozen import replace


def held_again(changes: Sequence[ContentChange], group: GroupStatus) -> dict[str, int]:
    """Return the known good versions with the new contents of these paths.

    They are named by digest, each with how many turns with its contents have ended well.
    """
    ever = replace(group.record, hold=None)
    return {
        digest: ever.ended_well(ConfigVersion(digest, state.zxid, state.scope))
        for digest, state in group.record.versions.items()
        if changes
        and state.known_good
        and all(_had_new_content(change, state.zxid) for change in changes)
        and not _is_changed_beside(changes, group, state.zxid)
    }


def _had_new_content(change: ContentChange, zxid: int) -> bool:
    """Return whether the path had its new content in this transaction."""
    entry = _entry_at(change.history, zxid)
    return entry is not None and entry.digest == digest_of(change.content)


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
