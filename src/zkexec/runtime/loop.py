"""Run the loop: take an event from the inbox, let the core decide, perform its actions.

An error inside zkexec never ends a running command.  The failed core is dropped with its session;
a caretaker keeps the command, and after a pause a fresh core adopts it.  Only without a running
command zkexec ends, with 125.
"""

import os
import time

from zkexec.cli.settings import Settings
from zkexec.cli.shell_command import quoted
from zkexec.core import actions
from zkexec.core.actions import Action, EndProcess, Note
from zkexec.core.caretaker import Caretaker
from zkexec.core.command import CANNOT_WORK, SIGTERM, AdoptedCommand
from zkexec.core.events import (
    AlertFinished,
    CommandStarted,
    Event,
    ExitStatus,
    HealthCheckFinished,
    ProcessTreeInspected,
    SignalReceived,
    Started,
    Tick,
)
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Notify
from zkexec.core.snapshot import Snapshot
from zkexec.core.turn import FreeTurn
from zkexec.frozen import replace
from zkexec.lean import suppress
from zkexec.process.executable import is_missing
from zkexec.process.inheritance import Inheritance, end_as
from zkexec.process.leftovers import Leftovers
from zkexec.process.processes import Processes
from zkexec.runtime.command_kind import command_kind
from zkexec.runtime.error_report import describe_error, report_error
from zkexec.runtime.executor import Executor
from zkexec.runtime.inbox import Inbox, now
from zkexec.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

    from zkexec.core.turn import Turn
    from zkexec.group.member_profile import MemberProfile
    from zkexec.runtime.member_id import MemberIdentity
    from zkexec.runtime.metrics_file import MetricsFile
    from zkexec.runtime.service_notifier import ServiceNotifier

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
"""The pause between an error and the next core doubles each time, within these bounds.

A core that works as long as the longest pause resets it to the first.
"""
_PAUSE_AFTER_ERROR_S = 0.2
"""The pause after an error of the caretaker, in which no event is handled."""
_SIGNALS = actions.SignalProcessGroup | actions.SignalProcessTree
_LOADS = actions.StartCommand | actions.SignalCommand
"""With these actions, and not before, the command runs on what the core has applied."""
_ENDS_WITH_COMMAND = (
    *(Phase.RUNNING, Phase.WAITING, Phase.CHECKING, Phase.DRAINING, Phase.RELOADING),
    Phase.EXITING,
)
"""In these phases zkexec ends as the command ends."""


def run(settings: Settings, inheritance: Inheritance) -> "NoReturn":
    """Run the command until its end, and end as it ended."""
    log = Log(settings)
    for warning in (*settings.warnings, *_missing_programs(settings, inheritance)):
        log.write(Note("settings-warning", {"warning": warning}))
    try:
        loop = MainLoop(settings, inheritance, log)
    except Exception as error:  # noqa: BLE001 -- no command runs yet that could be kept
        report_error(log, error, settings)
        end_as(ExitStatus(code=CANNOT_WORK))
    end_as(loop.run())


