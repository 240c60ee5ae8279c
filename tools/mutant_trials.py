"""Two ways to try a mutant: a quick one that may miss it, and a thorough one.

The rules of this file:

- The tests are those of the core's own floors.  The fastest come first, and the first that fails
  decides; a mutant with which they compute far longer than without one has failed as well.
- In the quick trial the tests are collected once.  Then a process is forked for each mutant, which
  exchanges the code of one function and runs them.  What was done with that function before, while
  modules were imported, is not done again, so a mutant that passes goes on to the thorough trial.
- There the mutant is written to a file, in a copy of the tree, and the tests run anew, with as many
  seeds of the simulation as in `make test`.
"""

import importlib
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from mutation import Mutant

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("test/scenarios", "test/core", "test/simulation")
FEW_SEEDS = {"ZKEXEC_SEEDS": "200", "ZKEXEC_GROUP_SEEDS": "20"}
OPTIONS = ("-x", "-qq", "-p", "no:cacheprovider", "--ignore-glob=*_mutants.py", *TESTS)
LONGER = 5
"""A mutant that makes the tests compute so many times as long goes round in circles."""
_LEFT_OUT = (".*", "__pycache__", "build", "dist")

Trial = tuple[Path, Mutant]
"""A file of the core, as a path from the root, and a mutant of it."""


class QuickTrials:
    """A plugin of pytest: runs the collected tests once for each mutant, in forked processes.

    `passed` gets the mutants that these tests do not notice, in any order.
    """

    def __init__(
        self,
        trials: list[Trial],
        jobs: int,
        progress: Callable[[Trial, bool], None],
    ) -> None:
        self.passed: list[Trial] = []
        self.failed_without = False
        self._trials = trials
        self._jobs = jobs
        self._progress = progress
        self._running: dict[int, Trial] = {}
        self._usual_s: dict[str, float] = {}

    def run(self) -> None:
        """Collect the tests, and try all mutants."""
        os.environ.update(FEW_SEEDS)
        # Loading plugins takes longer than most of these tests.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        code = pytest.main([*OPTIONS, "--capture=no", "--no-header"], plugins=[self])
        if self.failed_without or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise SystemExit("the tests fail without any mutant: run make test-core")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests without a mutant here, and with each one in a process of its own."""
        for item, following in _in_order(session):
            before_s = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._usual_s[item.nodeid] = time.process_time() - before_s
            if session.testsfailed:
                self.failed_without = True
                return True
        print("\nwithout a mistake all tests pass", flush=True)
        for trial in self._trials:
            while len(self._running) >= self._jobs:
                self._reap()
            self._running[self._fork(session, trial)] = trial
        while self._running:
            self._reap()
        return True

    def _fork(self, session: pytest.Session, trial: Trial) -> int:
        """Start a process that runs the tests with a mutant; its pid."""
        sys.stdout.flush()
        if pid := os.fork():
            return pid
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if not _exchange(*trial):
                os._exit(0)
            for item, following in _in_order(session):
                most_s = time.process_time() + 1 + LONGER * self._usual_s[item.nodeid]
                resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(most_s), -1))
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    os._exit(1)
            os._exit(0)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        """Wait until one of the processes has ended, and take in how."""
        pid, status = os.wait()
        trial = self._running.pop(pid)
        if status == 0:
            self.passed.append(trial)
        self._progress(trial, status == 0)


def _used_s() -> float:
    """How long all processes have computed that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _in_order(session: pytest.Session) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    """Each test, and the one that comes after it."""
    yield from zip(session.items, [*session.items[1:], None], strict=True)


def _exchange(path: Path, mutant: Mutant) -> bool:
    """Give the function the mutant's code; False if that is not possible."""
    module = importlib.import_module(".".join(path.with_suffix("").parts[1:]))
    function = _find(vars(module), mutant.function.split("."))
    if function is None:
        return False
    source = compile(mutant.applied_to((ROOT / path).read_bytes()), str(ROOT / path), "exec")
    mine = function.__code__
    for code in _codes(source):
        is_same = (code.co_qualname, code.co_firstlineno) == (mine.co_qualname, mine.co_firstlineno)
        if is_same and code.co_freevars == mine.co_freevars:
            function.__code__ = code
            return True
    return False


def _find(names: "dict[str, object]", path: list[str]) -> FunctionType | None:
    """Find the outermost function on the path from a module; None if it is something else."""
    found = names.get(path[0])
    if isinstance(found, type) and len(path) > 1:
        return _find(dict(vars(found)), path[1:])
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    return found if isinstance(found, FunctionType) else None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class ThoroughTrials:
    """A copy of the tree below a folder, in which one mutant at a time lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tree"
        shutil.copytree(ROOT, self._folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        self._limit = "unlimited"
        before_s = _used_s()
        if not self._pass({}):
            raise SystemExit("the tests fail without any mutant: run make test-core")
        self._limit = str(math.ceil(LONGER * (_used_s() - before_s)))
        # A mutant of the same length within the same second would not be seen in a file whose
        # compiled form is believed by its time.  This form is believed by its content.
        compiling = [sys.executable, "-m", "compileall", "-q", "-f"]
        subprocess.run(
            [*compiling, "--invalidation-mode", "checked-hash", str(self._folder / "src")],
            check=True,
        )

    def passes(self, path: Path, mutant: Mutant) -> bool:
        """Whether the tests pass although the mutant is in the file."""
        target = self._folder / path
        text = target.read_bytes()
        target.write_bytes(mutant.applied_to(text))
        try:
            return self._pass({"PYTHONDONTWRITEBYTECODE": "1"})
        finally:
            target.write_bytes(text)

    def _pass(self, more: dict[str, str]) -> bool:
        environment = {**os.environ, "PYTHONPATH": str(self._folder / "src"), **more}
        for name in FEW_SEEDS:
            environment.pop(name, None)
        limited = ("/bin/sh", "-c", f'ulimit -t {self._limit}; exec "$@"', "sh")
        run = subprocess.run(
            [*limited, sys.executable, "-m", "pytest", *OPTIONS],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return run.returncode == 0
