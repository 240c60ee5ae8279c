"""What a wrapper costs while nothing happens: memory, threads, wake-ups, CPU."""

import time
from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks.candidates import (
    KAZOO_FLOOR,
    ZKEXEC,
    bound,
    child,
    kazoo_floor,
    mirrors,
    wrappers,
    zkexec,
)
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.running import Activity, Running
from benchmarks.stage import Stage, running, stamps

_MANY_MIRRORS = f"{ZKEXEC}, 100 mirrors"
_IN_GROUP = f"{ZKEXEC}, --lock and --health true"
_SETTLED_S = 3.0
_AT_ONCE = 10


def measure(stage: Stage) -> list[Table]:
    """Let all candidates do nothing, side by side, and read what the kernel shows of them."""
    shares = _shares(stage)
    with ExitStack() as after:
        processes = {
            name: _start(stage, name, count, after)
            for name, count in (
                (KAZOO_FLOOR, 1),
                (ZKEXEC, 1),
                (_MANY_MIRRORS, 100),
                (_IN_GROUP, 1),
                *((name, 0) for name in wrappers([])),
            )
        }
        time.sleep(_SETTLED_S)
        return [shares, *_memory(processes), *_activity(stage, processes)]


def _shares(stage: Stage) -> Table:
    """Measure ten at once of one kind, then of the other, as on a host with ten services."""
    title = f"idle memory, PSS, each one's share of {_AT_ONCE} at once"
    table = Table("pss-share", title, "MB", references=(KAZOO_FLOOR,))
    figure = f"idle PSS, each one's share of {_AT_ONCE} wrappers at once"
    table.claims = (Claim(figure, ZKEXEC, KAZOO_FLOOR, 0.6, 0.5),)
    table.notes.append("PSS: what is shared is divided by all that share it.")
    for name in (KAZOO_FLOOR, ZKEXEC):
        with ExitStack() as after:
            processes = [_start(stage, name, 1, after) for _ in range(_AT_ONCE)]
            time.sleep(_SETTLED_S)
            for process in processes:
                table.add(name, process.memory().pss_mb)
    return table


def _start(stage: Stage, name: str, count: int, after: ExitStack) -> Running:
    folder = stage.folder("idle")
    fifo = after.enter_context(stamps(folder))
    files = mirrors(folder, stage.znodes(count) if count else [])
    command = child(stage, fifo)
    group = ("--lock", "idle", "--health", "true") if name == _IN_GROUP else ()
    line = (
        kazoo_floor(stage, files, command)
        if name == KAZOO_FLOOR
        else wrappers(command).get(name) or zkexec(stage, files, command, *group)
    )
    process = after.enter_context(running(bound(stage, line), folder))
    fifo.next()
    return process


def _memory(processes: Mapping[str, Running]) -> list[Table]:
    tables = []
    for key, title in (("pss", "idle memory, PSS"), ("uss", "idle memory, USS")):
        table = Table(key, title, "MB", references=(KAZOO_FLOOR,))
        if key == "uss":
            table.claims = (Claim(title, ZKEXEC, KAZOO_FLOOR, 1.15, 0.75),)
        for name, process in processes.items():
            table.add(name, getattr(process.memory(), f"{key}_mb"))
        tables.append(table)
    tables[0].notes.append("PSS: what is shared is divided by all that share it, here all of these")
    return tables


def _activity(stage: Stage, processes: Mapping[str, Running]) -> list[Table]:
    lasting_s = stage.rounds(60, 20)
    woken = Table("wakeups", f"idle wake-ups per minute, in {lasting_s} s", "1/min")
    threads = Table("threads", "threads of a running wrapper, once a second", "threads")
    cpu = Table("cpu", f"idle CPU time per minute, in {lasting_s} s", "ms/min")
    for table, what in ((woken, "wake-ups"), (cpu, "CPU")):
        table.references = (KAZOO_FLOOR,)
        table.claims = (Claim(f"idle {what}", ZKEXEC, KAZOO_FLOOR, 1.1, 1.0),)
    threads.claims = (Claim("threads of a running wrapper", ZKEXEC, "", 1, 1),)
    before = {name: process.activity() for name, process in processes.items()}
    for _ in range(lasting_s):
        time.sleep(0.98)
        listen(woken)
        for name, process in processes.items():
            threads.add(name, process.threads())
    for name, process in processes.items():
        after = process.activity()
        minute = 60 / lasting_s
        woken.add(name, _more(before[name], after).wakeups * minute)
        cpu.add(name, _more(before[name], after).cpu_ms * minute)
    woken.notes.append("A health check every 30 s is among those of the member of a group.")
    return [threads, woken, cpu]


def _more(before: Activity, after: Activity) -> Activity:
    return Activity(after.wakeups - before.wakeups, after.cpu_ms - before.cpu_ms)
