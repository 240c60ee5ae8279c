"""What a configuration does to the command that reads it: the contents define it.

A content is a number and a word, such as b"17 hangs".  Of several files the worst word counts.
"""

from collections.abc import Iterable
from enum import Enum
from random import Random


class Mood(Enum):
    """What becomes of a command on this configuration; the worst comes first."""

    UNSTARTABLE = "unstartable"
    """It is never born."""
    KILLER = "killer"
    """It takes its zkexec down with it."""
    EXITS = "exits"
    """It ends by itself at once."""
    HANGS = "hangs"
    """It lives and is never healthy."""
    UNTIMELY = "untimely"
    """It hangs during the outage of something that it needs, which ends with the faults."""
    REFUSED = "refused"
    """A check refuses it; a command that runs on it is never healthy."""
    UNLOADABLE = "unloadable"
    """A running command refuses to load it; one that is started on it is never healthy."""
    FATAL = "fatal"
    """A command that loads it exits."""
    SICKENING = "sickening"
    """A check accepts it; a command that runs on it is never healthy."""
    EXITS_LATE = "exits-late"
    """It ends by itself some time later, perhaps after it was found healthy."""
    RARE = "rare"
    """It is bad on a few hosts of a large group, and good elsewhere."""
    LOCAL = "local"
    """It is bad on every third host, and good elsewhere."""
    FLAPS = "flaps"
    """It is healthy now and then."""
    LATE = "late"
    """It becomes healthy about when the time for that is over."""
    COLD = "cold"
    """The command is healthy, and its post-healthy command never succeeds."""
    GOOD = "good"


SEVERITY = {mood: rank for rank, mood in enumerate(Mood)}
WORDS = frozenset(mood.value for mood in Mood)
BAD = (
    Mood.UNSTARTABLE, Mood.KILLER, Mood.EXITS, Mood.HANGS, Mood.UNTIMELY, Mood.EXITS_LATE,
    Mood.LOCAL, Mood.RARE,
)  # fmt: skip
UNHEALTHY = (Mood.HANGS, Mood.REFUSED, Mood.UNLOADABLE, Mood.SICKENING)
"""A command on one of these is never healthy."""
RARELY = 16
"""On one of this many hosts a content is bad that is bad on a few."""
ENDING = (Mood.EXITS, Mood.FATAL)
"""A command exits soon after it has begun to work with one of these."""
DOUBTFUL = (Mood.FLAPS, Mood.LATE)


def word_of(content: bytes) -> Mood:
    """Return what a content does: good, if it is none of those that were made to do anything."""
    words = content.decode().split()
    return Mood(words[1]) if len(words) > 1 and words[1] in WORDS else Mood.GOOD


def mood_of(contents: Iterable[bytes], host: int) -> Mood:
    """Tell what becomes of a command on this host with these files."""
    moods = [word_of(content) for content in contents if content]
    worst = min(moods, key=SEVERITY.__getitem__, default=Mood.GOOD)
    if worst is Mood.RARE:
        return Mood.HANGS if host % RARELY == RARELY - 2 else Mood.GOOD
    if worst is Mood.LOCAL:
        return Mood.HANGS if host % 3 == 1 else Mood.GOOD
    return worst


def is_good_in_calm(contents: Iterable[bytes]) -> bool:
    """Whether these files are complete, and good on every host once there are no faults."""
    return all(content and word_of(content) in (Mood.GOOD, Mood.UNTIMELY) for content in contents)


def restart_in(content: bytes) -> str:
    """Read the name of the last requested restart, "" if there is no valid one."""
    name = content.split()[0].decode() if content else "-"
    return "" if name == "-" else name


def draw_mood(random: Random) -> Mood:
    """Draw what the next content does; about half are good."""
    if random.random() < 0.5:
        return Mood.GOOD
    return random.choice(DOUBTFUL if random.random() < 0.25 else BAD)


def make_content(number: int, mood: Mood) -> bytes:
    """Write a content that does this, unlike any other."""
    return b"%d %s" % (number, mood.value.encode())
