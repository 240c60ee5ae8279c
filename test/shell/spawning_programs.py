"""Python programs that start processes in one chosen way."""

import subprocess
from typing import Any

import pytest

from shell.marked_programs import MarkedPrograms
from zkexec.process.compiled_starter import START

WITHOUT_STARTER = 'import sys; sys.modules["zkexec.process._starter"] = None\n'


class SpawningPrograms(MarkedPrograms):
    """Marked programs that have the compiled starter, or that have to fork."""

    def __init__(self, way: str) -> None:
        """`way` is starter, fork or posix-spawn; without a starter the test is skipped."""
        if way == "starter" and START is None:
            pytest.skip("zkexec was installed without its compiled starter")
        super().__init__()
        self.way = way

    def python(
        self, code: str, *arguments: str | bytes, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run Python code to its end, see MarkedPrograms."""
        hides = WITHOUT_STARTER if self.way == "fork" else ""
        return super().python(hides + code, *arguments, **options)
