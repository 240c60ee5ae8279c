"""One zkexec: the production core in a loop like that of the shell, on a host of the model world.

Answers to its own actions come first, then ends of children and signals, then what the session has
posted, then the deadline.  It may be frozen at any point, also between two actions of one list;
then nothing of it moves, the session included, while its command goes on.
"""

from collections import deque
from typing import TYPE_CHECKING

from simulation.group.command_model import SIGCONT, SIGKILL, SIGTERM, Commands
from simulation.group.member_session import MemberSession
from simulation.group.process_steps import ProcessSteps
from simulation.renderings import Renderings
from simulation.target_disk import Killed
from simulation.wire.polling import MOST_AT_ONCE, BusyLoopError
from simulation.written_lines import WrittenLines
from zkexec.core import actions, events
from zkexec.core.actions import Action, Note
from zkexec.core.caretaker import Caretaker
from zkexec.core.command import AdoptedCommand
from zkexec.core.events import Event, SignalReceived, Started, Tick, ZnodesRead
from zkexec.core.inputs import restart_name
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.rollout.participant import Participant
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.world import World


class Process:
    """One incarnation of zkexec."""

    def __init__(self, world: "World", host: "Host") -> None:
        """Start it."""
        self.world = world
        self.host = host
        self.policy = host.policy
        self.chaos = world.chaos
        self.name = f"{host.label}.{host.incarnations}"
        self.paths: tuple[str, ...] = self.policy.followed
        self.dead = self.frozen = self.termed = False
        self.files_at_first = host.files
        self._restart = ""
        self.born_at = world.clock.now
        self.was_overdue, self.late_s = False, 0.0
        """Whether it was late for its deadline when it took in its last event, and how late."""
        self.handled_at = world.clock.now
        """When, on the world's clock, it decided on what it is doing."""
        self.client: MemberSession | None = None
        self._tokens = 0
        self.commands = Commands(self)
        self.steps = ProcessSteps(self, world.luck_of_steps)
        self.written = WrittenLines()
        self.renderings = Renderings(world.clock, world.inputs.luck, host.label, self.post)
        self.renderings.has_faults = lambda: not self.chaos.calm
        self.core: Member | Caretaker = self._fresh_core(None)
        self.is_stopping = False
        """Whether the present command is being stopped."""
        self._todo: deque[Action] = deque()
        self._answers: deque[Event] = deque([Started()])
        self._reaped: deque[Event] = deque()
        self._posted: deque[Event] = deque()
        self._busy = self._is_deaf = self._is_hung = False
        self._running = False
        self._advances, self._advanced_at = 0, 0.0
        self._wake_at: float | None = None
        self._deadline: float | None = None
        """The member's, which only its events change."""
        self.run()

    @property
    def knows_connection(self) -> bool:
        """Whether no connection was reported to it that it has not taken in yet."""
        return not any(isinstance(event, events.SessionConnected) for event in self._posted)

    @property
    def now(self) -> float:
        """The time on this host's clock, which no other host shares."""
        return self.world.clock.now + self.host.clock_offset_s

    def _fresh_core(self, adopted: AdoptedCommand | None) -> Member:
        turn = Participant(self.policy, self.host.name, self._new_token)
        return Member(self.policy, turn, adopted, "a mistake" if adopted else "")

    def lose_core(self, pause_s: float) -> bool:
        """Let the core fail, if there is a command that it is not stopping."""
        member, command = self.core, self.commands.present
        is_kept = command is not None and command.alive and not self.is_stopping and not self.termed
        if self.dead or self._busy or not is_kept or not isinstance(member, Member):
            return False
        adopted = member.adopted(check=self.commands.check_generation, alerting=False)
        for queue in (self._todo, self._answers, self._posted):
            queue.clear()
        kept = [e for e in self._reaped if isinstance(e, events.CommandExited | SignalReceived)]
        self._reaped = deque(kept)
        self._close_session(clean=self.world.random.random() < 0.5)
        self.client = self.host.staged = None
        self.steps.drop()
        self.renderings.drop()
        caretaker = self.core = Caretaker(self.policy, adopted, self.now + pause_s, self.now)
        self._todo.extend(caretaker.begin("a mistake", self.now))
        self._deadline = caretaker.deadline
        self.run()
        return True

    def _begin_again(self, caretaker: Caretaker) -> None:
        check = self.commands.check_generation
        self.core = self._fresh_core(caretaker.adopted(check=check, alerting=False))
        self._answers.appendleft(Started())

    def _new_token(self) -> str:
        self._tokens += 1
        return f"{self.name}-{self._tokens}"

    def post(self, event: Event) -> None:
        """Queue an event of the session, or of a check or a rendering."""
        if not self.dead:
            self._posted.append(event)
            self.run()

    def post_reaped(self, event: Event) -> None:
        """Queue the end of a command, or a signal."""
        if not self.dead:
            self._reaped.append(event)
            self.run()

    def signal(self, signal: int) -> None:
        """Send a signal to zkexec, as an operator or the init system does."""
        self.termed = self.termed or signal == SIGTERM
        self.post_reaped(SignalReceived(signal, from_terminal=False))

    def freeze(self) -> None:
        """Let nothing of it move."""
        if not self.dead:
            self.frozen = True
            self._consider_contact()

    def thaw(self) -> None:
        """Let it move again; everything that has happened meanwhile is there at once."""
        if self.dead or not self.frozen:
            return
        self.frozen = False
        self._consider_contact()
        # What it has polled before may be all that it knows of when its deadline is over.
        self._is_deaf = self.world.random.random() < 0.5
        self.run()
        self._is_deaf = False
        self.run()

    def hang(self, hangs: bool) -> None:
        """Let the core do nothing for a while, or go on; its client keeps the session."""
        self._is_hung = hangs
        if not hangs:
            self.run()

    @property
    def _is_stuck(self) -> bool:
        return self._busy or self._is_hung

    def kill(self, why: str) -> None:
        """End it at once, by SIGKILL; its command dies with it, its session lives on."""
        self._end(why)
        if self.client is not None:
            self.client.close(clean=False)

    def lose_power(self) -> None:
        """End the whole host at once: no process is left to close a connection."""
        self._end("its host lost power")
        if self.client is not None:
            self.client.vanish()

    def _end(self, why: str) -> None:
        if self.dead:
            return
        self.world.log(f"{self.name} ends: {why}")
        self.dead, self.frozen = True, False
        self.commands.die()
        self.steps.drop()
        self.renderings.drop()
        self.world.process_ended(self)
        self.host.ended()

    def _consider_contact(self) -> None:
        if self.client is not None and self.client.connection is not None:
            self.client.connection.consider_contact()

    def run(self) -> None:
        """Handle all there is, and make an appointment for the next deadline."""
        if self._running:
            return
        self._running = True
        try:
            while self._may_move and self._step():
                pass
            while self._is_stuck and not (self.dead or self.frozen) and self._advance_client():
                pass
        finally:
            self._running = False
        if not (self.dead or self.frozen):
            self._appoint()

    @property
    def _may_move(self) -> bool:
        return not (self.dead or self.frozen or self._is_stuck)

    def _step(self) -> bool:
        core, waiting = self.core, (self._todo, self._answers, self._reaped, self._posted)
        if isinstance(core, Caretaker) and not any(waiting) and core.is_over(self.now):
            self._begin_again(core)
        if self._todo:
            self._perform(self._todo.popleft())
        elif self._answers:
            self._handle(self._answers.popleft())
        elif self._reaped:
            self._handle(self._reaped.popleft())
        elif self._posted:
            self._handle(self._posted.popleft())
        elif not self._advance_client():
            deadline = self._deadline
            if deadline is None or deadline > self.now:
                return False
            self._handle(Tick())
        return True

    def _advance_client(self) -> bool:
        """Do what the client can do; return whether there was anything."""
        client = self.client
        if client is None or self._is_deaf or not client.is_due:
            return False
        self._advances += 1
        if self._advances > MOST_AT_ONCE and self._advanced_at == self.now:
            raise BusyLoopError(f"the client of {self.name} keeps the loop busy")
        if self._advanced_at != self.now:
            self._advanced_at, self._advances = self.now, 0
        client.advance()
        return True

    def _appoint(self) -> None:
        client_due = None if self.client is None else self.client.deadline
        due = [client_due, None if self._is_stuck else self._deadline]
        deadline = min((at for at in due if at is not None), default=None)
        if deadline is None:
            return
        at = deadline - self.host.clock_offset_s
        if self._wake_at is not None and self.world.clock.now < self._wake_at <= at:
            return
        self._wake_at = at
        # A hair later, so that the sum of clock and offset has reached the deadline for sure.
        self.world.clock.after(max(0.0, at - self.world.clock.now) + 1e-6, self.run)

    def _handle(self, event: Event) -> None:
        self.handled_at = self.world.clock.now
        self.late_s = 0.0 if self._deadline is None else max(0.0, self.now - self._deadline)
        self.was_overdue = self._deadline is not None and self._deadline <= self.now
        if isinstance(event, ZnodesRead):
            self._note_restart(event)
        before, event = self._phase, self.written.added_to(event)
        todo = self.core.handle(event, self.now)
        if before is not None and self._phase is not None:
            self.world.transitions.add((before, type(event), self._phase))
        self._deadline = self.core.deadline
        self.world.decided(self, event, todo)
        self._todo.extend(todo)

    @property
    def _phase(self) -> Phase | None:
        return self.core.phase if isinstance(self.core, Member) else None

    def _note_restart(self, read: ZnodesRead) -> None:
        """Note the last requested restart of a complete read."""
        if any(read.znodes[path].problem for path in self.policy.inputs.znodes):
            return
        self._restart = restart_name(read.znodes[self.policy.restart_path].content) or self._restart

    def _perform(self, action: Action) -> None:
        if isinstance(action, Note):
            return
        self.written.see(action)
        try:
            self._answers.extend(self._answers_to(action))
        except Killed:
            self.kill("killed while it installs files")
            return
        self.world.performed(self, action)

    def _answers_to(self, action: Action) -> list[Event]:
        match action:
            case actions.OpenSession():
                self._open_session()
            case actions.StageFiles(snapshot):
                return self._stage(snapshot)
            case actions.InstallFiles():
                return [self._install()]
            case actions.DiscardFiles():
                self.host.staged = None
            case actions.LoadCachedFiles():
                return [self.host.load_cached()]
            case actions.RememberState(snapshot, was_healthy):
                self.host.remember(snapshot, was_healthy=was_healthy)
            case actions.RenderTemplates():
                return self.renderings.start(action)
            case actions.EndProcess():
                self._end("its work is done")
                self._close_session(clean=True)
            case _:
                return self._answers_of_child(action)
        return []

    def _answers_of_child(self, action: Action) -> list[Event]:
        match action:
            case actions.StartCommand(generation, variables):
                if generation == 1 and not self.host.has_installed:
                    # What is on disk has restarted since the restart that was read of.
                    began_on = replace(self.host.files, restart=self._restart)
                    self.host.files = self.host.began_on = began_on
                self.is_stopping = False
                return [self.commands.start(generation, variables)]
            case actions.SignalProcessTree(signal) | actions.SignalProcessGroup(signal):
                self._signal(signal, is_stop=isinstance(action, actions.SignalProcessTree))
            case actions.InspectProcessTree(generation):
                return [self.commands.inspect(generation)]
            case actions.RunHealthCheck(generation):
                self._posted.extend(self.commands.run_check(generation))
            case actions.KillHealthCheck():
                self.commands.kill_check()
            case actions.RunAlert():
                self._posted.append(events.AlertFinished(""))
            case actions.RunStep() | actions.KillStep() | actions.SignalCommand():
                self.steps.perform(action)
            case _ if self.client is not None:
                return self.client.perform(action)
        return []

    def _signal(self, signal: int, *, is_stop: bool) -> None:
        self.is_stopping = self.is_stopping or is_stop
        if is_stop and signal not in (SIGKILL, SIGCONT) and not self.termed:
            self.world.killed(self)
        self.commands.signal(signal)

    def _install(self) -> Event:
        """Move the staged files to their targets, perhaps beside a running command."""
        before, command = self.host.files, self.commands.present
        answer = self.host.install()
        is_beside = command is not None and command.alive and not self.is_stopping
        if is_beside and command is not None and self.host.files.files != before.files:
            if self.host.files.files != command.files.files:
                self.world.reloaded(self, command)
            self.steps.installed(before)
        return answer

    def _stage(self, snapshot: Snapshot) -> list[Event]:
        """Write the files; a slow disk keeps only the main thread busy."""
        answer = self.host.stage(snapshot)
        if not self.chaos.disk_is_slow():
            return [answer]
        self._busy = True

        def written() -> None:
            self._busy = False
            self._answers.append(answer)
            self.run()

        delay_s = self.policy.session_timeout_s * self.world.random.random()
        self.world.clock.after(delay_s, written)
        return []

    def _open_session(self) -> None:
        if self.client is None:
            self.client = MemberSession(self, self.world.ensemble)
        self.client.open()

    def _close_session(self, *, clean: bool) -> None:
        if self.client is not None:
            self.client.close(clean=clean)
