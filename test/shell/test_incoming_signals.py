"""The wait for a signal or a descriptor, also of a process that is stopped and continued."""

import os
import signal
import sys
import time

import pytest

from shell.marked_programs import MarkedPrograms
from support.processes import state
from support.program import Program
from support.waiting import until

WAIT_S = 0.2
BESIDE = """
import os, select, signal
from zkexec.process.incoming_signals import PendingSignals
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
pending = PendingSignals({signal.SIGHUP})
pipes = [os.pipe() for _ in range(2)]
print("waiting", flush=True)
for reader, writer in pipes:
    os.write(writer, b"!")
    also = [(reader, select.POLLIN)]
    print(pending.wait(None, also), pending.wait(None, also), flush=True)
    os.read(reader, 1)
    print(pending.wait(0.01, also), flush=True)
os.kill(os.getpid(), signal.SIGHUP)
for reader, writer in pipes:
    os.write(writer, b"!")
also = [(reader, select.POLLIN) for reader, writer in pipes]
info = pending.wait(None, also)
print(info.si_signo, pending.wait(None, also), flush=True)
os.read(pipes[0][0], 1)
print(pending.wait(None, also), pending.wait(0.01, also[:1]), pending.wait(0.01), flush=True)
"""
WAITING = f"""
import signal, sys, time
from zkexec.process.incoming_signals import PendingSignals
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
def waiting(marked: MarkedPrograms) -> Program:
    """A process that waits for signals, a short time again and again; it prints what it took."""
    process = marked.start(sys.executable, "-c", WAITING)
    assert printed(process) == []
    return process


def printed(process: Program) -> list[int]:
    """Wait for the next line, and return the numbers in it."""
    line = process.expect(r"(.*)\n", process.stdout)[1]
    return [int(word) for word in line.split() if word != "waiting"]


def test_a_signal_comes_with_its_sender(waiting: Program) -> None:
    """Taken is each signal that was asked for, up to the last number, and who sent it."""
    for number in (signal.SIGHUP, signal.SIGRTMIN, signal.SIGRTMAX, signal.SIGTERM):
        waiting.signal(number)
        assert printed(waiting) == [number, 0, os.getpid()]


def test_a_stop_is_no_signal(waiting: Program) -> None:
    """A process that was stopped until its time was over, and continued, has got no signal."""
    waiting.signal(signal.SIGHUP)
    assert printed(waiting)[0] == signal.SIGHUP
    for _ in range(5):
        until(lambda: state(waiting.pid) == "S", "it waits")
        waiting.signal(signal.SIGSTOP)
        until(lambda: state(waiting.pid) == "T", "the stop")
        time.sleep(1.5 * WAIT_S)  # nothing shows from outside when its time is over
        waiting.signal(signal.SIGCONT)

    waiting.signal(signal.SIGTERM)
    assert printed(waiting)[0] == signal.SIGTERM


def test_a_descriptor_ends_the_wait(marked: MarkedPrograms) -> None:
    """The wait ends if one of the other descriptors is ready; a signal comes first."""
    process = marked.start(sys.executable, "-c", BESIDE)
    assert printed(process) == []
    lines = [process.expect(r"(.*)\n", process.stdout)[1] for _ in range(6)]

    assert lines[:4] == ["None None", "None"] * 2
    assert lines[4:] == [f"{int(signal.SIGHUP)} None", "None None None"]
