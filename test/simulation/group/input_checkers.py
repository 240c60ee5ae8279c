"""The promises to a group about trees, templates and variables; one class each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.command_model import CommandModel
from simulation.group.contents import restart_in
from simulation.group.group_znodes import RESTART
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.products import produced_by_read
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.group_actions import JoinQueue
from zkexec.core.rollout.version import contents_of as contents_of_digest
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Snapshot, plan
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.group.world import World


def is_same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots have the same files and variables."""
    return not plan(replace(one, restart=""), replace(other, restart=""))


class InstallsOneState(Checker):
    """I5: files and variables are what the inputs of one state produce on this host.

    The state is of the present history, if the member has read that.  What was known good on this
    host may be put back, and so may what the command runs.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any read."""
        super().__init__(world)
        self._asked: dict[Process, int] = {}
        self._seen: dict[Host, int] = {}
        self._before: dict[Host, Snapshot | None] = {}
        self._good: dict[Host, list[Snapshot]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note which history a process has read, and what it has found on the disk."""
        host = process.host
        if isinstance(event, events.Started):
            self._seen[host] = -1
            self._before[host] = None
        if isinstance(event, events.CachedFilesFound):
            self._before[host] = replace(event.snapshot, zxid=event.zxid)
        if isinstance(event, events.ZnodesRead) and event.number == self._asked.get(process):
            self._seen[host] = self.world.reads[process, event.number]
        for action in todo:
            if isinstance(action, actions.ReadZnodes):
                self._asked[process] = action.number
            if isinstance(action, actions.RememberState) and not is_same(
                action.snapshot, host.files
            ):
                raise Violation(f"{process.name} remembers another version than is installed")

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note what was healthy."""
        self._good.setdefault(process.host, []).append(command.files)

    def installed(self, host: Host) -> None:
        """Search for the state that the files come from."""
        before, self._before[host] = self._before.get(host), host.files
        if self.world.histories:
            # Nothing shows of which history it is.
            before = None
        command = None if host.living is None else host.living.commands.present
        kept = [host.began_on, *self._good.get(host, ()), *([command.files] if command else [])]
        if any(is_same(host.files, known) for known in kept):
            return
        is_present = self._seen[host] == self.world.histories
        states = range(self.world.present if is_present else 0, len(self.world.history))
        if not any(self._fits(host, number, before) for number in states):
            found = dict(host.files.files), dict(host.files.variables)
            raise Violation(f"{host.name} installed {found}, never one state")

    def _fits(self, host: Host, number: int, before: Snapshot | None) -> bool:
        history = self.world.history
        name, asked = host.files.restart, restart_in(history[number][RESTART])
        if name not in ("", asked):
            known = (restart_in(state[RESTART]) for state in history[:number])
            if asked or name not in known:
                return False
        products = self.world.inputs.products_at(number, host, before)
        return products.is_usable and products.is_of(host.files)

    def started(self, process: Process, command: CommandModel) -> None:
        """Check that the variables of a command belong to its files."""
        host = process.host
        if dict(command.files.variables) != dict(host.files.variables):
            raise Violation(f"{process.name} starts its command with variables of another version")


class TouchesNoForeignFile(Checker):
    """After an installation there are the wanted files and the foreign ones, and no others."""

    def installed(self, host: Host) -> None:
        """Compare the disk with what was installed."""
        targets = host.targets
        assert targets is not None, "the inputs need a state file"
        if targets.files != targets.foreign | dict(host.files.files):
            raise Violation(f"{host.name} has files of an earlier version: {sorted(targets.files)}")


class StopsForCurrentTrees(Checker):
    """No command is stopped or reloaded for what had changed when its admission was answered.

    A watch event arrives before the answer that shows what came with it, so the member knows.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any admission."""
        super().__init__(world)
        self._admitted: dict[str, tuple[Process, int]] = {}

    def record(self, change: RecordChange) -> None:
        """Note which state there was when a member was admitted."""
        for name, _ in change.left:
            self._admitted.pop(name, None)
        for name, _ in change.admitted:
            if change.by is not None and name == change.author:
                self._admitted[name] = (change.process, len(self.world.history) - 1)

    def history_began(self) -> None:
        """Forget the turns: they are over."""
        self._admitted.clear()

    def kill(self, process: Process, command: CommandModel) -> None:
        """Compare what is staged with the states since the admission."""
        host, staged = process.host, process.host.staged
        by, first = self._admitted.get(host.name, (None, 0))
        if by is not process or staged is None or not command.was_known_good:
            return
        entry = self.world.truth.in_flight.get(host.name)
        digest = version_of(staged, process.policy.inputs).digest
        if self.world.ensemble.loses_watches or entry is None or entry.digest != digest:
            # A revert is for no version that is in the record.
            return
        if is_same(staged, command.files):
            # It is a requested restart.
            return
        inputs = self.world.inputs
        states = range(first, len(self.world.history))
        if not any(inputs.products_at(number, host).is_of(staged) for number in states):
            raise Violation(f"{process.name} stops its command for what had changed before")

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Check a reload as well; its files are installed by now."""
        host = process.host
        by, first = self._admitted.get(host.name, (None, 0))
        if by is not process or self.world.ensemble.loses_watches or not command.was_known_good:
            return
        inputs = self.world.inputs
        states = range(first, len(self.world.history))
        if not any(inputs.products_at(number, host).is_of(host.files) for number in states):
            raise Violation(f"{process.name} reloads what had changed before")


class RendersWhatWasRead(Checker):
    """A rendering never runs twice at once, and each is of a read."""

    def __init__(self, world: "World") -> None:
        """Begin without any read."""
        super().__init__(world)
        self._reads: dict[Process, events.ZnodesRead] = {}
        self._running: dict[Process, bool] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Compare each rendering with the last read."""
        if isinstance(event, events.ZnodesRead):
            self._reads[process] = event
        if isinstance(event, events.RenderFinished | events.Started):
            self._running[process] = False
        inputs = process.policy.inputs
        for action in todo:
            if not isinstance(action, actions.RenderTemplates):
                continue
            if self._running.get(process):
                raise Violation(f"{process.name} renders twice at once")
            self._running[process] = True
            read = self._reads[process]
            for root in inputs.values:
                known = {path: znode.content for path, znode in read.trees[root].znodes.items()}
                if dict(action.values[root]) != known:
                    raise Violation(f"{process.name} renders other values than were read")


class QueuesForADifference(Checker):
    """A member on whose host nothing differs takes no turn.

    A restart that it has yet to do is a difference, also if its znode was wiped meanwhile.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any read."""
        super().__init__(world)
        self._asked: dict[Process, int] = {}
        self._reads: dict[Process, events.ZnodesRead] = {}
        self._has_failed: dict[Process, CommandModel | None] = {}
        self._restarts: dict[Process, str] = {}
        """The last restart that each process has read."""
        self._wiped: dict[Process, str] = {}
        """The one that it had read before another history of the servers began."""

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Compare what the last read produces with what runs, when a member queues."""
        if isinstance(event, events.ZnodesRead) and event.number == self._asked.get(process):
            self._reads[process] = event
        if isinstance(event, events.SessionConnected):
            self._reads.pop(process, None)
        command = process.commands.present
        notes = {action.topic for action in todo if isinstance(action, actions.Note)}
        if notes & {"restart-failed", "change-failed", "reverted"}:
            self._has_failed[process] = command
        if "history-changed" in notes:
            self._wiped[process] = self._restarts.get(process, "")
        if process in self._reads:
            restart = restart_in(self._reads[process].znodes[RESTART].content)
            self._restarts[process] = restart or self._restarts.get(process, "")
        for action in todo:
            if isinstance(action, actions.ReadZnodes):
                self._asked[process] = action.number
            if isinstance(action, JoinQueue):
                self._judge(process, command)

    def _judge(self, process: Process, command: CommandModel | None) -> None:
        read = self._reads.get(process)
        if read is None or command is None or not command.was_known_good or not command.alive:
            return
        if process.policy.inputs.templates or self._has_failed.get(process) is command:
            return
        asked = restart_in(read.znodes[RESTART].content)
        if not asked and self._wiped.get(process, "") not in ("", command.files.restart):
            return
        terms = self.world.inputs.terms_of(process.host)
        products = produced_by_read(terms, read, process.host.there)
        is_same_restart = asked in ("", command.files.restart)
        if products.is_demanded and products.is_of(command.files) and is_same_restart:
            raise Violation(f"{process.name} queues, and nothing differs on its host")


class ProvesOnlyADifference(Checker):
    """A first start makes no version known good if its host was healthy on the same before."""

    def __init__(self, world: "World") -> None:
        """Begin without any start."""
        super().__init__(world)
        self._found: dict[Process, Snapshot] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note what the command of this host was healthy on before."""
        del todo
        if isinstance(event, events.CachedFilesFound) and event.was_healthy:
            self._found[process] = event.snapshot

    def installed(self, host: Host) -> None:
        """Forget it once something else was installed."""
        process = host.living
        known = None if process is None else self._found.get(process)
        if process is not None and known is not None and not is_same(known, host.files):
            del self._found[process]

    def record(self, change: RecordChange) -> None:
        """Check which versions become known good."""
        if change.by is None or change.process not in self._found:
            return
        process, found = change.process, self._found[change.process]
        command = process.commands.present
        if command is None or command.generation != 1 or not is_same(command.files, found):
            return
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            is_new = state.known_good and (before is None or not before.known_good)
            if is_new and contents_of_digest(digest) != found.digest:
                raise Violation(f"{process.name} makes a version known good that it did not try")


class KeepsOneScope(Checker):
    """Members with the same inputs have one scope, whatever is in their trees.

    Else an older version would never be out of date, and the record would keep it for ever.
    """

    def record(self, change: RecordChange) -> None:
        """Compare the scopes of all versions in the record."""
        scopes = {state.scope for state in change.after.versions.values()} - {""}
        if len(scopes) > 1:
            raise Violation(f"{change.author} has another scope for the same inputs")


INPUT_CHECKERS: tuple[type[Checker], ...] = (
    InstallsOneState, TouchesNoForeignFile, StopsForCurrentTrees, RendersWhatWasRead,
    QueuesForADifference, ProvesOnlyADifference, KeepsOneScope,
)  # fmt: skip
"""For groups that have more than plain mirrors among their inputs."""
