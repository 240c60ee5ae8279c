"""Read the znodes of groups, once or again and again, and make a `GroupStatus` of each.

Everything that can be requested at once is requested at once.  While groups are watched, only what
has changed is read again.  A large group has no watches on single members: there everything is
read again from time to time.  What cannot be read or understood becomes part of the status: no
content of a znode is an error here.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from zkexec.cli.converters import HISTORY
from zkexec.core.rollout.queued_member import queue_number
from zkexec.ctl.cluster_connection import LOST, STALE, NewDialogue
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.status.found_group import FoundGroup
from zkexec.ctl.status.group_status import GroupStatus, counting_order
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.history_reads import HistoryReads
from zkexec.ctl.status.member_row import LastWrite
from zkexec.ctl.status.read_key import WRITTEN, ReadKey, Unreadable, ZnodeKind
from zkexec.ctl.status.tree_survey import TreeSurvey
from zkexec.ctl.status.znode_reads import ZnodeReads
from zkexec.ctl.status.znode_values import is_tree
from zkexec.frozen import replace
from zkexec.group.bulk_read import BulkRead
from zkexec.group.paths import Paths
from zkexec.group.version_codec import SUCCEEDED
from zkexec.znode_paths import RESTART, group_path
from zkexec.zookeeper.errors import NoAuthError
from zkexec.zookeeper.requests import Dialogue
from zkexec.zookeeper.values import Stat

ROOT = "/zkexec"
"""The groups whose names do not begin with a slash are below it."""

MOST_WATCHED = 500
"""Of a group with more members, no member is watched."""
READ_AFTER_S = 5.0
"""If such a group changes, it is read again at most this often."""
READ_EVERY_S = 30.0
"""Such a group is read again this often, even if no change of it was reported."""

_OF_A_GROUP = frozenset(
    {"state", "members", "queue", "in_flight", "unavailable", "versions", "zones", RESTART}
)


class UnreachableError(SubcommandError):
    """The cluster does not answer; it may do so later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CANNOT_WORK)


class ClusterReads(Protocol):
    """What runs the dialogues: a `ClusterConnection`."""

    chroot: str
    connection: int
    connection_words: tuple[str, ...]

    @property
    def lacks_multi_read(self) -> bool:
        """Whether the servers are known to be older than 3.6."""

    def run(self, new_dialogue: NewDialogue, timeout_s: float | None = None) -> Any:  # noqa: ANN401 -- what it returns
        """Run a dialogue until it has a result; SubcommandError if that takes longer."""


