"""Which earlier contents an undo has to bring back after a failure, for each path.

A plain `undo` goes back by one push.  If that one has failed as well, the operator has to go back
further: to what the inputs contained when a version was known good.
"""

from collections.abc import Sequence

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import is_same_contents, scope_of
from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.history.tree_content import contains
from zkexec.ctl.status.input_writes import InputWrites, places_of
from zkexec.ctl.status.progress import Progress
from zkexec.frozen import frozen


@frozen()
class UndoTarget:
    """A path to undo; `revision` is the one to go back to, 0 if it is the one before."""

    path: str
    revision: int = 0


def undo_targets(
    progress: Progress, record: RolloutRecord, writes: InputWrites
) -> Sequence[UndoTarget]:
    """Return what to undo, so that the inputs are as they were before the failure.

    Nothing is, if the contents were good before an operator requested a restart of them, or if no
    history has what was there before.
    """
    if _was_good_before(progress, record):
        return ()
    good = record.versions.get(progress.previous_digest) if progress.previous_digest else None
    good_zxid = good.zxid if good is not None else 0
    failed = _failed_zxids(progress, record)
    targets: dict[str, UndoTarget] = {}
    for path in _written_since(progress, writes, good_zxid):
        if path not in writes.histories:
            # It may not be read here, so only the operator can find out.
            targets[path] = UndoTarget(path)
            continue
        written = writes.znodes[path].zxid
        for places in _places(path, writes):
            found = [
                target
                for place in places
                if (target := _target(place, writes.entries_of(place), written, good_zxid, failed))
            ]
            targets.update((target.path, target) for target in found)
            if found:
                break
    # An undo of a tree brings back what is part of it as well.
    return [
        target
        for place, target in targets.items()
        if not any(other != place and contains(other, place) for other in targets)
    ]


def _was_good_before(progress: Progress, record: RolloutRecord) -> bool:
    is_restart = progress.request is not None and progress.request.operation == "restart"
    return is_restart and any(
        state.known_good and is_same_contents(digest, progress.digest)
        for digest, state in record.versions.items()
    )


def _failed_zxids(progress: Progress, record: RolloutRecord) -> set[int]:
    scope = scope_of(progress.inputs)
    return {s.zxid for s in record.versions.values() if s.failed_by and s.scope in (scope, "")}


def _written_since(progress: Progress, writes: InputWrites, zxid: int) -> list[str]:
    """Return the inputs that were written since the version was known good, or last."""
    known = {path: writes.znodes[path].zxid for path in progress.inputs if path in writes.znodes}
    newest = max(known.values(), default=0)
    return [path for path, written in known.items() if written > (zxid or newest - 1)]


def _places(path: str, writes: InputWrites) -> list[list[str]]:
    """Return the paths whose undo can bring back an input, what was pushed together in one list."""
    write = writes.newest([path])
    pushed = [write.path, *(label.rpartition("@")[0] for label in write.also)] if write else []
    return [pushed, *([place] for place in (*places_of(path), *writes.parts.get(path, ())))]


def _target(
    place: str,
    entries: Sequence[HistoryEntry],
    written: int,
    good_zxid: int,
    failed: set[int],
) -> UndoTarget | None:
    """Return what to undo of one path, whose input was written last in this transaction."""
    if not entries:
        return None
    newest = entries[-1]
    if newest.zxid < written:
        # Another tool has written since, so the newest entry is what was there before.
        earlier = plain = list(entries)
    else:
        earlier = [entry for entry in entries[:-1] if entry.digest != newest.digest]
        plain = [entry for entry in earlier if entry.revision < newest.origin]
    is_known = good_zxid and any(entry.zxid for entry in entries[:-1])
    if is_known:
        good = [entry for entry in earlier if 0 < entry.zxid <= good_zxid]
    else:
        good = [entry for entry in plain if not entry.zxid or entry.zxid not in failed]
    if not good:
        return None
    is_plain = bool(plain) and plain[-1].digest == good[-1].digest
    return UndoTarget(place, 0 if is_plain else good[-1].revision)
