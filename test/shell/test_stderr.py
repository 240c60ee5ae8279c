"""Stderr that nobody reads: zkexec goes on, and says later what was lost."""

import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from support.program import Program
from support.terminal import Terminal
from support.waiting import until

CHATTY = """
while :; do
    [ -e "$1" ] && exit 5
    sleep 0.05
done
"""
LONGEST_LINE = 8192
WORDS = ("--connect-timeout", "0.1", "-d", "0", "-i", "0", "--verbose")


def test_a_reader_that_stops_reading_stops_nothing(tmp_path: Path) -> None:
    """With the pipe full, signals are passed on and zkexec ends; what was lost is counted."""
    reading, writing = os.pipe()
    stop = tmp_path / "stop"
    asked = tmp_path / "asked"
    child = f"trap ': > {asked}' USR1; {CHATTY}"
    command = [sys.executable, "-m", "zkexec", *WORDS, "--health", "true " + "x" * 4000]
    with Program(
        *command, "--", "/bin/sh", "-c", child, "sh", str(stop), stderr=writing
    ) as process:
        _go_on(process, (reading, writing), asked)
        stop.touch()
        while os.read(reading, 1 << 20):
            continue
        assert process.wait() == 5
    os.close(reading)


def _go_on(process: Program, pipe: tuple[int, int], asked: Path) -> None:
    """See zkexec at work while nobody reads, and read until it says what was lost."""
    reading, writing = pipe
    until(lambda: _is_full(writing), "the pipe is full")
    time.sleep(1)  # not a wait for something: the time during which lines are lost
    assert _is_full(writing)
    os.close(writing)
    # A shell acts on a signal after its present `sleep`, and not before its trap is set.
    until(lambda: _ask(process, asked), "the signal was passed on")
    said, give_up_at = b"", time.monotonic() + 60
    while b"lines of this log could not be written" not in said:
        assert time.monotonic() < give_up_at, "it is not said that lines were lost"
        said = said[-LONGEST_LINE:] + os.read(reading, 1 << 20)


def _ask(process: Program, asked: Path) -> bool:
    process.signal(signal.SIGUSR1)
    return asked.exists()


def _is_full(writing: int) -> bool:
    return not select.select((), (writing,), (), 0)[1]


def test_a_terminal_that_nobody_reads_stops_nothing() -> None:
    """A stalled terminal counts as writable, yet takes less than a line: the line is lost."""
    reading, writing = os.openpty()
    code = """
from zkexec.runtime.log import Stderr
stderr = Stderr()
print(*{stderr.write("x" * 100) for _ in range(1000)})
"""
    with Program(sys.executable, "-c", code, stderr=writing) as process:
        os.close(writing)
        assert process.wait() == 0
        assert {"True", "False"} == set(process.stdout.text.split())
    os.close(reading)


def test_many_inherited_descriptors() -> None:
    """With a thousand descriptors that its caller left open, zkexec writes its log to a terminal.

    The command writes to stderr as well, through zkexec.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < 1200:
        pytest.skip("this user can open too few")
    opened = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))\n"
        "for _ in range(1100):\n"
        "    os.set_inheritable(os.open('/dev/null', os.O_RDONLY), True)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'zkexec', *sys.argv[1:]])"
    )
    words = ("--cluster=127.0.0.1:1", "--connect-timeout=0.1", "--keep-stderr")
    command = ("sh", "-c", "echo it runs >&2; exit 5")
    terminal = Terminal()
    with Program(sys.executable, "-c", opened, *words, "--", *command, terminal=terminal) as run:
        run.until("it runs")
        run.until("command failed")
        assert run.wait() == 5
