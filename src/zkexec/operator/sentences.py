"""What is to be said of a group, in plain words: for the picture, the progress and the end."""

import shlex
import time
from collections.abc import Sequence

from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import short
from zkexec.operator.aims import Aim, Intruder, Row
from zkexec.operator.sight import Sight, State

_MOST_NAMES = 3
_BAR = 10
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(time_s: float) -> str:
    """A stretch of time in its two largest units: `3 s`, `2 min 5 s`, `4 h`."""
    rest = max(0, int(time_s))
    large = next((place for place, (_, size) in enumerate(_UNITS) if rest >= size), -1)
    if large < 0:
        return "0 s"
    parts = []
    for unit, size in _UNITS[large : large + 2]:
        if count := rest // size:
            parts.append(f"{count} {unit}")
        rest %= size
    return " ".join(parts)


def age(at: float, now: float) -> str:
    """How long something lasts, for a column: `3s`, `2m`, `4h`; "" where it is not known."""
    if not at:
        return ""
    number, unit = span(now - at).split(" ")[:2]
    return number + unit[0]


def moment(at: float, now: float) -> str:
    """A time of this day without the date; "" where it is not known."""
    if not at:
        return ""
    then = time.localtime(at)
    is_today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", then)


def names(rows: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(rows) - _MOST_NAMES
    return ", ".join(rows) if more <= 1 else f"{', '.join(rows[:_MOST_NAMES])} and {more} more"


def goal(aim: Aim, now: float) -> str:
    """What all are to run: its digest, or when it was written where no member tells the digest."""
    if aim.missing:
        return "what is wanted"
    if aim.digest:
        return short(aim.digest)
    return f"what was written at {moment(aim.at, now)}" if aim.at else "nothing that is known"


def standing(sight: Sight, now: float) -> str:
    """How far the group is."""
    if sight.state is State.GONE:
        return f"{sight.name}: no such group (expected at {sight.base})"
    if sight.state is State.UNREADABLE:
        return f"{sight.name}: {sight.trouble}"
    if sight.state is State.EMPTY:
        return f"{sight.name}: no member is alive"
    there = f"{sight.name}: {sight.done} of {len(sight.rows)}"
    if len(sight.aims) == 1:
        return f"{there} on {goal(sight.aims[0], now)}"
    return f"{there} on what they want" if sight.aims else there


def bar(done: int, total: int) -> str:
    """How far that is, to be seen at a glance."""
    filled = _BAR * done // total if total else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def pace(aim: Aim, now: float) -> str:
    """The time that it has taken and will take; "" where nothing is known of that."""
    took_s, left_s = aim.took_s(now), aim.left_s(now)
    if took_s is None:
        return ""
    if aim.is_through:
        return f"took {span(took_s)}"
    to_go = "" if left_s is None else f", about {span(left_s + 0.5)} to go"
    return f"{span(took_s)} so far{to_go}"


def failure(sight: Sight, now: float) -> str:
    """What has failed, on whom and why; "" where nothing stands against what is wanted."""
    aim = sight.failure
    if aim is None or aim.failure is None:
        return ""
    version_state = aim.failure
    since = f" since {moment(version_state.at, now)}" if version_state.at else ""
    reason = version_state.reason or "no reason is known"
    return f"{short(aim.digest)} failed on {names(version_state.failed_by)}{since}: {reason}"


def absent(sight: Sight) -> list[str]:
    """Which mirrored znodes do not exist, and what to do; the first few."""
    told = []
    for path in sight.absent[:_MOST_NAMES]:
        who = [row.name for row in sight.rows if path in row.absent]
        told.append(
            f"{path} does not exist; until it does, these keep their files as they are: "
            f"{names(who)}; to write it: {_command('push', f'{path}=FILE')}"
        )
    more = len(sight.absent) - len(told)
    return [*told, f"{more} more mirrored znodes do not exist"] if more else told


def pause(sight: Sight, now: float) -> str:
    """Who holds the group and why; "" where nobody does."""
    paused = sight.record.paused
    if paused is None:
        return ""
    since = f" since {moment(paused.at, now)}" if paused.at else ""
    return f"paused by {paused.by or 'an operator'}{since}: {paused.reason or 'no reason given'}"


def strays(sight: Sight) -> list[str]:
    """What is ignored among the znodes of the members, and how to remove it; the first few."""
    told = [
        f"ignored: {stray.path}, {stray.kind.value}; to remove it: "
        f"{shlex.join(['zkCli.sh', 'deleteall', stray.path])}"
        for stray in sight.strays[:_MOST_NAMES]
    ]
    more = len(sight.strays) - len(told)
    return [*told, f"ignored: {more} more"] if more else told


def intruders(sight: Sight) -> list[str]:
    """What stands in the queue with the name of nobody, and how to remove it; the first few."""
    told = [
        f"{ordinal(one.place)} in the queue: {_nobody(one)}, and those behind it wait; "
        f"to remove it: {shlex.join(['zkCli.sh', 'delete', one.path])}"
        for one in sight.intruders[:_MOST_NAMES]
    ]
    more = len(sight.intruders) - len(told)
    return [*told, f"in the queue: {more} more that are no members here"] if more else told


def ordinal(number: int) -> str:
    """A place as people say it."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _nobody(one: Intruder) -> str:
    return f"{one.name or 'a node without a name'}, which is no member here"


def way_out(sight: Sight) -> str:
    """What a record that is not understood means, and what an operator can do; or ""."""
    if not sight.trouble or sight.forbidden:
        return ""
    follows = "commands run on, and no member is admitted"
    if sight.is_newer:
        return f"{follows}; use the zkexecctl of the version that wrote it"
    path = f"{sight.base}/state"
    return (
        f"{follows}; to begin a new record, in which nothing is known good or failed: "
        f"{shlex.join(['zkCli.sh', 'delete', path])}"
    )


def way_back(sight: Sight) -> str:
    """What an operator can do about a failure."""
    return (
        f"push what works, take the push back with undo, or try it once more: "
        f"{_command('retry', sight.name)}"
    )


def way_on(sight: Sight) -> str:
    """What an operator can do about a pause."""
    return f"let it go on: {_command('resume', sight.name)}"


def missing(sight: Sight, row: Row, now: float) -> str:
    """That a member is away in its turn, and what to do."""
    since = f", its turn began at {moment(row.since, now)}" if row.since else ""
    if row.entry is EntryPhase.FAILED:
        since = f", its restart failed at {moment(row.since, now)}" if row.since else ""
    return (
        f"{row.name} has the turn and is away{since}; if it does not come back: "
        f"{_command('forget', sight.name, row.name)}"
    )


def duplicate(sight: Sight, row: Row) -> str:
    """That the member ID of a member is another one's as well, and what to do."""
    first = next((one for one in sight.rows if one.name == row.duplicate_of), None)
    holder = _process(first) if first is not None else row.duplicate_of
    told = f"{_process(row)} has the member ID of {holder} and takes no turn"
    return f"{told}: give it another --member-id"


def sharing(row: Row) -> str:
    """That others on its host write to the same files; "" if none does."""
    return "; ".join(f"{other} writes to the same {file}" for other, file in row.shares_with)


def _process(row: Row) -> str:
    facts = row.seen.facts
    return f"{row.name} ({facts.host}, pid {facts.pid})" if facts else row.name


def awaited(sight: Sight) -> str:
    """Whom the rollout waits for now: who is in flight, else who has not seen it, or waits."""
    doubled = [row.name for row in sight.duplicates]
    duplicates = doubled and f"{names(doubled)} with a member ID that another process has"
    gone = sight.absent and f"{names(sight.absent)}, which {_does(sight.absent)} not exist"
    return "; ".join(text for text in (_awaited(sight), gone, duplicates) if text)


def _does(things: Sequence[str]) -> str:
    return "does" if len(things) == 1 else "do"


def _awaited(sight: Sight) -> str:
    unfinished = [row for row in sight.rows if not row.is_through and not row.duplicate_of]
    there = [row for row in unfinished if not row.is_settled]
    restarting = [r.name for r in there if r.entry is EntryPhase.RESTARTING and r.is_alive]
    failed = [r.name for r in there if r.entry is EntryPhase.FAILED and r.is_alive]
    away = [r.name for r in there if not r.is_alive]
    said = [(restarting, "restarting"), (failed, "failed"), (away, "away in its turn")]
    found = [f"{names(who)} {what}" for who, what in said if who]
    if found:
        return ", ".join(found)
    late = [row for row in there if row.untaken]
    if late:
        return _untaken(sight, late)
    if sight.waiting:
        first = sight.waiting[0]
        ahead = [one for one in sight.intruders if one.place < (first.place or 0)]
        behind = f" behind {_nobody(ahead[-1])}" if ahead else " is next"
        return f"{len(sight.waiting)} waiting, {first.name}{behind}"
    others = [f"{row.name} {row.phase}" for row in there]
    differing = [f"{row.name} on {short(row.wanted)}" for row in unfinished if row.others_want]
    return names(others or differing)


def _untaken(sight: Sight, late: Sequence[Row]) -> str:
    path = late[0].untaken[0]
    written = sight.znodes.get(path)
    is_empty = written is not None and not written.size
    told = f"{names([row.name for row in late])} without the newest {path}"
    return f"{told}, which is empty" if is_empty else told


def _command(verb: str, *arguments: str) -> str:
    return shlex.join(["zkexecctl", verb, *arguments])
