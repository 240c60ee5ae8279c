"""A member's turn and a group that answers it request by request, for the tests of the turn."""

from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

from core.records import basis_of_record, failures, limit, population
from zkexec.core.actions import Action, Note
from zkexec.core.attempt import LocalFailure
from zkexec.core.events import Event, SessionConnected, Tick
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import Policy
from zkexec.core.rollout.group_actions import CommitRecord, PublishStatus, ReadRecord, Watch
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    Enrolled,
    GroupPart,
    GroupRequestFailed,
    GroupTouched,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeFound,
    QueueNodesRead,
    QueueRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.core.step import Step
from zkexec.core.turn import Intent, Keeping, MemberStatus
from zkexec.frozen import replace

INPUTS = InputOptions(mirrors=(Mirror("/f", "/z"),))
POLICY = Policy(
    inputs=INPUTS,
    in_group=True,
    session_timeout_s=12,
    checks_health=True,
    health_delay_s=9,
    kill_timeout_s=1,
)
GRACE_S = 10
"""Under these terms this is the grace period, and the lease is two seconds."""
AGREED = RolloutRecord(
    max_unavailable=limit(1), max_failed=failures(0), last_admitted=4, population=population(10)
)
"""A record that the limits of this member are in, and in which its predecessor was admitted."""
QUEUE_NUMBER = 5
"""The number of the own queue node."""


def snapshot(word: str) -> Snapshot:
    """Make a snapshot from content@mzxid; the version of its znode is the same number."""
    content, _, mzxid = word.partition("@")
    return Snapshot({"/f": content.encode()}, int(mzxid), {"/z": int(mzxid)})


def named(word: str) -> ConfigVersion:
    """Return the version of such a snapshot."""
    return version_of(snapshot(word), INPUTS)


def entry_of(word: str, under: str, *, zone: str = "", admission: int = 0) -> InFlightEntry:
    """Return an entry for such a snapshot."""
    wanted = named(word)
    return InFlightEntry(under, wanted.digest, wanted.zxid, zone=zone, admission=admission)


def queued(word: str, under: str, member: str = "m1", zone: str = "") -> QueuedMember:
    """Return what a member that waits for such a snapshot shows in its queue node."""
    return QueuedMember(member, under, named(word).digest, zone)


def queue_node(number: int, word: str, member: str, zone: str = "") -> QueueNode:
    """Return the queue node of another member that waits for such a snapshot."""
    return QueueNode(number, 0, queued(word, f"{member}-turn", member, zone))


def watch_of(request: Action | None) -> Watch:
    """Return what a read of the record watches; the request has to be one."""
    assert isinstance(request, ReadRecord)
    return request.watch


def numbers_of(request: CommitRecord) -> list[int]:
    """Return the numbers of the queue nodes that a commit deletes."""
    return [node.number for node in request.admitted]