class MainLoop:
    """The loop of one zkexec; its processes and its log outlive every core."""

    def __init__(self, settings: Settings, inheritance: Inheritance, log: Log) -> None:
        self._settings = settings = _with_room(settings, inheritance)
        self._log = log
        self._notifier, inheritance = _notifier_of(settings, inheritance, log)
        self._processes = Processes(
            inheritance,
            command=settings.command,
            health=settings.health,
            alert=settings.alert,
            subreaper=settings.subreaper,
            pristine=settings.pristine,
        )
        self._inbox = Inbox(inheritance, self._processes.reap, self._processes.sender_is_terminal)
        if self._notifier:
            self._inbox.attach(self._notifier)
        if settings.keep_stderr:
            _keep_stderr(self._processes, log, self._inbox)
        self._new_turn, profile = _join_group(settings, log)
        self._metrics = _metrics_of(settings, profile, log)
        if self._metrics:
            self._inbox.attach(self._metrics)
        leftovers = Leftovers(
            command_kind(settings),
            settings.policy,
            own_session=not inheritance.has_terminal,
            is_pid1=inheritance.is_pid1,
        )
        self._executor = Executor(settings, self._processes, log, self._inbox, profile, leftovers)
        self._member: Member | None = None
        self._applied = Snapshot({})
        self._event: Event = Started()
        self._is_passed_on = False
        self._stopped_generation = 0
        """The newest generation of the command whose process tree got a signal to end."""
        self._retry_s = FIRST_RETRY_S

    def run(self) -> ExitStatus:
        """Follow the configuration, with a fresh core after each error; return how zkexec ends."""
        ending: ExitStatus | None = None
        adopted: AdoptedCommand | None = None
        reason = ""
        while ending is None:
            began_at = now()
            try:
                ending = self._run_core(adopted, reason)
            except Exception as error:  # noqa: BLE001 -- no error may end the command
                if now() - began_at >= LONGEST_RETRY_S:
                    self._retry_s = FIRST_RETRY_S
                reason = describe_error(error)
                try:
                    ending, adopted = self._run_caretaker(error, reason)
                except Exception as again:  # noqa: BLE001 -- the caretaker failed as well
                    with suppress(Exception):
                        fields = {"reason": describe_error(again)}
                        self._log.write(Note("caretaker-failed", fields))
                    ending = self._run_without_core()
        if self._metrics:
            self._metrics.end(ending)
        notify = [self._notifier.end] if self._notifier else []
        for close in (*notify, self._executor.reset, self._processes.close, self._executor.close):
            with suppress(Exception):
                close()
        return ending

    def _run_core(self, adopted: AdoptedCommand | None, reason: str) -> ExitStatus:
        """Perform what a fresh core decides, until it ends zkexec.

        `reason` is the error of the core before, "" if there was none.
        """
        member = self._member = Member(self._settings.policy, self._new_turn(), adopted, reason)
        self._event = Started()
        self._is_passed_on = False
        while True:
            decided = member.handle(self._event, now())
            if not any(isinstance(action, _LOADS) for action in decided):
                self._applied = member.applied
            if self._metrics:
                self._metrics.count(decided, member)
            for action in decided:
                if isinstance(action, EndProcess):
                    return action.ending
                if isinstance(action, actions.StartCommand):
                    # An error after this start must not make the next core restart the command.
                    self._applied = member.applied
                self._inbox.answer(*self._executor.perform(action))
                self._remember(action, member)
            if self._notifier:
                self._notifier.report_on(member)
            self._event, self._is_passed_on = Tick(), False
            self._event = self._next(_earlier(member.deadline, self._executor.due))
            self._executor.confirm_command(now())

    def _next(self, until: float | None) -> Event:
        """Wait for the next event, and let the metrics take it in."""
        event = self._inbox.next(until)
        if self._settings.keep_stderr and isinstance(event, HealthCheckFinished | Tick):
            # It can become part of the reason of a missed health deadline.
            event = replace(event, last_line=self._processes.last_line)
        if self._metrics:
            self._metrics.take_in(event)
        return event

    def _remember(self, action: Action, member: Member) -> None:
        """Remember what the caretaker must know about the command if the core fails."""
        if isinstance(action, actions.SignalCommand):
            self._applied = member.applied
        if isinstance(action, _SIGNALS):
            self._is_passed_on = True
        if isinstance(action, actions.SignalProcessTree):
            self._stopped_generation = self._processes.generation

    def _run_caretaker(
        self, error: Exception, reason: str
    ) -> tuple[ExitStatus | None, AdoptedCommand | None]:
        """Report the error, drop the core, and keep the command until a fresh core can begin."""
        found = self._command_of_failed_core()
        runs = found.ending is None and found.generation > 0
        is_kept = runs and not found.stopping
        retry_s, self._retry_s = self._retry_s, min(2 * self._retry_s, LONGEST_RETRY_S)
        stopping = runs and found.stopping
        report_error(self._log, error, self._settings, retry_s if is_kept else None, stopping)
        event = self._event
        with suppress(Exception):
            self._executor.reset()
        self._inbox.forget()
        if is_kept and self._metrics:
            # The failed core may not have got this event.
            pid = self._processes.command_pid
            self._metrics.take_in(CommandStarted(found.generation, pid))
        caretaker = Caretaker(self._settings.policy, found, now() + retry_s, now())
        ending = self._perform(caretaker.begin(reason, now()))
        self._notify_of(caretaker, reason, retry_s)
        if isinstance(event, SignalReceived) and not self._is_passed_on:
            ending = ending or self._perform(caretaker.handle(event, now()))
        # Events that are queued by then are the caretaker's: a fresh core would not know the
        # health check that they belong to.
        while ending is None and not (caretaker.is_over(now()) and self._inbox.is_empty):
            ending = self._take_care(caretaker)
            self._notify_of(caretaker, reason, retry_s)
        beside = self._processes.auxiliaries
        return ending, caretaker.adopted(check=beside.check_generation, alerting=beside.alert_runs)

    def _notify_of(self, caretaker: Caretaker, reason: str, retry_s: float) -> None:
        """Report to the service manager that an error keeps the core away."""
        if self._notifier:
            with suppress(Exception):
                error = Note("zkexec-failed", {"reason": reason, "retry_s": retry_s})
                self._notifier.report_on_caretaker(caretaker, error)

    def _command_of_failed_core(self) -> AdoptedCommand:
        """Collect what is known about the command, as little as possible of it from the core."""
        processes, member = self._processes, self._member
        found, phase = AdoptedCommand(generation=0, applied=Snapshot({})), Phase.LOADING
        check = processes.auxiliaries.check_generation
        alerting = processes.auxiliaries.alert_runs
        with suppress(Exception):
            if member is not None:
                phase = member.phase
                found = member.adopted(check=check, alerting=alerting)
        is_stopping = 0 < self._stopped_generation == processes.generation
        # After a stop for a restart, or a failure in a turn, zkexec does not end with the command.
        ends_with_command = not is_stopping and phase in _ENDS_WITH_COMMAND
        ends_alike = ends_with_command or phase is Phase.EXITING
        return replace(
            found,
            generation=processes.generation,
            applied=self._applied,
            ending=processes.ending,
            stopping=is_stopping,
            zkexec_status=None if ends_alike else ExitStatus(code=CANNOT_WORK),
            check=check,
            alerting=alerting,
        )

    def _take_care(self, caretaker: Caretaker) -> ExitStatus | None:
        """Perform what the caretaker decides about the next event, or if it fails, the minimum."""
        event: Event = Tick()
        try:
            event = self._next(caretaker.deadline)
            return self._perform(caretaker.handle(event, now()))
        except Exception:  # noqa: BLE001 -- no error of the caretaker may end the command
            return self._do_minimum(event)

    def _perform(self, decided: "Sequence[Action]") -> ExitStatus | None:
        """Perform what can be performed; return how zkexec ends, if it does."""
        if self._metrics:
            self._metrics.count(decided)
        for action in decided:
            if isinstance(action, EndProcess):
                return action.ending
            try:
                self._inbox.answer(*self._executor.perform(action))
            except Exception as error:  # noqa: BLE001 -- the next action may be more important
                reason = describe_error(error)
                self._inbox.answer(
                    *_answers_to_failed(action, reason, self._processes.command_runs)
                )
        return None

    def _do_minimum(self, event: Event) -> ExitStatus | None:
        """Pass a signal on; return how zkexec ends if the command has ended."""
        if isinstance(event, SignalReceived):
            send = self._processes.signal_group
            if event.signal == SIGTERM:
                send = self._processes.signal_tree
            with suppress(Exception):
                send(event.signal)
        if not self._processes.command_runs:
            return self._processes.ending or ExitStatus(code=CANNOT_WORK)
        # What has failed may fail again at once, so this loop must not spin.
        time.sleep(_PAUSE_AFTER_ERROR_S)
        return None

    def _run_without_core(self) -> ExitStatus:
        """Do only the minimum while the command runs."""
        while True:
            event: Event = Tick()
            with suppress(Exception):
                event = self._next(None)
            if (ending := self._do_minimum(event)) is not None:
                return ending


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _answers_to_failed(action: Action, reason: str, command_runs: bool) -> "Iterable[Event]":
    """Answer an action that could not be performed, if the caretaker waits for its answer."""
    match action:
        case actions.InspectProcessTree(generation):
            return [ProcessTreeInspected(generation, int(command_runs))]
        case actions.RunAlert():
            return [AlertFinished(reason)]
    return []


