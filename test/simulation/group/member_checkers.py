"""The promises about single members of a group: kills, files, first starts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation, is_known_good
from simulation.group.child import SIGKILL, Child
from simulation.group.contents import restart_in
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.group.tree import MEMBERS, RESTART
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
    """Whether this tells the child to end so that another can follow."""
    if process.termed or not isinstance(action, actions.SignalProcessTree):
        return False
    return action.signal != SIGKILL


class KillsWithinTheLease(Checker):
    """I2: each kill of a healthy child has a commit with its token, decided on just before.

    What an operator does by force to the entry of a member that lives, he has to answer for.
    """

    def __init__(self, world: "World") -> None:
        """Begin without commits."""
        super().__init__(world)
        self._confirmed: dict[str, tuple[str, float]] = {}

    def record(self, change: RecordChange) -> None:
        """Remember when an entry was last written by its owner, and forget it with the entry."""
        entry = change.after.in_flight.get(change.author)
        if entry is not None:
            self._confirmed[change.author] = (entry.token, change.decided_at)
        for name, _ in change.left:
            if change.audit_entry is None or MEMBERS + name not in self.world.ensemble.tree.nodes:
                self._confirmed.pop(name, None)

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Look at each kill when it is decided on."""
        del event
        child = process.children.present
        if child is None or not child.alive or not child.was_proven:
            return
        if not any(is_restart(process, action) for action in todo):
            return
        token, decided_at = self._confirmed.get(process.host.name, ("", 0.0))
        if not token.startswith(process.name + "-"):
            raise Violation(f"{process.name} kills without an entry of its own")
        age_s = self.world.clock.now - decided_at
        if age_s >= process.policy.session_timeout_s / 6:
            raise Violation(f"{process.name} kills {age_s:.2f} s after its last commit")


class InstallsHistory(Checker):
    """I5: what is installed is what all mirrored znodes held at one point of their history.

    A znode that had no content at that point keeps content that it had before.  The same holds for
    the name of the restart.  Files that were on disk at first were judged when they came there;
    they have the name that was known at the start, and may be reverted to.
    """

    def installed(self, host: Host) -> None:
        """Look for the state that the files come from."""
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
        for mirror in host.policy.mirrors:
            content, held = host.files.files[mirror.local_path], history[number][mirror.zk_path]
            if held:
                if content != held:
                    return False
            elif all(content != state[mirror.zk_path] for state in history[:number]):
                return False
        return True


