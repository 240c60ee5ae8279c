"""Between the core and the ZooKeeper client: requests become dialogues, answers become events.

Every event is posted from within a method of the session; `post` must not call back.  If a
connection is lost, the requests on it are answered before the loss is posted.  Nothing is posted of
a session that `open()` replaced.
"""

from __future__ import annotations

from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, PublishStatus, ReadRecord
from zkexec.core.rollout.group_events import (
    GroupPart,
    GroupRequestFailed,
    GroupRequestForbidden,
    GroupTouched,
)
from zkexec.core.snapshot import Problem, Znode
from zkexec.frozen import frozen, replace
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    Connected,
    Expired,
    Failed,
    Fired,
    Lost,
)
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.errors import (
    ForbiddenError,
    NoAuthError,
    NoNodeError,
    RefusedError,
    in_words,
)
from zkexec.zookeeper.requests import Exists
from zkexec.zookeeper.snapshot_reader import SnapshotReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from typing import TypeAlias, TypeVar

    from zkexec.core.events import Event
    from zkexec.core.rollout.group_actions import GroupRequest
    from zkexec.core.snapshot import Tree
    from zkexec.group.member_node import MemberNode
    from zkexec.group.member_profile import MemberProfile
    from zkexec.group.store import GroupStore
    from zkexec.runtime.input_trees import TreeInputs
    from zkexec.zookeeper.client_events import ClientEvent
    from zkexec.zookeeper.network import Network
    from zkexec.zookeeper.requests import Dialogue
    from zkexec.zookeeper.snapshot_reader import Found
    from zkexec.zookeeper.tree_reader import TreeReader, TreesFound

    NewGroup: TypeAlias = Callable[
        [int, Callable[[Dialogue], None], Callable[[], None], Callable[[], bool]],
        tuple[GroupStore, MemberNode],
    ]
    """Makes the group's part of a connection, given the session, see `MemberNode`."""

    ReadInput = TypeVar("ReadInput", Znode, Tree)

_NO_CONNECTION = -1
_INPUT = "input"
"""What the watches of inputs are set with; those of the group are set with a `GroupPart`."""


@frozen()
class _SnapshotRead:
    """The key of a read of all inputs."""

    number: int


@frozen()
class _Verification:
    """The key of what follows a read of some inputs."""


@frozen()
class _GroupRequested:
    """The key of a request to the group."""

    number: int


@frozen()
class _Connection:
    """What is known of one connection: all watches, and the own node, belong to it."""

    number: int
    reader: SnapshotReader | TreeReader
    group: tuple[GroupStore, MemberNode] | None


def input_paths(paths: Sequence[str], chroot: str) -> dict[str, str]:
    """Give the whole paths of znodes, with the paths below the chroot that name them.

    UnicodeEncodeError, which is a ValueError, if a path has no UTF-8 form.
    """
    names = {chroot.rstrip("/") + path.rstrip("/") or "/": path for path in paths}
    for path in names:
        path.encode()
    return names


