"""A change is set → the new command is in main: no settle time, a command that stops at once."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import (
    FLOOR,
    KAZOO_FLOOR,
    RELOAD,
    ZKEXEC,
    bound,
    child,
    kazoo_floor,
    mirrors,
    zkexec,
)
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.stage import Stage, content, running, stamps
from benchmarks.stamps import PATIENCE_S, Stamps

MANY = 100
NO_SETTLE = ("--settle", "0")
_QUIET_S = 0.04
"""Until everybody has done what comes after a change, such as arming the next watch."""
_MANY_MIRRORS = f"{ZKEXEC}, {MANY} mirrors"
_MANY_IN_FLOOR = f"{KAZOO_FLOOR}, {MANY} mirrors"
_SETTLED = f"{ZKEXEC}, settle 0.1 (default)"
_CLAIMS = (
    Claim("change → new command in main", ZKEXEC, KAZOO_FLOOR, 2.2, 1.6),
    Claim(f"the same, 1 of {MANY} mirrors changed", _MANY_MIRRORS, ZKEXEC, 1.5, 1.1),
)


@dataclass(frozen=True)
class Watching:
    """A candidate that waits for a change."""

    name: str
    fifo: Stamps
    change: Callable[[bytes], int]
    """Makes the change, and returns when it began."""
    patience_s: float = PATIENCE_S
    """How long the command may take to be in main."""


def measure(stage: Stage) -> list[Table]:
    """Measure the code, and then the same on a disk."""
    rounds = stage.rounds(400, 40)
    on_memory = _measure(
        stage, _table("change", "change → command in main, files in memory"), rounds
    )
    disk = _table("change-disk", "change → command in main, files on this disk")
    disk.notes.append("A disk's share is the same for all, so that the ratios come closer to 1.")
    return [on_memory, _measure(stage, disk, rounds // 4)]


def _table(key: str, title: str) -> Table:
    claims = _CLAIMS if key == "change" else ()
    return Table(key, title, "ms", references=(KAZOO_FLOOR, ZKEXEC, FLOOR), claims=claims)


def _measure(stage: Stage, table: Table, rounds: int) -> Table:
    folder = stage.folder(table.key, on_disk=table.key == "change-disk")
    with candidates(stage, folder) as watching:
        for number, order in enumerate(interleaved(watching, rounds + 2)):
            listen(table)
            for candidate in order:
                value = one_change(stage, candidate, f"{number}")
                # The first rounds warm everything up, the server's Java above all.
                if number >= 2:
                    table.add(candidate.name, value)
    table.series = {one.name: table.series[one.name] for one in watching}
    return table


def one_change(stage: Stage, candidate: Watching, tag: str) -> float:
    """Make one change; return the milliseconds until the child that has it was in main."""
    time.sleep(_QUIET_S)
    stage.setter.ready()
    began_ns = candidate.change(content(tag))
    return (candidate.fifo.until(tag, candidate.patience_s)[-1].entered_ns - began_ns) / 1e6


@contextmanager
def candidates(stage: Stage, folder: Path) -> Iterator[list[Watching]]:
    """Everybody that is compared, with their first child in main."""
    with ExitStack() as after:
        floor = start_floor(stage, _below(folder, "floor"), after)
        watching = [floor]
        for name, count, options in (
            (KAZOO_FLOOR, 1, None),
            (_MANY_IN_FLOOR, MANY, None),
            (ZKEXEC, 1, NO_SETTLE),
            (_MANY_MIRRORS, MANY, NO_SETTLE),
            (_SETTLED, 1, ()),
        ):
            place = _below(folder, str(len(watching)))
            watching.append(start_watching(stage, (name, count, options), place, after))
        yield watching


def start_watching(
    stage: Stage,
    kind: tuple[str, int, Sequence[str] | None],
    folder: Path,
    after: ExitStack,
    *,
    reloads: bool = False,
    temporary: Path | None = None,
) -> Watching:
    """Start zkexec with these options, or without any the kazoo floor; some mirrors each.

    A command that `reloads` stamps again at each HUP.  `temporary` is the TMPDIR.
    """
    name, count, options = kind
    znodes = stage.znodes(count)
    files = mirrors(folder, znodes)
    fifo = after.enter_context(stamps(folder))
    command = child(stage, fifo, next(iter(files)), *([RELOAD] if reloads else []))
    line = (
        kazoo_floor(stage, files, command)
        if options is None
        else zkexec(stage, files, command, *options)
    )
    if temporary is not None:
        line = ["/usr/bin/env", f"TMPDIR={temporary}", *line]
    after.enter_context(running(bound(stage, line), folder))
    fifo.until("first")
    return Watching(name, fifo, lambda content: stage.setter.set(znodes[0], content))


def start_floor(stage: Stage, folder: Path, after: ExitStack) -> Watching:
    """Start the floor in C, which takes its changes from a pipe."""
    fifo = after.enter_context(stamps(folder))
    pipe = folder / "watch"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    after.callback(os.close, descriptor)
    file = str(folder / "file")
    line = [stage.programs.floor, str(pipe), file, *child(stage, fifo, file)]
    after.enter_context(running(bound(stage, line), folder))

    def change(content: bytes) -> int:
        began_ns = time.monotonic_ns()
        os.write(descriptor, content)
        return began_ns

    change(content("first"))
    fifo.until("first")
    return Watching(FLOOR, fifo, change)


def _below(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place
