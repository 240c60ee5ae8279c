"""The same twice: with the bare command and with the wrapped one, below an interactive shell."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.stage import WITNESS, ZKEXEC, Stage, lines
from e2e.terminal import Terminal

Session = Callable[[], Terminal]
"""Opens a terminal with an interactive bash, which finds `zkexec` and `witness`."""


def write_programs(stage: Stage) -> str:
    """Put a short `zkexec`, which says nothing, into a folder of the PATH; the PATH."""
    programs = stage.folder / "bin"
    programs.mkdir()
    (programs / "zkexec").write_text(f'#!/bin/sh\nexec {" ".join(ZKEXEC)} --silent "$@"\n')
    (programs / "zkexec").chmod(0o755)
    return f"{programs}:{Path(WITNESS).parent}:{stage.environment()['PATH']}"


def both(scenario: Callable[[str], Any]) -> Any:
    """What a scenario saw with the bare command and, the same, with the wrapped one."""
    bare, wrapped = scenario(""), scenario("zkexec -- ")
    assert wrapped == bare
    return bare


def report_of(stage: Stage, prefix: str) -> Path:
    """The report of the witness in one of the two."""
    return stage.folder / f"report-{'wrapped' if prefix else 'bare'}"


def told(report: Path) -> list[str]:
    """What the witnesses told, without their pids."""
    return [re.sub(r"born \d+", "born", line) for line in lines(report)]


def status_of(terminal: Terminal) -> str:
    """The status of what the shell ran last."""
    return terminal.command("echo status $?").strip()