def _notifier_of(
    settings: Settings, inheritance: Inheritance, log: Log
) -> "tuple[ServiceNotifier | None, Inheritance]":
    """Return what notifies the service manager, and what is left for the command to inherit."""
    if settings.policy.notify is not Notify.ZKEXEC:
        return None, inheritance
    from zkexec.runtime.notify_socket import NOTIFY_VARIABLES  # noqa: PLC0415 -- seldom needed
    from zkexec.runtime.service_notifier import notifier_of  # noqa: PLC0415 -- seldom needed

    notifier = notifier_of(inheritance.environment, settings.policy, log)
    return notifier, inheritance.without(NOTIFY_VARIABLES)


def _metrics_of(
    settings: Settings, profile: "MemberProfile | None", log: Log
) -> "MetricsFile | None":
    """Return the file of metrics, None without the option."""
    if not settings.metrics_file:
        return None
    from zkexec.runtime.metrics_file import metrics_file_of  # noqa: PLC0415 -- seldom needed

    return metrics_file_of(settings, profile.member_id if profile else "", log)


def _keep_stderr(processes: Processes, log: Log, inbox: Inbox) -> None:
    """Let the stderr of the command pass through zkexec."""
    # Few commands need it.
    from zkexec.process.command_stderr import CommandStderr  # noqa: PLC0415

    stderr = CommandStderr(log.pass_on, log.descriptor)
    inbox.attach(stderr)
    processes.keep_stderr(stderr)


