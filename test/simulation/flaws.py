"""What is wrong with a configuration, as far as the steps of a change can show it.

The last word of a content names its flaw: b"7 refused".  Of several files the worst one counts.
"""

from collections.abc import Iterable
from enum import Enum
from random import Random


class Flaw(Enum):
    """What a step of a change, or the command, makes of a configuration; the worst comes first."""

    REFUSED = "refused"
    """Each check refuses it; a command that runs on it is unhealthy."""
    UNLOADABLE = "unloadable"
    """A check accepts it, but a running command refuses to load it, and goes on with the old."""
    FATAL = "fatal"
    """A check accepts it, but a command that loads it exits."""
    SICKENING = "sickening"
    """A check accepts it, but a command that runs on it is unhealthy."""
    COLD = "cold"
    """A command that runs on it is healthy, but its post-healthy command never succeeds."""
    NONE = "good"


SEVERITY = {flaw: rank for rank, flaw in enumerate(Flaw)}
WORDS = {flaw.value: flaw for flaw in Flaw}
UNHEALTHY = (Flaw.REFUSED, Flaw.UNLOADABLE, Flaw.SICKENING)
"""A command that is started on one of these is never healthy."""


def flaw_of(contents: Iterable[bytes]) -> Flaw:
    """Return the worst flaw of these contents."""
    words = [content.decode().split(" ")[-1] for content in contents]
    flaws = [WORDS.get(word, Flaw.NONE) for word in words]
    return min(flaws, key=SEVERITY.__getitem__, default=Flaw.NONE)


def draw_flaw(random: Random) -> Flaw:
    """Draw a flaw; the check finds most of them."""
    return random.choices(tuple(Flaw)[:-1], (5, 2, 1, 2, 1))[0]
