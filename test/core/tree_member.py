"""A member with trees, templates and variables, and a host and a group that answer it at once."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeVar

from core.readings import tree_of
from scenarios.group import MEMBER, ScriptedGroup
from zkexec.core import actions, events
from zkexec.core.actions import Action, Note
from zkexec.core.events import CachedFilesFound, CachedFilesMissing, Event, ExitStatus
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.production import Reading
from zkexec.core.rendering_result import RenderResult
from zkexec.core.rollout.group_actions import CommitRecord
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.snapshot import Snapshot, Tree, Znode, plan
from zkexec.core.step import Step, StepOutcome
from zkexec.core.turn import FreeTurn

MOST_ANSWERS = 1000
"""Far more than one event leads to."""

Kind = TypeVar("Kind", bound=Action)


class TreeMember:
    """A member, what it has done since the last event from outside, and what is on its host."""

    def __init__(
        self,
        policy: Policy,
        *,
        left: CachedFilesFound | None = None,
        group: ScriptedGroup | None = None,
    ) -> None:
        """Begin at time 0; `left` is what an earlier zkexec has left on the host."""
        self.policy = policy
        self.group = group or ScriptedGroup(policy.inputs)
        turn = Participant(policy, MEMBER, self.group.new_token) if policy.in_group else FreeTurn()
        self.member = Member(policy, turn)
        self.now = 0.0
        self.done: list[Action] = []
        self.record = RolloutRecord()
        """The record as this member has written it last."""
        self.refuses_staging = False
        self.obeys = True
        """Whether the command ends as soon as it is signalled."""
        self._left = left
        self._files = Snapshot({}) if left is None else left.snapshot
        self._staged = Snapshot({})
        self._numbers: dict[type[Action], int] = {}
        self._zxid = 0

    # What happens.

    def happen(self, event: Event) -> None:
        """Handle an event from outside, and all the answers that follow from it."""
        self.done = []
        waiting = deque([event])
        for _ in range(MOST_ANSWERS):
            if not waiting:
                return
            self.group.now = self.now
            todo = self.member.handle(waiting.popleft(), self.now)
            self.done += todo
            for action in todo:
                waiting.extend(self._perform(action))
        raise RuntimeError("an event leads to actions and answers without end")

    def wait(self, seconds: float) -> None:
        """Let time pass, with everything that is due meanwhile."""
        end, done = self.now + seconds, []
        while self.phase is not Phase.DONE:
            due = self.member.deadline
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.happen(events.Tick())
            done += self.done
        self.now, self.done = end, done

    def start(self) -> None:
        """Begin, and connect."""
        self.happen(events.Started())
        self.connect()

    def connect(self, session: int = 1) -> None:
        """Connect with a session."""
        self.happen(events.SessionConnected(session, self.policy.session_timeout_s))

    def read(
        self,
        trees: Mapping[str, Mapping[str, bytes] | Tree],
        znodes: Mapping[str, bytes] = {},
        *,
        zxid: int = 0,
    ) -> None:
        """Answer the last read; everything is written anew, if no zxid is given."""
        self._zxid = zxid or self._zxid + 1
        reading = Reading(
            {
                path: Znode(path, content, self._zxid, version=self._zxid)
                for path, content in znodes.items()
            },
            {
                root: tree if isinstance(tree, Tree) else tree_of(root, tree, zxid=self._zxid)
                for root, tree in trees.items()
            },
        )
        self.group.versions.update(reading.versions)
        number = self._numbers[actions.ReadZnodes]
        self.happen(events.ZnodesRead(number, reading.znodes, self._zxid, reading.trees))

    def push(
        self,
        trees: Mapping[str, Mapping[str, bytes] | Tree],
        znodes: Mapping[str, bytes] = {},
        *,
        zxid: int = 0,
    ) -> None:
        """Let a watch fire, and answer the read that follows."""
        self.happen(events.ZnodeTouched("/any"))
        self.read(trees, znodes, zxid=zxid)

    def render(self, result: RenderResult) -> None:
        """End the rendering that runs."""
        self.happen(events.RenderFinished(self._numbers[actions.RenderTemplates], result))

    def check(self, *, passed: bool) -> None:
        """End the health check that runs."""
        self.happen(
            events.HealthCheckFinished(self._numbers[actions.RunHealthCheck], passed, "reason")
        )

    def end_step(self, step: Step, outcome: StepOutcome) -> None:
        """End the command of a step."""
        self.happen(events.StepFinished(step, self._numbers[actions.RunStep], outcome))

    # What follows.

    @property
    def phase(self) -> Phase:
        """The phase of the member."""
        return self.member.phase

    def is_in(self, phase: Phase) -> bool:
        """Whether the member is in this phase."""
        return self.phase is phase

    @property
    def topics(self) -> list[str]:
        """What was logged."""
        return [action.topic for action in self.done if isinstance(action, Note)]

    def requests(self, kind: type[Kind]) -> list[Kind]:
        """Return the actions of one kind that were requested."""
        return [action for action in self.done if isinstance(action, kind)]

    def one(self, kind: type[Kind]) -> Kind:
        """Return the only action of this kind."""
        (action,) = self.requests(kind)
        return action

    @property
    def runs(self) -> Mapping[str, bytes]:
        """The files that are installed."""
        return self._files.files

    def _perform(self, action: Action) -> Iterator[Event]:
        number = getattr(action, "number", None) or getattr(action, "generation", None)
        if number is not None:
            self._numbers[type(action)] = number
        match action:
            case actions.LoadCachedFiles():
                yield self._left or CachedFilesMissing("/f: no such file")
            case actions.StageFiles(snapshot):
                self._staged = snapshot
                failed = events.FilesFailed("disk full")
                yield failed if self.refuses_staging else events.FilesStaged()
            case actions.InstallFiles():
                written = plan(self._files, self._staged).changed
                self._files = self._staged
                yield events.FilesInstalled(written)
            case actions.StartCommand(generation):
                yield events.CommandStarted(generation, pid=generation + 100)
            case actions.SignalProcessTree(signal) if self.obeys:
                generation = self._numbers[actions.StartCommand]
                yield events.CommandExited(generation, ExitStatus(signal=signal))
            case actions.KillHealthCheck():
                generation = self._numbers[actions.RunHealthCheck]
                yield events.HealthCheckFinished(generation, False, "killed")
            case actions.InspectProcessTree(generation):
                yield events.ProcessTreeInspected(generation, 0)
            case CommitRecord():
                self.record = action.after
        yield from self.group.answer(action)
