"""A burst of 200 changes within a second: how soon its last one runs, and how many restarts."""

import time
from contextlib import ExitStack
from itertools import count

from benchmarks.candidates import KAZOO_FLOOR, ZKEXEC
from benchmarks.figures.change import Watching, one_change, start_watching
from benchmarks.noise import listen
from benchmarks.results import Claim, Table
from benchmarks.stage import Stage, content

CHANGES = 200
_LASTING_S = 1.0
_QUIET_S = 0.5
_SINGLE = f"{ZKEXEC}, a single change"
_BURST = f"{ZKEXEC}, the last of a burst"
_FLOOR = f"{KAZOO_FLOOR}, the last of a burst"


def measure(stage: Stage) -> list[Table]:
    """Burst upon zkexec as it is by default, and upon the bare script."""
    table = Table("burst", f"last of {CHANGES} changes in {_LASTING_S:g} s → command in main", "ms")
    table.references = (_SINGLE,)
    table.claims = (Claim("burst: last change → final command", _BURST, _SINGLE, 1.5),)
    restarts = Table("burst-restarts", "restarts by a burst", "restarts")
    restarts.claims = (Claim("burst: restarts, the most", ZKEXEC, "", 12),)
    table.notes.append("zkexec has its default settle time of 0.1 s here, the bare script none.")
    tags = map(str, count())
    with ExitStack() as after:
        folder = stage.folder("burst")
        kinds = ((ZKEXEC, 1, ()), (KAZOO_FLOOR, 1, None))
        ours, bare = (
            start_watching(stage, kind, stage.folder(folder.name), after) for kind in kinds
        )
        for _ in range(stage.rounds(20, 3)):
            listen(table)
            table.add(_SINGLE, one_change(stage, ours, next(tags)))
            for name, watching, of_burst in ((ZKEXEC, ours, _BURST), (KAZOO_FLOOR, bare, _FLOOR)):
                time.sleep(_QUIET_S)
                took_ms, number = _burst(watching, f"burst-{next(tags)}", stage)
                table.add(of_burst, took_ms)
                restarts.add(name, number)
    return [table, restarts]


def _burst(watching: Watching, tag: str, stage: Stage) -> tuple[float, int]:
    """Change it many times; return how soon the last one ran, and how many children there were."""
    stage.setter.ready()
    began = time.monotonic()
    for number in range(1, CHANGES):
        watching.change(content(f"{tag}-{number}"))
        time.sleep(max(0.0, began + number * _LASTING_S / CHANGES - time.monotonic()))
    last_ns = watching.change(content(tag))
    seen = watching.fifo.until(tag)
    return (seen[-1].entered_ns - last_ns) / 1e6, len(seen)
