"""The first start: what has to be known before the command runs, and what can be missing.

If there are inputs, a snapshot has to arrive within the connect timeout, or what `--start` allows
is used instead.  In a group the record and the content of the files have to be known, too.  Without
inputs and without a group, zkexec waits only briefly: if the ensemble does not answer, it logs a
warning, starts the command, and keeps connecting.
"""

from __future__ import annotations

from zkexec.core import facts
from zkexec.core.actions import Action, CorrectFiles, LoadCachedFiles, Note
from zkexec.core.command import Command
from zkexec.core.events import CachedFilesFound
from zkexec.core.facts import Found
from zkexec.core.inputs import Inputs
from zkexec.core.policy import ChangeAction, Policy, StartPolicy
from zkexec.core.restart import NOTHING_INSTALLED, Restart
from zkexec.core.snapshot import Problem, Snapshot, plan
from zkexec.core.step import Step
from zkexec.core.turn import StartBasis, Turn
from zkexec.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


UNNEEDED_WAIT_S = 0.5
"""How long a command without inputs waits at most for an answer of the ensemble."""


class CannotStartError(Exception):
    """The first start is not possible; the note has the reason in one line."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.topic)
        self.note = note


class Startup:
    """The conditions of the first start."""

    def __init__(self, policy: Policy, inputs: Inputs, turn: Turn) -> None:
        self._policy = policy
        self._inputs = inputs
        self._turn = turn
        self._needs_ensemble = inputs.follows_any or policy.in_group
        self._reads_disk = self._has_read_disk = False
        self.on_disk: Snapshot | None = None
        self.was_healthy = False
        """Whether the command of this host was healthy on what is on the disk."""
        self._waits_for: Mapping[str, Problem] = {}
        self._without_ensemble = False
        self._over = False
        self._next_wait_s: float | None = None
        """The time that the ensemble has once more, as soon as nothing is rendered."""
        self.deadline: float | None = None

    @property
    def ready(self) -> bool:
        """Whether everything is known that the first start waits for."""
        if self._over or not self._turn.is_ready:
            return False
        if self._inputs.follows_any:
            # What was read on an earlier connection may be in no znode any more, and is in no file.
            is_whole = self._inputs.state.is_current and not self._inputs.problems
            return is_whole and self._inputs.wanted is not None
        return self._inputs.connected or self._without_ensemble

    def begin(self, now: float) -> list[Action]:
        """Connect, and set the deadline."""
        wait_s = self._policy.connect_timeout_s
        self.deadline = now + (wait_s if self._needs_ensemble else min(wait_s, UNNEEDED_WAIT_S))
        read = self._request_disk() if self._policy.inputs.needs_state else []
        return read + self._inputs.open()

    def end(self) -> None:
        """The first start is under way, or will never be."""
        self._over = True
        self.deadline = None

    def reopen(self) -> None:
        """Begin again: what was to be started is not wanted any more, and nothing was."""
        self._over, self._next_wait_s = False, self._policy.connect_timeout_s

    def read_disk(self) -> list[Action]:
        """Request the content of the files once, if only a member of a group needs it."""
        if self._reads_disk or not (self._policy.in_group and self._inputs.follows_any):
            return []
        return self._request_disk()

    def _request_disk(self) -> list[Action]:
        self._reads_disk = True
        return [LoadCachedFiles()]

    @property
    def is_reading_disk(self) -> bool:
        """Whether the files are being read only to know their content."""
        return self._reads_disk and not self._has_read_disk

    def disk_read(self, found: CachedFilesFound | None) -> None:
        """Note the content of the files; None if one of them is missing."""
        self._has_read_disk = True
        if found is not None:
            self.on_disk, self.was_healthy = found.snapshot, found.was_healthy
            self._inputs.left = replace(found.snapshot, zxid=found.zxid)

    def consider(self, now: float) -> list[Action]:
        """Note which znodes are unusable; raise CannotStartError if that ends the start."""
        if self._over:
            return []
        if self._next_wait_s is not None and not self._inputs.is_rendering:
            self.deadline, self._next_wait_s = now + self._next_wait_s, None
        if not self._needs_ensemble:
            return self._start_without_ensemble() if self._inputs.refused else []
        if self._inputs.render_trouble:
            raise CannotStartError(
                Note("start-not-rendered", {"reason": self._inputs.render_trouble})
            )
        if self._turn.unreadable and self._policy.start is not StartPolicy.CACHED:
            raise CannotStartError(Note("record-forbidden", {"reason": self._turn.unreadable}))
        problems = self._inputs.problems
        if not problems:
            return []
        if self._policy.start is not StartPolicy.WAIT:
            raise CannotStartError(Note("znodes-unusable", {"problems": _in_words(problems)}))
        self.deadline = None
        if self._waits_for == problems:
            return []
        self._waits_for = problems
        return [note_of_problems(problems)]

    def expire(self, now: float) -> list[Action]:
        """Go on without the ensemble once its time is over, if that is allowed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        if not self._needs_ensemble:
            return self._start_without_ensemble()
        if self._inputs.is_rendering:
            # The ensemble has answered, and a rendering has a limit of its own.
            self._next_wait_s = self._policy.connect_timeout_s
            return []
        fields = {
            "reason": self._no_answer_reason(),
            "connect_timeout_s": self._policy.connect_timeout_s,
        }
        if self._policy.start is StartPolicy.CACHED:
            return [Note("cluster-silent", fields), LoadCachedFiles()]
        raise CannotStartError(Note("cluster-unreachable", fields))

    def _start_without_ensemble(self) -> list[Action]:
        self._without_ensemble = True
        return [Note("started-unconnected", {"reason": self._no_answer_reason()})]

    def _no_answer_reason(self) -> str:
        if self._inputs.connected and self._turn.error:
            return self._turn.error
        if self._inputs.connected:
            return "connected, but not all was read that a start needs"
        return self._inputs.last_trouble or "no answer"


