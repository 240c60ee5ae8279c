"""The first start: what has to be known before the command runs, and what can be missing.

If there are inputs, a snapshot has to arrive within the connect timeout, or what `--start` allows
is used instead.  In a group the record and the content of the files have to be known, too.  Without
inputs and without a group, zkexec waits only briefly: if the ensemble does not answer, it logs a
warning, starts the command, and keeps connecting.
"""

from collections.abc import Mapping

from zkexec.core.actions import Action, LoadCachedFiles, Note
from zkexec.core.inputs import Inputs
from zkexec.core.policy import Policy, StartPolicy
from zkexec.core.snapshot import Problem, Snapshot
from zkexec.core.turn import Turn

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
        self._needs_ensemble = bool(inputs.paths) or policy.in_group
        self._reads_disk = self._has_read_disk = False
        self.on_disk: Snapshot | None = None
        self._waits_for: Mapping[str, Problem] = {}
        self._without_ensemble = False
        self._over = False
        self.deadline: float | None = None

    @property
    def ready(self) -> bool:
        """Whether everything is known that the first start waits for."""
        if self._over or not self._turn.is_ready:
            return False
        if self._inputs.paths:
            # What was read on an earlier connection may be in no znode any more, and is in no file.
            is_whole = self._inputs.state.is_current and not self._inputs.problems
            return is_whole and self._inputs.wanted is not None
        return self._inputs.connected or self._without_ensemble

    def begin(self, now: float) -> list[Action]:
        """Connect, and set the deadline."""
        wait_s = self._policy.connect_timeout_s
        self.deadline = now + (wait_s if self._needs_ensemble else min(wait_s, UNNEEDED_WAIT_S))
        return self._inputs.open()

    def end(self) -> None:
        """The first start is under way, or will never be."""
        self._over = True
        self.deadline = None

    def read_disk(self) -> list[Action]:
        """Request the content of the files once, which only a member of a group needs."""
        if self._reads_disk or not (self._policy.in_group and self._inputs.paths):
            return []
        self._reads_disk = True
        return [LoadCachedFiles()]

    @property
    def is_reading_disk(self) -> bool:
        """Whether the files are being read only to know their content."""
        return self._reads_disk and not self._has_read_disk

    def disk_read(self, on_disk: Snapshot | None) -> None:
        """Note the content of the files; None if one of them is missing."""
        self._has_read_disk = True
        self.on_disk = on_disk

    def consider(self) -> list[Action]:
        """Note which znodes are unusable; raise CannotStartError if that ends the start."""
        if self._over:
            return []
        if not self._needs_ensemble:
            return self._start_without_ensemble() if self._inputs.refused else []
        problems = self._inputs.problems
        if not problems:
            return []
        words = ", ".join(f"{path} {problem.value}" for path, problem in problems.items())
        if self._policy.start is not StartPolicy.WAIT:
            raise CannotStartError(Note("znodes-unusable", {"problems": words}))
        self.deadline = None
        if self._waits_for == problems:
            return []
        self._waits_for = problems
        return [Note("waiting-for-znodes", {"problems": words})]

    def expire(self, now: float) -> list[Action]:
        """Go on without the ensemble once its time is over, if that is allowed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        if not self._needs_ensemble:
            return self._start_without_ensemble()
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
