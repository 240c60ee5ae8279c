"""Which push has written an input: its revision, its author and its message, by the histories.

The rules of this file:

- A push writes its path and the index of the history in one transaction, and each entry has its
  zxid.  So a write is the push of an entry exactly if the two zxids are equal.  No content is read.
- What was written to a part of a tree can be in the history of the part, of the tree, or of a tree
  above it.
- A revision is only named if the znodes prove it.  A history that may not be read proves nothing,
  also not that another tool has written.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.status.member_row import LastWrite
from zkexec.frozen import frozen, replace


@frozen(kw_only=True)
class InputWrite:
    """One write of an input.

    `path` is that of the history that has it, which can be that of a tree.  `revision` is 0, and
    `by` and `message` are "", if the write is in no history.  `also` are the labels of what else
    was written by the same push.  `at` is in seconds of the epoch, 0 if it is not known.
    """

    path: str
    zxid: int
    at: float = 0.0
    revision: int = 0
    by: str = ""
    message: str = ""
    set_by_other_tool: bool = False
    also: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The path with the revision; "" if there is none."""
        return f"{self.path}@{self.revision}" if self.revision else ""


def places_of(path: str) -> list[str]:
    """Return the paths whose history can have all of an input: itself, and the trees around it."""
    parts = path.strip("/").split("/")[:-1]
    return [path, *(f"/{'/'.join(parts[:count])}/" for count in range(len(parts), 0, -1))]


@frozen()
class InputWrites:
    """What is known of the writes of some inputs.

    `histories` are the entries of each path, each with its zxid; none if the path has no history.
    A path whose history may not be read is left out.  `znodes` are the newest writes of the inputs,
    `parts` the znodes in each tree that were written in its newest write.
    """

    histories: Mapping[str, Sequence[HistoryEntry]] = {}
    znodes: Mapping[str, LastWrite] = {}
    parts: Mapping[str, Sequence[str]] = {}

    def newest(self, inputs: Iterable[str]) -> InputWrite | None:
        """Return the newest write of these inputs; None if none of them is known to exist."""
        known = {path: self.znodes[path] for path in inputs if path in self.znodes}
        zxid = max((write.zxid for write in known.values()), default=0)
        newest = [self._newest_of(path) for path, write in known.items() if write.zxid == zxid]
        return _together(newest)

    def at(self, zxid: int, inputs: Sequence[str]) -> InputWrite | None:
        """Return the newest write of these inputs as of a transaction; None if it is not proven."""
        pushed = [write for path in inputs if (write := self._pushed(path, zxid))]
        if pushed or not zxid:
            return _together(pushed)
        lasting = [self.lasting(path, zxid) for path in inputs]
        found = [write for write in lasting if write is not None]
        if len(found) < len(lasting):
            return None
        newest = max((write.zxid for write in found), default=0)
        return _together([write for write in found if write.zxid == newest])

    def lasting(self, path: str, zxid: int) -> InputWrite | None:
        """Return what an input contained in a transaction that did not write it, if it is proven.

        Nothing is, if another tool may have written in between.
        """
        write = self.znodes.get(path)
        if write is not None and write.zxid <= zxid:
            return self._newest_of(path)
        # A part of a tree has lasted if the tree has, but not the other way round.
        for place in places_of(path):
            entries = self.histories.get(place, ())
            for entry, later in pairwise(entries):
                if entry.lasted and entry.zxid <= zxid < later.zxid:
                    return _of_entry(place, entry)
        return None

    def has_push(self, path: str, zxid: int) -> bool:
        """Return whether a history has the push of an input in this transaction."""
        return self._pushed(path, zxid) is not None

    def entries_of(self, path: str) -> Sequence[HistoryEntry]:
        """Return the entries of a path, the oldest first; none if there is no history."""
        return self.histories.get(path, ())

    def _newest_of(self, path: str) -> InputWrite:
        write = self.znodes[path]
        if found := self._pushed(path, write.zxid):
            return replace(found, at=write.at or found.at)
        places = (*places_of(path), *self.parts.get(path, ()))
        is_known = all(place in self.histories for place in places)
        return InputWrite(path=path, zxid=write.zxid, at=write.at, set_by_other_tool=is_known)

    def _pushed(self, path: str, zxid: int) -> InputWrite | None:
        """Return the push of an input in this transaction, by the first history that has it.

        The histories of the parts of a tree come last: one push can have written several.
        """
        found = (push for place in places_of(path) if (push := self._push_to(place, zxid)))
        parts = (self._push_to(part, zxid) for part in self.parts.get(path, ()))
        return next(found, None) or _together([push for push in parts if push])

    def _push_to(self, place: str, zxid: int) -> InputWrite | None:
        entries = self.histories.get(place, ())
        return next((_of_entry(place, entry) for entry in entries if zxid == entry.zxid > 0), None)


def _of_entry(path: str, entry: HistoryEntry) -> InputWrite:
    return InputWrite(
        path=path,
        zxid=entry.zxid,
        at=entry.at,
        revision=entry.revision,
        by=entry.by,
        message=entry.message,
        set_by_other_tool=entry.set_by_other_tool,
    )


def _together(writes: Sequence[InputWrite]) -> InputWrite | None:
    """Return writes of one transaction as one: the first, with the labels of the others."""
    if not writes:
        return None
    first = next((write for write in writes if write.revision), writes[0])
    labels = dict.fromkeys(write.label for write in writes if write.label)
    return replace(first, also=tuple(label for label in labels if label != first.label))