def note_of_problems(problems: Mapping[str, Problem]) -> Note:
    """Return the note that a start waits for these znodes."""
    return Note("waiting-for-znodes", {"problems": _in_words(problems)})


def _in_words(problems: Mapping[str, Problem]) -> str:
    return ", ".join(_problem_in_words(*found) for found in problems.items())


def _problem_in_words(path: str, problem: Problem) -> str:
    """Describe a problem, and what to add if the operator wants it so."""
    is_accepted = problem in (Problem.EMPTY, Problem.NOTHING_BELOW)
    return f"{path} {problem.value}{' (--allow-empty accepts that)' if is_accepted else ''}"


class FirstStart:
    """What is started first, once all conditions are met."""

    def __init__(
        self,
        startup: Startup,
        inputs: Inputs,
        turn: Turn,
        command: Command,
        restart: Restart,
    ) -> None:
        self._startup = startup
        self._inputs = inputs
        self._turn = turn
        self._command = command
        self._restart = restart

    def consider(self, now: float) -> Found:
        """Start or stage what may run, as soon as enough is known."""
        actions = self._startup.consider(now)
        if not self._startup.ready:
            return actions
        actions += self._startup.read_disk()
        return actions if self._startup.is_reading_disk else [*actions, *self._begin()]

    def reconsider(self) -> Found:
        """Drop what is checked, or will be, if it is not all that is wanted by now."""
        staged = self._restart.staged
        if staged is None or (not self._inputs.problems and self._inputs.wanted == staged):
            return []
        self._startup.reopen()
        return [facts.CheckDropped(), *self._restart.discard()]

    def _begin(self) -> Found:
        self._startup.end()
        wanted, on_disk = self._inputs.wanted, self._on_disk
        if wanted is None:
            return self._command.start()
        basis = self._turn.basis(wanted, on_disk, was_healthy=self._startup.was_healthy)
        if basis is StartBasis.NOTHING:
            self._restart.settle_on(wanted)
            self._restart.requested = wanted
            return [Note("start-blocked"), facts.StartBlocked()]
        if basis is StartBasis.ON_DISK and on_disk is not None and on_disk != wanted:
            return self._begin_on(on_disk)
        if wanted.unrendered:
            return self._refuse_unrendered(wanted)
        if self._proves_nothing(wanted, on_disk):
            wanted = replace(wanted, proves_nothing=True)
        return self._restart.stage(wanted)

    def _proves_nothing(self, wanted: Snapshot, on_disk: Snapshot | None) -> bool:
        """Whether the health of the command would show nothing about this version.

        It is the one that is there and that has shown nothing, or it differs from it in nothing.
        """
        if on_disk is None or plan(on_disk, wanted):
            return False
        is_same = on_disk.digest == wanted.digest
        return on_disk.proves_nothing if is_same else self._startup.was_healthy

    def _refuse_unrendered(self, wanted: Snapshot) -> Found:
        """A template has an error: start on known good files, or end, or keep an adopted turn."""
        if not self._turn.in_flight:
            return self.refused_by_check(wanted.unrendered)
        self._restart.settle_on(wanted)
        on_disk = self._on_disk or NOTHING_INSTALLED
        return [facts.CheckFailed(wanted.unrendered, wanted, on_disk, Step.RENDER)]

    @property
    def _on_disk(self) -> Snapshot | None:
        """The files that are there.

        A command that is started now needs no restart that was requested before.
        """
        wanted, on_disk = self._inputs.wanted, self._startup.on_disk
        if wanted is None or on_disk is None:
            return on_disk
        return replace(on_disk, restart=wanted.restart)

    def _begin_on(self, on_disk: Snapshot) -> Found:
        self._restart.begin_on(on_disk, was_healthy=self._startup.was_healthy)
        if self._turn.in_flight:
            # The turn lasts until this command is healthy, as an earlier run has stopped another.
            self._restart.begun = ChangeAction.RESTART
        return [Note("known-good-files-used"), CorrectFiles(), *self._command.start()]

    def refused_by_check(self, reason: str) -> Found:
        """Start on known good files instead of what the check has refused, if there are any."""
        wanted, on_disk = self._inputs.wanted, self._on_disk
        is_other = on_disk is not None and wanted is not None and on_disk != wanted
        if on_disk is None or not is_other or not self._is_known_good(on_disk):
            raise CannotStartError(Note("start-refused-by-check", {"reason": reason}))
        refused = Note("start-refused", {"reason": reason})
        discarded = self._restart.discard()
        return [refused, *discarded, facts.CheckDropped(), *self._begin_on(on_disk)]

    def _is_known_good(self, on_disk: Snapshot) -> bool:
        """Whether the group, or this host, has seen a command healthy on what is on the disk."""
        return self._turn.is_known_good(on_disk, was_healthy=self._startup.was_healthy)

    def cached(self, found: CachedFilesFound, now: float) -> Found:
        """Start on the files that are there, or note what they are."""
        snapshot = found.snapshot
        if self._startup.is_reading_disk:
            self._startup.disk_read(found)
            return self.consider(now)
        self._startup.end()
        wanted = self._inputs.wanted
        if wanted is None:
            self._inputs.assume(snapshot)
        else:
            # Only the record is missing.  This start also counts as the restart requested last.
            snapshot = replace(snapshot, restart=wanted.restart)
        self._restart.begin_on(snapshot, was_healthy=found.was_healthy)
        return [Note("cached-files-used"), CorrectFiles(), *self._command.start()]

    def nothing_cached(self, reason: str, now: float) -> Found:
        """Go on without files on disk; raise CannotStartError if the start depends on them."""
        if self._startup.is_reading_disk:
            self._startup.disk_read(None)
            return self.consider(now)
        raise CannotStartError(Note("cached-files-missing", {"reason": reason}))
