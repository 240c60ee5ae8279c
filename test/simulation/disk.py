"""A disk that fails: for single writes, or for a while, and then at one kind of write or at each.

Whoever cannot write files tries again after a pause, so that a failure alone shows little: what
matters is what else happens before the next attempt.
"""

from collections.abc import Sequence
from enum import Enum
from random import Random


class Write(Enum):
    """What zkexec does with files, and where it has its new and its old ones by then."""

    STAGING = "staging"
    """The files are written aside; the old ones are in place, and the old child runs."""
    INSTALL = "install"
    """They are put in their places; the old child was stopped for that, if there was one."""


SPELLS: Sequence[frozenset[Write]] = (
    frozenset({Write.STAGING}),
    frozenset({Write.INSTALL}),
    frozenset({Write.INSTALL}),
    frozenset(Write),
)
"""Which writes fail for a while; an install fails alone where the folder is what is wrong."""

SPELLS_S = (2.0, 9.0, 25.0, 60.0)
"""How long a spell lasts at most: shorter than the pause, or for several attempts."""


class Disk:
    """The spells of one host's disk in which writes of some kind fail."""

    def __init__(self, random: Random) -> None:
        """Begin with a disk that works."""
        self._random = random
        self._fails = frozenset[Write]()
        self._until = 0.0

    def begin_spell(self, now: float) -> None:
        """Let it fail from now on, at what is drawn, for as long as is drawn."""
        self._fails = self._random.choice(SPELLS)
        self._until = now + self._random.choice(SPELLS_S) * self._random.random()

    def end_spell(self) -> None:
        """Let it work again."""
        self._fails = frozenset()

    def refuses(self, write: Write, now: float) -> bool:
        """Whether this write fails."""
        return now < self._until and write in self._fails
