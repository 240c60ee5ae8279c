"""A group's znodes on a model server, and a member's store on them."""

from collections.abc import Callable, Sequence
from typing import Any

from support.model_server import ModelServer, run
from zkexec.core.rollout.group_actions import CommitRecord, QueueRequest, ReadRecord, Watch
from zkexec.core.rollout.group_events import (
    CommitRefused,
    GroupPart,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.version_state import AS_COMMITTED, VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_profile import MemberProfile, PhaseTime, Writer
from zkexec.group.paths import Paths
from zkexec.group.store import GroupStore
from zkexec.zookeeper.requests import Create, Dialogue, Operation, Transaction
from zkexec.zookeeper.values import OPEN_ACL

BASE = "/g"
NOW = 1000.0
NEWEST = 100
"""The zxid of the newest transaction before a test begins."""


def write(operations: Sequence[Operation], _: MemberStatus | None) -> Dialogue:
    """Do these operations at once, without a status."""
    (results,) = yield [Transaction(operations)]
    return results


class GroupModel:
    """A group without members on a model server, and one member's store for each connection."""

    def __init__(self, *, is_old: bool = False) -> None:
        """`is_old`: the server does not know the multi-read."""
        self.fired: list[str] = []
        self.server = ModelServer(self.fired.append)
        self.is_old = is_old
        self.paths = Paths("", BASE)
        self.server.commit((BASE, b""))
        run(self.connection("m1").lasting.make(), self.server)
        while self.server.zxid < NEWEST:
            self.server.commit()

    def connection(self, member: str) -> GroupStore:
        """A store of this member on a new connection."""
        writer = Writer("this-host", 1, lambda: NOW)
        profile = MemberProfile(
            BASE, member, f"lock file of {member}", "1", PhaseTime(), writer=writer
        )
        return GroupStore(profile, Paths("", BASE), lambda: self.is_old)

    def read(
        self,
        member: str = "m1",
        watch: Watch = Watch.NOTHING,
        between: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> RecordRead:
        """What a member reads on a new connection."""
        request = ReadRecord(0, watch, **more)
        found = run(self.connection(member).read(request), self.server, between)
        assert isinstance(found, RecordRead)
        return found

    @property
    def record(self) -> RolloutRecord:
        """The record, with the entries of all members in flight."""
        return self.read(survey=True).record

    def ask(self, request: CommitRecord) -> RecordCommitted | CommitRefused:
        """The answer to a commit."""
        answer = run(self.connection("m1").commit(request, write), self.server)
        assert isinstance(answer, RecordCommitted | CommitRefused)
        return answer

    def queue(self, request: QueueRequest) -> Any:
        """The answer to a request about the queue."""
        return run(self.connection("m1").queue(request, write), self.server)

    def request(self, after: RolloutRecord, **more: Any) -> CommitRecord:
        """The request that writes what differs from the record that is there now."""
        read = self.read(survey=True)
        return CommitRecord(0, read.record, after, read.basis, **more)

    def commit(self, after: RolloutRecord, **more: Any) -> RecordCommitted:
        """Write what differs from the record that is there now."""
        answer = self.ask(self.request(after, **more))
        assert isinstance(answer, RecordCommitted), answer
        return answer

    def make(self, path: str, content: bytes = b"", *, ephemeral: bool = False) -> None:
        """Make a znode of the group."""
        create = Create(f"{BASE}/{path}", content, OPEN_ACL, ephemeral=ephemeral)
        (outcome,) = self.server.transact([create])
        assert isinstance(outcome, str), outcome

    def count(self, path: str) -> int:
        """How many children a znode of the group has."""
        return len([p for p in self.server.nodes if p.rpartition("/")[0] == f"{BASE}/{path}"])

    def version(self, path: str) -> int:
        """The version of a znode of the group."""
        return self.server.nodes[f"{BASE}/{path}"].version

    def part(self, path: str) -> GroupPart:
        """The part of the group that a watch on this path is about."""
        return GroupPart.RECORD if path == self.paths.state else GroupPart.IN_FLIGHT


def as_read(record: RolloutRecord) -> RolloutRecord:
    """The record as a survey reads it after it was written at NOW."""
    return replace(
        record,
        in_flight={name: _entry(entry) for name, entry in record.in_flight.items()},
        versions={digest: _version(state) for digest, state in record.versions.items()},
        paused=record.paused and replace(record.paused, at=record.paused.at or NOW),
        hold=record.hold and replace(record.hold, at=record.hold.at or NOW),
        head=record.head and replace(record.head, since=record.head.since or NOW),
    )


def _entry(entry: InFlightEntry) -> InFlightEntry:
    return replace(entry, since=NOW if entry.since == AS_COMMITTED else entry.since)


def _version(state: VersionState) -> VersionState:
    ordered = replace(
        state,
        failed_by=tuple(sorted(state.failed_by)),
        condemned_by=tuple(sorted(state.condemned_by)),
    )
    if not state.failed_by:
        return replace(ordered, reason="", step="", at=AS_COMMITTED)
    return replace(ordered, at=NOW if state.at == AS_COMMITTED else state.at)
