"""A light member: the core of the group and its session, and what stands in for the command.

It wants each content of the input after the settle time, stages nothing, stops as soon as its turn
allows it, and is healthy when the time of its turn is over.
"""

import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.swarm.rollout_arithmetic import Down
from benchmarks.swarm.wire_counts import CountedNetwork, WireCounts
from zkexec.core.actions import Action, Note
from zkexec.core.attempt import LocalFailure
from zkexec.core.events import (
    Event,
    ReadFailed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.phases import Phase
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.core.rollout.group_actions import GroupRequest
from zkexec.core.rollout.group_events import CommitRefused, GroupRequestFailed, RecordCommitted
from zkexec.core.rollout.participant import Participant
from zkexec.core.snapshot import NOTHING_READ, InputState, Snapshot
from zkexec.core.step import Step
from zkexec.core.turn import Intent, Keeping, MemberStatus
from zkexec.group.member_profile import MemberProfile, PhaseTime
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.znode_paths import group_path
from zkexec.zookeeper.client_settings import ClientSettings

STOP_SHARE = 0.2
"""The part of a turn in which the command stops; in the rest it starts and becomes healthy."""
_FILE = "/light/member.conf"
_RETRY_S = 1.0


@dataclass(frozen=True)
class LightGroup:
    """What all members of a group have in common."""

    name: str
    servers: tuple[tuple[str, int], ...]
    input_path: str
    width: int
    session_timeout_s: float = 60.0

    @property
    def policy(self) -> Policy:
        """The settings by which each member decides."""
        return Policy(
            inputs=InputOptions(mirrors=(Mirror(_FILE, self.input_path),)),
            session_timeout_s=self.session_timeout_s,
            checks_health=True,
            in_group=True,
            restart_path=f"{group_path(self.name)}/restart",
            max_unavailable=MaxUnavailable(self.width),
        )


@dataclass
class Journal:
    """What the members of a process have met: notes, answers to commits, and commands down."""

    notes: Counter[str]
    answers: Counter[str]
    reasons: Counter[str]
    """Why requests failed."""
    downs: list[Down]


@dataclass
class Plan:
    """How the commands of all members behave; `turn_s` gives the time of a member's turn."""

    turn_s: Callable[[str], float]
    is_held: bool = False
    """Whether no command becomes healthy for now."""
    fails: bool = False
    """Whether each command that is down fails now, held or not."""


class LightMember:
    """One member with its session."""

    def __init__(
        self, group: LightGroup, member: str, plan: Plan, counts: WireCounts, journal: Journal
    ) -> None:
        policy = group.policy
        self.member = member
        self.network = CountedNetwork(counts)
        self._plan = plan
        self._journal = journal
        self._settle_s = policy.settle_s
        self.turn = Participant(policy, member, lambda: os.urandom(8).hex())
        self._posted: deque[Event] = deque()
        self.session = ClusterSession(
            ClientSettings(servers=group.servers, session_timeout_s=group.session_timeout_s),
            policy.followed,
            "",
            self._posted.append,
            MemberProfile(
                base=group_path(group.name),
                member_id=member,
                lock_file_id=f"{member}/{os.urandom(8).hex()}",
                max_unavailable=str(policy.max_unavailable),
                since=PhaseTime(),
                inputs=policy.inputs.paths,
            ),
            self.network,
        )
        self._restart_path = policy.restart_path
        self._read_number = 0
        self._read_at: float | None = None
        self._settles_at: float | None = None
        self._state: InputState = NOTHING_READ
        self._current: Snapshot | None = None
        self._requested: Snapshot | None = None
        self._failure: LocalFailure | None = None
        self._succeeded: Snapshot | None = None
        self.applied: Snapshot | None = None
        """The snapshot that the command runs on, or is being started on."""
        self.phase = Phase.LOADING
        self._stopped_at = self._starts_at = self._healthy_at = 0.0

    @property
    def deadline(self) -> float | None:
        """When `go_on` has to be called at the latest."""
        due = [self.session.deadline, self.turn.deadline, self._settles_at, self._read_at]
        if self.phase is Phase.STOPPING:
            due.append(self._starts_at)
        if self.phase is Phase.VERIFYING and not self._plan.is_held:
            due.append(self._healthy_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def runs(self) -> str:
        """The first line of the content that the command is healthy on; "" if it is not."""
        if self.applied is None or self.phase is not Phase.RUNNING or self.turn.in_flight:
            return ""
        return self.applied.files[_FILE].partition(b"\n")[0].decode()

    def go_on(self) -> None:
        """Do all that is ready or due."""
        self.session.advance()
        now = self.network.now()
        while self._posted:
            event = self._posted.popleft()
            actions = [*self._take_input(event, now), *self.turn.handle(event, now)]
            self._count(event)
            self._act(actions, now)
        self._act([], now)

    def _act(self, actions: list[Action], now: float) -> None:
        """Go on with the turn, and perform what it requests."""
        self._advance_command(now)
        self.turn.reconcile(self._intent(), now)
        if self._stop_if_allowed(now):
            self.turn.reconcile(self._intent(), now)
        for action in [*actions, *self.turn.advance(now)]:
            if isinstance(action, Note):
                self._journal.notes[action.topic] += 1
            elif isinstance(action, GroupRequest):
                self.session.request(action)
        if self._read_at is not None and now >= self._read_at:
            self._read_at = None
            self._read()

    def _count(self, event: Event) -> None:
        answers = self._journal.answers
        match event:
            case RecordCommitted():
                answers["commit"] += 1
            case CommitRefused(conflict=conflict):
                answers[f"conflict of the {conflict.value}"] += 1
            case GroupRequestFailed(reason=reason):
                answers["failed request"] += 1
                self._journal.reasons[reason[:200]] += 1
            case SessionSuspended(reason=reason) | SessionLost(reason=reason):
                answers[type(event).__name__] += 1
                self._journal.reasons[reason[:200]] += 1

    # The input.

    def _read(self) -> None:
        self._read_number += 1
        self.session.read(self._read_number)

    def _take_input(self, event: Event, now: float) -> list[Action]:
        match event:
            case SessionConnected():
                self._state = NOTHING_READ
                self._read()
            case ZnodeTouched():
                self._read()
            case ReadFailed(number) if number == self._read_number:
                self._read_at = now + _RETRY_S
            case ZnodesRead(number) if number == self._read_number:
                self._take_snapshot(event, now)
        return []

    def _take_snapshot(self, read: ZnodesRead, now: float) -> None:
        znodes = {path: z for path, z in read.znodes.items() if z.problem is None}
        znodes.pop(self._restart_path, None)
        (mirrored,) = znodes.values()
        self._state = InputState(newest=mirrored.mzxid)
        versions = {mirrored.path: mirrored.version}
        files = {_FILE: mirrored.content}
        found = Snapshot(files, mirrored.mzxid, versions, changed_at=mirrored.mtime)
        if found == self._current:
            return
        self._current = found
        if self.applied is None:
            # As if an earlier run had left its files, and its command had been healthy on them.
            self.applied, self.phase = found, Phase.RUNNING
        elif found != self.applied:
            self._settles_at = now + self._settle_s
            if self.phase is Phase.RUNNING:
                self.phase, self._succeeded = Phase.WAITING, None

    # What stands in for the command.

    def _advance_command(self, now: float) -> None:
        if self._settles_at is not None and now >= self._settles_at:
            self._settles_at, self._requested = None, self._current
        if self.phase is Phase.STOPPING and now >= self._starts_at:
            self.phase = Phase.VERIFYING
        if self.phase in (Phase.STOPPING, Phase.VERIFYING) and self._plan.fails:
            self._fail()
        elif self.phase is Phase.VERIFYING and not self._plan.is_held and now >= self._healthy_at:
            self.phase, self._requested, self._succeeded = Phase.RUNNING, None, self.applied
            self._journal.downs.append((self._stopped_at, now))

    def _fail(self) -> None:
        if self.applied is not None:
            self.phase = Phase.FAILED
            self._failure = LocalFailure(self.applied, "is not healthy", Step.HEALTH)

    @property
    def _is_granted(self) -> bool:
        granted = self.turn.granted
        may_change = self.phase in (Phase.WAITING, Phase.FAILED)
        is_tried = self._failure is not None and granted == self._failure.version
        return may_change and granted is not None and granted == self._current and not is_tried

    def _stop_if_allowed(self, now: float) -> bool:
        if not self._is_granted or not self.turn.may_stop(now):
            return False
        turn_s = self._plan.turn_s(self.member)
        if self.phase is not Phase.FAILED:
            self._stopped_at = now
        self.applied, self.phase, self._failure = self.turn.granted, Phase.STOPPING, None
        self._starts_at, self._healthy_at = now + turn_s * STOP_SHARE, now + turn_s
        return True

    def _intent(self) -> Intent:
        keeping = Keeping.NOTHING if self.phase in (Phase.LOADING, Phase.RUNNING) else Keeping.TURN
        if self._is_granted:
            keeping = Keeping.STOP
        is_good = self.phase is Phase.RUNNING
        step = {Phase.STOPPING: Step.STOP, Phase.VERIFYING: Step.HEALTH}.get(self.phase)
        is_healthy = self.phase in (Phase.RUNNING, Phase.WAITING)
        status = MemberStatus(
            self.phase.value,
            health="healthy" if is_healthy else "unknown",
            step="" if step is None else step.value,
        )
        return Intent(
            keeping,
            self._requested,
            self._succeeded,
            self._failure,
            self.applied if is_good else None,
            self._current,
            self._state,
            status,
            self.applied,
        )
