"""The promises about files, the child, its health checks and the end; one small class each.

A checker sees each event together with the actions that answered it, before these are carried
out.  It knows the bystander's view (`Bystander`) and the model world, and never the core.
"""

from collections.abc import Mapping
from typing import Protocol

from simulation.bystander import SIGKILL, SIGTERM, Bystander, HandledEvent, Violation
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import ExitStatus
from zkexec.core.phases import Phase
from zkexec.core.snapshot import Snapshot, plan

UNNEEDED_WAIT_S = 0.5
LONGEST_DELAY_S = 10.0
ENDING = (1, 2, 3, SIGTERM)
"""The signals that end zkexec where there is no command."""

ANSWERED = (
    actions.StageFiles, actions.InstallFiles, actions.StartCommand, actions.InspectProcessTree,
    actions.LoadCachedFiles,
)  # fmt: skip
"""What is answered at once by an event."""


class Checker(Protocol):
    """One promise."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Raise Violation where the promise is broken."""


def is_passed_on(moment: HandledEvent, action: Action) -> bool:
    """Whether this is a TERM on its way from zkexec to the whole tree."""
    return (
        isinstance(action, actions.SignalProcessTree)
        and isinstance(moment.event, events.SignalReceived)
        and action.signal == moment.event.signal == SIGTERM
    )


class StopsOnlyForChange:
    """A child is stopped only where files that were staged differ from those installed."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at each signal to the tree."""
        since = bystander.stopping_since
        for action in moment.actions:
            if not isinstance(action, actions.SignalProcessTree):
                continue
            if action.signal == SIGKILL:
                if since is None or moment.now < since + bystander.policy.kill_timeout_s:
                    raise Violation("killed before the kill timeout")
                continue
            if is_passed_on(moment, action):
                continue
            if since is not None:
                raise Violation("a child was told to stop a second time")
            self._judge_stop(moment, bystander)
            since = moment.now

    def _judge_stop(self, moment: HandledEvent, bystander: Bystander) -> None:
        staged = bystander.host.staged
        if not isinstance(moment.event, events.FilesStaged):
            raise Violation(f"a stop on {type(moment.event).__name__}")
        if staged is None or not plan(bystander.host.files, staged):
            raise Violation("a stop without a difference")


class StagesWhatIsWanted:
    """What is staged is what was read last, without any detour by what is out of date.

    So no child is stopped for what it runs either, as what is staged differs from that.
    """

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare all that is staged with the last reading, if that was complete."""
        for action in moment.actions:
            if not isinstance(action, actions.StageFiles) or bystander.wanted is None:
                continue
            if dict(action.snapshot.files) != bystander.wanted:
                raise Violation("something is staged that is wanted no more")


class InstallsHistory:
    """What is installed is one state of the ensemble, and never an older one than before.

    A znode that had no content in that state keeps content that it had earlier.
    """

    def __init__(self) -> None:
        """Begin before the first state."""
        self._state = 0
        self._before = Snapshot({})

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look for the earliest state that the installed files can come from."""
        if isinstance(moment.event, events.CachedFilesFound):
            self._before = moment.event.snapshot
        if not isinstance(moment.event, events.FilesInstalled):
            return
        history, files = bystander.ensemble.history, bystander.host.files
        for number in range(self._state, len(history)):
            if self._fits(files, number, bystander):
                self._state = number
                return
        raise Violation(f"{dict(files.files)} was never a state of the ensemble")

    def _fits(self, files: Snapshot, number: int, bystander: Bystander) -> bool:
        history = bystander.ensemble.history[: number + 1]
        for mirror in bystander.policy.mirrors:
            content, znode = files.files[mirror.local_path], history[-1][mirror.zk_path]
            if znode.problem is None and (znode.content or bystander.policy.allow_empty):
                possible = {znode.content}
            else:
                possible = {state[mirror.zk_path].content for state in history}
                possible |= {c for p, c in self._before.files.items() if p == mirror.local_path}
            if content not in possible:
                return False
        return True


