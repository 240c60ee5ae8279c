"""The first start: what has to be there before the command runs, and what may be missing.

With something to mirror, a snapshot has to come within the connect timeout; `--start` says what
else will do.  With nothing to mirror the ensemble is not needed: a short wait for it keeps the
usual order of things, and its silence is a warning.
"""

from collections.abc import Mapping

from zkexec.core.actions import Action, CloseSession, LoadCachedFiles, Note
from zkexec.core.snapshot import Problem
from zkexec.core.source import Source
from zkexec.core.terms import StartPolicy, Terms

UNNEEDED_WAIT_S = 2.0
"""How long a command that mirrors nothing waits for the ensemble at most."""


class CannotStartError(Exception):
    """The first start is not possible; the note says why in one line."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.topic)
        self.note = note


class Launch:
    """The conditions of the first start."""

    def __init__(self, terms: Terms, source: Source) -> None:
        self._terms = terms
        self._source = source
        self._waits_for: Mapping[str, Problem] = {}
        self._without_ensemble = False
        self._over = False
        self.deadline: float | None = None

    @property
    def ready(self) -> bool:
        """Whether all is there that the first start, still to come, waits for."""
        if self._source.paths:
            return not self._over and self._source.wanted is not None
        return not self._over and (self._source.connected or self._without_ensemble)

    def begin(self, now: float) -> list[Action]:
        """Connect, and let the time run."""
        wait_s = self._terms.connect_timeout_s
        self.deadline = now + (wait_s if self._source.paths else min(wait_s, UNNEEDED_WAIT_S))
        return self._source.open()

    def end(self) -> None:
        """The first start is under way, or will never be."""
        self._over = True
        self.deadline = None

    def consider(self) -> list[Action]:
        """Say which znodes are still to come; raise CannotStartError where they must be there."""
        problems = self._source.problems
        if self._over or not problems:
            return []
        words = ", ".join(f"{path} {problem.value}" for path, problem in problems.items())
        if self._terms.start is not StartPolicy.WAIT:
            raise CannotStartError(Note("znodes-unusable", {"problems": words}))
        self.deadline = None
        if self._waits_for == problems:
            return []
        self._waits_for = problems
        return [Note("waiting-for-znodes", {"problems": words})]

    def expire(self, now: float) -> list[Action]:
        """The ensemble was given its time; go on without it where that is allowed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        fields = {"reason": self._silence(), "connect_timeout_s": self._terms.connect_timeout_s}
        if not self._source.paths:
            self._without_ensemble = True
            self._source.give_up()
            return [Note("unneeded-cluster-silent", fields), CloseSession()]
        if self._terms.start is StartPolicy.CACHED:
            return [Note("cluster-silent", fields), LoadCachedFiles()]
        raise CannotStartError(Note("cluster-unreachable", fields))

    def _silence(self) -> str:
        if self._source.connected:
            return "connected, but the znodes were not read"
        return self._source.last_trouble or "no answer"