def _with_room(settings: Settings, inheritance: Inheritance) -> Settings:
    """Limit the variables from inputs to what the kernel takes.

    A command must not be stopped for variables with which it cannot be started again.
    """
    policy, inputs = settings.policy, settings.policy.inputs
    if not (inputs.variables or inputs.variable_trees):
        return settings
    from zkexec.process.exec_room import room_for_variables  # noqa: PLC0415 -- seldom needed

    commands = [settings.command, settings.health, *settings.step_commands.values()]
    argvs = [command.argv for command in commands if command is not None]
    room = room_for_variables(inheritance.environment, argvs)
    most = min(policy.most_variables_bytes, room)
    return replace(settings, policy=replace(policy, most_variables_bytes=most))


def _missing_programs(settings: Settings, inheritance: Inheritance) -> list[str]:
    """Warn of programs that do not exist now; which ones a shell will need is not known."""
    commands = {"health": settings.health, "alert": settings.alert}
    commands |= {step.value: command for step, command in settings.step_commands.items()}
    # The folders in the PATH are not known yet if it comes from a znode.
    has_path = all(variable.name != "PATH" for variable in settings.policy.inputs.variables)
    return [
        f"--{name}: there is no program {quoted(os.fsdecode(command.argv[0]))}: "
        "install it, or correct its name"
        for name, command in commands.items()
        if command
        and not command.is_script
        and (has_path or b"/" in command.argv[0])
        and is_missing(command.argv[0], {**inheritance.environment, **dict(command.variables)})
    ]


def _join_group(settings: Settings, log: Log) -> "tuple[Callable[[], Turn], MemberProfile | None]":
    """Return a function that makes the turn of each core, and the profile of a group's member."""
    if not settings.lock:
        return FreeTurn, None
    # Without a group these modules are not needed, and importing them takes time.
    from zkexec.cli.cluster_access import acl_of  # noqa: PLC0415
    from zkexec.core.rollout.participant import Participant  # noqa: PLC0415
    from zkexec.group.member_profile import MemberProfile, PhaseTime  # noqa: PLC0415
    from zkexec.runtime.member_id import MemberIdError, lock_member_id  # noqa: PLC0415
    from zkexec.znode_paths import group_path  # noqa: PLC0415

    try:
        identity = lock_member_id(settings)
    except MemberIdError as problem:
        log.write(Note("no-identity", {"reason": str(problem)}))
        end_as(ExitStatus(code=CANNOT_WORK))
    if identity.obstacles:
        named = {"member": identity.member_id, "obstacles": identity.obstacles}
        log.write(Note("id-not-locked", named))
    policy = settings.policy
    group = MemberProfile(
        base=group_path(settings.lock),
        member_id=identity.member_id,
        lock_file_id=identity.lock_file_id,
        max_unavailable=str(policy.max_unavailable),
        since=PhaseTime(),
        inputs=policy.inputs.paths,
        shared=_shared_files(settings, identity, log),
        acl=acl_of(settings.access),
        zone=policy.zone,
        max_failed=str(policy.max_failed),
        first_check_s=_first_check_s(settings),
    )

    def new_turn() -> Participant:
        turn = Participant(policy, identity.member_id, lambda: os.urandom(8).hex())
        log.follow_turn(lambda: turn.log_fields)
        return turn

    return new_turn, group


def _first_check_s(settings: Settings) -> float:
    """Return when the first health check after a start is due; 0 if there is none at all."""
    policy = settings.policy
    return max(policy.health_delay_s, 0.001) if policy.checks_health else 0.0


def _shared_files(
    settings: Settings, identity: "MemberIdentity", log: Log
) -> tuple[tuple[str, str], ...]:
    """Find the members of this host that write to the same files, with a file for each."""
    from zkexec.runtime.shared_files import share_files  # noqa: PLC0415

    shared = share_files(settings, identity)
    if shared:
        members = ", ".join(f"{other.member} (pid {other.pid})" for other in shared)
        log.write(Note("files-shared", {"members": members, "path": shared[0].file}))
    return tuple((other.member, other.file) for other in shared)
