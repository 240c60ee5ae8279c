"""Fixtures around real processes: whatever a test starts is gone when the test is over."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shell.marked_programs import MarkedPrograms
from shell.remote_processes import RemoteProcesses


@pytest.fixture
def marked() -> Iterator[MarkedPrograms]:
    """Starts the programs of this test, and kills them by their mark."""
    programs = MarkedPrograms()
    yield programs
    programs.close()


@pytest.fixture
def drive(marked: MarkedPrograms) -> Iterator[Callable[..., RemoteProcesses]]:
    """Start a program that drives Processes, see RemoteProcesses for the arguments."""
    started: list[RemoteProcesses] = []

    def start(**keywords: Any) -> RemoteProcesses:
        started.append(RemoteProcesses(marked, **keywords))
        return started[-1]

    yield start
    for one in started:
        one.close()
