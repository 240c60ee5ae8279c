"""Runs a command whose stdout or stderr cannot be written, and whose Python keeps its buffers.

PYTHONUNBUFFERED would hide what Python does at its exit with a buffer that it cannot write.
"""

import os
import subprocess
from collections.abc import Sequence

from support.waiting import DEADLINE_S

FULL = '"$@" >/dev/full'
ALL_FULL = '"$@" >/dev/full 2>/dev/full'
STDERR_FULL = '"$@" 2>/dev/full'
CLOSED = '"$@" >&-'
UNREAD = '"$@"'


def run_redirected(words: Sequence[str], redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a command by one of the shell lines above; with UNREAD its stdout has no reader."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            # The shell waits and adds nothing: a signal becomes 128 and its number.
            ["bash", "-c", f"{redirection}; exit $?", "bash", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )
    finally:
        os.close(writing)
