"""A start → the child is in main: without configuration, with one mirror, and with 1,000."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import (
    FLOOR,
    KAZOO_FLOOR,
    ZKEXEC,
    child,
    kazoo_floor,
    mirrors,
    wrappers,
    zkexec,
)
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.stage import Stage, running, stamps
from benchmarks.stamps import Stamps

MANY = 1_000
_PYTHON = "python that executes it"
_BARE = f"{ZKEXEC}, no mirror"
_PAUSE_S = 0.02
Maker = Callable[[Path, Stamps], list[str]]


def measure(stage: Stage) -> list[Table]:
    """Measure small starts and great ones."""
    small = Table("start", "start → child in main, 1 mirror or none", "ms")
    small.references = (KAZOO_FLOOR, "tini", FLOOR)
    small.claims = (Claim("start → child in main, 1 mirror", ZKEXEC, KAZOO_FLOOR, 1.2, 0.5),)
    small.notes.append(f"{FLOOR}: posix_spawn alone.  The last lines stand for no configuration.")
    great = Table("start-many", f"start → child in main, {MANY:,} mirrors", "ms")
    great.references = (KAZOO_FLOOR,)
    great.claims = (Claim(f"the same, {MANY:,} mirrors", ZKEXEC, KAZOO_FLOOR, 1.2, 0.5),)
    great.notes.append("All files are new, and lie in memory.")
    _measure(stage, small, {**_small(stage), **_without(stage)}, stage.rounds(150, 15))
    _measure(stage, great, _mirroring(stage, stage.znodes(MANY)), stage.rounds(25, 5))
    return [small, great]


def _measure(stage: Stage, table: Table, makers: Mapping[str, Maker], rounds: int) -> None:
    table.series = {name: [] for name in makers}
    for number, order in enumerate(interleaved(list(makers), rounds + 1)):
        listen(table)
        for name in order:
            value = _one_start(stage, makers[name])
            if number:
                table.add(name, value)


def _one_start(stage: Stage, maker: Maker) -> float:
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


def _small(stage: Stage) -> dict[str, Maker]:
    return _mirroring(stage, stage.znodes(1))


def _mirroring(stage: Stage, znodes: list[str]) -> dict[str, Maker]:
    def of_kazoo(folder: Path, fifo: Stamps) -> list[str]:
        return kazoo_floor(stage, mirrors(folder, znodes), child(stage, fifo))

    def of_zkexec(folder: Path, fifo: Stamps) -> list[str]:
        return zkexec(stage, mirrors(folder, znodes), child(stage, fifo))

    return {KAZOO_FLOOR: of_kazoo, ZKEXEC: of_zkexec}


def _without(stage: Stage) -> dict[str, Maker]:
    """The wrapper's own cost: nothing is configured."""

    def of_python(_: Path, fifo: Stamps) -> list[str]:
        words = child(stage, fifo)
        code = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
        return [stage.programs.python, "-I", "-S", "-c", code, *words]

    def other(name: str) -> Maker:
        return lambda _, fifo: wrappers(child(stage, fifo))[name]

    return {
        _BARE: lambda _, fifo: zkexec(stage, {}, child(stage, fifo)),
        _PYTHON: of_python,
        **{name: other(name) for name in wrappers([])},
        FLOOR: lambda _, fifo: child(stage, fifo),
    }