class RollsOutThePresent(Checker):
    """What is in no znode is not put in place, once a member has read that, or another history.

    What was good on this host may be reverted to; what is in place may stay.
    """

    def __init__(self, world: "World") -> None:
        """Begin with nothing read."""
        super().__init__(world)
        self._asked: dict[Process, int] = {}
        self._seen: dict[Host, int] = {}
        self._gone: dict[Host, set[str]] = {}
        self._in_place: dict[Host, Snapshot] = {}
        self._good: dict[Host, list[Snapshot]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Learn which history a process has read."""
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

    def known_good(self, process: Process, child: Child) -> None:
        """Remember what was healthy."""
        self._good.setdefault(process.host, []).append(child.files)

    def installed(self, host: Host) -> None:
        """Compare what is new with what the znodes of this history held."""
        before, self._in_place[host] = self._in_place[host], host.files
        if any(host.files.files == good.files for good in self._good.get(host, ())):
            return
        is_present = self._seen[host] == self.world.histories
        states = self.world.history[self.world.present if is_present else 0 :]
        for mirror in host.policy.mirrors:
            content = host.files.files[mirror.local_path]
            if content == before.files.get(mirror.local_path):
                continue
            is_gone = mirror.zk_path in self._gone[host]
            if is_gone or all(state[mirror.zk_path] != content for state in states):
                raise Violation(f"{host.label} puts {content!r} in place, which is in no znode")


class KillsForChange(Checker):
    """I6: no child is killed for what it runs already, or where that is what is wanted.

    What has failed on a member may be tried again there, if the same bytes are pushed again, and
    may make place for the last good content; also before the record says that it has failed.
    """

    def __init__(self, world: "World") -> None:
        """Begin without failures, and with nothing read."""
        super().__init__(world)
        self._failed: dict[str, dict[str, None]] = {}
        self._failed_now: dict[Process, Child] = {}
        self._asked: dict[Process, int] = {}
        self._wanted: dict[Process, Mapping[str, Znode]] = {}
        self._restart: dict[Process, str] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Remember what the process has read last of the answers that it waits for."""
        if isinstance(event, events.ZnodesRead) and event.number == self._asked.get(process):
            self._wanted[process] = event.znodes
            # A znode of restarts that is emptied takes nothing back.
            asked = restart_in(event.znodes[RESTART].content)
            self._restart[process] = asked or self._restart.get(process, "")
        elif isinstance(event, events.SessionSuspended | events.SessionLost):
            self._asked.pop(process, None)
        child = process.children.present
        for action in todo:
            match action:
                case actions.ReadZnodes(number):
                    self._asked[process] = number
                case actions.Note("restart-failed") if child is not None:
                    self._failed_now[process] = child

    def record(self, change: RecordChange) -> None:
        """Remember what failed where, until the turn is over.

        The turn may be over before the failure, where an operator or the head took it away.
        """
        for name, _ in change.left:
            self._failed.pop(name, None)
        for name, entry in change.after.in_flight.items():
            if entry.phase is EntryPhase.FAILED:
                self._failed.setdefault(name, {})[entry.digest] = None
        for digest, version_state in change.after.versions.items():
            for name in version_state.failed_by:
                if name not in change.after.in_flight:
                    self._failed.setdefault(name, {})[digest] = None

    def kill(self, process: Process, child: Child) -> None:
        """Compare what it runs with what is staged, which may be for a restart asked for."""
        failed = self._failed.get(process.host.name, {})
        is_failed = version_of(child.files, process.policy.mirrors).digest in failed
        if is_failed or self._failed_now.get(process) is child:
            return
        staged = process.host.staged
        if staged is None or self._is_same(child, staged):
            raise Violation(f"{process.name} restarts for nothing")
        if self._is_wanted(process, child):
            raise Violation(f"{process.name} is stopped although it runs what is wanted")

    @staticmethod
    def _is_same(child: Child, other: Snapshot) -> bool:
        is_restart = other.restart not in ("", child.files.restart)
        return other.files == child.files.files and not is_restart

    def _is_wanted(self, process: Process, child: Child) -> bool:
        """Whether the child runs what was read last, as far as that is complete."""
        znodes, mirrors = self._wanted.get(process, {}), process.policy.mirrors
        if any(m.zk_path not in znodes or znodes[m.zk_path].problem for m in mirrors):
            return False
        if not mirrors:
            return False
        files = {mirror.local_path: znodes[mirror.zk_path].content for mirror in mirrors}
        return self._is_same(child, Snapshot(files, restart=self._restart[process]))


class RunningHasACommand(Checker):
    """The phase "running" says that a command runs, as far as its zkexec can know."""

    def __init__(self, world: "World") -> None:
        """Begin with no command."""
        super().__init__(world)
        self._living: dict[Process, int] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Follow what zkexec hears of its command, and look at the phase."""
        del todo
        child = process.children.present
        match event:
            case events.Started() if child is not None and child.alive:
                # A fresh core, whose predecessor may not have heard of the start.
                self._living[process] = child.generation
            case events.CommandStarted(generation):
                self._living[process] = generation
            case events.CommandExited(generation) if self._living.get(process) == generation:
                del self._living[process]
        core = process.core
        is_running = isinstance(core, Member) and core.phase is Phase.RUNNING
        if is_running and process not in self._living:
            raise Violation(f"{process.name} is running, and its command is not")


class OutlivesTheCommand(Checker):
    """In a turn in which it was stopped, a command that ends by itself does not end zkexec.

    A command that has proven itself since does, and so does one that was reverted to.
    """

    def __init__(self, world: "World") -> None:
        """Begin with nobody stopped."""
        super().__init__(world)
        self._stopped: dict[str, Process] = {}

    def kill(self, process: Process, child: Child) -> None:
        """Take note of the turn in which it was."""
        del child
        if process.host.name in self.world.truth.in_flight:
            self._stopped[process.host.name] = process

    def known_good(self, process: Process, child: Child) -> None:
        """From now on they end together."""
        del child
        self._stopped.pop(process.host.name, None)

    def record(self, change: RecordChange) -> None:
        """Forget whose turn is over."""
        for name, _ in change.left:
            self._stopped.pop(name, None)

    def began_anew(self) -> None:
        """Forget the turns: they are over."""
        self._stopped.clear()

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Look at what becomes of zkexec when its command ends."""
        name, core = process.host.name, process.core
        notes = {action.topic for action in todo if isinstance(action, actions.Note)}
        if isinstance(event, events.Started) or notes & {"restart-failed", "reverted"}:
            self._stopped.pop(name, None)
        is_stopped = self._stopped.get(name) is process and not process.termed
        if not (is_stopped and isinstance(event, events.CommandExited | events.StartFailed)):
            return
        if isinstance(core, Member) and core.phase in (Phase.EXITING, Phase.DONE):
            raise Violation(f"{process.name} ends with its command in the middle of its turn")


class StandsStill(Checker):
    """I7: losing the ensemble, or a read of it, never leads to a kill, a start or a file."""

    LOSSES = (
        events.SessionSuspended, events.SessionLost, events.SessionClosed, events.ReadFailed,
        events.ConnectFailed, GroupRequestFailed,
    )  # fmt: skip

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Look at what is done about a loss, where nothing was due at that moment."""
        if not isinstance(event, self.LOSSES) or process.was_overdue:
            return
        for action in todo:
            is_write = isinstance(action, actions.StageFiles | actions.InstallFiles)
            if is_write or is_restart(process, action):
                raise Violation(f"{type(action).__name__} on {type(event).__name__}")


class StartsOnTheProven(Checker):
    """A first start takes no turn, and no risk where the files on disk are proven.

    Since which restart they are proven does not matter.  What has changed in the record since it
    was born may not have been seen by the member; and files with which an earlier incarnation was
    lost in flight are no safe ground.
    """

    def __init__(self, world: "World") -> None:
        """Begin with nothing proven."""
        super().__init__(world)
        self._proven_since: dict[str, float] = {}

    def record(self, change: RecordChange) -> None:
        """Remember since when each snapshot has been proven without failing anywhere."""
        after = change.after.versions
        bad = {contents_of(digest) for digest, v in after.items() if v.failed_by}
        good = {contents_of(digest) for digest, v in after.items() if v.known_good} - bad
        for contents in [contents for contents in self._proven_since if contents not in good]:
            del self._proven_since[contents]
        for contents in good:
            self._proven_since.setdefault(contents, self.world.clock.now)

    def began_anew(self) -> None:
        """Hold to what the record says now."""
        self._proven_since.clear()

    def started(self, process: Process, child: Child) -> None:
        """Look at the first child of each process."""
        if child.generation != 1 or not process.files_at_first.files:
            return
        runs = self._target(process, child.files)
        found = contents_of(self._target(process, process.files_at_first).digest)
        if found == contents_of(runs.digest) or is_known_good(self.world.truth, runs):
            return
        # It adopts the turn that its files are from, or it has waited for a turn of its own.
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is not None and contents_of(entry.digest) in (found, contents_of(runs.digest)):
            return
        since = self._proven_since.get(found, self.world.clock.now)
        if since < process.born_at:
            raise Violation(f"{process.name} starts on what nobody has proven")

    @staticmethod
    def _target(process: Process, files: Snapshot) -> ConfigVersion:
        return version_of(files, process.policy.mirrors)
