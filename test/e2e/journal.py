"""Who was down when, who ran what: derived from what the servers of a fleet wrote themselves.

The rules of this file:

- One journal is shared by all members, each line appended by one write, so that the order of
  the lines is the order of the events.  A server says that it was asked to end; a health check
  says that it succeeded before zkexec hears of it; so what is counted as down here is never
  more than what really was.
- Down is a member from the TERM that zkexec sends for a restart to its first successful check.
  First starts do not count, nor deaths that nobody asked for, nor ends of zkexec itself, which
  the fleet announces in the journal.
- A member whose entry was reaped is not counted any longer; the logs say when that was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.stage import lines

BORN, ASKED, HEALTHY, MURDERED = "born", "asked", "healthy", "murdered"
"""What the servers and their checks write."""
STARTED, ENDING, KILLED, REAPED = "started", "ending", "killed", "reaped"
"""What the fleet adds: what is done to a zkexec, and what the logs say."""


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
        """Append what is done to a member."""
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
class VersionState:
    """What the journal shows."""

    most_down: int
    """So many members were down at the same time at most."""
    story: str
    """What happened up to the moment at which they were."""


class _Member:
    """What the judge has read of one member so far."""

    def __init__(self) -> None:
        self.down = False
        self.is_ending = False
        self.newest = 0


def judge(entries: Sequence[Entry], reaped: Iterable[tuple[float, str]] = ()) -> VersionState:
    """Follow the journal; `reaped` are the times and names that the logs tell of."""
    worst = VersionState(0, "")
    members: dict[str, _Member] = {}
    ordered = _merged(entries, reaped)
    for index, entry in enumerate(ordered):
        _follow(members.setdefault(entry.name, _Member()), entry)
        down = [name for name, member in members.items() if member.down]
        if len(down) > worst.most_down:
            worst = VersionState(len(down), f"{down} down after\n" + told(ordered[: index + 1]))
    return worst


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
        case "reaped":
            member.down = False
        case _:
            pass


def _merged(entries: Sequence[Entry], reaped: Iterable[tuple[float, str]]) -> list[Entry]:
    """Put each reaping before the first entry that is later than it."""
    rest = [Entry(REAPED, name, 0, at) for at, name in sorted(reaped)]
    merged = []
    for entry in entries:
        while rest and rest[0].at < entry.at:
            merged.append(rest.pop(0))
        merged.append(entry)
    return merged + rest


def told(entries: Iterable[Entry]) -> str:
    """The journal in words, a check that goes on succeeding told once."""
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
