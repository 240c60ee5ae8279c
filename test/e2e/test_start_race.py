"""A signal at any moment of the start: each ends zkexec, and none leaves a command behind."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from e2e.stage import ZKEXEC, Stage, end
from e2e.terminal import Terminal

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


def shoot_from_the_start(stage: Stage, chance: float) -> int:
    """TERM somewhere in the time that a start takes, Python's own included."""
    process = stage.start(*QUICK, stderr=subprocess.DEVNULL)
    time.sleep(chance * 0.4)
    process.send_signal(signal.SIGTERM)
    return end(process)


def shoot_at_the_fork(stage: Stage, chance: float) -> int:
    """TERM in the first milliseconds after zkexec says that it forks."""
    process = stage.start(*QUICK, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"forking" not in process.stderr.readline():
        pass
    spin(chance * 0.008)
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    return end(process)


def test_term_in_any_moment_of_the_start(stage: Stage) -> None:
    """TERM at random moments from the first one on: zkexec dies of it, and nothing is left."""
    assert set(in_parallel(partial(shoot_from_the_start, stage), ROUNDS)) == {-signal.SIGTERM}
    stage.wait_until_empty()


def test_term_around_the_fork(stage: Stage) -> None:
    """TERM at random moments around the fork: zkexec dies of it, and nothing is left."""
    assert set(in_parallel(partial(shoot_at_the_fork, stage), ROUNDS)) == {-signal.SIGTERM}
    stage.wait_until_empty()


def press_at_the_fork(stage: Stage, chance: float) -> int:
    """Ctrl-C on a terminal in the first milliseconds after zkexec says that it forks."""
    terminal = Terminal(*QUICK, environment=stage.environment(), folder=stage.folder)
    try:
        terminal.expect("forking")
        spin(chance * 0.008)
        terminal.type("\x03")
        return end(terminal.process)
    finally:
        terminal.close()


def test_ctrl_c_around_the_fork(stage: Stage) -> None:
    """Ctrl-C at random moments around the fork: none of them is lost between the two processes."""
    assert set(in_parallel(partial(press_at_the_fork, stage), PRESSES)) == {-signal.SIGINT}
    stage.wait_until_empty()