class ClusterSession:
    """The cluster as the core sees it: reads of all inputs, and the requests of a member."""

    def __init__(
        self,
        settings: ClientSettings,
        paths: Sequence[str],
        chroot: str,
        post: Callable[[Event], None],
        profile: MemberProfile | None = None,
        network: Network | None = None,
    ) -> None:
        """Connect to nothing yet.

        `paths` are those of the inputs, absolute and below `chroot` ("" or "/" for none); that of a
        tree ends with a slash.  Requests to a group are taken if there is a profile.
        """
        self._chroot = chroot.rstrip("/")
        trees = [path for path in paths if path.endswith("/") and path != "/"]
        self._names = input_paths([path for path in paths if path not in trees], chroot)
        self._trees = _tree_inputs(trees, self._chroot) if trees else None
        self._post = post
        self._profile = profile
        self._new_group = None if profile is None else _group_maker(profile, self._chroot)
        self._connection: _Connection | None = None
        # A single znode is never read by a multi-read.
        reads_many = bool(trees) or len(self._names) > 1 or profile is not None
        self._client = Client(settings, self._take, network, tries_multi_read=reads_many)

    def open(self) -> None:
        """Begin to connect with a new session; an earlier one is dropped."""
        self._client.open()

    def read(self, number: int) -> None:
        """Read all inputs, with watches → ZnodesRead or ReadFailed, just one.  Returns at once.

        There is no answer after another `open()` or `close()`.
        """
        self._start(lambda connection: self._read(connection.reader), _SnapshotRead(number))

    def request(self, action: GroupRequest) -> None:
        """Request something of the group → its answer or GroupRequestFailed, just one.

        A PublishStatus has no answer.  The rest is as for `read`.  ValueError without a group.
        """
        if self._profile is None:
            raise ValueError(f"there is no group to do this: {action}")
        key = None if isinstance(action, PublishStatus) else _GroupRequested(action.number)
        self._start(lambda connection: _requested(connection.group, action), key)

    def rearm(self) -> None:
        """Set all watches again: what was missed is posted as touched.  There is no other answer.

        The own node is read as well, because no watch reports what another process writes to it.
        """
        self._client.rearm()
        self._start(lambda connection: _inspected(connection.group), None)
        if self._trees is not None and self._connection is not None:
            for root in self._trees.refused(self._connection.reader):
                self._post(ZnodeTouched(root))

    def close(self, timeout_s: float) -> None:
        """End the session, waiting for that at most `timeout_s`, and not at all if unconnected.

        Nothing is posted any more.  Never raises.
        """
        self._connection = None
        self._client.close(timeout_s)

    @property
    def deadline(self) -> float | None:
        """When `advance` has to be called at the latest; None: only what is polled matters."""
        return self._client.deadline

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """What to poll: a descriptor and for what, in the numbers of `select.poll`."""
        return self._client.descriptor

    def advance(self) -> None:
        """Do all that is ready or due; this never waits."""
        self._client.advance()

    def _start(self, make: Callable[[_Connection], Dialogue], key: Hashable) -> None:
        """Run a dialogue on the connection that is known of, and on no other."""
        connection = self._connection
        if connection is None:
            self._client.start(_nothing(), key, _NO_CONNECTION)
        else:
            self._client.start(make(connection), key, connection.number)

    def _take(self, event: ClientEvent) -> None:  # noqa: C901 -- a table
        """Turn what the client reports into events of the core."""
        match event:
            case Connected(number, session, session_timeout_s):
                self._connection = self._connect(number, session)
                self._post(SessionConnected(session, session_timeout_s))
            case Answered(_SnapshotRead(number), (znodes, trees), zxid):
                self._post(ZnodesRead(number, znodes, zxid, trees))
                self._verify()
            case Answered(_Verification(), paths):
                for path in paths:
                    self._post(ZnodeTouched(self._names[path]))
            case Answered(_GroupRequested(), answer):
                self._post(answer)
            case Failed(_SnapshotRead(number), error):
                self._post(ReadFailed(number, in_words(error)))
            case Failed(_GroupRequested(number), ForbiddenError() as error):
                self._post(GroupRequestForbidden(number, in_words(error)))
            case Failed(_GroupRequested(number), error):
                is_refused = isinstance(error, RefusedError)
                self._post(GroupRequestFailed(number, in_words(error), is_refused))
            case Fired(watch, path):
                self._fired(watch, path)
            case AttemptFailed(reason, is_last):
                self._post(ConnectFailed(reason, is_last))
            case Lost(reason, zxid):
                self._post(SessionSuspended(reason, zxid))
            case Expired(reason, zxid):
                self._post(SessionLost(reason, zxid))

    def _connect(self, number: int, session: int) -> _Connection:
        paths = tuple(self._names)
        reader: SnapshotReader | TreeReader
        if self._trees is None:
            reader = SnapshotReader(paths, _INPUT, lambda: self._client.lacks_multi_read)
        else:
            reader = self._trees.reader(paths, _INPUT, lambda: self._client.lacks_multi_read)
        if self._new_group is None:
            return _Connection(number, reader, None)
        group = self._new_group(
            session,
            lambda dialogue: self._client.start(dialogue, None, number),
            lambda: self._own_node_touched(number),
            lambda: self._client.lacks_multi_read,
        )
        return _Connection(number, reader, group)

    def _read(self, reader: SnapshotReader | TreeReader) -> Dialogue:
        trees: Mapping[str, Tree] = {}
        found: Mapping[str, Found]
        if self._trees is None:
            found = yield from reader.read()
        else:
            both: TreesFound = yield from reader.read()
            found, trees = both.znodes, self._trees.read(both.trees)
        znodes = {path: _znode(self._names[path], what) for path, what in found.items()}
        problems = [znode.problem for znode in znodes.values()]
        problems += [tree.problem for tree in trees.values()]
        if self._chroot and Problem.MISSING in problems:
            (chroot,) = yield [Exists(self._chroot)]
            if chroot is None:
                znodes = {path: _without_chroot(znode) for path, znode in znodes.items()}
                trees = {root: _without_chroot(tree) for root, tree in trees.items()}
        return {znode.path: znode for znode in znodes.values()}, trees

    def _verify(self) -> None:
        connection = self._connection
        reader = None if connection is None else connection.reader
        if connection is not None and isinstance(reader, SnapshotReader) and reader.has_to_verify:
            self._client.start(reader.verify(), _Verification(), connection.number)

    def _fired(self, watch: object, path: str) -> None:
        connection = self._connection
        if connection is None:
            return
        if watch == _INPUT:
            connection.reader.fired(path)
            name = self._names.get(path) or path.removeprefix(self._chroot) or "/"
            self._post(ZnodeTouched(name))
        elif isinstance(watch, GroupPart) and connection.group is not None:
            store, node = connection.group
            if watch is GroupPart.OWN_NODE:
                self._client.start(node.fired(), None, connection.number)
            else:
                store.fired(watch, path)
                self._post(GroupTouched(watch))

    def _own_node_touched(self, number: int) -> None:
        if self._connection is not None and self._connection.number == number:
            self._post(GroupTouched(GroupPart.OWN_NODE))


