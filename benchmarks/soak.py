"""A wrapper that is kept busy for an hour: `make soak`, or `make soak SECONDS=120`.

    python -m benchmarks.soak SECONDS

Another process changes the mirrored znode every 50 ms, each change restarts the command, and the
link to the server breaks every few seconds.  What the wrapper takes is read once a second.
"""

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from statistics import median
from typing import NamedTuple

from benchmarks.candidates import bound, child, mirrors, zkexec
from benchmarks.running import Running
from benchmarks.stage import Stage, content, running, stage, stamps
from support.link import Link

CHANGED_EACH_S = "0.05"
OPTIONS = ("--settle", "0", "--session-timeout", "4")
_FEWEST_SAMPLES = 20
_RSS_SLACK = 1.02
_READS = 20
_BETWEEN_READS_S = 0.01
_INTACT_S = (1.0, 8.0)
_BROKEN_S = (0.1, 1.0, 6.0)
"""How long the link is broken: the last is longer than the session lasts."""
_LAST = "last"


class Sample(NamedTuple):
    """What the wrapper took in one second; `threads` are those that lasted longer than moments."""

    threads: int
    descriptors: int
    rss_mb: float

    def __str__(self) -> str:
        return f"threads {self.threads}, descriptors {self.descriptors}, RSS {self.rss_mb:.1f} MB"


def faults(samples: Sequence[Sample]) -> list[str]:
    """Judge the samples, which were taken at equal intervals; return what is wrong with them.

    The first fifth is for warming up.  After it no sample may show more than one thread; a thread
    that writes files or resolves a name, and ends within moments, is in no sample.  The median
    number of descriptors in the last fifth may not exceed that in the second fifth, and the median
    RSS may exceed it by 2 % at most.  A median passes over what a restart or a lost connection
    takes for a moment, and one descriptor that is never closed moves it.
    """
    fifth = len(samples) // 5
    if len(samples) < _FEWEST_SAMPLES:
        return [f"{len(samples)} samples are too few; {_FEWEST_SAMPLES} are needed"]
    steady = samples[fifth:]
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    found = []
    if (threads := max(sample.threads for sample in steady)) > 1:
        found.append(f"threads: {threads} at once, 1 is allowed")
    before, after = (median(sample.descriptors for sample in part) for part in (early, late))
    if after > before:
        found.append(f"descriptors: {before:g} in the second fifth, {after:g} in the last")
    before, after = (median(sample.rss_mb for sample in part) for part in (early, late))
    if after > before * _RSS_SLACK:
        found.append(f"RSS: {before:.1f} MB in the second fifth, {after:.1f} MB in the last")
    return found


def main() -> None:
    """Soak a wrapper, print a line a minute, and exit with 1 if anything is wrong."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: python -m benchmarks.soak SECONDS")
    # A soak that is ended ends all that it has started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with stage(is_quick=False) as place, ExitStack() as after:
        found = faults(_Soak(place, after).run(int(sys.argv[1])))
    for fault in found:
        print(f"soak: {fault}")
    print("soak: failed" if found else "soak: passed")
    sys.exit(1 if found else 0)


class _Soak:
    """One wrapper behind a link that breaks, and the process that changes its znode."""

    def __init__(self, place: Stage, after: ExitStack) -> None:
        folder = place.folder("soak", on_disk=True)
        (self._znode,) = place.znodes(1)
        self._place = place
        self._link = Link([place.server.port])
        after.callback(self._link.close)
        self._fifo = after.enter_context(stamps(folder))
        files = mirrors(folder, [self._znode])
        command = child(place, self._fifo, next(iter(files)))
        line = zkexec(place, files, command, *OPTIONS, hosts=self._link.hosts)
        self._wrapper = after.enter_context(running(bound(place, line), folder))
        self._fifo.until("first")
        self._commands = self._flaps = 0

    def run(self, lasting_s: int) -> list[Sample]:
        """Change the znode and break the link for this time; return a sample of each second."""
        samples: list[Sample] = []
        with _changes(self._place, self._znode):
            for second in self._seconds(lasting_s):
                self._commands += len(self._fifo.drain())
                samples.append(_sample(self._wrapper))
                if second % 60 == 0 or second == lasting_s:
                    self._report(second, samples)
        self._link.heal()
        self._place.setter.set(self._znode, content(_LAST))
        self._fifo.until(_LAST)
        return samples

    def _seconds(self, lasting_s: int) -> Iterator[int]:
        """Yield at each second, and break and heal the link in between."""
        began = time.monotonic()
        steps = self._break_and_heal(random.Random(1))
        next_step_at = began + next(steps)
        for second in range(1, lasting_s + 1):
            while (now := time.monotonic()) < began + second:
                if now >= next_step_at:
                    next_step_at = now + next(steps)
                time.sleep(max(0.0, min(next_step_at, began + second) - now))
            yield second

    def _break_and_heal(self, chance: random.Random) -> Iterator[float]:
        """Break the link or heal it at each step; yield the time until the next step."""
        ways: tuple[Callable[[], None], ...] = (
            self._link.cut,
            self._link.refuse,
            self._link.black_hole,
        )
        for self._flaps in count():
            yield chance.uniform(*_INTACT_S)
            chance.choice(ways)()
            yield chance.choice(_BROKEN_S)
            self._link.heal()

    def _report(self, second: int, samples: Sequence[Sample]) -> None:
        most = Sample(*map(max, zip(*samples, strict=True)))
        print(
            f"{second:5} s: {samples[-1]}; at most: {most}; "
            f"{self._commands:,} commands, {self._flaps:,} flaps",
            flush=True,
        )


@contextmanager
def _changes(place: Stage, znode: str) -> Iterator[None]:
    """Have another process change the znode for as long as the block lasts."""
    programs = place.programs
    line = [programs.python, programs.kazoo_changes, place.server.hosts, znode, CHANGED_EACH_S]
    folder = place.folder("changes")
    with running(bound(place, line), folder) as process:
        yield
        if process.has_ended():
            raise RuntimeError("the process that changes the znode has ended by itself")


def _sample(process: Running) -> Sample:
    if process.has_ended():
        raise RuntimeError("zkexec has ended by itself")
    return Sample(_lasting_threads(process), process.descriptors(), process.rss_mb())


def _lasting_threads(process: Running) -> int:
    """Count threads several times within moments; return the fewest."""
    fewest = process.threads()
    for _ in range(_READS):
        if fewest == 1:
            break
        time.sleep(_BETWEEN_READS_S)
        fewest = min(fewest, process.threads())
    return fewest


if __name__ == "__main__":
    main()
