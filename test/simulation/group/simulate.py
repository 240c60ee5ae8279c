"""Runs as many groups as one likes, on all cores: `make simulate SEEDS=1000000 FIRST=5000`.

The first few failures are told in full, all of them by their seeds.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pool

from simulation.group.failure_transcript import transcript
from simulation.group.seeded_group_run import SeededGroupRun

TOLD_IN_FULL = 3
CHUNK = 50
EACH_S = 10.0


def failures_in(seeds: range) -> tuple[range, list[tuple[int, str]]]:
    """Run these seeds; return those that failed, and how."""
    found = []
    for seed in seeds:
        try:
            SeededGroupRun(seed).run()
        except Exception as error:  # noqa: BLE001 -- a crash is a finding like any other
            found.append((seed, f"{type(error).__name__}: {error}"))
    return seeds, found


def told(results: Iterable[tuple[range, list[tuple[int, str]]]], total: int) -> Iterator[str]:
    """What to print, as the results come in."""
    done, failed, began = 0, 0, time.monotonic()
    spoken = began
    for seeds, found in results:
        done += len(seeds)
        for seed, words in found:
            failed += 1
            yield transcript(seed) if failed <= TOLD_IN_FULL else f"seed {seed}: {words}"
        if time.monotonic() >= spoken + EACH_S or done == total:
            spoken = time.monotonic()
            rate = done / (spoken - began)
            yield f"{done} of {total} groups, {failed} failed, {rate:.0f} a second"
    yield f"failed: {failed}"


def main() -> int:
    """Run them all; the exit status tells whether any failed."""
    total, first = int(sys.argv[1]), int(sys.argv[2])
    last = first + total
    parts = [range(start, min(start + CHUNK, last)) for start in range(first, last, CHUNK)]
    line = ""
    with Pool(os.cpu_count()) as pool:
        for line in told(pool.imap_unordered(failures_in, parts), total):
            print(line, flush=True)
    return 0 if line == "failed: 0" else 1


if __name__ == "__main__":
    sys.exit(main())
