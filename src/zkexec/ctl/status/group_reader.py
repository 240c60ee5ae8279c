"""Read the znodes of groups, once or again and again, and make a `GroupStatus` of each.

Everything that can be requested at once is requested at once: one group is read in three rounds,
and many groups in as many.  While groups are watched, only what has changed is read again.  What
cannot be read or understood becomes part of the status: no content of a znode is an error here.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from zkexec.cli.converters import HISTORY
from zkexec.core.input_options import root_of
from zkexec.core.inputs import restart_name
from zkexec.core.rollout.queue_position import is_queue_node, sequence_of
from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.cluster_connection import LOST, STALE, ClusterConnection
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.status.group_status import GroupStatus, counting_order
from zkexec.ctl.status.member_row import IgnoredZnode, IgnoreReason, LastWrite, MemberZnode
from zkexec.ctl.status.tree_survey import TreeSurvey
from zkexec.frozen import frozen, replace
from zkexec.group import record_codec
from zkexec.group.json_fields import NewerFormatError
from zkexec.group.member_codec import decode_status
from zkexec.group.store import Paths, is_left_over
from zkexec.text import in_letters
from zkexec.znode_paths import RESTART, check_zk_path, group_path
from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, Request
from zkexec.zookeeper.values import Stat

ROOT = "/zkexec"
"""The groups whose names do not begin with a slash are below it."""

_OF_A_GROUP = frozenset({"state", "members", "queue", RESTART})
_BATCH = 500


class UnreachableError(SubcommandError):
    """The cluster does not answer; it may do so later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CANNOT_WORK)


class GroupReader:
    """Reads one group, or all below `ROOT`, of one cluster.

    A watch belongs to one connection; after a reconnect everything is read again.  The same happens
    from time to time, since a server can drop a watch without notice.
    """

    def __init__(self, cluster: ClusterConnection, lock: str = "", *, live: bool) -> None:
        """Read all groups if `lock` is "".  `live` sets watches, see `forget`."""
        self._cluster = cluster
        self._lock = lock
        self._live = live
        self._connection = 0
        self._known: Mapping[ReadKey, Any] = {}

    def read(self, timeout_s: float | None = None) -> tuple[GroupStatus, ...]:
        """Read the groups; what is known and was not forgotten is not read again.

        Raises UnreachableError if the cluster does not answer in time.
        """

        def dialogue() -> Dialogue:
            connection = self._cluster.connection
            known = self._known if connection == self._connection else {}
            read = GroupRead(self._cluster.chroot, known, watching=self._live)
            bases = yield from read.groups(self._lock)
            yield from read.members(bases)
            return connection, read.found, tuple(read.status(*each) for each in bases.items())

        try:
            self._connection, self._known, groups = self._cluster.run(dialogue, timeout_s)
        except SubcommandError as error:
            raise UnreachableError(str(error)) from None
        return tuple(sorted(groups, key=lambda group: counting_order(group.name)))

    def forget(self, changed: Iterable[object]) -> None:
        """Forget what has changed, as `ClusterConnection.changed` returns it."""
        gone = set(changed)
        known = self._known if gone.isdisjoint((LOST, STALE)) else {}
        self._known = {key: found for key, found in known.items() if key not in gone}


class ZnodeKind(Enum):
    """What is read of a znode."""

    RECORD = "record"
    NAMES = "names of its children"
    MEMBER = "member status"
    QUEUE_NODE = "queue node"
    INPUT = "newest write"
    TREE_STAT = "statistics of a znode of a tree"
    TREE_NAMES = "names of the children of a znode of a tree"
    RESTART = "rolling restart"


@frozen()
class ReadKey:
    """One thing to read; the path is that with the chroot."""

    kind: ZnodeKind
    path: str


class _Forbidden(Enum):
    NAMES = "the names may not be read"
    INPUT = "whether the znode exists may not be read"


@frozen()
class _RecordRead:
    record: RolloutRecord
    error: str = ""
    is_forbidden: bool = False
    is_newer: bool = False


@frozen()
class _QueueNode:
    """A node in the queue; the member is None if it may not be read."""

    member: str | None = None
    is_left_over: bool = False


