"""The events that a ClusterSession posts, collected for a test that waits for each in turn.

A session has no thread, so whoever waits here drives all sessions that are open.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from kazoo.client import KazooClient

from support.waiting import DEADLINE_S, T, until
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import Access
from zkexec.core.events import (
    Event,
    ReadFailed,
    SessionConnected,
    ZnodesRead,
)
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    PublishStatus,
    QueueRequest,
    ReadRecord,
    Watch,
)
from zkexec.core.rollout.group_events import (
    Enrolled,
    GroupRequestFailed,
    GroupRequestForbidden,
    QueueJoined,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.snapshot import Tree, Znode
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_profile import MemberProfile, PhaseTime
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.runtime.inbox import now
from zkexec.zookeeper.values import Acl

ANYONE = Access()
Opener = Callable[..., AbstractContextManager[tuple[ClusterSession, "PostedEvents"]]]
"""Opens a ClusterSession: `opened(*paths, chroot=...)`; it is connected and ready to read."""
Request = Enrol | QueueRequest | ReadRecord | CommitRecord
"""A request to a group, which is answered."""
RUNNING = MemberStatus("running", "d1", "d1", "healthy")
_E = TypeVar("_E", bound=Event)


DRIVEN: list[ClusterSession] = []
"""The sessions that are open."""


@contextmanager
def driven(session: ClusterSession) -> Iterator[None]:
    """Open a session, have it driven as long as the block lasts, and close it."""
    DRIVEN.append(session)
    session.open()
    try:
        yield
    finally:
        DRIVEN.remove(session)
        session.close(5.0)


def drive(longest_s: float) -> None:
    """Wait once until something has happened to an open session, and drive them all."""
    poll = select.poll()
    due = now() + longest_s
    for session in DRIVEN:
        if session.descriptor is not None:
            poll.register(*session.descriptor)
        due = min(due, due if session.deadline is None else session.deadline)
    poll.poll(1000 * max(0.0, due - now()))
    for session in DRIVEN:
        session.advance()


def drive_until(get: Callable[[], T], what: str | Callable[[], str]) -> T:
    """Wait for a condition as `until` does, and drive all sessions meanwhile."""
    return until(get, what, pause=drive)


def accepted(listener: socket.socket) -> socket.socket:
    """Accept a connection of a session, once something can be received on it."""
    drive_until(lambda: _is_readable(listener), "a connection")
    connection, _ = listener.accept()
    drive_until(lambda: _is_readable(connection), "the first bytes")
    return connection


def _is_readable(one: socket.socket) -> bool:
    return bool(select.select([one], [], [], 0.0)[0])


class PostedEvents:
    """All events so far, and a mark up to which the test has looked at them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._mark = 0
        self._numbers = 0

    def post(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)

    def next(self, kind: type[_E], **fields: object) -> _E:
        """The next event of this kind with these fields; what came before it is passed over."""
        end = time.monotonic() + DEADLINE_S
        while True:
            for index in range(self._mark, len(self.events)):
                event = self.events[index]
                if isinstance(event, kind) and all(
                    getattr(event, name) == value for name, value in fields.items()
                ):
                    self._mark = index + 1
                    return event
            if time.monotonic() >= end:
                raise TimeoutError(f"no {kind.__name__} {fields} in {self.events[-50:]}")
            drive(end - time.monotonic())

    def since_mark(self, kind: type[_E]) -> list[_E]:
        """The events of this kind that came after the last that was returned."""
        drive(0.0)
        return [event for event in self.events[self._mark :] if isinstance(event, kind)]

    def fresh_number(self) -> int:
        """A number that no request had yet."""
        self._numbers += 1
        return self._numbers

    def answer(self, ensemble: ClusterSession) -> ZnodesRead | ReadFailed:
        """Ask for a read with a fresh number, and return its answer."""
        number = self.fresh_number()
        ensemble.read(number)
        answer = self.answer_to(number)
        assert isinstance(answer, ZnodesRead | ReadFailed)
        return answer

    def answer_to(self, number: int) -> Event:
        """The answer to a request with a fresh number, once it is there; the mark stays."""
        end = time.monotonic() + DEADLINE_S
        while True:
            for event in self.events:
                if getattr(event, "number", None) == number:
                    return event
            if time.monotonic() >= end:
                raise TimeoutError(f"request {number} has no answer: {self.events[-50:]}")
            drive(end - time.monotonic())

    def read(self, ensemble: ClusterSession) -> dict[str, Znode]:
        """The znodes of a read that has to succeed."""
        answer = self.answer(ensemble)
        if isinstance(answer, ReadFailed):
            raise AssertionError(f"the read failed: {answer.reason}")
        return dict(answer.znodes)

    def trees(self, ensemble: ClusterSession) -> dict[str, Tree]:
        """The trees of a read that has to succeed, by root."""
        answer = self.answer(ensemble)
        if isinstance(answer, ReadFailed):
            raise AssertionError(f"the read failed: {answer.reason}")
        return dict(answer.trees)

    def tree_contents(self, ensemble: ClusterSession, root: str) -> dict[str, bytes]:
        """The contents of a tree by path below its root, of a read that has to succeed."""
        tree = self.trees(ensemble)[root]
        assert tree.problem is None
        assert all(znode.problem is None for znode in tree.znodes.values())
        return {path: znode.content for path, znode in tree.znodes.items()}

    def contents(self, ensemble: ClusterSession) -> dict[str, bytes]:
        """The contents by path, of a read that has to succeed."""
        return {path: znode.content for path, znode in self.read(ensemble).items()}


