"""The host of the stories: it carries out each action, unless the story prepares a failure.

Files, starts, inspections of the process tree and requests to the group are answered at once.  All
other events, such as the end of the command or of a health check, are lines of the story.
"""

from collections import deque
from collections.abc import Callable

from scenarios.group import MEMBER, ScriptedGroup
from scenarios.trees import read_files, read_trees, snapshot_of
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event, ExitStatus
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.rendering_result import Rendered
from zkexec.core.rollout.participant import Participant
from zkexec.core.snapshot import Snapshot, Znode, plan
from zkexec.core.step import Step, StepOutcome
from zkexec.core.turn import FreeTurn, Turn
from zkexec.frozen import replace

MOST_ANSWERS = 1000
"""Far more than one event leads to."""
Writer = Callable[[Event, list[Action]], None]
Watch = Callable[[Event, list[Action], Member], None]
"""Gets each event, what was decided, and the member."""


class ScriptedHost:
    """A member, and the host that it runs on."""

    def __init__(self, policy: Policy, watch: Watch | None = None) -> None:
        """Begin at time 0, before the first event."""
        self._watch = watch
        self.group = ScriptedGroup(policy.inputs, policy.restart_path, policy.zone)
        self.policy = policy
        self._member = Member(policy, self._new_turn())
        self._session = 0
        self.now = 0.0
        self.files = Snapshot({})
        self.generation = 0
        self.last_check = 0
        self.last_read = 0
        self.last_rendering = 0
        self.rendered: Rendered | None = None
        """What each rendering gives at once, if that is known."""
        self.last_run: dict[Step, int] = {}
        """The numbers of the last run of each step."""
        self.passing: frozenset[Step] = frozenset()
        """The steps whose commands pass at once."""
        self.steps: set[tuple[Phase, type[Event], Phase]] = set()
        self._staged = Snapshot({})
        self._cached: events.CachedFilesFound | None = None
        self._failures: dict[str, str] = {}
        self._remaining: deque[int] = deque()
        self._waits = False
        self._busy_s = 0.0
        self._obeys_after_s: float | None = None
        self._exit_at: float | None = None
        self._runs = False
        """Whether the command runs that was started last."""
        self._last_line = ""
        """What the command wrote last since its start, or since it got other files to load."""

    def _new_turn(self) -> Turn:
        if self.policy.in_group:
            return Participant(self.policy, MEMBER, self.group.new_token)
        return FreeTurn()

    @property
    def phase(self) -> str:
        """The word for the phase."""
        return self._member.phase.value

    @property
    def deadline(self) -> float | None:
        """The member's deadline."""
        return None if self._member.phase is Phase.DONE else self._member.deadline

    def prepare(self, words: list[str]) -> None:  # noqa: C901, PLR0912 -- one arm for each
        """Prepare how the next action of a kind ends, if not as usual."""
        match words:
            case ["next", what, "fails", *reason]:
                self._failures[what] = " ".join(reason)
            case ["next", "inspections", "find", *counts]:
                self._remaining.extend(int(count) for count in counts)
            case ["next", "staging", "waits"]:
                self._waits = True
            case ["next", request, ("lost" | "not-done" | "unanswered" | "forbidden") as mishap]:
                self.group.prepare_mishap(request, mishap)
            case ["group", *what]:
                self.group.happen(what)
            case ["steps", "pass", *steps]:
                self.passing = frozenset(Step(step) for step in steps)
            case ["cached", "files", *files]:
                pairs = [word.partition("=") for word in files]
                cached = Snapshot({path: value.encode() for path, _, value in pairs})
                self._cached = events.CachedFilesFound(cached)
                self.group.name(cached)
            case ["cached", "version", *version]:
                self._prepare_version(version)
            case ["renderings", "give", *files]:
                self.rendered = Rendered(read_files(files))
            case ["next", "staging", "takes", seconds]:
                self._busy_s = float(seconds)
            case ["frozen", "until", time]:
                self.now = float(time)
            case ["command", "wrote", *line]:
                self._last_line = " ".join(line)
            case ["command", ("obeys" | "ends") as what, seconds]:
                self._prepare_command(what, float(seconds))
            case _:
                raise ValueError(f"no such command: {' '.join(words)}")

    def _prepare_command(self, what: str, seconds: float) -> None:
        if what == "obeys":
            self._obeys_after_s = seconds
        else:
            self._exit_at = seconds

    def _prepare_version(self, words: list[str]) -> None:
        """Let the state file describe this version."""
        is_healthy = words[0] == "healthy"
        words = words[is_healthy:]
        znodes = {}
        for word in words:
            path, _, value = word.partition("=")
            if not path.endswith("/"):
                content, _, mzxid = value.partition("@")
                znodes[path] = Znode(path, content.encode(), int(mzxid))
        rendered = self.rendered or Rendered({})
        found = snapshot_of(self.policy.inputs, znodes, read_trees(words), rendered)
        self.group.read(events.ZnodesRead(0, znodes, trees=read_trees(words)))
        on_disk = Snapshot(found.files, digest=found.digest, variables=found.variables)
        self._cached = events.CachedFilesFound(on_disk, is_healthy, found.zxid)

    def run_until(self, time: float, write: Writer) -> None:
        """Run everything that is due by this time."""
        while True:
            due = [at for at in (self.deadline, self._exit_at) if at is not None and at <= time]
            if not due:
                break
            self.now = max(self.now, min(due))
            if self._exit_at is not None and self._exit_at <= self.now:
                self._exit_at = None
                self.happen(events.CommandExited(self.generation, ExitStatus(signal=15)), write)
            else:
                self.happen(events.Tick(), write)
        self.now = time

    def happen(self, event: Event, write: Writer) -> None:
        """Handle an event now, and all the answers that follow from it."""
        waiting = deque([event])
        for _ in range(MOST_ANSWERS):
            if not waiting:
                return
            event = waiting.popleft()
            if isinstance(event, events.Tick | events.HealthCheckFinished):
                event = replace(event, last_line=self._last_line)
            self.group.now = self.now
            if isinstance(event, events.CommandExited) and event.generation == self.generation:
                self._runs = False
            before = self._member.phase
            todo = self._member.handle(event, self.now)
            self.steps.add((before, type(event), self._member.phase))
            write(event, todo)
            if self._watch is not None:
                self._watch(event, todo, self._member)
            for action in todo:
                waiting.extend(self._perform(action))
        raise RuntimeError("an event leads to actions and answers without end")

    def renew_core(self, reason: str, write: Writer) -> None:
        """Let another core adopt the running command, as after an error inside zkexec."""
        adopted = self._member.adopted(check=None, alerting=False)
        self.group.disconnect()
        self._member = Member(self.policy, self._new_turn(), adopted, reason)
        self.happen(events.Started(), write)

    def connected(self) -> Event:
        """Return the event of a connection, with the same session or a new one."""
        return events.SessionConnected(self._session, self.policy.session_timeout_s)

    def lose_session(self) -> None:
        """End the session; the client opens another."""
        self._session += 1
        self.group.end_session()

    def _perform(self, action: Action) -> list[Event]:
        match action:
            case (
                actions.StartCommand()
                | actions.InstallFiles()
                | actions.SignalCommand()
                | actions.RunStep(step=Step.RELOAD)
            ):
                self._last_line = ""
        return self._answers_to(action)

    def _answers_to(self, action: Action) -> list[Event]:  # noqa: C901, PLR0912 -- one arm for each
        match action:
            case actions.OpenSession():
                self._session += 1
                self.group.disconnect()
            case actions.ReadZnodes(number):
                self.last_read = number
            case actions.LoadCachedFiles():
                if self._cached is None:
                    return [events.CachedFilesMissing("/f: no such file")]
                self.files = self._cached.snapshot
                return [self._cached]
            case actions.RenderTemplates(number=number):
                self.last_rendering = number
                result = self.rendered
                return [] if result is None else [events.RenderFinished(number, result)]
            case actions.RememberState(snapshot):
                self.files = snapshot
            case actions.StageFiles(snapshot):
                self._staged = snapshot
                self.now, self._busy_s = self.now + self._busy_s, 0.0
                waits, self._waits = self._waits, False
                return [] if waits else [self._failed("staging") or events.FilesStaged()]
            case actions.InstallFiles():
                return [self._failed("install") or self._installed()]
            case actions.StartCommand(generation):
                self.generation = generation
                return [self._start()]
            case actions.InspectProcessTree(generation):
                remaining = self._remaining.popleft() if self._remaining else 0
                return [events.ProcessTreeInspected(generation, remaining)]
            case actions.RunHealthCheck(generation):
                self.last_check = generation
            case actions.RunStep(step=step, number=number):
                self.last_run[step] = number
                passed = events.StepFinished(step, number, StepOutcome(True))
                return [passed] if step in self.passing else []
            case actions.SignalProcessTree() if self._obeys_after_s is not None and self._runs:
                self._exit_at = self.now + self._obeys_after_s
        return self.group.answer(action)

    def _failed(self, what: str) -> Event | None:
        reason = self._failures.pop(what, None)
        return None if reason is None else events.FilesFailed(reason)

    def _installed(self) -> Event:
        written = plan(self.files, self._staged).changed
        self.files = self._staged
        return events.FilesInstalled(written)

    def _start(self) -> Event:
        failure = self._failures.pop("start", None)
        if failure is None:
            self._runs = True
            return events.CommandStarted(self.generation, pid=self.generation + 100)
        status, _, reason = failure.partition(" ")
        return events.StartFailed(self.generation, reason, int(status))