class TurnHarness:
    """The turn of the member m1, the time, and the last request that it has sent."""

    def __init__(self, policy: Policy = POLICY) -> None:
        """Begin without a session; tokens are the letters."""
        letters: Iterator[str] = iter(ascii_lowercase)
        self._intent = Intent(known=InputState())
        self.turn = Participant(policy, "m1", lambda: next(letters))
        self.now = 0.0
        self.last: Action | None = None
        self.notes: list[str] = []

    @property
    def number(self) -> int:
        """The number of the last request."""
        number: int = getattr(self.last, "number", 0)
        return number

    def advance(self) -> Action | None:
        """Let the turn send its next request; return it, if there is one."""
        return self._note(self.turn.advance(self.now))

    def happen(self, event: Event) -> Action | None:
        """Handle an event; return the request that follows, if there is one."""
        self.notes = []
        first = self.turn.handle(event, self.now)
        return self._note([*first, *self.turn.advance(self.now)])

    def _note(self, actions: Sequence[Action]) -> Action | None:
        self.notes += [action.topic for action in actions if isinstance(action, Note)]
        asked = [action for action in actions if not isinstance(action, Note | PublishStatus)]
        assert len(asked) <= 1, "one request at a time"
        self.last = asked[0] if asked else self.last
        return asked[0] if asked else None

    def connect(self, session: int = 1) -> Action | None:
        """Connect with a session."""
        return self.happen(SessionConnected(session, 12.0))

    def read(
        self,
        record: RolloutRecord = AGREED,
        state: int = 4,
        alive: frozenset[str] = frozenset({"m1", "m2", "m3"}),
        basis: RecordBasis | None = None,
    ) -> Action | None:
        """Read the record, in a group of ten."""
        basis = basis_of_record(record, state) if basis is None else basis
        return self.happen(RecordRead(self.number, record, basis, alive))

    def enrolled(self, population: int = 10) -> Action | None:
        """The own node exists."""
        return self.happen(Enrolled(self.number, population))

    def listed(self, *numbers: int, unknown: tuple[str, ...] = ()) -> Action | None:
        """The queue was listed."""
        return self.happen(QueueListed(self.number, numbers, unknown))

    def queue_read(self, *nodes: QueueNode, known: tuple[int, ...] = ()) -> Action | None:
        """The queue was read: the own node, these, and those that are known already."""
        numbers = {QUEUE_NUMBER, *known, *(node.number for node in nodes)}
        return self.happen(QueueRead(self.number, frozenset(numbers), nodes))

    def nodes_read(
        self, *, own: bool = True, before: bool = True, left_over: bool = False
    ) -> Action | None:
        """It is known whether the own queue node and the one before it exist."""
        return self.happen(QueueNodesRead(self.number, own, before, left_over))

    def found(self, number: int | None) -> Action | None:
        """The own queue node was searched for."""
        return self.happen(QueueNodeFound(self.number, number))

    def queue_joined(self, number: int = QUEUE_NUMBER) -> Action | None:
        """The queue node was made."""
        return self.happen(QueueJoined(self.number, number))

    def queue_left(self, *, was_there: bool = True) -> Action | None:
        """The queue node is gone."""
        return self.happen(QueueLeft(self.number, was_there))

    def touched(self, part: GroupPart) -> Action | None:
        """A watch has fired."""
        return self.happen(GroupTouched(part))

    def committed(self, state: int | None = None) -> Action | None:
        """The commit was written: the decisions have the next version, or this one."""
        assert isinstance(self.last, CommitRecord)
        was = self.last.basis.state
        basis = basis_of_record(self.last.after, was + 1 if state is None else state)
        return self.happen(RecordCommitted(self.number, basis))

    def refused(self, conflict: Conflict, queue_number: int | None = None) -> Action | None:
        """The commit was refused."""
        return self.happen(CommitRefused(self.number, conflict, queue_number))

    def failed(self, reason: str = "no answer in time") -> Action | None:
        """The request got no answer, or an error."""
        return self.happen(GroupRequestFailed(self.number, reason))

    def forbidden(self, reason: str = "/members/m1: no permission") -> Action | None:
        """The ensemble refused the request."""
        return self.happen(GroupRequestFailed(self.number, reason, is_refused=True))

    def tick(self, seconds: float) -> Action | None:
        """Let time pass; return the request that follows, if there is one."""
        self.now += seconds
        return self.happen(Tick())

    def begin(self, record: RolloutRecord = AGREED) -> Action | None:
        """Begin as a member without a wanted version; return its next request."""
        self.connect()
        self.read(record)
        return self.enrolled()

    def intend(self, **changes: object) -> None:
        """Let the member want something else of its group than before."""
        self._intent = replace(self._intent, **changes)
        self.turn.reconcile(self._intent, self.now)

    def want(self, wanted: Snapshot) -> None:
        """Let the member want a turn for this version."""
        self.intend(keeping=Keeping.TURN, wanted=wanted, succeeded=None)

    def withdraw(self) -> None:
        """Let the member need no turn any more."""
        self.intend(keeping=Keeping.NOTHING, wanted=None)

    def succeed(self, version: Snapshot) -> None:
        """Let the command become healthy on this version, in its turn."""
        self.intend(keeping=Keeping.NOTHING, wanted=None, succeeded=version, failure=None)

    def fail(self, version: Snapshot, reason: str, step: Step | None = None) -> None:
        """Let this version fail, in the turn for it."""
        failure = LocalFailure(version, reason, step)
        self.intend(keeping=Keeping.TURN, succeeded=None, failure=failure)

    def report_known_good(self, version: Snapshot) -> None:
        """Let the command be healthy on this version, outside of a turn."""
        self.intend(known_good=version)

    def confirm(self) -> None:
        """Let the member want to stop its command."""
        self.intend(keeping=Keeping.STOP)

    def publish(
        self, status: MemberStatus, running: Snapshot | None, current: Snapshot | None
    ) -> None:
        """Let the member show this status."""
        self.intend(status=status, running=running, current=current)

    def request(self, word: str) -> Action | None:
        """Request a turn for another version."""
        self.want(snapshot(word))
        return self.advance()

    def inputs(self, word: str, **known: Any) -> None:
        """Read these inputs, with this state; by default everything is known."""
        self.intend(current=snapshot(word), known=InputState(**known))

    def be_head(self, word: str = "b@2") -> Action | None:
        """Become the head of the queue for this version; return the read that shows it."""
        self.request(word)
        self.queue_joined()
        return self.nodes_read(before=False)

    def take(self, word: str = "b@2") -> CommitRecord:
        """Be admitted to this version; return the commit."""
        self.be_head(word)
        request = self.read()
        assert isinstance(request, CommitRecord)
        self.committed()
        return request
