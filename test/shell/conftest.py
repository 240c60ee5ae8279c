"""Fixtures around real processes: whatever a test starts is gone when the test is over."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shell.driven import Driven, Marked, kill_marked


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A mark for the processes of this test, by which they are found and killed."""
    mark = Marked()
    yield mark
    kill_marked(mark.mark)


@pytest.fixture
def drive(marked: Marked) -> Iterator[Callable[..., Driven]]:
    """Start a program that drives Processes, see Driven for the arguments."""
    started: list[Driven] = []

    def start(**keywords: Any) -> Driven:
        started.append(Driven(marked, **keywords))
        return started[-1]

    yield start
    for one in started:
        one.close()
