"""The programs of one test, marked in their environment.

At the end of the test all processes that carry the mark are killed, however they are hidden.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.processes import kill_all, with_variable
from support.program import Program, Word
from support.waiting import DEADLINE_S

SRC = Path(__file__).resolve().parents[2] / "src"
MARK = "TEST_OF_ZKEXEC"


class MarkedPrograms:
    """Starts programs with the mark."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self._started: list[Program] = []

    def environment(self, **additions: str) -> dict[str, str]:
        """An environment in which zkexec can be imported, with the mark in it."""
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **clean,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(SRC),
            MARK: self._mark,
            **additions,
        }

    def start(self, *words: Word, **options: Any) -> Program:
        """Start a program, by default in a session of its own without a terminal."""
        self._started.append(Program(*words, **{"env": self.environment(), **options}))
        return self._started[-1]

    def python(
        self, code: str, *arguments: str | bytes, before: Sequence[str] = (), **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run Python code to its end, by default in a session of its own without a terminal."""
        options = {"start_new_session": True, "env": self.environment(), **options}
        if "stdout" not in options:
            options["capture_output"] = True
        return subprocess.run(
            [*before, sys.executable, "-c", code, *arguments],
            timeout=DEADLINE_S,
            check=False,
            **options,
        )

    def close(self) -> None:
        """Kill what is left."""
        kill_all(with_variable(MARK, self._mark))
        for program in self._started:
            program.close()
