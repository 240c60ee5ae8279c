"""How restless the machine is: a fixed loop, and how much later than asked for a sleep ends."""

import os
import platform
import time
from pathlib import Path

from benchmarks.results import Table

_TURNS = 300_000  # Longer than the time after which another process gets its turn.
_SLEEP_S = 0.002


def listen(table: Table) -> None:
    """Take one sample of the noise, between two rounds."""
    began = time.monotonic()
    for _ in range(_TURNS):
        pass
    looped = time.monotonic()
    time.sleep(_SLEEP_S)
    woke = time.monotonic()
    table.noise.setdefault("fixed loop", []).append((looped - began) * 1000)
    table.noise.setdefault("sleep overshoot", []).append((woke - looped - _SLEEP_S) * 1000)


def machine() -> dict[str, str]:
    """What is to be known of the machine, and how busy it is now."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": model,
        "Linux": platform.release().partition("-")[0],
        "Python": platform.python_version(),
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "measured at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