class ConnectedMember:
    """A member that sends requests to its group, each with a fresh number."""

    def __init__(self, ensemble: ClusterSession, posted: PostedEvents) -> None:
        self.ensemble = ensemble
        self.posted = posted

    def ask(self, request: Request) -> Event:
        """Ask, whatever number the request has, and return the answer."""
        number = self.posted.fresh_number()
        self.ensemble.request(replace(request, number=number))
        return self.posted.answer_to(number)

    def get(self, kind: type[_E], request: Request) -> _E:
        """Ask, where the answer has to be of this kind."""
        answer = self.ask(request)
        if not isinstance(answer, kind):
            raise AssertionError(f"{request} was answered by {answer}")
        return answer

    def failure(self, request: Request) -> str:
        """The reason for which a request fails."""
        answer = self.ask(request)
        assert isinstance(answer, GroupRequestFailed | GroupRequestForbidden), (request, answer)
        return answer.reason

    def enrol(self, status: MemberStatus = RUNNING) -> None:
        """Make the own node."""
        self.get(Enrolled, Enrol(0, status))

    def show(self, status: MemberStatus) -> None:
        """Write a card."""
        self.ensemble.request(PublishStatus(status))

    def read(self, watch: Watch = Watch.NOTHING, **more: Any) -> RecordRead:
        """The record, if it can be read; `more` are fields of the request."""
        return self.get(RecordRead, ReadRecord(0, watch, **more))

    def commit(self, record: RolloutRecord, **more: Any) -> RecordBasis:
        """Write what differs from the record that is there now."""
        return self.get(RecordCommitted, self.commit_request(record, **more)).basis

    def commit_request(self, record: RolloutRecord, **more: Any) -> CommitRecord:
        """The request that writes what differs from the record that is there now."""
        read = self.read(survey=True)
        return CommitRecord(0, read.record, record, read.basis, **more)

    def join(self, token: str, digest: str = "d", zone: str = "", member: str = "m1") -> int:
        """The number of a new queue node."""
        queued = QueuedMember(member, token, digest, zone)
        return self.get(QueueJoined, JoinQueue(0, queued)).queue_number


def address(hosts: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"."""
    host, _, port = hosts.rpartition(":")
    return host, int(port)


@contextmanager
def connected_client(hosts: str) -> Iterator[KazooClient]:
    """A plain client for a few writes, whose session is gone afterwards."""
    client = KazooClient(hosts=hosts, timeout=30.0)
    client.start(timeout=DEADLINE_S)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def ensemble_of(
    *hosts: str,
    paths: tuple[str, ...] = (),
    chroot: str = "",
    session_timeout_s: float = 10.0,
    group: MemberProfile | None = None,
    access: Access = ANYONE,
) -> Iterator[tuple[ClusterSession, PostedEvents]]:
    """A ClusterSession on these servers, opened, and what it posts; closed in the end."""
    posted = PostedEvents()
    settings = client_settings([address(each) for each in hosts], access, session_timeout_s)
    ensemble = ClusterSession(settings, paths, chroot, posted.post, group)
    with driven(ensemble):
        yield ensemble, posted


def group_place(base: str, member: str = "m1", acl: Sequence[Acl] | None = None) -> MemberProfile:
    """The profile of a member in the group at this path; no other member has its lock file."""
    return MemberProfile(base, member, f"lock file of {member}", "1", PhaseTime(), acl)


@contextmanager
def connected_member(
    *hosts: str,
    group: MemberProfile,
    paths: tuple[str, ...] = (),
    chroot: str = "",
    session_timeout_s: float = 10.0,
    access: Access = ANYONE,
) -> Iterator[ConnectedMember]:
    """A member that is connected, and neither enrolled nor queued yet."""
    with ensemble_of(
        *hosts,
        paths=paths,
        chroot=chroot,
        session_timeout_s=session_timeout_s,
        group=group,
        access=access,
    ) as (ensemble, posted):
        posted.next(SessionConnected)
        yield ConnectedMember(ensemble, posted)


def opener(hosts: str) -> Opener:
    """Opens sessions on these hosts."""

    @contextmanager
    def opened(*paths: str, chroot: str = "") -> Iterator[tuple[ClusterSession, PostedEvents]]:
        with ensemble_of(hosts, paths=paths, chroot=chroot) as (ensemble, posted):
            posted.next(SessionConnected)
            yield ensemble, posted

    return opened
