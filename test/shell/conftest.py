"""Fixtures around real processes: whatever a test starts is gone when the test is over."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shell.marked_programs import MarkedPrograms
from shell.remote_processes import RemoteProcesses
from zkexec.process.compiled_starter import START


@pytest.fixture
def marked() -> Iterator[MarkedPrograms]:
    """Starts the programs of this test, and kills them by their mark."""
    programs = MarkedPrograms()
    yield programs
    programs.close()


@pytest.fixture(params=["starter", "fork"])
def drive(
    request: pytest.FixtureRequest, marked: MarkedPrograms
) -> Iterator[Callable[..., RemoteProcesses]]:
    """Start a program that drives Processes, see RemoteProcesses for the arguments.

    Each test is run with the compiled starter and without it.
    """
    if request.param == "starter" and START is None:
        pytest.skip("zkexec was installed without its compiled starter")
    started: list[RemoteProcesses] = []

    def start(**keywords: Any) -> RemoteProcesses:
        keywords["starter"] = request.param == "starter"
        started.append(RemoteProcesses(marked, **keywords))
        return started[-1]

    yield start
    for one in started:
        one.close()
