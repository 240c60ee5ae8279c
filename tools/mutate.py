"""Make mistakes in the core, one after the other, and list those that no test notices.

    python tools/mutate.py [--all] [--jobs N] [PATH ...]

Of each function two mutants are tried: one that does nothing, and one with a slight mistake; with
`--all` every slight mistake that mutation.py knows.  PATH limits that to files of the core.

The rules of this file:

- Nothing here is changed: the tests run in copies of the tree, one for each job.
- The tests are those of the core's own floors.  The fastest come first, and the first that fails
  decides; a mutant that takes far longer than the tests without one has failed as well.
- `tools/mutants-without-effect.txt` names mutants that change nothing that anybody could see, each
  with the reason.  Whatever else survives is a promise without a test, or code without a need.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mutation import Mutant, chosen, mutants_of

ROOT = Path(__file__).resolve().parent.parent
CORE = Path("src/zkexec/core")
TESTS = ("test/scenarios", "test/core", "test/simulation")
LEFT_OUT = (".*", "__pycache__", "build", "dist")
HARMLESS = ROOT / "tools" / "mutants-without-effect.txt"
SETTINGS = {
    "ZKEXEC_SEEDS": "200",
    "ZKEXEC_GROUP_SEEDS": "20",
    # Loading plugins takes longer than most of these tests.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
PATIENCE = 10.0
"""As many times as long as without a mistake may the tests take."""


class Copy:
    """A copy of the tree, in which one mutant at a time lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._timeout_s = 3600.0
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))

    def prepare(self) -> None:
        """Run the tests without a mistake: they must pass, and set how long is long."""
        start = time.monotonic()
        if not self._passes({}):
            raise SystemExit("the tests fail without any mutant: run make test-core")
        self._timeout_s = PATIENCE * (time.monotonic() - start)
        # A mutant of the same length within the same second would not be seen in a file whose
        # compiled form is believed by its time.  This form is believed by its content.
        compiling = [sys.executable, "-m", "compileall", "-q", "-f"]
        subprocess.run(
            [*compiling, "--invalidation-mode", "checked-hash", str(self._folder / "src")],
            check=True,
        )

    def survives(self, path: Path, mutant: Mutant) -> bool:
        """Whether the tests pass although the mutant is in the file."""
        target = self._folder / path
        text = target.read_bytes()
        target.write_bytes(mutant.applied_to(text))
        try:
            return self._passes({"PYTHONDONTWRITEBYTECODE": "1"})
        finally:
            target.write_bytes(text)

    def _passes(self, more: dict[str, str]) -> bool:
        environment = {**os.environ, "PYTHONPATH": str(self._folder / "src"), **SETTINGS, **more}
        return all(self._pass(tests, environment) for tests in TESTS)

    def _pass(self, tests: str, environment: dict[str, str]) -> bool:
        options = ("-x", "-q", "-p", "no:cacheprovider", "--ignore-glob=*_mutants.py")
        run = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, tests],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return run.wait(self._timeout_s) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            run.kill()
            run.wait()


@contextmanager
def copies(number: int) -> Iterator["queue.SimpleQueue[Copy]"]:
    """Make this many copies of the tree, ready for mutants, and remove them in the end."""
    with tempfile.TemporaryDirectory(prefix="zkexec-mutants-") as folder:
        idle: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for index in range(number):
            copy = Copy(Path(folder) / str(index))
            copy.prepare()
            idle.put(copy)
        yield idle


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


def wanted(paths: list[str], *, everything: bool) -> list[tuple[Path, Mutant]]:
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


def main() -> int:
    """Try the mutants; 1 if one survives."""
    parser = argparse.ArgumentParser(description="list the mistakes that no test notices")
    parser.add_argument("--all", action="store_true", help="try each slight mistake, not just one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    options = parser.parse_args()
    mutants = wanted(options.paths, everything=options.all)
    survivors = 0
    with copies(options.jobs) as idle, ThreadPoolExecutor(options.jobs) as threads:

        def survives(one: tuple[Path, Mutant]) -> bool:
            copy = idle.get()
            try:
                return copy.survives(*one)
            finally:
                idle.put(copy)

        results = threads.map(survives, mutants)
        for tried, ((path, mutant), lives) in enumerate(zip(mutants, results, strict=True), 1):
            if lives:
                survivors += 1
                print(f"line {mutant.line}: {name_of(path, mutant)}", flush=True)
            if tried % 50 == 0:
                print(f"{tried} of {len(mutants)} tried, {survivors} survive", flush=True)
    print(f"{len(mutants)} mutants, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