class GroupReader:
    """Reads one group, or all below `ROOT`, of one cluster.

    A watch belongs to one connection; after a reconnect everything is read again.  The same happens
    from time to time, since a server can drop a watch without notice.
    """

    def __init__(
        self,
        cluster: ClusterReads,
        lock: str = "",
        *,
        live: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read all groups if `lock` is "".  `live` sets watches, see `forget`.

        `monotonic` gives the time, in seconds.
        """
        self._cluster = cluster
        self._lock = lock
        self._live = live
        self._monotonic = monotonic
        self._connection = 0
        self._known: Mapping[ReadKey, Any] = {}
        self._groups: tuple[GroupStatus, ...] = ()
        self._summaries: tuple[GroupSummary, ...] = ()
        self._due_at = -math.inf
        """When everything that is not watched is read again; never if all is watched."""
        self._read_at = -math.inf

    def read(self, timeout_s: float | None = None) -> tuple[GroupStatus, ...]:
        """Read the groups; what is known and was not forgotten is not read again.

        Raises UnreachableError if the cluster does not answer in time.
        """
        if self._is_early:
            return self._groups

        def dialogue() -> Dialogue:
            read = self._new_read()
            bases = yield from read.groups(self._lock)
            yield from read.members(bases)
            words = self._cluster.connection_words
            found = (read.status(*each) for each in bases.items())
            return read, tuple(replace(one, connection_words=words) for one in found)

        self._groups = self._run(dialogue, timeout_s)
        return self._groups

    def summaries(self, timeout_s: float | None = None) -> tuple[GroupSummary, ...]:
        """Read what the list of all groups shows, in the same way."""
        if self._is_early:
            return self._summaries

        def dialogue() -> Dialogue:
            read = self._new_read()
            bases = yield from read.groups(self._lock)
            yield from read.numbers(bases)
            return read, tuple(read.summary(*each) for each in bases.items())

        self._summaries = self._run(dialogue, timeout_s)
        return self._summaries

    def forget(self, changed: Iterable[object]) -> bool:
        """Forget what has changed, as `ClusterConnection.changed` returns it.

        Returns whether the next reading can find something else.
        """
        gone = set(changed)
        known = len(self._known)
        if gone.isdisjoint((LOST, STALE)):
            gone |= self._beside(gone)
            self._known = {key: found for key, found in self._known.items() if key not in gone}
        else:
            self._known = {}
        if LOST in gone:
            self._due_at = -math.inf
        elif gone and math.isfinite(self._due_at):
            self._due_at = min(self._due_at, self._read_at + READ_AFTER_S)
        return len(self._known) < known or LOST in gone

    def _beside(self, changed: Iterable[object]) -> set[object]:
        """Return what was written in the same transactions, whose events may come a little later.

        A commit of members changes decisions and versions, and a push an input and its history.
        """
        keys = [key for key in changed if isinstance(key, ReadKey)]
        decisions = [key.path for key in keys if key.kind is ZnodeKind.RECORD]
        below = tuple(Paths("", path.rpartition("/")[0]).versions + "/" for path in decisions)
        is_pushed = any(key.kind in WRITTEN for key in keys)
        if not (below or is_pushed):
            return set()
        return {
            key
            for key in self._known
            if key.path.startswith(below) or (is_pushed and key.kind is ZnodeKind.HISTORY)
        }

    @property
    def deadline(self) -> float:
        """When a read finds more than the last one although no change was reported; monotonic."""
        return self._due_at if math.isfinite(self._read_at) else math.inf

    @property
    def is_due(self) -> bool:
        """Whether this time has come."""
        return self._monotonic() >= self.deadline

    @property
    def _is_early(self) -> bool:
        """Whether a large group was read not long ago."""
        return math.isfinite(self._due_at) and self._monotonic() < self._due_at

    def _new_read(self) -> "GroupRead":
        cluster = self._cluster
        known = self._known if cluster.connection == self._connection else {}
        return GroupRead(
            cluster.chroot, known, lambda: cluster.lacks_multi_read, watching=self._live
        )

    def _run(self, dialogue: Callable[[], Dialogue], timeout_s: float | None) -> tuple[Any, ...]:
        def with_connection() -> Dialogue:
            connection = self._cluster.connection
            read, groups = yield from dialogue()
            return connection, read, groups

        try:
            self._connection, read, groups = self._cluster.run(with_connection, timeout_s)
        except SubcommandError as error:
            raise UnreachableError(str(error)) from None
        self._known = read.watched
        self._read_at = self._monotonic()
        is_watched = not read.is_partly_watched
        self._due_at = math.inf if is_watched else self._read_at + READ_EVERY_S
        return tuple(sorted(groups, key=lambda group: counting_order(group.name)))


class GroupRead:
    """One reading of some groups, on one connection."""

    def __init__(
        self,
        chroot: str,
        known: Mapping[ReadKey, Any],
        lacks_multi_read: Callable[[], bool],
        *,
        watching: bool,
    ) -> None:
        """Do not read again what is `known`; `watching` sets a watch for each key, named by it."""
        self._root = Paths(chroot, "")
        self._reads = ZnodeReads(
            self._root, BulkRead(self._root, lacks_multi_read), known, watching=watching
        )
        self._chroot = chroot
        self._is_watching = watching
        self._trees: dict[str, object] = {}
        """The newest writes of trees, by their paths as members show them."""
        self._parts: dict[str, Sequence[str]] = {}
        """What was written last in these trees, as members show it."""
        self._histories = HistoryReads(self._reads, chroot)

    @property
    def watched(self) -> dict[ReadKey, Any]:
        """Everything that was found, and that does not change without a notice."""
        unwatched = self._reads.unwatched
        return {key: one for key, one in self._reads.found.items() if key not in unwatched}

    @property
    def is_partly_watched(self) -> bool:
        """Whether something can change without a notice, although watches are set."""
        return self._is_watching and bool(self._reads.unwatched)

    def groups(self, lock: str) -> Dialogue:
        """Find the names of the groups, by the paths below which they are."""
        if lock:
            return {self._chroot + group_path(lock): lock}
        root = self._chroot + ROOT
        groups = {}
        level = [root]
        while level:
            yield from self._reads.fetch(ReadKey(ZnodeKind.NAMES, path) for path in level)
            deeper = []
            for path in level:
                names = set(self._reads.names(path))
                if path in self._reads.hidden:
                    if path == root:
                        raise self._root.refusal(root, NoAuthError())
                    # It can be a group, or groups can be below it.
                    groups[path] = path.removeprefix(f"{root}/")
                if path != root and {"state", "members"} <= names:
                    groups[path] = path.removeprefix(f"{root}/")
                    names -= _OF_A_GROUP
                deeper += [f"{path}/{name}" for name in names]
            level = [path for path in deeper if path != self._chroot + HISTORY]
        return groups

    def members(self, bases: Iterable[str]) -> Dialogue:
        """Read everything of these groups."""
        groups = [self._found(base) for base in bases]
        lists = [
            ReadKey(ZnodeKind.NAMES, path)
            for paths in (group.paths for group in groups)
            for path in (paths.members, paths.queue, paths.in_flight, paths.unavailable)
        ]
        yield from self._reads.fetch(lists + [key for each in groups for key in _single(each)])
        for is_large in (False, True):
            some = [one for one in groups if is_large == self._is_large(one)]
            yield from self._read_nodes(some, watching=not is_large)
        inputs = dict.fromkeys(path for one in groups for path in _inputs(one))
        yield from self._read_inputs(inputs)
        yield from self._histories.read(self._writes(inputs), self._parts)
        return None

    def numbers(self, bases: Iterable[str]) -> Dialogue:
        """Read the decisions of these groups, how many znodes there are, and who is in flight."""
        groups = [self._found(base) for base in bases]
        kind = ZnodeKind.NAMES if self._is_watching else ZnodeKind.COUNT
        counted = [
            ReadKey(kind, path)
            for paths in (group.paths for group in groups)
            for path in (paths.members, paths.queue, paths.unavailable)
        ]
        # These are few, and show whether a member that failed keeps its turn.
        named = [ReadKey(ZnodeKind.NAMES, group.paths.in_flight) for group in groups]
        decisions = [ReadKey(ZnodeKind.RECORD, group.paths.state) for group in groups]
        yield from self._reads.fetch([*decisions, *counted, *named])
        yield from self._read_versions(groups, watching=True)
        return None

    def status(self, base: str, name: str) -> GroupStatus:
        """Return what was found of a group."""
        group = self._found(base, name)
        inputs = {path: self._input(path) for path in _inputs(group)}
        return group.status(inputs, self._histories.of(self._writes(inputs), self._parts))

    def summary(self, base: str, name: str) -> GroupSummary:
        """Return what was found of a group of which only numbers were read."""
        return self._found(base, name).summary()

    def _found(self, base: str, name: str = "") -> FoundGroup:
        paths = Paths(self._chroot, base.removeprefix(self._chroot))
        return FoundGroup(self._reads, paths, name)

    def _is_large(self, group: FoundGroup) -> bool:
        return self._is_watching and group.count(group.paths.members) > MOST_WATCHED

    def _read_nodes(self, groups: Iterable[FoundGroup], *, watching: bool) -> Dialogue:
        groups = list(groups)
        nodes = [key for group in groups for key in self._nodes(group.paths)]
        yield from self._reads.fetch(nodes, watching=watching)
        yield from self._read_versions(groups, watching=watching)
        failures = [
            ReadKey(ZnodeKind.FAILURE, path)
            for group in groups
            for by_member in group.failures().values()
            for path in by_member.values()
        ]
        yield from self._reads.fetch(failures, watching=watching)
        return None

    def _nodes(self, paths: Paths) -> Iterable[ReadKey]:
        """The znodes of members: their statuses, those in the queue, and those in flight."""
        below = self._reads.below
        yield from (ReadKey(ZnodeKind.MEMBER, path) for path in below(paths.members))
        yield from (ReadKey(ZnodeKind.ENTRY, path) for path in below(paths.in_flight))
        for path in below(paths.queue):
            if queue_number(path.rpartition("/")[2]) is not None:
                yield ReadKey(ZnodeKind.QUEUE_NODE, path)

    def _read_versions(self, groups: Iterable[FoundGroup], *, watching: bool) -> Dialogue:
        """Read what is known of the versions that the decisions contain."""
        groups = list(groups)
        paths = [
            (group.paths.version(digest), group.paths.below_version(digest, SUCCEEDED))
            for group in groups
            for digest in group.decisions.versions
        ]
        yield from self._reads.fetch(
            [
                key
                for version, succeeded in paths
                for key in (
                    ReadKey(ZnodeKind.VERSION, version),
                    ReadKey(ZnodeKind.SUCCEEDED, succeeded),
                )
            ],
            watching=watching,
        )
        is_watched = watching and self._is_watching
        listed = [path for group in groups for path in group.unclear_versions()]
        listed = [version for version, _ in paths] if is_watched else listed
        yield from self._reads.fetch(
            [ReadKey(ZnodeKind.NAMES, path) for path in listed], watching=watching
        )
        return None

    def _read_inputs(self, paths: Iterable[str]) -> Dialogue:
        """Find the newest writes of these inputs."""
        inputs = set(paths)
        trees = sorted(path for path in inputs if is_tree(path))
        yield from self._reads.fetch(
            ReadKey(ZnodeKind.INPUT, self._root.mirrored(path))
            for path in sorted(inputs - set(trees))
        )
        yield from self._survey(trees)
        return None

    def _survey(self, trees: Iterable[str]) -> Dialogue:
        """Find the newest writes of trees.

        With watches, the children of each znode are listed: the next one may be the first.
        """
        surveys = {path: self._new_survey(self._root.mirrored(path)) for path in trees}
        while level := [path for survey in surveys.values() for path in survey.level]:
            yield from self._reads.fetch(ReadKey(ZnodeKind.TREE_STAT, path) for path in level)
            parents = [
                path
                for survey in surveys.values()
                for path in survey.parents(only_if_needed=not self._is_watching)
            ]
            yield from self._reads.fetch(ReadKey(ZnodeKind.TREE_NAMES, path) for path in parents)
            for survey in surveys.values():
                survey.descend()
        for path, survey in surveys.items():
            root = self._reads.get(ZnodeKind.TREE_STAT, self._root.mirrored(path))
            self._trees[path] = write = survey.last_write() if isinstance(root, Stat) else root
            if isinstance(write, LastWrite):
                parts = survey.newest_paths(write.zxid)
                self._parts[path] = [self._root.shown(part) for part in parts]

    def _writes(self, inputs: Iterable[str]) -> dict[str, LastWrite]:
        """The newest writes of the inputs that are known to exist."""
        found = {path: self._input(path) for path in inputs}
        return {path: write for path, write in found.items() if isinstance(write, LastWrite)}

    def _new_survey(self, root: str) -> TreeSurvey:
        return TreeSurvey(
            root,
            lambda path: self._reads.get(ZnodeKind.TREE_STAT, path),
            lambda path: self._reads.get(ZnodeKind.TREE_NAMES, path),
        )

    def _input(self, path: str) -> object:
        """The newest write of an input; None if a server has answered that it does not exist."""
        if is_tree(path):
            return self._trees.get(path, Unreadable.FORBIDDEN)
        key = ReadKey(ZnodeKind.INPUT, self._root.mirrored(path))
        return self._reads.found.get(key, Unreadable.FORBIDDEN)


def _single(group: FoundGroup) -> list[ReadKey]:
    """The znodes of which there is one in each group."""
    return [
        ReadKey(ZnodeKind.RECORD, group.paths.state),
        ReadKey(ZnodeKind.RESTART, group.paths.restart),
    ]


def _inputs(group: FoundGroup) -> Iterable[str]:
    """The inputs of the living members, each path once."""
    facts = (znode.facts for znode in group.members.values())
    return dict.fromkeys(path for each in facts if each for path in each.inputs)
