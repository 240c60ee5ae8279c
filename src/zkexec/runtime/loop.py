"""The one loop: an event in, the member's actions out, and at the end zkexec ends as it should.

An error inside zkexec never ends a running command.  The core that failed is dropped with its
session; a caretaker keeps the command, and after a pause a fresh core takes it over.  zkexec ends,
with 125, only if no command runs.
"""

import os
import time
from contextlib import suppress

from zkexec.cli.settings import LogFormat, Settings
from zkexec.core import actions
from zkexec.core.actions import Action, EndProcess, Note
from zkexec.core.caretaker import Caretaker
from zkexec.core.command import CANNOT_WORK, SIGTERM, AdoptedCommand
from zkexec.core.events import (
    AlertFinished,
    Event,
    ExitStatus,
    ProcessTreeInspected,
    SignalReceived,
    Started,
    Tick,
)
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.snapshot import Snapshot
from zkexec.core.turn import FreeTurn
from zkexec.frozen import replace
from zkexec.process.inheritance import Inheritance, die_like
from zkexec.process.leftovers import Leftovers
from zkexec.process.processes import Processes
from zkexec.runtime.executor import Executor
from zkexec.runtime.inbox import Inbox, now
from zkexec.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from zkexec.core.turn import Turn
    from zkexec.group.member_profile import MemberProfile

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
"""The pause between an error and the next core: twice the one before, within these bounds.

A core that works for the longest pause ends the series."""
_LONGEST_MESSAGE = 200
_BREATH_S = 0.2
"""Pause after an error of the caretaker, during which nothing is heard."""
_SIGNALS = actions.SignalProcessGroup | actions.SignalProcessTree
_ENDS_WITH_COMMAND = (Phase.RUNNING, Phase.WAITING, Phase.EXITING)
"""In these phases the end of the command is the end of zkexec."""


def run(settings: Settings, inheritance: Inheritance) -> "NoReturn":
    """Wrap the command until its end, and end as it ended."""
    log = Log(settings)
    try:
        one = Run(settings, inheritance, log)
    except Exception as error:  # noqa: BLE001 -- nothing runs yet that could be kept
        report_error(log, error, settings)
        die_like(ExitStatus(code=CANNOT_WORK))
    die_like(one.to_the_end())


