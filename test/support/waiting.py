"""Wait for conditions of the outside world, as for lines of files, until a generous deadline."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

DEADLINE_S = 60.0
POLL_S = 0.01

T = TypeVar("T")


def until(
    get: Callable[[], T],
    what: str | Callable[[], str],
    deadline_s: float = DEADLINE_S,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Poll until there is a truthy answer, and return it; else TimeoutError says what is missing.

    `what` can be a function, whose answer shows how things are when the time is over.
    """
    give_up_at = time.monotonic() + deadline_s
    while not (answer := get()):
        if time.monotonic() > give_up_at:
            missing = what() if callable(what) else what
            raise TimeoutError(f"not within {deadline_s:g} s: {missing}")
        pause(POLL_S)
    return answer


def lines(path: Path) -> list[str]:
    """The complete lines of a file; none if it is not there."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def until_line(path: Path, line: str, count: int = 1) -> list[str]:
    """Wait until this line is there `count` times, and return all lines."""
    until(
        lambda: lines(path).count(line) >= count,
        lambda: f"{count} times {line!r} in {path}: {lines(path)}",
    )
    return lines(path)


def until_lines(path: Path, count: int = 1) -> list[str]:
    """Wait until a file has `count` lines, and return all lines."""
    until(
        lambda: len(lines(path)) >= count,
        lambda: f"{count} lines in {path}: {lines(path)}",
    )
    return lines(path)
