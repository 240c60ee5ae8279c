"""Read the histories of the inputs of groups: which push has written what.

Of each input its own history is read, and those of the trees around it; if none of them has the
newest write of a tree, also those of its parts that were written last.  Only the inputs that were
written last count, so the number of requests does not depend on the number of members.
"""

from collections.abc import Iterable, Mapping, Sequence

from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.status.input_writes import InputWrites, places_of
from zkexec.ctl.status.member_row import LastWrite
from zkexec.ctl.status.read_key import ReadKey, ZnodeKind
from zkexec.ctl.status.znode_reads import ZnodeReads
from zkexec.ctl.status.znode_values import HistoryFound
from zkexec.zookeeper.requests import Dialogue

MOST_INPUTS = 20
"""As many inputs have their histories read, those that were written last."""
LONGEST_PATH, DEEPEST_PATH = 1000, 20
"""No history is read of an input with a longer path: its name could be too much for a request."""


class HistoryReads:
    """The histories that belong to some inputs."""

    def __init__(self, reads: ZnodeReads, chroot: str) -> None:
        """`reads` reads them, and has what was read."""
        self._reads = reads
        self._paths = HistoryPaths.below(chroot)
        self._places: dict[ReadKey, str] = {}
        """The paths whose histories were read, by what was read of them."""

    def read(self, writes: Mapping[str, LastWrite], parts: Mapping[str, Sequence[str]]) -> Dialogue:
        """Read the histories of inputs; `parts` are what was written last in each tree."""
        usual = [path for path in writes if _is_usual(path)]
        newest = sorted(usual, key=lambda path: -writes[path].zxid)[:MOST_INPUTS]
        yield from self._fetch(place for path in newest for place in places_of(path))
        found = InputWrites(self._entries(), writes)
        unclear = [path for path in newest if not found.has_push(path, writes[path].zxid)]
        yield from self._fetch(part for path in unclear for part in parts.get(path, ()))
        return None

    def of(
        self, writes: Mapping[str, LastWrite], parts: Mapping[str, Sequence[str]]
    ) -> InputWrites:
        """Return what is known of the writes of these inputs."""
        return InputWrites(self._entries(), writes, parts)

    def _fetch(self, places: Iterable[str]) -> Dialogue:
        self._places.update((self._key(place), place) for place in places)
        yield from self._reads.fetch(self._places)
        return None

    def _entries(self) -> dict[str, Sequence[HistoryEntry]]:
        """The entries of each history that was read, and could be understood."""
        found = ((place, self._reads.found.get(key)) for key, place in self._places.items())
        entries: dict[str, Sequence[HistoryEntry]] = {}
        for place, one in found:
            if one is None:
                entries[place] = ()
            elif isinstance(one, HistoryFound) and one.entries is not None:
                entries[place] = one.entries
        return entries

    def _key(self, place: str) -> ReadKey:
        return ReadKey(ZnodeKind.HISTORY, self._paths.index(place))


def _is_usual(path: str) -> bool:
    return len(path) <= LONGEST_PATH and path.count("/") <= DEEPEST_PATH