class GroupRead:
    """One reading of some groups, on one connection; `found` is everything that it is based on."""

    def __init__(self, chroot: str, known: Mapping[ReadKey, Any], *, watching: bool) -> None:
        """Do not read again what is `known`; `watching` sets a watch for each key, named by it."""
        self.found: dict[ReadKey, Any] = {}
        self._chroot = chroot
        self._known = known
        self._is_watching = watching
        self._trees: dict[str, object] = {}
        """The newest writes of trees, by their paths as members show them."""

    def groups(self, lock: str) -> Dialogue:
        """Find the names of the groups, by the paths below which they are."""
        if lock:
            return {self._chroot + group_path(lock): lock}
        root = self._chroot + ROOT
        groups = {}
        level = [root]
        while level:
            yield from self._fetch(ReadKey(ZnodeKind.NAMES, path) for path in level)
            deeper = []
            for path in level:
                names = set(self._names(path))
                if path != root and {"state", "members"} <= names:
                    groups[path] = path.removeprefix(f"{root}/")
                    names -= _OF_A_GROUP
                deeper += [f"{path}/{name}" for name in names]
            level = [path for path in deeper if path != self._chroot + HISTORY]
        return groups

    def members(self, bases: Iterable[str]) -> Dialogue:
        """Read everything of these groups."""
        groups = [Paths("", base) for base in bases]
        yield from self._fetch(
            key
            for paths in groups
            for key in (
                ReadKey(ZnodeKind.RECORD, paths.state),
                ReadKey(ZnodeKind.NAMES, paths.members),
                ReadKey(ZnodeKind.NAMES, paths.queue),
                ReadKey(ZnodeKind.RESTART, paths.restart),
            )
        )
        yield from self._fetch(key for paths in groups for key in self._nodes(paths))
        inputs = {path for paths in groups for path in _inputs(self._members(paths))}
        trees = sorted(path for path in inputs if _is_tree(path))
        yield from self._fetch(
            ReadKey(ZnodeKind.INPUT, self._whole(path)) for path in sorted(inputs - set(trees))
        )
        yield from self._survey(trees)
        return None

    def _survey(self, trees: Iterable[str]) -> Dialogue:
        """Find the newest writes of trees.

        With watches, the children of each znode are listed: the next one may be the first.
        """
        surveys = {path: self._new_survey(self._whole(path)) for path in trees}
        while level := [path for survey in surveys.values() for path in survey.level]:
            yield from self._fetch(ReadKey(ZnodeKind.TREE_STAT, path) for path in level)
            parents = [
                path
                for survey in surveys.values()
                for path in survey.parents(only_if_needed=not self._is_watching)
            ]
            yield from self._fetch(ReadKey(ZnodeKind.TREE_NAMES, path) for path in parents)
            for survey in surveys.values():
                survey.descend()
        for path, survey in surveys.items():
            root = self.found.get(ReadKey(ZnodeKind.TREE_STAT, self._whole(path)))
            self._trees[path] = survey.last_write() if isinstance(root, Stat) else root

    def _new_survey(self, root: str) -> TreeSurvey:
        return TreeSurvey(
            root,
            lambda path: self.found.get(ReadKey(ZnodeKind.TREE_STAT, path)),
            lambda path: self.found.get(ReadKey(ZnodeKind.TREE_NAMES, path)),
        )

    def status(self, base: str, name: str) -> GroupStatus:
        """Return what was found of a group."""
        paths = Paths("", base)
        known = self.found.get(ReadKey(ZnodeKind.RECORD, paths.state))
        names = self.found.get(ReadKey(ZnodeKind.NAMES, paths.members))
        found = known or _RecordRead(RolloutRecord())
        if names is _Forbidden.NAMES:
            found = self._forbidden(paths.members)
        members = {
            path.rpartition("/")[2]: self.found.get(ReadKey(ZnodeKind.MEMBER, path))
            for path in self._below(paths.members)
        }
        living = {
            name: znode for name, znode in members.items() if znode and not znode.is_left_over
        }
        inputs = {path: self._input(path) for path in _inputs(living.values())}
        queue = tuple(self._queue(paths))
        return GroupStatus(
            name=name,
            base=base.removeprefix(self._chroot),
            record=found.record,
            members=living,
            queue=tuple(member for member, _ in queue),
            queue_paths=tuple(self._shown(path) for _, path in queue),
            znodes={path: one for path, one in inputs.items() if isinstance(one, LastWrite)},
            absent=tuple(sorted(path for path, one in inputs.items() if one is None)),
            restart=self._restart(paths),
            ignored=tuple(self._ignored(paths)),
            error=found.error,
            is_forbidden=found.is_forbidden,
            is_newer=found.is_newer,
            exists=known is not None or names is not None,
        )

    def _fetch(self, keys: Iterable[ReadKey]) -> Dialogue:
        wanted = [key for key in dict.fromkeys(keys) if not self._is_found(key)]
        while wanted:
            absent: list[ReadKey] = []
            for first in range(0, len(wanted), _BATCH):
                batch = wanted[first : first + _BATCH]
                outcomes = yield [self._request(key) for key in batch]
                pairs = zip(batch, outcomes, strict=True)
                absent += [key for key, outcome in pairs if not self._take(key, outcome)]
            wanted = yield from self._watch_absent(absent)
        return None

    def _is_found(self, key: ReadKey) -> bool:
        if key in self._known:
            self.found[key] = self._known[key]
        return key in self.found

    def _request(self, key: ReadKey) -> Request:
        watch = key if self._is_watching else None
        match key.kind:
            case ZnodeKind.NAMES | ZnodeKind.TREE_NAMES:
                return Children(key.path, watch)
            case ZnodeKind.INPUT | ZnodeKind.TREE_STAT:
                return Exists(key.path, watch)
            case ZnodeKind.QUEUE_NODE:
                # Its content never changes.
                return Get(key.path)
            case ZnodeKind.RECORD | ZnodeKind.MEMBER | ZnodeKind.RESTART:
                return Get(key.path, watch)

    def _watch_absent(self, absent: Sequence[ReadKey]) -> Dialogue:
        """Set watches for the creation of these; return those that have been created meanwhile.

        A read of a znode that does not exist sets no watch.
        """
        self.found.update(dict.fromkeys(absent))
        if not absent or not self._is_watching:
            return []
        outcomes = yield [Exists(key.path, key) for key in absent]
        created = [key for key, stat in zip(absent, outcomes, strict=True) if _exists(stat)]
        return created

    def _take(self, key: ReadKey, outcome: Any) -> bool:  # noqa: ANN401 -- as each request has it
        """Keep what was found; return False if the znode does not exist and has no watch yet.

        Some need none: the names of all members and queue nodes, and the znodes of a tree, are
        watched.
        """
        if isinstance(outcome, NoNodeError):
            return key.kind in (ZnodeKind.MEMBER, ZnodeKind.QUEUE_NODE, ZnodeKind.TREE_NAMES)
        if isinstance(outcome, NoAuthError):
            self.found[key] = self._unreadable(key)
        elif isinstance(outcome, Exception):
            raise Paths(self._chroot, "").refusal(key.path, outcome)
        else:
            self.found[key] = self._understood(key, outcome)
        return True

    def _understood(self, key: ReadKey, outcome: Any) -> object:  # noqa: ANN401 -- the same
        match key.kind:
            case ZnodeKind.RECORD:
                return self._record(key.path, outcome[0], outcome[1].mzxid)
            case ZnodeKind.NAMES | ZnodeKind.TREE_STAT | ZnodeKind.TREE_NAMES:
                return outcome
            case ZnodeKind.MEMBER:
                return _member(*outcome)
            case ZnodeKind.QUEUE_NODE:
                content, stat = outcome
                return _QueueNode(in_letters(content), is_left_over(stat))
            case ZnodeKind.INPUT:
                return outcome and _last_write(outcome)
            case ZnodeKind.RESTART:
                return _restart(*outcome)

    def _unreadable(self, key: ReadKey) -> object:
        match key.kind:
            case ZnodeKind.RECORD:
                return self._forbidden(key.path)
            case ZnodeKind.NAMES:
                return _Forbidden.NAMES
            case ZnodeKind.MEMBER:
                return MemberZnode(error=self._forbidden(key.path).error)
            case ZnodeKind.QUEUE_NODE:
                return _QueueNode()
            case ZnodeKind.INPUT | ZnodeKind.TREE_STAT | ZnodeKind.TREE_NAMES:
                return _Forbidden.INPUT
            case ZnodeKind.RESTART:
                return None

    def _forbidden(self, path: str) -> _RecordRead:
        refusal = Paths(self._chroot, "").refusal(path, NoAuthError())
        return _RecordRead(RolloutRecord(), str(refusal), is_forbidden=True)

    def _record(self, path: str, content: bytes, zxid: int) -> _RecordRead:
        try:
            return _RecordRead(record_codec.decode(content).clamped_to(zxid))
        except ValueError as error:
            message = f"{self._shown(path)}: {error}"
            is_newer = isinstance(error, NewerFormatError)
            return _RecordRead(RolloutRecord(), message, is_newer=is_newer)

    def _names(self, path: str) -> tuple[str, ...]:
        found = self.found.get(ReadKey(ZnodeKind.NAMES, path))
        return found[0] if isinstance(found, tuple) else ()

    def _below(self, path: str) -> list[str]:
        return [f"{path}/{name}" for name in self._names(path)]

    def _nodes(self, paths: Paths) -> Iterable[ReadKey]:
        yield from (ReadKey(ZnodeKind.MEMBER, path) for path in self._below(paths.members))
        names = filter(is_queue_node, self._names(paths.queue))
        yield from (ReadKey(ZnodeKind.QUEUE_NODE, f"{paths.queue}/{name}") for name in names)

    def _members(self, paths: Paths) -> Iterable[MemberZnode]:
        """The living members."""
        keys = (ReadKey(ZnodeKind.MEMBER, path) for path in self._below(paths.members))
        found = (self.found.get(key) for key in keys)
        return (znode for znode in found if znode and not znode.is_left_over)

    def _queue(self, paths: Paths) -> Iterable[tuple[str, str]]:
        """The members that wait, each with its node, in the order of the sequence numbers."""
        for name in sorted(filter(is_queue_node, self._names(paths.queue)), key=sequence_of):
            path = f"{paths.queue}/{name}"
            node = self.found.get(ReadKey(ZnodeKind.QUEUE_NODE, path))
            if node is not None and node.member is not None and not node.is_left_over:
                yield node.member, path

    def _restart(self, paths: Paths) -> LastWrite | None:
        found = self.found.get(ReadKey(ZnodeKind.RESTART, paths.restart))
        return found if isinstance(found, LastWrite) else None

    def _ignored(self, paths: Paths) -> Iterable[IgnoredZnode]:
        """The znodes among those of the members that are not members', sorted by path."""
        for path in sorted([*self._below(paths.members), *self._below(paths.queue)]):
            parent, _, name = path.rpartition("/")
            kind = ZnodeKind.MEMBER if parent == paths.members else ZnodeKind.QUEUE_NODE
            found = self.found.get(ReadKey(kind, path))
            if kind is ZnodeKind.QUEUE_NODE and not is_queue_node(name):
                yield IgnoredZnode(self._shown(path), IgnoreReason.STRANGER)
            elif found is not None and found.is_left_over:
                yield IgnoredZnode(self._shown(path), IgnoreReason.LEFT_OVER)
        restart = self.found.get(ReadKey(ZnodeKind.RESTART, paths.restart))
        if restart is IgnoreReason.NO_REQUEST:
            yield IgnoredZnode(self._shown(paths.restart), IgnoreReason.NO_REQUEST)

    def _input(self, path: str) -> object:
        """The newest write of an input; None if a server has answered that it does not exist."""
        if _is_tree(path):
            return self._trees.get(path, _Forbidden.INPUT)
        return self.found.get(ReadKey(ZnodeKind.INPUT, self._whole(path)), _Forbidden.INPUT)

    def _shown(self, path: str) -> str:
        return Paths(self._chroot, "").shown(path)

    def _whole(self, path: str) -> str:
        return Paths(self._chroot, "").mirrored(path)


