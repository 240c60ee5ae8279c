"""A signal at any moment of the start: each ends zkexec, and none leaves a command behind."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from support.sandbox import ZKEXEC, Sandbox
from support.terminal import Terminal

ROUNDS = 250
PRESSES = 100
SEED = 20_141_128
# Without a cluster and with the shortest patience the start is as fast as it can be.
QUICK = (*ZKEXEC, "-c", "127.0.0.1:1", "--connect-timeout", "0.1", "--", "sleep", "1000")


def spin(duration_s: float) -> None:
    """Let a time pass that is far shorter than a sleep can be."""
    until = time.perf_counter() + duration_s
    while time.perf_counter() < until:
        pass


def in_parallel(shoot: Callable[[float], int], rounds: int) -> list[int]:
    """Shoot many times with different delays, two at a time; what each came to."""
    chance = random.Random(SEED)
    delays = [chance.random() for _ in range(rounds)]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(shoot, delays))


def shoot_from_the_start(sandbox: Sandbox, chance: float) -> int:
    """TERM somewhere in the time that a start takes, Python's own included."""
    process = sandbox.start(*QUICK, stderr=subprocess.DEVNULL)
    time.sleep(chance * 0.4)
    process.signal(signal.SIGTERM)
    return process.wait()


def shoot_at_the_fork(sandbox: Sandbox, chance: float) -> int:
    """TERM in the first milliseconds after zkexec says that it forks."""
    process = sandbox.start(*QUICK)
    process.until("forking")
    spin(chance * 0.008)
    process.signal(signal.SIGTERM)
    return process.wait()


def test_term_in_any_moment_of_the_start(sandbox: Sandbox) -> None:
    """TERM at random moments from the first one on: zkexec dies of it, and nothing is left."""
    assert set(in_parallel(partial(shoot_from_the_start, sandbox), ROUNDS)) == {-signal.SIGTERM}
    sandbox.wait_until_empty()


def test_term_around_the_fork(sandbox: Sandbox) -> None:
    """TERM at random moments around the fork: zkexec dies of it, and nothing is left."""
    assert set(in_parallel(partial(shoot_at_the_fork, sandbox), ROUNDS)) == {-signal.SIGTERM}
    sandbox.wait_until_empty()


def press_at_the_fork(sandbox: Sandbox, chance: float) -> int:
    """Ctrl-C on a terminal in the first milliseconds after zkexec says that it forks."""
    process = sandbox.start(*QUICK, terminal=Terminal())
    process.expect("forking")
    spin(chance * 0.008)
    process.send("\x03")
    return process.wait()


def test_ctrl_c_around_the_fork(sandbox: Sandbox) -> None:
    """Ctrl-C at random moments around the fork: none of them is lost between the two processes."""
    assert set(in_parallel(partial(press_at_the_fork, sandbox), PRESSES)) == {-signal.SIGINT}
    sandbox.wait_until_empty()
