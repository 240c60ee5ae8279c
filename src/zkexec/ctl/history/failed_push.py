"""A push whose rollout has failed, and how it is undone: for `--undo-on-failure`.

The rules of this file:

- Nothing is undone if one of the paths was written since the push, by whatever tool: another
  operator has acted, and knows more.
- A path that the push has created is left.  `undo` deletes no znode, either.
"""

from collections.abc import Sequence

from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory, digest_of
from zkexec.ctl.history.push_conflict import conflict_of
from zkexec.ctl.history.push_transaction import PushResult
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.phrases import names
from zkexec.frozen import frozen
from zkexec.text import cut, printable


@frozen()
class FailedPush:
    """The changes of a push to a group, what it has written, and why its rollout has failed.

    `connection_words` are the connection options that commands have to repeat.
    """

    lock: str
    changes: Sequence[ContentChange]
    result: PushResult
    reason: str
    connection_words: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The message of the push that undoes it."""
        return printable(cut(f"undone: {self.reason}"))

    def undone_by(self, histories: Sequence[PathHistory]) -> list[ContentChange]:
        """Make the changes that bring back the previous contents, from the histories as of now.

        Raises SubcommandError if a path was written since the push, or none was changed by it.
        """
        if not self.result.entries:
            raise SubcommandError("it has changed nothing")
        pairs = zip(self.changes, histories, strict=True)
        return [self._previous(change, now) for change, now in pairs]

    def is_undone_by(self, undone: Sequence[ContentChange]) -> bool:
        """Return whether these changes leave nothing of what the push has written."""
        return not self._left(undone)

    def report(self, undone: Sequence[ContentChange], *, has_hold: bool) -> list[str]:
        """Write what was undone, and what is left, in a few lines; `has_hold` if the hold is."""
        lines = []
        needed = [change for change in undone if change.is_needed]
        if needed:
            back = ", ".join(
                f"{change.path} has the content of {change.source}" for change in needed
            )
            follow = printed_command(self.connection_words, "wait", self.lock)
            lines.append(f"the push is undone: {back} again; to follow this: {follow}")
        if left := self._left(undone):
            paths = names(sorted(left))
            lines.append(f"created by the push, and left as an undo deletes nothing: {paths}")
        if has_hold:
            remove = printed_command(self.connection_words, "approve", self.lock)
            lines.append(f"the hold of the push is still there; to remove it: {remove}")
        return lines

    def _left(self, undone: Sequence[ContentChange]) -> set[str]:
        return self.result.entries.keys() - {one.path for one in undone if one.is_needed}

    def _previous(self, change: ContentChange, now: PathHistory) -> ContentChange:
        pushed, before = self.result.entries.get(change.path), change.history.content
        if pushed is None:
            if conflict := conflict_of(change.history, now):
                raise SubcommandError(conflict)
            return _unchanged(now)
        if writing := _written_since(now, pushed, self.result.zxid):
            raise SubcommandError(f"{change.path} {writing} since")
        if before is None:
            return _unchanged(now)
        digest = digest_of(before)
        known = [entry for entry in now.entries[:-1] if entry.digest == digest]
        # What was too much to be kept has no entry, but is still in memory.
        return ContentChange(
            history=now,
            content=before,
            source=f"@{known[-1].revision}" if known else "another tool",
            restored_revision=known[-1].origin if known else 0,
        )


def _unchanged(now: PathHistory) -> ContentChange:
    return ContentChange(history=now, content=now.content or b"", source="")


def _written_since(now: PathHistory, pushed: HistoryEntry, zxid: int) -> str:
    """Write how a path was written since the push; "" if it was not."""
    if now.content is None:
        return "was deleted"
    newest = now.entries[-1] if now.entries else pushed
    if newest.revision > pushed.revision:
        return f"was written as @{newest.revision} by {newest.by or 'another tool'}"
    writes = [now.mzxid]
    if now.tree is not None:
        writes += [znode.stat.mzxid for znode in now.tree.znodes.values()]
    is_same = now.present is not None and now.present.token == pushed.token
    return "" if is_same and max(writes) <= zxid else "was written by another tool"