def _inputs(members: Iterable[MemberZnode]) -> Iterable[str]:
    """The inputs of these members, each path once."""
    return dict.fromkeys(path for znode in members if znode.facts for path in znode.facts.inputs)


def _is_tree(path: str) -> bool:
    return path.endswith("/") and bool(path.strip("/"))


def _member(content: bytes, stat: Stat) -> MemberZnode:
    created_at = stat.ctime / 1000
    if is_left_over(stat):
        return MemberZnode(created_at=created_at, is_left_over=True)
    try:
        status, facts = decode_status(content)
        for path in facts.inputs:
            check_zk_path(root_of(path) if _is_tree(path) else path)
    except ValueError as error:
        return MemberZnode(created_at=created_at, error=str(error))
    if status.zxid > stat.mzxid:
        # The status is from before the ensemble was wiped or restored.
        status = replace(status, zxid=0)
    return MemberZnode(status, facts, created_at)


def _last_write(stat: Stat) -> LastWrite:
    return LastWrite(stat.mzxid, stat.mtime / 1000, stat.data_length)


def _restart(content: bytes, stat: Stat) -> LastWrite | IgnoreReason:
    is_request = restart_name(content) is not None
    return _last_write(stat) if is_request else IgnoreReason.NO_REQUEST


def _exists(outcome: object) -> bool:
    return isinstance(outcome, Stat)
