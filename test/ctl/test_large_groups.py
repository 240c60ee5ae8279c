"""Groups of thousands of members: how many requests a status takes, and when it is read again.

The server is a model that counts requests and bytes.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from support.group_samples import NEW, PATH, START, facts
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.turn import MemberStatus
from zkexec.ctl.cluster_connection import LOST, NewDialogue
from zkexec.ctl.status.group_reader import (
    MOST_WATCHED,
    READ_AFTER_S,
    READ_EVERY_S,
    GroupRead,
    GroupReader,
)
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.read_key import ReadKey, ZnodeKind
from zkexec.group.entry_codec import encode_entry, encode_queued
from zkexec.group.member_codec import encode_status
from zkexec.group.paths import Paths
from zkexec.group.record_codec import encode
from zkexec.group.version_codec import SUCCEEDED
from zkexec.zookeeper.errors import NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, MultiRead, Request
from zkexec.zookeeper.values import Stat

GROUP = Paths("", "/zkexec/web")
MEMBERS, IN_FLIGHT, WAITING = 10_000, 500, 2_000
STAT_BYTES = 68


class CountingServer:
    """Znodes that answer as a server does; counts requests, watches and bytes in both directions.

    It is a connection as well, for a `GroupReader`.
    """

    chroot = ""
    connection_words: tuple[str, ...] = ()

    def __init__(self, *, lacks_multi_read: bool = False) -> None:
        self.lacks_multi_read = lacks_multi_read
        self.connection = 1
        self.requests: Counter[type] = Counter()
        self.watches: list[object] = []
        self.bytes = 0
        self._contents: dict[str, tuple[bytes, bool]] = {}
        self._names: dict[str, list[str]] = defaultdict(list)

    def write(self, path: str, content: bytes = b"", *, ephemeral: bool = False) -> None:
        """Make or write a znode, and those above it."""
        if path not in self._contents:
            above, _, name = path.rpartition("/")
            if above:
                self._names[above].append(name)
                if above not in self._contents:
                    self.write(above)
        self._contents[path] = (content, ephemeral)

    def run(self, new_dialogue: NewDialogue, timeout_s: float | None = None) -> Any:  # noqa: ARG002 -- as a connection has it
        """Run a dialogue to its end."""
        return self.play(new_dialogue())

    def play(self, dialogue: Dialogue) -> Any:
        """Run a dialogue to its end."""
        outcomes: Sequence[Any] | None = None
        while True:
            try:
                batch = next(dialogue) if outcomes is None else dialogue.send(outcomes)
            except StopIteration as end:
                return end.value
            outcomes = [self._counted(request) for request in batch]

    def _counted(self, request: Request) -> Any:
        self.requests[type(request)] += 1
        if isinstance(request, MultiRead):
            assert not self.lacks_multi_read
            assert len(request.paths) <= 500
            before = self.bytes
            found = tuple(self._answer(Get(path)) for path in request.paths)
            assert self.bytes - before < 1_500_000
            return found
        if getattr(request, "watch", None) is not None:
            self.watches.append(request.watch)  # type: ignore[union-attr] # it has one
        return self._answer(request)

    def _answer(self, request: Request) -> Any:
        assert isinstance(request, Get | Children | Exists)
        self.bytes += len(request.path) + STAT_BYTES
        found = self._contents.get(request.path)
        if found is None:
            return None if isinstance(request, Exists) else NoNodeError()
        content, is_ephemeral = found
        names = self._names.get(request.path, [])
        stat = Stat(
            mzxid=20, mtime=int(START * 1000), num_children=len(names), data_length=len(content)
        )
        if is_ephemeral:
            stat = Stat(mzxid=20, ctime=int(START * 1000), ephemeral_owner=7)
        if isinstance(request, Children):
            self.bytes += sum(4 + len(name) for name in names)
            return tuple(names), stat
        self.bytes += len(content) if isinstance(request, Get) else 0
        return (content, stat) if isinstance(request, Get) else stat


def with_group(server: CountingServer, members: int) -> None:
    """Write a group whose members all run the newest version."""
    for name in ("members", "queue", "in_flight", "unavailable", "versions", "restart"):
        server.write(f"{GROUP.base}/{name}")
    server.write(PATH, b"the newest")
    versions = {NEW: VersionState(20, "", known_good=True)}
    server.write(GROUP.state, encode(RolloutRecord(versions=versions), START))
    server.write(GROUP.version(NEW))
    server.write(GROUP.below_version(NEW, SUCCEEDED))
    status = MemberStatus("running", NEW, NEW, "healthy", "", 20, START, START)
    for number in range(members):
        content = encode_status(status, facts(f"m{number}"))
        server.write(GROUP.member(f"m{number}"), content, ephemeral=True)


def with_rollout(server: CountingServer) -> None:
    """Let some members of the group be in flight, and others wait."""
    for number in range(IN_FLIGHT):
        entry = InFlightEntry("token", NEW, 20, since=START)
        server.write(GROUP.entry(f"m{number}"), encode_entry(entry, START))
    for number in range(WAITING):
        queued = QueuedMember(f"m{IN_FLIGHT + number}", "token", NEW)
        server.write(GROUP.queue_node(number), encode_queued(queued), ephemeral=True)


def read_once(server: CountingServer) -> GroupStatus:
    """Read the group as `status web` does."""
    read = GroupRead("", {}, lambda: server.lacks_multi_read, watching=False)
    bases = server.play(read.groups("web"))
    server.play(read.members(bases))
    return read.status(GROUP.base, "web")


def test_ten_thousand_members_take_few_requests() -> None:
    """All members, entries and queue nodes are read by less than 60 requests, and 60 MB."""
    server = CountingServer()
    with_group(server, MEMBERS)
    with_rollout(server)
    group = read_once(server)

    assert len(group.rows) == MEMBERS
    assert (len(group.in_flight), len(group.waiting)) == (IN_FLIGHT, WAITING)
    assert sum(server.requests.values()) < 60, server.requests
    assert server.bytes < 60_000_000


def test_servers_without_multi_reads_show_the_same() -> None:
    """On servers before 3.6 each znode is a request of its own, and the status is the same."""
    old, new = CountingServer(lacks_multi_read=True), CountingServer()
    for server in (old, new):
        with_group(server, 700)
        with_rollout(server)

    assert read_once(old) == read_once(new)
    assert old.requests[MultiRead] == 0
    assert new.requests[MultiRead] > 0


def test_the_list_of_groups_reads_no_member() -> None:
    """For the list of all groups a large group costs as little as any, and has its numbers."""
    server = CountingServer()
    with_group(server, MEMBERS)
    with_rollout(server)
    read = GroupRead("", {}, lambda: False, watching=False)
    bases = server.play(read.groups(""))
    found = server.requests.total()
    server.play(read.numbers(bases))
    summary = read.summary(GROUP.base, "web")

    assert (summary.alive, summary.in_flight, summary.waiting) == (MEMBERS, IN_FLIGHT, WAITING)
    assert server.requests.total() - found < 5
    assert found < 5


@pytest.mark.parametrize(
    ("members", "is_watched"), [(MOST_WATCHED, True), (MOST_WATCHED + 1, False)]
)
def test_the_members_of_a_large_group_are_not_watched(members: int, is_watched: bool) -> None:
    """Up to 500 members have a watch each; of more, none has one."""
    server = CountingServer()
    with_group(server, members)
    GroupReader(server, "web", live=True).read()
    kinds = Counter(watch.kind for watch in server.watches if isinstance(watch, ReadKey))

    assert kinds[ZnodeKind.MEMBER] == (members if is_watched else 0)
    assert kinds[ZnodeKind.RECORD] == 1
    assert kinds[ZnodeKind.NAMES] >= 3


def test_a_large_group_is_read_again_from_time_to_time() -> None:
    """It is read again after 30 seconds, after 5 if something has changed, and never in between."""
    server, times = CountingServer(), [100.0]
    with_group(server, MOST_WATCHED + 1)
    reader = GroupReader(server, "web", live=True, monotonic=lambda: times[-1])
    changed = {ReadKey(ZnodeKind.NAMES, GROUP.in_flight)}

    def costs_requests() -> bool:
        before = server.requests.total()
        reader.read()
        return server.requests.total() > before

    assert costs_requests()
    assert reader.deadline == 100.0 + READ_EVERY_S
    assert not costs_requests()
    reader.forget(changed)
    assert reader.deadline == 100.0 + READ_AFTER_S
    times.append(104.0)
    assert not reader.is_due
    assert not costs_requests()
    times.append(105.5)
    assert reader.is_due
    assert costs_requests()
    times.append(105.5 + READ_EVERY_S)
    assert costs_requests()
    reader.forget({LOST})
    assert costs_requests()


def test_a_small_group_is_read_again_when_it_changes() -> None:
    """If all members are watched, nothing is read again without a change, and then at once."""
    server, times = CountingServer(), [100.0]
    with_group(server, 3)
    reader = GroupReader(server, "web", live=True, monotonic=lambda: times[-1])
    (group,) = reader.read()
    assert group.state is GroupState.COMPLETE
    before = server.requests.total()
    times.append(1000.0)
    assert not reader.is_due
    reader.read()
    assert server.requests.total() == before
    reader.forget({ReadKey(ZnodeKind.MEMBER, GROUP.member("m1"))})
    reader.read()
    assert server.requests.total() == before + 1