class RollsOutThePresent:
    """What is in no znode is not put in place, once that was read: it may only stay in its file.

    After a read of another history of the servers, contents of the one before are in no znode.
    """

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._number = 0
        self._history: int | None = None
        self._gone: set[str] = set()
        self._files: Mapping[str, bytes] = {}

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Learn what was read, and look at each file that is another than before."""
        event = moment.event
        if isinstance(event, events.ZnodesRead) and event.number == self._number:
            self._history = bystander.ensemble.reads[event.number]
            allow_empty = bystander.policy.allow_empty
            self._gone = {
                path
                for path, znode in event.znodes.items()
                if znode.problem is not None or not (znode.content or allow_empty)
            }
        if isinstance(event, events.SessionSuspended | events.SessionLost | events.SessionClosed):
            # An answer that comes after that is one of nobody's.
            self._number = 0
        for action in moment.actions:
            if isinstance(action, actions.ReadZnodes | actions.OpenSession):
                self._number = action.number if isinstance(action, actions.ReadZnodes) else 0
        if isinstance(event, events.FilesInstalled):
            self._judge(bystander)
        self._files = bystander.host.files.files

    def _judge(self, bystander: Bystander) -> None:
        if self._history is None:
            return
        present = bystander.ensemble.history[self._history :]
        for mirror in bystander.policy.mirrors:
            content = bystander.host.files.files[mirror.local_path]
            if content == self._files.get(mirror.local_path):
                continue
            is_there = any(state[mirror.zk_path].content == content for state in present)
            if mirror.zk_path in self._gone or not is_there:
                raise Violation(f"{content!r} was put in place, and is in no znode")


class ChildRuns:
    """Once started, the child runs, unless it is being stopped or the end has begun."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at the host whenever no answer is on its way."""
        tree = bystander.host.tree
        if tree is None or moment.answers_due or bystander.over or bystander.termed:
            return
        starts = any(
            isinstance(a, actions.StartCommand | actions.StageFiles | actions.InstallFiles)
            for a in moment.actions
        )
        if bystander.delayed:
            # What this host lacks may be there again soon.
            latest = moment.now + LONGEST_DELAY_S
            starts = starts or (moment.deadline is not None and moment.deadline <= latest)
            starts = starts or moment.phase in (Phase.EXITING, Phase.DONE)
        stops = bystander.stopping_since is not None and tree.remaining
        looks = any(isinstance(action, actions.InspectProcessTree) for action in moment.actions)
        # Between two looks at a tree that has just vanished, the next look has to be due.
        looks = looks or (moment.deadline is not None and moment.deadline <= moment.now + 0.06)
        if bystander.generation != tree.generation and not (starts or stops or looks):
            raise Violation("no child runs, and none is being started")


class RunningHasACommand:
    """The phase "running" says that a command runs."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the phase with what is known to live."""
        if moment.phase is Phase.RUNNING and not bystander.generation:
            raise Violation("the phase is running, and nothing runs")


class AlwaysHasACause:
    """No phase lasts without an end in sight: it has a deadline, or waits for what somebody owes.

    "running" waits for a change and the end of the command, "loading" for znodes or for an answer.
    """

    LASTING = (Phase.RUNNING, Phase.LOADING, Phase.DONE)

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at the deadline of a phase that is to pass."""
        if moment.phase in self.LASTING or moment.answers_due or moment.deadline is not None:
            return
        is_owed = bystander.stopping_since is not None or bystander.host.alerting
        starts = any(isinstance(action, ANSWERED) for action in moment.actions)
        if not is_owed and not starts:
            raise Violation(f"{moment.phase.value} without a deadline")


class OneAtATime:
    """There are never two children, two checks, two alerts, or two stagings without an answer."""

    def __init__(self) -> None:
        """Begin with nothing being staged."""
        self._staging = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at what is there when something is started."""
        host = bystander.host
        if isinstance(moment.event, events.FilesStaged | events.FilesFailed):
            self._staging = False
        for action in moment.actions:
            match action:
                case actions.StageFiles() if self._staging:
                    raise Violation("a staging before the last one was answered")
                case actions.StageFiles():
                    self._staging = True
                case actions.StartCommand() if host.tree is not None and host.tree.remaining:
                    raise Violation("a start before the old tree was gone")
                case actions.RunHealthCheck() if host.check is not None:
                    raise Violation("two checks at once")
                case actions.RunAlert() if host.alerting:
                    raise Violation("two alerts at once")


class ChecksTheLiving:
    """A check is run on the living child, after its delay, and only such a result counts."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at each check that begins and at each result that is told."""
        for action in moment.actions:
            match action:
                case actions.RunHealthCheck(generation):
                    if generation != bystander.generation or bystander.stopping_since is not None:
                        raise Violation(f"a check of generation {generation}, which is not there")
                    if moment.now < bystander.started_at + bystander.policy.health_delay_s:
                        raise Violation("a check within the health delay")
                case actions.Note("health-check-passed" | "health-check-failed" as topic):
                    if not bystander.check_counts:
                        raise Violation("a result counted that says nothing about this child")
                    if bystander.check_passed != (topic == "health-check-passed"):
                        raise Violation("a result was turned into its opposite")


class DeadlinesMoveOn:
    """Each deadline lies ahead, and ticks that nothing follows from are rare."""

    def __init__(self) -> None:
        """Begin without any tick."""
        self._idle_ticks = 0

    def see(self, moment: HandledEvent, _: Bystander) -> None:
        """Look at the deadline after each event, and count ticks in vain."""
        deadline = None if moment.phase is Phase.DONE else moment.deadline
        if deadline is not None and deadline <= moment.now:
            raise Violation(f"the deadline {deadline} is over at {moment.now}")
        idle = isinstance(moment.event, events.Tick) and not moment.actions
        self._idle_ticks = self._idle_ticks + 1 if idle else 0
        if self._idle_ticks > 2:
            raise Violation("ticks that nothing follows from")


