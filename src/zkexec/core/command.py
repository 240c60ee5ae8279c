"""The command: one generation after the other, never two at once.

A generation that is stopped is over when no process of its tree is left.  A stop signals the whole
process tree once, kills it after the kill timeout, and kills again each second while a process is
left.  A command that exits by itself is over at once: what it left running is not touched.
"""

from __future__ import annotations

from zkexec.core.actions import (
    Action,
    InspectProcessTree,
    Note,
    SignalProcessGroup,
    SignalProcessTree,
    StartCommand,
)
from zkexec.core.events import (
    CommandExited,
    CommandStarted,
    ExitStatus,
    ProcessTreeInspected,
    SignalReceived,
)
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CANNOT_WORK = 125
"""The exit status of zkexec if it could not do its work."""


@frozen(kw_only=True)
class AdoptedCommand:
    """A command that was started, and what is under way for it.

    `applied` is the content of the files that it was started on.  `ending` is None while it runs.
    `stopping`: its process tree was signalled to end.  `zkexec_status` is how zkexec ends once
    no command runs, None if as the command does.  `check` is the generation that
    a running health check was started for, None if none runs; `check_due` is when the next one
    is due, None if that is not known, `check_is_late` that the running one has had its time, and
    `check_is_void` that it began before a reload.
    `alerting` says whether an alert runs.  `asked_until` and
    `passed_on` are the signals that can explain its end, see `Command`.
    With `has_to_join`, post-healthy has to put the command in traffic.  With `owes_term`, it is to
    be stopped as soon as pre-stop has taken it out.  `was_healthy`: it was healthy on `applied`.
    Times are those of the loop's clock, in seconds.
    """

    generation: int
    applied: Snapshot
    ending: ExitStatus | None = None
    stopping: bool = False
    zkexec_status: ExitStatus | None = None
    check: int | None = None
    check_due: float | None = None
    check_is_late: bool = False
    check_is_void: bool = False
    alerting: bool = False
    asked_until: float | None = None
    passed_on: frozenset[int] = frozenset()
    has_to_join: bool = False
    owes_term: bool = False
    was_healthy: bool = False


SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM = 1, 2, 3, 9, 15
ENDING_SIGNALS = frozenset({SIGHUP, SIGINT, SIGQUIT, SIGTERM})
"""The signals that end zkexec if there is no command to pass them on to."""
ASKING_SIGNALS = frozenset({SIGINT, SIGQUIT, SIGTERM})
"""The signals that request an end; HUP requests a reload."""
ASKED_AT_LEAST_S = 60.0
"""For this time after such a signal, or for the kill timeout if that is longer, an exit of the
command counts as requested; later it is a failure of its own."""
KILL_AGAIN_S = 1.0
START_AGAIN_S = 1.0
START_AGAIN_AT_MOST_S = 10.0
"""Pauses before a start is tried again that this host had no process for, each twice as long."""
INSPECT_S = 0.05
"""Pause between two inspections of a process tree whose command has exited.  Its descendants are
not children of zkexec, so no signal reports their end."""


