"""The journal of a fleet: what the servers of all members wrote, and how many were unavailable.

- All members share one journal.  Each line is appended by one write, so the order of the lines is
  the order of the events.  A server writes that it got TERM before it acts on it, a health check
  writes its success before zkexec sees it; so no member counts as unavailable that was not.
- A member is unavailable from the TERM of a restart to its first successful check.  First starts
  do not count, nor a server that exits by itself, nor the end of zkexec: the fleet writes `ending`.
- A member whose turn was reclaimed does not count any longer; the logs contain when that was.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.waiting import lines

BORN, ASKED, HEALTHY, MURDERED = "born", "asked", "healthy", "murdered"
"""What the servers and their checks write."""
STARTED, ENDING, KILLED, RECLAIMED = "started", "ending", "killed", "reclaimed"
"""What the fleet adds: what a test does to a zkexec, and the turns that were reclaimed."""


@dataclass(frozen=True)
class Entry:
    """One line of the journal; a check that succeeded has no time."""

    word: str
    name: str
    pid: int
    at: float
    content: str = ""


class Journal:
    """The file that all members of a fleet write into."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def write(self, word: str, name: str, pid: int, at: float) -> None:
        """Append what a test does to a member."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{word} {name} {pid} {at:.6f}\n")

    def entries(self) -> list[Entry]:
        """All lines so far."""
        return [_entry(line) for line in lines(self.path)]

    def of_all(self, *words: str) -> list[Entry]:
        """The lines that begin with one of these words."""
        return [entry for entry in self.entries() if entry.word in words]

    def of(self, name: str, *words: str) -> list[Entry]:
        """The lines of one member that begin with one of these words."""
        return [entry for entry in self.entries() if entry.name == name and entry.word in words]


def _entry(line: str) -> Entry:
    word, name, pid, at, *content = line.split(" ", 4)
    return Entry(word, name, int(pid), float(at), " ".join(content))


@dataclass(frozen=True)
class Peak:
    """The moment at which most members of a fleet were unavailable."""

    count: int
    """How many were unavailable then."""
    story: str
    """What happened up to that moment."""


class _Member:
    """What the journal contains of one member up to a moment."""

    def __init__(self) -> None:
        self.down = False
        self.is_ending = False
        self.newest = 0


def peak_of(entries: Sequence[Entry], reclaimed: Iterable[tuple[float, str]] = ()) -> Peak:
    """Find the peak; `reclaimed` are the times and members of turns that were reclaimed."""
    peak = Peak(0, "")
    ordered = _merged(entries, reclaimed)
    for index, down in enumerate(_unavailable(ordered)):
        if len(down) > peak.count:
            peak = Peak(len(down), f"{down} unavailable after\n" + as_text(ordered[: index + 1]))
    return peak


def unavailable_at_once(
    entries: Sequence[Entry], reclaimed: Iterable[tuple[float, str]] = ()
) -> list[list[str]]:
    """Return which members were unavailable at once, after each entry."""
    return list(_unavailable(_merged(entries, reclaimed)))


def _unavailable(ordered: Iterable[Entry]) -> Iterator[list[str]]:
    members: dict[str, _Member] = {}
    for entry in ordered:
        _follow(members.setdefault(entry.name, _Member()), entry)
        yield [name for name, member in members.items() if member.down]


def _follow(member: _Member, entry: Entry) -> None:
    match entry.word:
        case "born":
            member.newest = entry.pid
        case "asked" if not member.is_ending:
            member.down = True
        case "healthy" if entry.pid == member.newest:
            member.down = False
        case "started":
            member.is_ending = False
        case "ending":
            member.is_ending, member.down = True, False
        case "reclaimed":
            member.down = False
        case _:
            pass


def _merged(entries: Sequence[Entry], reclaimed: Iterable[tuple[float, str]]) -> list[Entry]:
    """Put each reclaimed turn before the first entry that is later."""
    rest = [Entry(RECLAIMED, name, 0, at) for at, name in sorted(reclaimed)]
    merged = []
    for entry in entries:
        while rest and rest[0].at < entry.at:
            merged.append(rest.pop(0))
        merged.append(entry)
    return merged + rest


def as_text(entries: Iterable[Entry]) -> str:
    """The journal as text, without the checks that succeed again."""
    story: list[str] = []
    healthy: set[tuple[str, int]] = set()
    for entry in entries:
        if entry.word == HEALTHY:
            if (entry.name, entry.pid) in healthy:
                continue
            healthy.add((entry.name, entry.pid))
        story.append(f"{entry.at:.3f} {entry.name} {entry.word} {entry.pid} {entry.content}")
    return "\n".join(story)


def ran(entries: Iterable[Entry], content: str) -> set[str]:
    """The members whose server was born with this content."""
    return {entry.name for entry in entries if entry.word == BORN and entry.content == content}
