"""The benchmark: `make benchmark`, or `make benchmark QUICK=1` for a first impression.

    python -m benchmarks.run [--quick] [--peers FOLDER] [--into FILE] [FIGURE ...]

Without figures all are measured; peers are only measured if their folder is named.  The tables go
to stdout, and everything as JSON into FILE.
"""

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.noise import machine
from benchmarks.results import RESULTS, Run, save
from benchmarks.stage import Stage, stage
from benchmarks.tables import claim_lines, table_lines

FIGURES = (
    "questions", "start", "change", "reload", "crowd", "burst", "idle", "health", "rolling",
    "traffic",
)  # fmt: skip
PEERS = "peers"


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="Measure zkexec.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and members")
    parser.add_argument("--peers", default="", metavar="FOLDER", help="measure its programs, too")
    parser.add_argument("--into", type=Path, help="where the results go as JSON")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    wanted = parser.parse_args()
    figures = (*FIGURES, PEERS) if wanted.peers else FIGURES
    unknown = set(wanted.figures) - set(figures)
    if unknown:
        parser.error(f"no figure: {', '.join(sorted(unknown))}; there are {', '.join(figures)}")
    # A benchmark that is ended ends all that it has started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with stage(is_quick=wanted.quick, peers=wanted.peers) as place:
        run = _measure(place, wanted.figures or figures)
    name = "quick" if wanted.quick else "latest"
    save(run, wanted.into or RESULTS / f"{name}.json")


def _measure(place: Stage, figures: Sequence[str]) -> Run:
    run = Run(machine(), place.is_quick)
    print(", ".join(f"{name} {value}" for name, value in run.machine.items()), flush=True)
    for name in figures:
        began = time.monotonic()
        tables = importlib.import_module(f"benchmarks.figures.{name}").measure(place)
        run.tables += tables
        for table in tables:
            print("", *table_lines(table), sep="\n", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print("", *claim_lines(run), sep="\n")
    return run


if __name__ == "__main__":
    main()