class Run:
    """One zkexec: its processes and its log outlive every core that decides about them."""

    def __init__(self, settings: Settings, inheritance: Inheritance, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._processes = Processes(
            inheritance,
            command=settings.command,
            health=settings.health,
            alert=settings.alert,
            subreaper=settings.subreaper,
        )
        self._inbox = Inbox(inheritance, self._processes.reap, self._processes.sender_is_terminal)
        self._new_turn, group = _join(settings, log)
        leftovers = Leftovers(
            settings, own_session=not inheritance.has_terminal, is_pid1=inheritance.is_pid1
        )
        self._effects = Executor(settings, self._processes, log, self._inbox.post, group, leftovers)
        self._member: Member | None = None
        self._applied = Snapshot({})
        self._event: Event = Started()
        self._is_passed_on = False
        self._told_to_end = 0
        """The newest generation of the command whose process tree was told to end."""
        self._retry_s = FIRST_RETRY_S

    def to_the_end(self) -> ExitStatus:
        """Follow the configuration, with as many cores as it takes; return how zkexec ends."""
        ending: ExitStatus | None = None
        adopted: AdoptedCommand | None = None
        trouble = ""
        while ending is None:
            began_at = now()
            try:
                ending = self._follow(adopted, trouble)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the command comes first
                if now() - began_at >= LONGEST_RETRY_S:
                    self._retry_s = FIRST_RETRY_S
                trouble = in_words(error)
                try:
                    ending, adopted = self._survive(error, trouble)
                except Exception:  # noqa: BLE001 -- then without a caretaker
                    ending = self._stand_by()
        for leave in (self._effects.reset, self._processes.close, self._effects.close):
            with suppress(Exception):
                leave()
        return ending

    def _follow(self, adopted: AdoptedCommand | None, trouble: str) -> ExitStatus:
        """Do what a fresh core decides, until it ends zkexec."""
        member = self._member = Member(self._settings.policy, self._new_turn(), adopted, trouble)
        self._event = Started()
        self._is_passed_on = False
        while True:
            for action in member.handle(self._event, now()):
                if isinstance(action, EndProcess):
                    return action.ending
                self._inbox.answer(*self._effects.perform(action))
                self._note(action)
            self._applied = member.applied
            self._event, self._is_passed_on = Tick(), False
            self._event = self._inbox.next(until=_earlier(member.deadline, self._effects.due))
            self._effects.look_after(now())

    def _note(self, action: Action) -> None:
        """Remember what must be known of the command if the core fails."""
        if isinstance(action, _SIGNALS):
            self._is_passed_on = True
        if isinstance(action, actions.SignalProcessTree):
            self._told_to_end = self._processes.generation

    def _survive(
        self, error: Exception, trouble: str
    ) -> tuple[ExitStatus | None, AdoptedCommand | None]:
        """Say what happened, drop the core, and keep the command until the next one may begin."""
        found = self._salvage()
        is_kept = found.ending is None and found.generation > 0 and not found.stopping
        retry_s, self._retry_s = self._retry_s, min(2 * self._retry_s, LONGEST_RETRY_S)
        report_error(self._log, error, self._settings, retry_s if is_kept else None)
        event = self._event
        with suppress(Exception):
            self._effects.reset()
        self._inbox.forget()
        caretaker = Caretaker(self._settings.policy, found, now() + retry_s, now())
        ending = self._perform(caretaker.begin(trouble, now()))
        if isinstance(event, SignalReceived) and not self._is_passed_on:
            ending = ending or self._perform(caretaker.handle(event, now()))
        # What has happened by then is its business; a fresh core would not know the check it is of.
        while ending is None and not (caretaker.is_over(now()) and self._inbox.is_empty):
            ending = self._keep(caretaker)
        processes = self._processes
        return ending, caretaker.adopted(
            check=processes.check_generation, alerting=processes.alert_runs
        )

    def _salvage(self) -> AdoptedCommand:
        """What is known of the command; the core that failed is asked as little as possible."""
        processes, member = self._processes, self._member
        found, phase = AdoptedCommand(generation=0, applied=Snapshot({})), Phase.LOADING
        check, alerting = processes.check_generation, processes.alert_runs
        with suppress(Exception):
            if member is not None:
                phase = member.phase
                found = member.adopted(check=check, alerting=alerting)
        is_stopping = 0 < self._told_to_end == processes.generation
        # A command that was stopped for a restart, or failed in a turn, is not at its end.
        is_at_its_end = not is_stopping and phase in _ENDS_WITH_COMMAND
        ends_alike = is_at_its_end or phase is Phase.EXITING
        return replace(
            found,
            generation=processes.generation,
            applied=self._applied,
            ending=processes.ending,
            stopping=is_stopping,
            check_result=None if ends_alike else ExitStatus(code=CANNOT_WORK),
            check=check,
            alerting=alerting,
        )

    def _keep(self, caretaker: Caretaker) -> ExitStatus | None:
        """Do what the caretaker decides about the next event; if it fails, the least of it."""
        event: Event = Tick()
        try:
            event = self._inbox.next(until=caretaker.deadline)
            return self._perform(caretaker.handle(event, now()))
        except Exception:  # noqa: BLE001 -- this is the last that stands between error and command
            return self._do_the_least(event)

    def _perform(self, todo: "Iterable[Action]") -> ExitStatus | None:
        """Perform what can be performed; return how zkexec ends, if it does."""
        for action in todo:
            if isinstance(action, EndProcess):
                return action.ending
            try:
                self._inbox.answer(*self._effects.perform(action))
            except Exception as error:  # noqa: BLE001 -- the next action may matter more
                self._inbox.answer(*_instead(action, in_words(error), self._processes.command_runs))
        return None

    def _do_the_least(self, event: Event) -> ExitStatus | None:
        """Pass a signal on, and end as the command has ended."""
        if isinstance(event, SignalReceived):
            send = self._processes.signal_group
            if event.signal == SIGTERM:
                send = self._processes.signal_tree
            with suppress(Exception):
                send(event.signal)
        if not self._processes.command_runs:
            return self._processes.ending or ExitStatus(code=CANNOT_WORK)
        # Whatever has failed may fail again at once.
        time.sleep(_BREATH_S)
        return None

    def _stand_by(self) -> ExitStatus:
        """Do no more than the least for as long as the command runs."""
        while True:
            event: Event = Tick()
            with suppress(Exception):
                event = self._inbox.next(until=None)
            if (ending := self._do_the_least(event)) is not None:
                return ending


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _instead(action: Action, reason: str, command_runs: bool) -> "Iterable[Event]":
    """What answers an action that could not be performed and must be answered."""
    match action:
        case actions.InspectProcessTree(generation):
            return [ProcessTreeInspected(generation, int(command_runs))]
        case actions.RunAlert():
            return [AlertFinished(reason)]
    return []


def in_words(error: Exception) -> str:
    """What an error inside zkexec is called in a log: its kind, its words, and where it happened.

    The words of a ValueError are left out: they tend to repeat what was read.
    """
    words = "" if isinstance(error, ValueError) else str(error)[:_LONGEST_MESSAGE]
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "zkexec" in code.co_filename:
            place = f" at {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{words and f': {words}'}{place}"


def report_error(
    log: Log, error: Exception, settings: Settings, retry_s: float | None = None
) -> None:
    """Log an error inside zkexec in one line; `retry_s` is None if there is no command to keep.

    Where it happened is in the JSON log, or with `--verbose` in lines of their own.
    """
    with suppress(Exception):  # The error may be the narrator's.
        reason, as_json = in_words(error), settings.log_format is LogFormat.JSON
        lines: list[str] = []
        if log.verbose or as_json:
            import traceback  # noqa: PLC0415 -- heavy, and only an error needs it

            lines = "".join(traceback.format_tb(error.__traceback__)).splitlines()
        place = {"traceback": "\n".join(lines)} if as_json else {}
        if retry_s is None:
            log.tell(Note("zkexec-failed-alone", {"reason": reason, **place}))
        else:
            log.tell(Note("zkexec-failed", {"reason": reason, "retry_s": retry_s, **place}))
        for line in [] if as_json else lines:
            log.tell(Note("traceback", {"line": line}))


def _join(settings: Settings, log: Log) -> "tuple[Callable[[], Turn], MemberProfile | None]":
    """Return what makes the turn of each core, and the place in the group if there is one."""
    if not settings.lock:
        return FreeTurn, None
    # What only a group needs is imported for a group only.
    from zkexec.core.rollout.participant import Participant  # noqa: PLC0415
    from zkexec.group.member_profile import MemberProfile, PhaseTime  # noqa: PLC0415
    from zkexec.runtime.member_id import MemberIdError, lock_member_id  # noqa: PLC0415
    from zkexec.runtime.shared_files import share_files  # noqa: PLC0415
    from zkexec.zookeeper.connect_string import base_of  # noqa: PLC0415
    from zkexec.zookeeper.credentials import acl_of  # noqa: PLC0415

    try:
        identity = lock_member_id(settings)
    except MemberIdError as problem:
        log.tell(Note("no-identity", {"reason": str(problem)}))
        die_like(ExitStatus(code=CANNOT_WORK))
    if identity.obstacles:
        named = {"member": identity.member_id, "obstacles": identity.obstacles}
        log.tell(Note("id-not-locked", named))
    shared = share_files(settings, identity)
    if shared:
        members = ", ".join(f"{other.member} (pid {other.pid})" for other in shared)
        log.tell(Note("files-shared", {"members": members, "path": shared[0].file}))
    group = MemberProfile(
        base=base_of(settings.lock),
        member_id=identity.member_id,
        place=identity.place,
        width_text=str(settings.policy.max_unavailable),
        since=PhaseTime(),
        paths=settings.policy.mirrored,
        shared=tuple((other.member, other.file) for other in shared),
        acl=acl_of(settings.access),
    )
    return (
        lambda: Participant(settings.policy, identity.member_id, lambda: os.urandom(8).hex())
    ), group
