"""A start → the command is in main: with nothing to mirror, with one mirror, and with 1,000."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import (
    FLOOR,
    INTERPRETER,
    KAZOO_FLOOR,
    SYSTEM_PYTHON,
    ZKEXEC,
    child,
    has_system_python,
    kazoo_floor,
    mirrors,
    wrappers,
    zkexec,
)
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.running import Running
from benchmarks.stage import Stage, running, stamps
from benchmarks.stamps import Stamps

MANY = 1_000
_PYTHON = "python that executes it"
_BARE = f"{ZKEXEC}, no mirror"
_BY_SYSTEM = f"{_BARE}, by {SYSTEM_PYTHON}"
_PAUSE_S = 0.02
Maker = Callable[[Path, Stamps], list[str]]
Timing = Callable[[], float]
"""Starts one candidate, and returns the milliseconds that it took."""


def measure(stage: Stage) -> list[Table]:
    """Measure small starts and great ones."""
    small = Table("start", "start → command in main, 1 mirror or none", "ms")
    small.references = (KAZOO_FLOOR, INTERPRETER, "tini", FLOOR)
    small.claims = (
        Claim("start → command in main, 1 mirror", ZKEXEC, KAZOO_FLOOR, 0.65, 0.5),
        Claim("nothing to mirror → command in main", _BARE, INTERPRETER, 3, 2.5),
    )
    small.notes.append(f"{INTERPRETER}: from its start to its end.  {FLOOR}: posix_spawn alone.")
    great = Table("start-many", f"start → command in main, {MANY:,} mirrors", "ms")
    great.references = (KAZOO_FLOOR,)
    great.claims = (Claim(f"the same, {MANY:,} mirrors", ZKEXEC, KAZOO_FLOOR, 1.2, 0.5),)
    great.notes.append("All files are new, and lie in memory.")
    of_small = _timed(stage, mirroring(stage, stage.znodes(1)) | _without(stage))
    of_small[INTERPRETER] = partial(_start_interpreter, stage)
    _measure(small, of_small, stage.rounds(150, 15))
    of_great = _timed(stage, mirroring(stage, stage.znodes(MANY)))
    _measure(great, of_great, stage.rounds(25, 5))
    return [small, great]


def _timed(stage: Stage, makers: Mapping[str, Maker]) -> dict[str, Timing]:
    return {name: partial(one_start, stage, maker) for name, maker in makers.items()}


def _measure(table: Table, timings: Mapping[str, Timing], rounds: int) -> None:
    table.series = {name: [] for name in timings}
    for number, order in enumerate(interleaved(list(timings), rounds + 1)):
        listen(table)
        for name in order:
            value = timings[name]()
            if number:
                table.add(name, value)


def _start_interpreter(stage: Stage) -> float:
    """Start the bare interpreter; return the milliseconds until it has ended."""
    folder = stage.folder("interpreter")
    time.sleep(_PAUSE_S)
    process = Running([stage.programs.python, "-I", "-c", "pass"], folder / "log")
    took_ms = (process.wait() - process.began_ns) / 1e6
    shutil.rmtree(folder)
    return took_ms


def one_start(stage: Stage, maker: Maker) -> float:
    """Start what the maker makes; return the milliseconds until its command was in main."""
    folder = stage.folder("start")
    with stamps(folder) as fifo:
        command = maker(folder, fifo)
        time.sleep(_PAUSE_S)
        with running(command, folder) as process:
            stamp = fifo.next()
        # A child whose wrapper just dies of the signal ends with it, but not at once.
        _wait_for_end(stamp.pid)
    shutil.rmtree(folder)
    return (stamp.entered_ns - process.began_ns) / 1e6


def _wait_for_end(pid: int) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        # Nothing is to be read there of a zombie, which nobody may reap for long.
        while Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.001)


def mirroring(stage: Stage, znodes: list[str]) -> dict[str, Maker]:
    """Make both that mirror: the bare script, and zkexec."""

    def of_kazoo(folder: Path, fifo: Stamps) -> list[str]:
        return kazoo_floor(stage, mirrors(folder, znodes), child(stage, fifo))

    def of_zkexec(folder: Path, fifo: Stamps) -> list[str]:
        return zkexec(stage, mirrors(folder, znodes), child(stage, fifo))

    return {KAZOO_FLOOR: of_kazoo, ZKEXEC: of_zkexec}


def wrapping(stage: Stage) -> dict[str, Maker]:
    """Make each of the wrappers that this machine has."""

    def one(name: str) -> Maker:
        return lambda _, fifo: wrappers(child(stage, fifo))[name]

    return {name: one(name) for name in wrappers([])}


def _without(stage: Stage) -> dict[str, Maker]:
    """The wrapper's own cost: nothing is configured."""

    def of_python(_: Path, fifo: Stamps) -> list[str]:
        words = child(stage, fifo)
        code = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
        return [stage.programs.python, "-I", "-S", "-c", code, *words]

    def by_system(_: Path, fifo: Stamps) -> list[str]:
        words = zkexec(stage, {}, child(stage, fifo))
        return [str(SYSTEM_PYTHON), stage.programs.package, *words[1:]]

    return {
        _BARE: lambda _, fifo: zkexec(stage, {}, child(stage, fifo)),
        **({_BY_SYSTEM: by_system} if has_system_python() else {}),
        _PYTHON: of_python,
        **wrapping(stage),
        FLOOR: lambda _, fifo: child(stage, fifo),
    }