def _group_maker(profile: MemberProfile, chroot: str) -> NewGroup:
    """Return what makes the group's part of each connection.

    What only a group needs is imported here: a connection may be made when no descriptor is left.
    """
    from zkexec.group.member_node import MemberNode  # noqa: PLC0415
    from zkexec.group.paths import Paths  # noqa: PLC0415
    from zkexec.group.store import GroupStore  # noqa: PLC0415
    from zkexec.process.procfs import is_zkexec  # noqa: PLC0415

    paths = Paths(chroot, profile.base)

    def new_group(
        session: int,
        start_aside: Callable[[Dialogue], None],
        touched: Callable[[], None],
        lacks_multi_read: Callable[[], bool],
    ) -> tuple[GroupStore, MemberNode]:
        store = GroupStore(profile, paths, lacks_multi_read)
        return store, MemberNode(store, session, start_aside, touched, is_zkexec)

    return new_group


def _requested(group: tuple[GroupStore, MemberNode] | None, action: GroupRequest) -> Dialogue:
    if group is None:
        return _nothing()
    store, node = group
    match action:
        case Enrol():
            return node.enrol(action)
        case PublishStatus(status):
            return node.publish(status)
        case ReadRecord():
            return store.read(action)
        case CommitRecord():
            return store.commit(action, node.write)
        case _:
            return store.queue(action, node.write)


def _inspected(group: tuple[GroupStore, MemberNode] | None) -> Dialogue:
    return _nothing() if group is None else group[1].inspect()


def _nothing() -> Dialogue:
    yield from ()


def _tree_inputs(trees: Sequence[str], chroot: str) -> TreeInputs:
    """Return what makes the reader of each connection, and trees of what it finds.

    It is imported here for the same reason as what a group needs.
    """
    from zkexec.runtime.input_trees import TreeInputs  # noqa: PLC0415

    return TreeInputs(trees, chroot, _znode)


def _znode(name: str, found: Found) -> Znode:
    if isinstance(found, NoNodeError):
        return Znode(name, problem=Problem.MISSING)
    if isinstance(found, NoAuthError):
        return Znode(name, problem=Problem.FORBIDDEN)
    content, stat = found
    return Znode(
        name,
        content,
        stat.mzxid,
        version=stat.version,
        mtime=stat.mtime / 1000,
        is_ephemeral=stat.is_ephemeral,
        czxid=stat.czxid,
    )


def _without_chroot(one: ReadInput) -> ReadInput:
    """Replace "missing" by the reason: the whole chroot is missing."""
    return replace(one, problem=Problem.NO_CHROOT) if one.problem is Problem.MISSING else one
