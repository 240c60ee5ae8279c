"""A rolling restart of many members on one machine: what a turn costs beside stop and start."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from statistics import median

from benchmarks.candidates import (
    LOCK_FLOOR,
    ZKEXEC,
    bound,
    child,
    kazoo_lock,
    mirrors,
    zkexec,
)
from benchmarks.figures.change import one_change, start_floor
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.stage import Stage, content, running, stamps
from benchmarks.stamps import Stamps

_LOCK = "/benchmark-lock"
_QUIET_S = 2.0
_SESSION = ("--session-timeout", "60")
_HEALTH = ("--health", "true", "--health-interval", "3600")
_GROUP = ("--lock", "benchmark", "--settle", "0", *_HEALTH, *_SESSION)
Line = Callable[[dict[str, str], list[str]], list[str]]


def measure(stage: Stage) -> list[Table]:
    """Roll out through two groups in turns: one of zkexec, one of the bare script."""
    members = stage.rounds(50, 10)
    turn, whole, packets = _tables(members)
    floor: list[float] = []
    with ExitStack() as after:
        child_alone = start_floor(stage, stage.folder("floor"), after)
        groups = _groups(stage, members, after)
        for number in range(stage.rounds(12, 4) + 1):
            listen(turn)
            for name, (znode, fifo) in groups.items():
                time.sleep(_QUIET_S)
                before = _packets(stage)
                first, last = _rollout(stage, znode, fifo, members)
                time.sleep(_QUIET_S / 2)
                if number:
                    turn.add(name, (last - first) / (members - 1))
                    whole.add(name, last)
                    packets.add(name, (_packets(stage) - before) / members)
            floor += [one_change(stage, child_alone, f"{number}-{again}") for again in range(5)]
    turn.series = {
        name: [value - median(floor) for value in values] for name, values in turn.series.items()
    }
    turn.notes.append(f"Stop and start alone, by the floor in C: {median(floor):.2f} ms.")
    return [turn, whole, packets]


def _tables(members: int) -> tuple[Table, Table, Table]:
    title = f"rolling restart of {members} members: a turn beyond stop and start"
    turn = Table("rolling", title, "ms", references=(LOCK_FLOOR,))
    turn.claims = (Claim("rolling restart, per member", ZKEXEC, LOCK_FLOOR, 3.3, 2),)
    turn.notes.append("From the first new command to the last, by number; the check is `true`.")
    whole = Table("rolling-whole", "the same: change → last command in main", "ms")
    whole.references = (LOCK_FLOOR,)
    packets = Table("packets", "packets to the server per member and rollout", "packets")
    packets.claims = (Claim(f"requests, {members} real members", ZKEXEC, "", 14, 10),)
    packets.notes.append("Counted by the server, pings and the reading of the mirror included.")
    return turn, whole, packets


def _groups(stage: Stage, members: int, after: ExitStack) -> dict[str, tuple[str, Stamps]]:
    stage.create(_LOCK)

    def of_lock(files: dict[str, str], command: list[str]) -> list[str]:
        return kazoo_lock(stage, _LOCK, files, command)

    def of_zkexec(files: dict[str, str], command: list[str]) -> list[str]:
        member_id = f"member-{next(numbers)}"
        return zkexec(stage, files, command, *_GROUP, "--member-id", member_id)

    numbers = count()
    lines: dict[str, Line] = {LOCK_FLOOR: of_lock, ZKEXEC: of_zkexec}
    return {name: after.enter_context(_group(stage, members, line)) for name, line in lines.items()}


@contextmanager
def _group(stage: Stage, members: int, line: Line) -> Iterator[tuple[str, Stamps]]:
    """As many members, all with their first child in main; they share a znode and a FIFO."""
    (znode,) = stage.znodes(1)
    folder = stage.folder("group")
    with ExitStack() as after:
        fifo = after.enter_context(stamps(folder))
        for _ in range(members):
            place = stage.folder("member")
            files = mirrors(place, [znode])
            command = child(stage, fifo, next(iter(files)))
            after.enter_context(running(bound(stage, line(files, command)), place))
        for _ in range(members):
            fifo.next()
        yield znode, fifo


_tags = count()


def _rollout(stage: Stage, znode: str, fifo: Stamps, members: int) -> tuple[float, float]:
    """Make one change; return when the first and the last new child were in main, in ms."""
    tag = f"rollout-{next(_tags)}"
    began_ns = stage.setter.set(znode, content(tag))
    entered: list[float] = []
    while len(entered) < members:
        stamp = fifo.next()
        if stamp.tag == tag:
            entered.append((stamp.entered_ns - began_ns) / 1e6)
    return entered[0], entered[-1]


def _packets(stage: Stage) -> int:
    return int(stage.server.fact("Received"))
