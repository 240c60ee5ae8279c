"""The same twice: the bare command and the wrapped one, typed into an interactive shell."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.interactive_shell import InteractiveShell
from support.sandbox import REPORTER, ZKEXEC, Sandbox
from support.waiting import lines

OpenShell = Callable[[], InteractiveShell]
"""Opens a terminal with an interactive bash, which finds `zkexec` and `reporter`."""


def write_programs(sandbox: Sandbox) -> str:
    """Make a silent `zkexec` that can be typed; return the PATH on which a shell finds it."""
    programs = sandbox.folder / "bin"
    programs.mkdir()
    (programs / "zkexec").write_text(f'#!/bin/sh\nexec {" ".join(ZKEXEC)} --silent "$@"\n')
    (programs / "zkexec").chmod(0o755)
    return f"{programs}:{Path(REPORTER).parent}:{sandbox.environment()['PATH']}"


def both(scenario: Callable[[str], Any]) -> Any:
    """Play a scenario with the bare command and with the wrapped one; both must see the same."""
    bare, wrapped = scenario(""), scenario("zkexec -- ")
    assert wrapped == bare
    return bare


def report_of(sandbox: Sandbox, prefix: str) -> Path:
    """The file into which the reporter of one of the two writes."""
    return sandbox.folder / f"report-{'wrapped' if prefix else 'bare'}"


def reported(report: Path) -> list[str]:
    """The lines of a report, without pids."""
    return [re.sub(r"born \d+", "born", line) for line in lines(report)]


def status_of(shell: InteractiveShell) -> str:
    """The exit status of what the shell ran last."""
    return shell.command("echo status $?").strip()
