"""The promises about single members of a group: stops, files, first starts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation, is_known_good
from simulation.group.command_model import SIGKILL, CommandModel
from simulation.group.contents import restart_in
from simulation.group.group_znodes import MEMBERS, RESTART
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.products import produced_by_read
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.rollout.group_events import GroupRequestFailed
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import ConfigVersion, contents_of, version_of
from zkexec.core.snapshot import Snapshot, Znode

if TYPE_CHECKING:
    from simulation.group.world import World


def is_restart(process: Process, action: Action) -> bool:
    """Whether this action stops the command so that another one can start."""
    if process.termed or not isinstance(action, actions.SignalProcessTree):
        return False
    return action.signal != SIGKILL


class StopsWithinTheLease(Checker):
    """I2: each stop of a healthy command follows a recent commit with the member's token.

    An operator who forgets a living member by force is responsible for it.
    """

    def __init__(self, world: "World") -> None:
        """Begin without commits."""
        super().__init__(world)
        self._confirmed: dict[str, tuple[str, float]] = {}

    def record(self, change: RecordChange) -> None:
        """Note when an entry was last written by its owner, and forget it with the entry."""
        if change.has_own_entry:
            entry = change.after.in_flight[change.author]
            self._confirmed[change.author] = (entry.token, change.decided_at)
        for name, _ in change.left:
            if change.audit_entry is None or MEMBERS + name not in self.world.ensemble.tree.nodes:
                self._confirmed.pop(name, None)

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check each stop when it is decided on."""
        del event
        command = process.commands.present
        if command is None or not command.alive or not command.was_known_good:
            return
        if not any(is_restart(process, action) for action in todo):
            return
        token, decided_at = self._confirmed.get(process.host.name, ("", 0.0))
        if not token.startswith(process.name + "-"):
            raise Violation(f"{process.name} stops its command without an entry of its own")
        age_s = self.world.clock.now - decided_at
        if age_s >= process.policy.session_timeout_s / 6:
            raise Violation(f"{process.name} stops its command {age_s:.2f} s after its last commit")


class InstallsHistory(Checker):
    """I5: installed files are what all inputs contained at one moment of their history.

    If a znode has no content at this moment, all that was installed before counts, with the name of
    the restart at this moment.  Files that were on disk at first were checked when they were
    installed; they have the name that was known at the start, and may be reverted to.
    """

    def installed(self, host: Host) -> None:
        """Search for the state that the files come from."""
        if host.files == host.began_on:
            return
        if not any(self._fits(host, number) for number in range(len(self.world.history))):
            raise Violation(f"{host.name} installed {dict(host.files.files)}, never one state")

    def _fits(self, host: Host, number: int) -> bool:
        history = self.world.history
        name, asked = host.files.restart, restart_in(history[number][RESTART])
        if name not in ("", asked):
            known = (restart_in(state[RESTART]) for state in history[:number])
            if asked or name not in known:
                return False
        mirrors = host.policy.inputs.mirrors
        installed = [host.files.files[mirror.local_path] for mirror in mirrors]
        states = [[state[mirror.zk_path] for mirror in mirrors] for state in history[: number + 1]]
        return installed in (states[-1:] if all(states[-1]) else states)


