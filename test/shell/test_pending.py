"""The wait for a signal, also of a process that is stopped and continued meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from shell.driven import Marked, state, until

WAIT_S = 0.2
WAITING = f"""
import signal, sys, time
from zkexec.process.signal_wait import PendingSignals
awaited = {{signal.SIGHUP, signal.SIGTERM, signal.SIGRTMIN, signal.SIGRTMAX}}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
pending = PendingSignals(awaited)
print("waiting", flush=True)
while True:
    info = pending.wait({WAIT_S})
    if info is not None:
        print(info.si_signo, info.si_code, info.si_pid, flush=True)
        if info.si_signo == signal.SIGTERM:
            break
"""


@pytest.fixture
def waiting(marked: Marked) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for signals, a short time again and again; it prints what it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], env=marked.environment(), stdout=subprocess.PIPE
    )
    assert printed(process) == []
    yield process
    process.kill()
    process.communicate()


def printed(process: subprocess.Popen[bytes]) -> list[int]:
    """Wait for the next line, and return the numbers in it."""
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split() if word != b"waiting"]


def test_a_signal_comes_with_its_sender(waiting: subprocess.Popen[bytes]) -> None:
    """Taken is each signal that was asked for, up to the last number, and who sent it."""
    for number in (signal.SIGHUP, signal.SIGRTMIN, signal.SIGRTMAX, signal.SIGTERM):
        waiting.send_signal(number)
        assert printed(waiting) == [number, 0, os.getpid()]


def test_a_stop_is_no_signal(waiting: subprocess.Popen[bytes]) -> None:
    """A process that was stopped until its time was over, and continued, has got no signal."""
    waiting.send_signal(signal.SIGHUP)
    assert printed(waiting)[0] == signal.SIGHUP
    for _ in range(5):
        until(lambda: state(waiting.pid) == "S", "it waits")
        waiting.send_signal(signal.SIGSTOP)
        until(lambda: state(waiting.pid) == "T", "the stop")
        time.sleep(1.5 * WAIT_S)  # nothing shows from outside when its time is over
        waiting.send_signal(signal.SIGCONT)

    waiting.send_signal(signal.SIGTERM)
    assert printed(waiting)[0] == signal.SIGTERM
