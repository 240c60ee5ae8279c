"""A change is set → the new command is in main, with thousands of other processes on the host."""

import ctypes
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import KAZOO_FLOOR, ZKEXEC, bound
from benchmarks.figures.change import NO_SETTLE, Watching, one_change, start_watching
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.stage import Stage, running, stamps

OTHERS = 4_000
_CHANGES = 5
"""How many changes each candidate gets before the other processes come or go."""
_SETTLED_S = 0.3
"""Until the kernel has done what comes after thousands of processes came or went."""
_PR_SET_CHILD_SUBREAPER = 36
_CROWDED = f"{{}}, {OTHERS:,} others"


def measure(stage: Stage) -> list[Table]:
    """Change the same wrappers in each round with the other processes and without them."""
    table = Table("crowd", f"change → command in main, {OTHERS:,} other processes or none", "ms")
    table.references = (ZKEXEC, KAZOO_FLOOR)
    crowded = _CROWDED.format(ZKEXEC)
    figure = f"the same with {OTHERS:,} other processes"
    table.claims = (Claim(figure, crowded, ZKEXEC, 1.05, 1.0),)
    table.notes.append("The others do nothing.  They are children of an ancestor of the wrapper.")
    with ExitStack() as after:
        after.enter_context(_adopting_orphans())
        watching = [
            start_watching(stage, (name, 1, options), stage.folder("crowd"), after)
            for name, options in ((KAZOO_FLOOR, None), (ZKEXEC, NO_SETTLE))
        ]
        names = [one.name for one in watching]
        table.series = {name: [] for name in (*names, *map(_CROWDED.format, names))}
        for number, order in enumerate(interleaved((False, True), stage.rounds(40, 6))):
            listen(table)
            for is_crowded in order:
                tag = f"{number}-{'crowded' if is_crowded else 'alone'}"
                with ExitStack() as block:
                    if is_crowded:
                        block.enter_context(_crowd(stage))
                    time.sleep(_SETTLED_S)
                    _measure(stage, table, watching, tag)
    return [table]


def _measure(stage: Stage, table: Table, watching: list[Watching], tag: str) -> None:
    name_of = _CROWDED.format if tag.endswith("crowded") else str
    order = random.Random(tag).sample(watching, len(watching))
    for candidate in order:
        # The first change pays for what the processes that came or went have left in disorder.
        one_change(stage, candidate, f"{tag}-first")
        for again in range(_CHANGES):
            value = one_change(stage, candidate, f"{tag}-{again}")
            table.add(name_of(candidate.name), value)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Adopt orphans, as the first process of a host does; the wrappers are its descendants too."""
    _adopt_orphans(adopts=True)
    try:
        yield
    finally:
        _adopt_orphans(adopts=False)


def _adopt_orphans(*, adopts: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopts), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


@contextmanager
def _crowd(stage: Stage) -> Iterator[None]:
    """Have the other processes for as long as the block lasts."""
    folder = stage.folder("others")
    with stamps(folder) as fifo:
        command = [stage.programs.crowd, fifo.path, str(OTHERS)]
        with running(bound(stage, command), folder) as crowd:
            fifo.next()
            yield
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-crowd.pid, 0)