class InstallsPresentContent(Checker):
    """Content is not installed once a member has read that no znode contains it.

    The last good content of this host may be reverted to, and installed content may stay.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any read."""
        super().__init__(world)
        self._asked: dict[Process, int] = {}
        self._seen: dict[Host, int] = {}
        self._gone: dict[Host, set[str]] = {}
        self._in_place: dict[Host, Snapshot] = {}
        self._good: dict[Host, list[Snapshot]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note which history a process has read."""
        if isinstance(event, events.Started):
            self._in_place[process.host] = process.host.files
            self._seen[process.host] = -1
            self._gone[process.host] = set()
        if isinstance(event, events.ZnodesRead) and event.number == self._asked.get(process):
            self._seen[process.host] = self.world.reads[process, event.number]
            gone = {path for path, znode in event.znodes.items() if znode.problem}
            self._gone[process.host] = gone
        for action in todo:
            if isinstance(action, actions.ReadZnodes):
                self._asked[process] = action.number

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note what was healthy."""
        self._good.setdefault(process.host, []).append(command.files)

    def installed(self, host: Host) -> None:
        """Compare new content with the znodes of this history."""
        before, self._in_place[host] = self._in_place[host], host.files
        if any(host.files.files == good.files for good in self._good.get(host, ())):
            return
        command = None if host.living is None else host.living.commands.present
        if command is not None and command.alive and host.files.files == command.files.files:
            # What a refused reload has replaced is put back.
            return
        is_present = self._seen[host] == self.world.histories
        states = self.world.history[self.world.present if is_present else 0 :]
        for mirror in host.policy.inputs.mirrors:
            content = host.files.files[mirror.local_path]
            if content == before.files.get(mirror.local_path):
                continue
            is_gone = mirror.zk_path in self._gone[host]
            if is_gone or all(state[mirror.zk_path] != content for state in states):
                raise Violation(f"{host.label} installs {content!r}, which is in no znode")


class StopsOnlyForChange(Checker):
    """I6: no command is stopped for what it runs already, or if that is wanted.

    A version that failed on a member may be tried again there if the same bytes are written again.
    It may be replaced by the last good content, even before the record contains its failure.
    """

    def __init__(self, world: "World") -> None:
        """Begin without failures, and without any read."""
        super().__init__(world)
        self._failed: dict[str, dict[str, None]] = {}
        self._failed_now: dict[Process, CommandModel] = {}
        self._asked: dict[Process, int] = {}
        self._wanted: dict[Process, Mapping[str, Znode]] = {}
        self._reads: dict[Process, events.ZnodesRead] = {}
        self._restart: dict[Process, str] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note the last read that the process waited for."""
        if isinstance(event, events.ZnodesRead) and event.number == self._asked.get(process):
            self._wanted[process] = event.znodes
            self._reads[process] = event
            # An emptied znode of restarts withdraws no request.
            asked = restart_in(event.znodes[RESTART].content)
            self._restart[process] = asked or self._restart.get(process, "")
        elif isinstance(event, events.SessionSuspended | events.SessionLost):
            self._asked.pop(process, None)
        command = process.commands.present
        for action in todo:
            match action:
                case actions.ReadZnodes(number):
                    self._asked[process] = number
                case actions.Note("restart-failed") if command is not None:
                    self._failed_now[process] = command

    def record(self, change: RecordChange) -> None:
        """Note what failed where, until the turn is over.

        The turn may end before the failure, if an operator or the head reclaimed it.
        """
        for name, _ in change.left:
            self._failed.pop(name, None)
        for name, entry in change.after.in_flight.items():
            if entry.phase is EntryPhase.FAILED:
                self._failed.setdefault(name, {})[entry.digest] = None
        for digest, state in change.after.versions.items():
            for name in state.failed_by:
                if name not in change.after.in_flight:
                    self._failed.setdefault(name, {})[digest] = None

    def kill(self, process: Process, command: CommandModel) -> None:
        """Compare what it runs with the staged files, which may be for a requested restart."""
        failed = self._failed.get(process.host.name, {})
        is_failed = version_of(command.files, process.policy.inputs).digest in failed
        if is_failed or self._failed_now.get(process) is command:
            return
        staged = process.host.staged
        if staged is None or self._is_same(command, staged):
            raise Violation(f"{process.name} restarts for nothing")
        if self._is_wanted(process, command):
            raise Violation(f"{process.name} is stopped although it runs the wanted version")

    @staticmethod
    def _is_same(command: CommandModel, other: Snapshot) -> bool:
        is_restart = other.restart not in ("", command.files.restart)
        is_same = other.files == command.files.files
        return is_same and other.variables == command.files.variables and not is_restart

    def _is_wanted(self, process: Process, command: CommandModel) -> bool:
        """Whether the command runs what was read last, if that is complete."""
        inputs = process.policy.inputs
        if inputs.needs_state:
            return self._is_wanted_product(process, command)
        znodes, mirrors = self._wanted.get(process, {}), inputs.mirrors
        if any(m.zk_path not in znodes or znodes[m.zk_path].problem for m in mirrors):
            return False
        if not mirrors:
            return False
        files = {mirror.local_path: znodes[mirror.zk_path].content for mirror in mirrors}
        return self._is_same(command, Snapshot(files, restart=self._restart[process]))

    def _is_wanted_product(self, process: Process, command: CommandModel) -> bool:
        """The same for inputs of all kinds; of templates it is not known which read counts."""
        read = self._reads.get(process)
        if read is None or process.policy.inputs.templates:
            return False
        terms = self.world.inputs.terms_of(process.host)
        products = produced_by_read(terms, read, process.host.there)
        wanted = Snapshot(
            products.files, variables=products.variables, restart=self._restart[process]
        )
        return products.is_demanded and self._is_same(command, wanted)


class RunningHasACommand(Checker):
    """In the phase running a command runs, as far as its zkexec can know."""

    def __init__(self, world: "World") -> None:
        """Begin without a command."""
        super().__init__(world)
        self._living: dict[Process, int] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note the events about the command, and check the phase."""
        del todo
        command = process.commands.present
        match event:
            case events.Started() if command is not None and command.alive:
                # A new core: the one before may not have received the event of the start.
                self._living[process] = command.generation
            case events.CommandStarted(generation):
                self._living[process] = generation
            case events.CommandExited(generation) if self._living.get(process) == generation:
                del self._living[process]
        core = process.core
        is_running = isinstance(core, Member) and core.phase is Phase.RUNNING
        if is_running and process not in self._living:
            raise Violation(f"{process.name} is running, and its command is not")


class WaitsForSomething(Checker):
    """A phase that must not last has a deadline, or waits for an answer that is certain.

    The others wait for a change, for the group, or for the end of the command.
    """

    BRIEF = (
        Phase.CHECKING, Phase.DRAINING, Phase.RELOADING,
        Phase.STOPPING, Phase.VERIFYING, Phase.BLOCKED, Phase.EXITING,
    )  # fmt: skip
    ANSWERED = (
        actions.StageFiles, actions.InstallFiles, actions.StartCommand, actions.InspectProcessTree,
    )  # fmt: skip
    ANSWERS = (
        events.FilesStaged, events.FilesInstalled, events.FilesFailed, events.CommandStarted,
        events.StartFailed, events.ProcessTreeInspected, events.Started,
    )  # fmt: skip

    def __init__(self, world: "World") -> None:
        """Begin before any action."""
        super().__init__(world)
        self._owed: dict[Process, bool] = {}
        self._steps: dict[Process, set[int]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check the deadline of the phase that the member is in now."""
        if isinstance(event, self.ANSWERS):
            self._owed[process] = False
        if any(isinstance(action, self.ANSWERED) for action in todo):
            self._owed[process] = True
        steps = self._steps.setdefault(process, set())
        if isinstance(event, events.StepFinished):
            steps.discard(event.number)
        steps |= {action.number for action in todo if isinstance(action, actions.RunStep)}
        core = process.core
        if not isinstance(core, Member) or core.phase not in self.BRIEF:
            return
        is_owed = self._owed.get(process, False) or bool(steps)
        if core.deadline is None and not is_owed:
            raise Violation(f"{process.name} is {core.phase.value} without a deadline")


class OutlivesTheCommand(Checker):
    """In a turn in which it was stopped, a command that exits does not end zkexec.

    A command that was healthy since does, and so does one after a revert.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any stop."""
        super().__init__(world)
        self._stopped: dict[str, Process] = {}

    def kill(self, process: Process, command: CommandModel) -> None:
        """Note in which turn it was."""
        del command
        if process.host.name in self.world.truth.in_flight:
            self._stopped[process.host.name] = process

    def known_good(self, process: Process, command: CommandModel) -> None:
        """From now on zkexec ends with the command."""
        del command
        self._stopped.pop(process.host.name, None)

    def record(self, change: RecordChange) -> None:
        """Forget the members whose turn is over."""
        for name, _ in change.left:
            self._stopped.pop(name, None)

    def history_began(self) -> None:
        """Forget the turns: they are over."""
        self._stopped.clear()

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check what zkexec does when its command exits."""
        name, core = process.host.name, process.core
        notes = {action.topic for action in todo if isinstance(action, actions.Note)}
        if isinstance(event, events.Started) or notes & {"restart-failed", "reverted"}:
            self._stopped.pop(name, None)
        is_stopped = self._stopped.get(name) is process and not process.termed
        if not (is_stopped and isinstance(event, events.CommandExited | events.StartFailed)):
            return
        if isinstance(core, Member) and core.phase in (Phase.EXITING, Phase.DONE):
            raise Violation(f"{process.name} ends with its command in its turn")


class IgnoresLosses(Checker):
    """I7: a lost ensemble, or a failed read of it, never leads to a stop, a start or a file."""

    LOSSES = (
        events.SessionSuspended, events.SessionLost, events.ReadFailed,
        events.ConnectFailed, GroupRequestFailed,
    )  # fmt: skip

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check the actions after a loss, if nothing else was due at this moment."""
        if not isinstance(event, self.LOSSES) or process.was_overdue:
            return
        for action in todo:
            is_write = isinstance(action, actions.StageFiles | actions.InstallFiles)
            if is_write or is_restart(process, action):
                raise Violation(f"{type(action).__name__} on {type(event).__name__}")


class StartsOnKnownGood(Checker):
    """A first start takes no turn, and no risk if the files on disk are known good.

    It does not matter since which restart.  The member may not have read changes of the record
    since its start.  Files with which an earlier run was lost in flight are not safe.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any known good version."""
        super().__init__(world)
        self._known_good_since: dict[str, float] = {}

    def record(self, change: RecordChange) -> None:
        """Note since when each version has been known good without failing anywhere."""
        after = change.after.versions
        bad = {contents_of(digest) for digest, v in after.items() if v.failed_by}
        good = {contents_of(digest) for digest, v in after.items() if v.known_good} - bad
        for contents in [contents for contents in self._known_good_since if contents not in good]:
            del self._known_good_since[contents]
        for contents in good:
            self._known_good_since.setdefault(contents, self.world.clock.now)

    def history_began(self) -> None:
        """Begin with the present record."""
        self._known_good_since.clear()

    def started(self, process: Process, command: CommandModel) -> None:
        """Check the first command of each process."""
        if command.generation != 1 or not process.files_at_first.files:
            return
        runs = self._version_of(process, command.files)
        found = contents_of(self._version_of(process, process.files_at_first).digest)
        if found == contents_of(runs.digest) or is_known_good(self.world.truth, runs):
            return
        # It adopts the turn that its files are from, or it has waited for a turn of its own.
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is not None and contents_of(entry.digest) in (found, contents_of(runs.digest)):
            return
        since = self._known_good_since.get(found, self.world.clock.now)
        if since < process.born_at:
            raise Violation(f"{process.name} starts on an untried version")

    @staticmethod
    def _version_of(process: Process, files: Snapshot) -> ConfigVersion:
        return version_of(files, process.policy.inputs)
