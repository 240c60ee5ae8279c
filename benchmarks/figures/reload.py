"""A change is set → the command has got its HUP, with and without a check of the new file."""

import os
import time
from contextlib import ExitStack
from shutil import which
from statistics import median

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import ZKEXEC
from benchmarks.figures.change import NO_SETTLE, Watching, one_change, start_watching
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.running import ENVIRONMENT
from benchmarks.stage import Stage

RELOADS = ("--on-change", "reload")
_CHECK = which("true") or "/bin/true"
_CHECKED = f"{ZKEXEC}, with a check (`true`)"
_ON_DISK = f"{_CHECKED}, copies on this disk"
_RESTARTED = f"{ZKEXEC}, by a restart"
_SETTLED = f"{ZKEXEC}, settle 0.1 (default)"
_KINDS = {
    ZKEXEC: (*NO_SETTLE, *RELOADS),
    _CHECKED: (*NO_SETTLE, *RELOADS, "--check", _CHECK),
    _ON_DISK: (*NO_SETTLE, *RELOADS, "--check", _CHECK),
    _SETTLED: RELOADS,
    _RESTARTED: NO_SETTLE,
}
_WARM_UP = 2


def measure(stage: Stage) -> list[Table]:
    """Measure reloads, and in the same rounds what a check adds to the time of its command."""
    table = Table(
        "reload", "change → command has got its HUP", "ms", references=(ZKEXEC, _RESTARTED)
    )
    table.notes.append("By a restart: until the new command is in main.")
    bare: list[float] = []
    with ExitStack() as after:
        watching = [_start(stage, name, after) for name in _KINDS]
        table.series = {one.name: [] for one in watching}
        for number, order in enumerate(interleaved(watching, stage.rounds(400, 40) + _WARM_UP)):
            listen(table)
            # The first rounds warm everything up, the server's Java above all.
            is_counted = number >= _WARM_UP
            for candidate in order:
                took_ms = one_change(stage, candidate, f"{number}")
                if is_counted:
                    table.add(candidate.name, took_ms)
            took_ms = _run_check()
            if is_counted:
                bare.append(took_ms)
    return [table, _cost_of_check(table, bare)]


def _start(stage: Stage, name: str, after: ExitStack) -> Watching:
    folder = stage.folder("reload")
    temporary = stage.folder("copies", on_disk=name == _ON_DISK)
    reloads, kind = name != _RESTARTED, (name, 1, _KINDS[name])
    return start_watching(stage, kind, folder, after, reloads=reloads, temporary=temporary)


def _run_check() -> float:
    """Run the command of the check by itself; return the milliseconds that it takes."""
    began_ns = time.monotonic_ns()
    os.waitpid(os.posix_spawn(_CHECK, [_CHECK], ENVIRONMENT), 0)
    return (time.monotonic_ns() - began_ns) / 1e6


def _cost_of_check(table: Table, bare: list[float]) -> Table:
    """Compare the rounds with and without the check: the median of what it adds to its command."""
    cost = Table("check-cost", "what a check (`true`) adds to a reload", "ms")
    cost.add("its command by itself", median(bare))
    for name, checked in ((ZKEXEC, _CHECKED), (f"{ZKEXEC}, copies on this disk", _ON_DISK)):
        rounds = zip(table.series[checked], table.series[ZKEXEC], bare, strict=True)
        cost.add(name, median(after - before - alone for after, before, alone in rounds))
    cost.notes.append("zkexec: what it adds beyond the time of the command.")
    cost.claims = (Claim("a check, beyond its command, in ms", ZKEXEC, "", 10),)
    return cost
