"""Measures rollouts of whole groups without faults: the table of docs/scaling.md.

`make scaling` runs it, and SIZES and WIDTHS have what is measured; `10000:500` as an argument
measures 10,000 members, 500 of them at once, alone.  Everything but the time that it takes is
virtual, so the numbers depend on no machine.  The assumptions: a child takes up to a second to stop
and up to three to become healthy, and three servers answer within some 20 ms.
"""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from simulation.group.contents import Mood
from simulation.group.group_znodes import QUEUE, RESTART, STATE, decoded_record
from simulation.group.process import Process
from simulation.group.world import Plot, World, judges_of
from simulation.servers.znodes import Transaction
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.frozen import replace
from zkexec.group import record_codec
from zkexec.zookeeper.requests import Request
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.values import Stat

SIZES = (10, 100, 1_000, 10_000)
MOST_AT_ONCE = 100
"""Beyond that a group spends its time on conflicts, and the measurement takes hours."""
WIDTHS = (MaxUnavailable(1), MaxUnavailable(10), MaxUnavailable(5, percent=True))
INT_BYTES, STAT_BYTES = 4, 68
STARTS_OVER_S = 60.0
TERMS = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f0", "/z0"),)),
    checks_health=True,
    health_delay_s=30.0,
    health_interval_s=1e9,
    kill_timeout_s=10.0,
    in_group=True,
    restart_path=RESTART,
)


class MeasuredWorld(World):
    """A group in which nothing goes wrong, and whose traffic is counted."""

    def __init__(self, size: int, width: MaxUnavailable) -> None:
        """Make the group; three servers, nobody judges."""
        policy = replace(TERMS, max_unavailable=width)
        super().__init__(Plot([policy] * size, servers=3, tick_s=2.0), Random(size))
        self.chaos.calm = True
        self.judges = judges_of([])
        self.start_s, self.stop_s, self.stubbornness, self.lies = 3.0, 1.0, 0.0, 0.0
        self.counts: Counter[str] = Counter()
        self.largest_record = 0
        self.handed_over: list[tuple[float, int]] = []
        """When members were released, and how many bytes had been read by then."""

    def requested(self, process: Process, request: Request) -> None:
        """Count a request."""
        del process, request
        self.counts["requests"] += 1

    def answered(self, process: Process, request: AnyRequest, outcome: object) -> None:
        """Count what is read."""
        del process, request
        self.counts["bytes"] += size_of_outcome(outcome)

    def committed(self, transaction: Transaction) -> None:
        """See who is released."""
        before = self.truth.in_flight
        super().committed(transaction)
        if STATE in transaction.replaced:
            node, after = transaction.after(STATE), self.truth.in_flight
            self.largest_record = max(self.largest_record, 0 if node is None else len(node.content))
            released = len(before.keys() - after.keys())
            self.handed_over += [(self.clock.now, self.counts["bytes"])] * released


def size_of_outcome(outcome: object) -> int:
    """Count the bytes of an outcome on the wire, without its header."""
    match outcome:
        case bytes() | str():
            return INT_BYTES + len(outcome)
        case Stat():
            return STAT_BYTES
        case (tuple() as names, Stat()):
            return STAT_BYTES + INT_BYTES * (1 + len(names)) + sum(map(len, names))
        case tuple():
            return INT_BYTES + sum(map(size_of_outcome, outcome))
    return 0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    size: int
    width: MaxUnavailable
    rollout_s: float
    requests: float
    bytes_to_queue: float
    bytes_per_hand_over: float
    largest_record: int
    took_s: float

    def __str__(self) -> str:
        cells = (
            f"{self.size:,}", str(self.width), told(self.rollout_s), f"{self.requests:.1f}",
            f"{self.bytes_to_queue:,.0f}", f"{self.bytes_per_hand_over:,.0f}",
            f"{self.largest_record:,}",
        )  # fmt: skip
        return "| " + " | ".join(cells) + " |"


def told(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def measure(size: int, width: MaxUnavailable) -> Row:
    """Roll one good change out."""
    # Thousands of members read the same bytes, which takes a good part of the time.
    with patch.object(record_codec, "decode", decoded_record):
        return roll_out(size, width)


def roll_out(size: int, width: MaxUnavailable) -> Row:
    """Start all members one after the other, push once, and wait until all are released."""
    began = time.monotonic()
    world = MeasuredWorld(size, width)
    world.push_new(world.paths, Mood.GOOD)
    world.hosts[0].start()
    world.run_until(world.clock.now + STARTS_OVER_S)
    for host in world.hosts[1:]:
        world.clock.after(STARTS_OVER_S * world.random.random(), host.start)
    world.run_until(world.clock.now + 3 * STARTS_OVER_S)
    world.counts.clear()
    world.handed_over.clear()
    pushed_at = world.clock.now
    world.push_new(world.paths, Mood.GOOD)
    while len(world.handed_over) < size:
        world.run_until(world.clock.now + 60.0)
        if world.clock.now > pushed_at + 100.0 * size + 600:
            sys.exit(f"{size} members, width {width}: only {len(world.handed_over)} were released")
    assert not world.ensemble.tree.children[QUEUE]
    return row_of(world, width, pushed_at, time.monotonic() - began)


def row_of(world: MeasuredWorld, width: MaxUnavailable, pushed_at: float, took_s: float) -> Row:
    """Sum up what was counted."""
    size, times = len(world.hosts), world.handed_over
    first_bytes = times[0][1]
    middle = times[len(times) // 4 : 3 * len(times) // 4 + 1]
    per_hand_over = (middle[-1][1] - middle[0][1]) / (len(middle) - 1)
    return Row(
        size, width, times[-1][0] - pushed_at, world.counts["requests"] / size,
        first_bytes / size, per_hand_over, world.largest_record, took_s,
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    wanted = [wanted_by(word) for word in sys.argv[1:]] or [
        (size, width) for size in SIZES for width in WIDTHS if width.of(size) <= MOST_AT_ONCE
    ]
    print("| members | max unavailable | rollout | requests of a member "
          "| bytes read by a member to queue up | bytes read per release "
          "| largest record |")  # fmt: skip
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size, width in wanted:
        row = measure(size, width)
        print(row, flush=True)
        print(f"{size} members, {width} at once: {row.took_s:.0f} s", file=sys.stderr)


def wanted_by(word: str) -> tuple[int, MaxUnavailable]:
    """Return the size of a group and its max unavailable, from `10000:500` or `10000:5%`."""
    size, _, limit = word.partition(":")
    return int(size), MaxUnavailable(int(limit.rstrip("%")), percent=limit.endswith("%"))


if __name__ == "__main__":
    main()
