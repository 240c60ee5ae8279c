"""Make mistakes in the core, one after the other, and list those that no test notices.

    python tools/mutate.py [--all] [--jobs N] [PATH ...]

Of each function two mutants are tried: one that does nothing, and one with a slight mistake; with
`--all` every slight mistake that mutation.py knows.  PATH limits that to files of the core.

`tools/mutants-without-effect.txt` names mutants that change nothing that anybody could see, each
with the reason.  Whatever else survives is a promise without a test, or code without a need.
"""

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path

from mutant_trials import ROOT, QuickTrials, ThoroughTrials, Trial
from mutation import Mutant, chosen, mutants_of

CORE = Path("src/zkexec/core")
HARMLESS = ROOT / "tools" / "mutants-without-effect.txt"
MEMORY = 4 << 30
"""What goes round in circles may also gather what it finds there."""


def name_of(path: Path, mutant: Mutant) -> str:
    """Name a mutant on one line, the same way whatever else changes in its file."""
    what = "nothing is done" if mutant.is_hollow else f"{mutant.source} -> {mutant.shown}"
    return f"{path.relative_to(CORE)} {mutant.function}: {what}"


def without_effect(known: frozenset[str]) -> frozenset[str]:
    """The mutants that change nothing that anybody could see; all must be among the known ones."""
    lines = HARMLESS.read_text(encoding="utf-8").splitlines()
    harmless = frozenset(line for line in lines if line and not line.startswith(("#", " ")))
    if missing := sorted(harmless - known):
        raise SystemExit("\n".join([f"{HARMLESS.name} names what is no mutant now:", *missing]))
    return harmless


def wanted(paths: list[str], *, everything: bool) -> list[Trial]:
    """All mutants to try, in the order of the files."""
    files = sorted(path.relative_to(ROOT) for path in (ROOT / CORE).rglob("*.py"))
    mutants = {path: list(mutants_of((ROOT / path).read_bytes())) for path in files}
    known = frozenset(name_of(path, one) for path, found in mutants.items() for one in found)
    harmless = without_effect(known)
    choose = list if everything else chosen
    return [
        (path, mutant)
        for path in ([Path(path) for path in paths] or files)
        for mutant in choose([one for one in mutants[path] if name_of(path, one) not in harmless])
    ]


def survivors(trials: list[Trial], jobs: int) -> list[Trial]:
    """The mutants that no test notices."""
    tried = 0

    def tell(trial: Trial, passed: bool) -> None:
        nonlocal tried
        tried += 1
        if passed:
            print(f"not noticed at once: {name_of(*trial)}", flush=True)
        if tried % 50 == 0 or tried == len(trials):
            print(f"{tried} of {len(trials)} tried", flush=True)

    found = []
    with tempfile.TemporaryDirectory(prefix="zkexec-mutants-") as folder:
        # What a mutant fails on is no example for the tests without one.
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{folder}/examples"
        quick = QuickTrials(trials, jobs, tell)
        quick.run()
        if not quick.passed:
            return []
        print(f"trying {len(quick.passed)} of them again, thoroughly", flush=True)
        thorough = ThoroughTrials(Path(folder))
        for path, mutant in sorted(quick.passed, key=lambda trial: (trial[0], trial[1].line)):
            if thorough.passes(path, mutant):
                print(f"survives, line {mutant.line}: {name_of(path, mutant)}", flush=True)
                found.append((path, mutant))
    return found


def main() -> int:
    """Try the mutants; 1 if one survives."""
    parser = argparse.ArgumentParser(description="list the mistakes that no test notices")
    parser.add_argument("--all", action="store_true", help="try each slight mistake, not just one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    trials = wanted(options.paths, everything=options.all)
    found = survivors(trials, options.jobs)
    print(f"{len(trials)} mutants, {len(found)} survive")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