class Command:
    """The present generation of the command."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.generation = 0
        self.ending: ExitStatus | None = None
        self.stopping = False
        self.tree_gone = False
        self.variables: Mapping[str, bytes] = {}
        """The variables from inputs that the next generation gets."""
        self._alive = False
        self._kill_at: float | None = None
        self._inspect_at: float | None = None
        self.start_at: float | None = None
        """When a start is to be tried again that this host had no process to spare for."""
        self._pause_s = START_AGAIN_S
        self._delayed = ""
        self._passed_on: set[int] = set()
        self._asked_until: float | None = None

    @property
    def present(self) -> bool:
        """Whether there is something to signal and to wait for.

        A command that ended by itself leaves nothing behind that counts; one that was stopped is
        present until no process of its tree is left.
        """
        return self._alive or (self.stopping and not self.tree_gone)

    @property
    def delayed(self) -> str:
        """Why there is no command yet, if only this host's lack of processes keeps it; else ""."""
        return self._delayed if self.start_at is not None else ""

    @property
    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        due = (self._kill_at, self._inspect_at)
        return min((at for at in due if at is not None), default=None)

    def start(self) -> list[Action]:
        """Start the next generation."""
        self.generation += 1
        self.ending = None
        self.stopping = self.tree_gone = False
        self._kill_at = self._inspect_at = self.start_at = self._asked_until = None
        self._passed_on.clear()
        return [Note("command-starting"), StartCommand(self.generation, self.variables)]

    def take_over(self, adopted: AdoptedCommand, now: float) -> None:
        """Go on with a command that an earlier core has started, or has begun to stop."""
        self.generation = adopted.generation
        self.ending = adopted.ending
        self._alive = adopted.generation > 0 and adopted.ending is None
        if adopted.stopping:
            self.expect_end(now)
            self._inspect_at = None if self._alive else now
        self._asked_until = adopted.asked_until
        self._passed_on = set(adopted.passed_on)

    @property
    def asked(self) -> tuple[float | None, frozenset[int]]:
        """Until when, and by which signals, an exit of the command counts as requested."""
        return self._asked_until, frozenset(self._passed_on)

    def started(self, event: CommandStarted) -> list[Action]:
        """The generation has started."""
        self._alive = True
        self._pause_s = START_AGAIN_S
        return [Note("command-started", {"pid": event.pid})]

    def start_later(self, reason: str, now: float) -> float:
        """Try the start again after a while; return how long that is."""
        self._delayed = reason
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, START_AGAIN_AT_MOST_S)
        self.start_at = now + pause_s
        return pause_s

    def give_up_start(self) -> None:
        """Do not try the start again that is still to come."""
        self.start_at = None

    def pass_on(self, event: SignalReceived, now: float) -> list[Action]:
        """Pass a signal on to the process group, unless the terminal has done so.

        HUP is always passed on: the kernel sends it only to the session leader.  TERM goes to
        the whole process tree, because zkexec waits for the whole tree after it.
        """
        self._passed_on.add(event.signal)
        if event.signal in ASKING_SIGNALS:
            self.will_be_asked(now)
        note = signal_note(event)
        if event.signal == SIGTERM:
            return [note, SignalProcessTree(SIGTERM)]
        if event.from_terminal and event.signal != SIGHUP:
            return [note]
        return [note, SignalProcessGroup(event.signal)]

    def will_be_asked(self, now: float) -> None:
        """Count an exit within some time as requested: a signal for it is passed on, or will be."""
        self._asked_until = now + max(self._policy.kill_timeout_s, ASKED_AT_LEAST_S)

    def was_asked_to_end(self, ending: ExitStatus, now: float) -> bool:
        """Whether a signal to zkexec explains this ending, so that it is no failure."""
        in_time = self._asked_until is not None and now <= self._asked_until
        return in_time or ending.signal in self._passed_on

    def stop(self, signal: int, now: float) -> list[Action]:
        """Signal the whole process tree to end, once."""
        self.expect_end(now)
        inspected = [] if self._alive else self._inspect(now)
        return [
            Note("stopping", {"signal": signal, "kill_timeout_s": self._policy.kill_timeout_s}),
            SignalProcessTree(signal),
            *inspected,
        ]

    def expect_end(self, now: float) -> None:
        """Start the kill timeout: the process tree was signalled to end."""
        self.stopping = True
        if self._kill_at is None:
            self._kill_at = now + self._policy.kill_timeout_s

    def exited(self, event: CommandExited, now: float) -> list[Action]:
        """The command was reaped; if it was being stopped, inspect what is left of its tree."""
        self._alive = False
        self.ending = event.ending
        topic = "command-ended-by-term" if SIGTERM in self._passed_on else "command-ended"
        note = Note(topic, {"ending": event.ending, "exit_status": event.ending.shell_status})
        return [note, *self._inspect(now)] if self.stopping else [note]

    def inspected(self, event: ProcessTreeInspected) -> None:
        """Note whether a process is left of the tree."""
        if event.generation == self.generation and self.ending and not event.remaining:
            self.tree_gone = True
            self._kill_at = self._inspect_at = None

    def expire(self, now: float) -> list[Action]:
        """Kill after the kill timeout, and inspect what is left."""
        actions: list[Action] = []
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + KILL_AGAIN_S
            actions += [Note("killing"), SignalProcessTree(SIGKILL)]
        if self._inspect_at is not None and now >= self._inspect_at:
            actions += self._inspect(now)
        return actions

    def _inspect(self, now: float) -> list[Action]:
        self._inspect_at = now + INSPECT_S
        return [InspectProcessTree(self.generation)]


def signal_note(event: SignalReceived) -> Note:
    """Name the signal that zkexec received; TERM, which ends zkexec, has a topic of its own."""
    topic = "term-received" if event.signal == SIGTERM else "signal-received"
    return Note(topic, {"signal": event.signal, "from_terminal": event.from_terminal})