class StartsNothingAtTheEnd:
    """After TERM nothing is started; after the command's own end nothing but alerts is."""

    STARTS = (
        actions.StartCommand, actions.RunHealthCheck, actions.StageFiles, actions.InstallFiles,
        actions.LoadCachedFiles,
    )  # fmt: skip

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at everything that is begun."""
        for action in moment.actions:
            if isinstance(action, self.STARTS) and (bystander.termed or bystander.over):
                raise Violation(f"{type(action).__name__} after the end has begun")
            if isinstance(action, actions.RunAlert) and bystander.termed:
                raise Violation("an alert was started after TERM")


class PassesSignalsOn:
    """A signal is passed on once, and not at all where the terminal sent it."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Count what is sent to the group, or for a TERM to the tree."""
        sent = [a.signal for a in moment.actions if isinstance(a, actions.SignalProcessGroup)]
        sent += [SIGTERM for action in moment.actions if is_passed_on(moment, action)]
        event = moment.event
        if not isinstance(event, events.SignalReceived):
            if sent:
                raise Violation("the group was signalled without being asked")
            return
        if bystander.generation:
            by_terminal = event.from_terminal and event.signal != 1
            if sent.count(event.signal) != (0 if by_terminal else 1):
                raise Violation(f"signal {event.signal} was passed on as {sent}")


class StartsWithoutCluster:
    """A command that needs nothing of the cluster starts at the latest after half a second.

    It starts before, if every server has refused.
    """

    def __init__(self) -> None:
        """Begin before the first event."""
        self._began_at: float | None = None

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at whatever happens before the first start."""
        if self._began_at is None:
            self._began_at = moment.now
        starts = any(isinstance(action, actions.StartCommand) for action in moment.actions)
        if bystander.policy.mirrors or moment.phase is not Phase.LOADING or starts:
            return
        if isinstance(moment.event, events.ConnectFailed) and moment.event.is_last:
            raise Violation("every server has refused, and the command waits")
        if moment.deadline is None or moment.deadline > self._began_at + UNNEEDED_WAIT_S:
            raise Violation("the command waits for a cluster that it does not need")


class EndsOnce:
    """zkexec ends once, in time, as the child ended, and leaves nothing behind."""

    def __init__(self) -> None:
        """Begin with no end in sight."""
        self._ended = False
        self._due: float | None = None
        self._signal_alone: ExitStatus | None = None
        """The last signal that ends zkexec where there is no command to pass it on to."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Look at the end, and at how long it takes to come."""
        if self._ended:
            raise Violation("something happened after the end")
        is_alone = bystander.host.tree is None or bystander.delayed
        event = moment.event
        if isinstance(event, events.SignalReceived) and is_alone and event.signal in ENDING:
            self._signal_alone = ExitStatus(signal=event.signal)
        ends = [i for i, a in enumerate(moment.actions) if isinstance(a, actions.EndProcess)]
        if ends:
            self._ended = True
            if ends != [len(moment.actions) - 1] or moment.phase is not Phase.DONE:
                raise Violation("the end is not the last of all actions")
            self._judge_ending(moment, bystander)
        self._judge_time(moment, bystander)

    def _judge_ending(self, moment: HandledEvent, bystander: Bystander) -> None:
        end = moment.actions[-1]
        assert isinstance(end, actions.EndProcess)
        tree = bystander.host.tree
        # What a child that ended by itself left running is its own business.
        stopped = bystander.stopping_since is not None
        if tree is not None and (tree.alive or (stopped and tree.remaining)):
            raise Violation("the child outlives zkexec")
        if bystander.host.alerting:
            raise Violation("an alert outlives zkexec")
        if tree is None:
            allowed = [ExitStatus(code=125), ExitStatus(code=127), self._signal_alone]
        elif bystander.over and end.ending == ExitStatus(code=127):
            allowed = [ExitStatus(code=127)]
        else:
            allowed = [self._signal_alone if bystander.delayed else bystander.ending]
        if end.ending not in allowed:
            raise Violation(f"ended with {end.ending}, the child with {bystander.ending}")

    def _judge_time(self, moment: HandledEvent, bystander: Bystander) -> None:
        if self._due is None and (bystander.termed or bystander.over):
            # The child's time, two alerts, and some for those who take theirs.
            self._due = moment.now + 3 * bystander.policy.kill_timeout_s + 25
        if self._due is not None and moment.now > self._due and not self._ended:
            raise Violation("the end does not come")
