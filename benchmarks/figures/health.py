"""The CPU time of one health check, beside a bare fork and exec of the same program."""

import subprocess
import time
from contextlib import ExitStack

from benchmarks.arithmetic import interleaved
from benchmarks.candidates import ZKEXEC, bound, child, mirrors, zkexec
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.running import ENVIRONMENT, Running
from benchmarks.stage import Stage, running, stamps

_REFERENCE = "python that forks and execs once"
_INTERVAL = "0.02"
_CHECKS = 100
"""How many health checks make one value: the kernel counts the time of children in ticks."""
_FORKS = 20
_PASSED = "successful health check"
_PATIENCE_S = 60.0
_POLLED_S = 0.01


def measure(stage: Stage) -> list[Table]:
    """Let one wrapper check the health of its command again and again; measure both in turns."""
    table = Table("health", "CPU time of one health check (`true`)", "ms", references=(_REFERENCE,))
    table.claims = (Claim("CPU of one health check", ZKEXEC, _REFERENCE, 1.2, 1.0),)
    table.notes.append(
        "The time of `true` itself is part of both; starting Python is part of none."
    )
    table.series = {_REFERENCE: [], ZKEXEC: []}
    with ExitStack() as after:
        folder = stage.folder("health")
        fifo = after.enter_context(stamps(folder))
        options = ("--health", "true", "--health-interval", _INTERVAL, "--health-delay", "0")
        line = zkexec(stage, mirrors(folder, stage.znodes(1)), child(stage, fifo), *options)
        process = after.enter_context(running(bound(stage, line), folder))
        fifo.next()
        for order in interleaved(list(table.series), stage.rounds(20, 3)):
            listen(table)
            for name in order:
                value = _one_check(process) if name == ZKEXEC else _one_fork(stage)
                table.add(name, value)
    return [table]


def _one_check(process: Running) -> float:
    """Return the milliseconds of one health check: of the wrapper, and of what it has reaped."""
    give_up_at = time.monotonic() + _PATIENCE_S
    passed, spent_ms = _passed(process), process.cpu_with_children_ms()
    while (checks := _passed(process) - passed) < _CHECKS:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{checks} health checks within {_PATIENCE_S} s")
        time.sleep(_POLLED_S)
    return (process.cpu_with_children_ms() - spent_ms) / checks


def _passed(process: Running) -> int:
    return process.log_text().count(_PASSED)


def _one_fork(stage: Stage) -> float:
    command = [stage.programs.python, "-I", stage.programs.fork_once]
    took_us = [
        int(subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True).stdout)
        for _ in range(_FORKS)
    ]
    return sum(took_us) / len(took_us) / 1000
