"""A group of many real members: `python -m benchmarks.real_fleet [MEMBERS] [LIMIT...]`.

Each member is a whole zkexec with a command that sleeps.  For each limit, by default 1, 10% and 25%
of 300 members, all start at once, and then there is one rollout.  Printed are both times, the time
of an ideal rollout, the most members in flight, and the memory of all members.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from benchmarks.swarm.rollout_arithmetic import ideal_s
from support.zookeeper import Server
from zkexec.core.policy import MaxUnavailable

TURN_S = 1.0
"""How long a restarted command has to live: the least time of a turn."""
_POLL_S = 0.1
_LONGEST_S = 1800.0
_BASE, _INPUT = "/real-fleet/group", "/real-fleet/input"
_MEMBERS, _LIMITS = 300, ("1", "10%", "25%")
_KB_IN_MB = 1024


class RolloutTimes(NamedTuple):
    """What one rollout has taken."""

    took_s: float
    most_in_flight: int


class RealFleet:
    """The members and the operator's client."""

    def __init__(self, client: KazooClient, hosts: str, folder: Path) -> None:
        self._client = client
        self._hosts = hosts
        self._folder = folder
        self._running: list[Popen[bytes]] = []

    def start(self, count: int, limit: str) -> float:
        """Start all members at once; return the seconds until the commands of all run."""
        begun = time.monotonic()
        for number in range(count):
            folder = self._folder / f"m{number}"
            folder.mkdir(exist_ok=True)
            words = [
                *(sys.executable, "-m", "zkexec", "--silent"),
                f"--cluster={self._hosts}",
                f"--lock={_BASE}",
                f"--member-id=m{number}",
                f"--max-unavailable={limit}",
                f"--min-healthy={TURN_S:g}",
                *("--session-timeout=30", "--kill-timeout=60"),
                f"--state-dir={folder}/state",
                f"--mirror={folder}/file={_INPUT}",
                "--exec=sleep 1000000",
            ]
            process = Popen(words, stdin=DEVNULL, stdout=DEVNULL, start_new_session=True)
            self._running.append(process)
        self._until(lambda: self._count("members") == count)
        self._until(self._is_at_rest)
        return time.monotonic() - begun

    def end(self) -> None:
        """End all members."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait()
        self._running.clear()

    def roll_out(self, content: bytes) -> RolloutTimes:
        """Write the input, and wait until all have it and no member is in flight."""
        files = [self._folder / f"m{number}" / "file" for number in range(len(self._running))]
        most = 0
        begun = time.monotonic()
        self._client.set(_INPUT, content)

        def is_over() -> bool:
            nonlocal most
            most = max(most, self._count("in_flight"))
            return self._is_at_rest() and all(file.read_bytes() == content for file in files)

        self._until(is_over)
        return RolloutTimes(time.monotonic() - begun, most)

    def memory_mb(self) -> float:
        """The memory of all zkexecs; what they share counts once."""
        return sum(map(_pss_kb, (process.pid for process in self._running))) / _KB_IN_MB

    def _is_at_rest(self) -> bool:
        return not self._count("in_flight") and not self._count("queue")

    def _count(self, name: str) -> int:
        try:
            _, stat = self._client.get(f"{_BASE}/{name}")
        except NoNodeError:
            return 0
        return int(stat.numChildren)

    def _until(self, condition: Callable[[], bool]) -> None:
        over = time.monotonic() + _LONGEST_S
        while not condition():
            ended = [process.pid for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > over:
                raise RuntimeError(f"not within {_LONGEST_S:g} s; members that ended: {ended}")
            time.sleep(_POLL_S)


def _pss_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


@contextmanager
def real_fleet() -> Iterator[RealFleet]:
    """A fleet on a server of its own, which is ended with the block."""
    server = Server()
    server.start()
    try:
        client = KazooClient(server.hosts, timeout=30.0)
        client.start(timeout=30.0)
        client.create(_INPUT, b"0", makepath=True)
        with TemporaryDirectory() as folder:
            fleet = RealFleet(client, server.hosts, Path(folder))
            try:
                yield fleet
            finally:
                fleet.end()
                client.stop()
    finally:
        server.close()


def measure(fleet: RealFleet, count: int, limit: str) -> str:
    """Start members with this limit, roll out two contents, and describe it in one line."""
    started_s = fleet.start(count, limit)
    width = MaxUnavailable(int(limit.rstrip("%")), percent=limit.endswith("%")).of(count)
    times = fleet.roll_out(f"for {limit}".encode())
    ideal = ideal_s([TURN_S] * count, width)
    memory_mb = fleet.memory_mb()
    fleet.end()
    return (
        f"{count} members, {limit}: started in {started_s:.1f} s; rollout {times.took_s:.1f} s "
        f"(ideal {ideal:.1f} s), at most {times.most_in_flight} of {width} in flight; "
        f"{memory_mb:.0f} MB"
    )


def main(words: Sequence[str]) -> None:
    """Measure each limit, and print a line for each."""
    count = int(words[0]) if words else _MEMBERS
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for limit in words[1:] or _LIMITS:
        with real_fleet() as fleet:
            print(measure(fleet, count, limit), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
