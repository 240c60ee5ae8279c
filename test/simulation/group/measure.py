"""Measures rollouts of whole groups without faults: the table of docs/scaling.md.

`make scaling` runs it, and SIZES, WIDTHS and TURNS have what is measured; `10000:500:30` as an
argument measures 10,000 members, 500 of them at once, with turns of 30 seconds, alone.  Everything
but the time that it takes is virtual, so the numbers depend on no machine.  Three servers answer
within some 20 ms.
"""

import heapq
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from simulation.group.command_model import CommandModel
from simulation.group.contents import Mood
from simulation.group.group_znodes import BASE, IN_FLIGHT, QUEUE, RESTART, STATE, decoded_record
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.group.world import Plot, World, judges_of
from simulation.servers.znodes import Transaction
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.frozen import replace
from zkexec.group import record_codec
from zkexec.zookeeper.errors import ZooKeeperError
from zkexec.zookeeper.requests import Check, Create, Delete, Request, SetContent, size_of
from zkexec.zookeeper.requests import Transaction as TransactionRequest
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.values import Stat

SIZES = (100, 1_000, 10_000)
WIDTHS = (
    MaxUnavailable(1), MaxUnavailable(10),
    MaxUnavailable(5, percent=True), MaxUnavailable(10, percent=True),
)  # fmt: skip
TURNS_S = (2.5, 30.0)
INT_BYTES, STAT_BYTES = 4, 68
STARTS_OVER_S = 60.0
STEADINESS = 0.8
"""A start takes at least this part of the longest one."""
CHECKED_S = 0.5
"""How long a health check that passes comes after the command has become healthy, on average."""
TERMS = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f0", "/z0"),)),
    checks_health=True,
    health_delay_s=60.0,
    health_interval_s=1e9,
    kill_timeout_s=10.0,
    in_group=True,
    restart_path=RESTART,
)


class MeasuredWorld(World):
    """A group in which nothing goes wrong, and whose traffic is counted."""

    def __init__(self, size: int, width: MaxUnavailable, turn_s: float) -> None:
        """Make the group; three servers, nobody judges."""
        policy = replace(TERMS, max_unavailable=width)
        super().__init__(Plot([policy] * size, servers=3, tick_s=2.0), Random(size))
        self.chaos.calm = True
        self.judges = judges_of([])
        self.stop_s, self.stubbornness, self.lies = 0.2, 0.0, 0.0
        self.steadiness = STEADINESS
        self.start_s = (turn_s - CHECKED_S) / (0.5 + STEADINESS / 2)
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        """How many requests of each kind were sent."""
        self.largest_record = 0
        self.released_at: list[float] = []
        self.down_s: list[float] = []
        """How long each command was down, in the order of the ends."""
        self._killed_at: dict[Host, float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self.counts.clear()
        self.kinds.clear()
        self.released_at.clear()
        self.down_s.clear()

    def requested(self, process: Process, request: Request) -> None:
        """Count a request."""
        del process
        self.counts["requests"] += 1
        self.counts["bytes"] += size_of_request(request)
        self.kinds[kind_of(request)] += 1

    def answered(self, process: Process, request: AnyRequest, outcome: object) -> None:
        """Count what is read, and which commits are refused."""
        del process
        self.counts["bytes"] += size_of_outcome(outcome)
        if isinstance(request, TransactionRequest) and isinstance(outcome, tuple):
            self.counts["commits"] += 1
            self.counts["conflicts"] += any(isinstance(one, ZooKeeperError) for one in outcome)

    def committed(self, transaction: Transaction) -> None:
        """Note how large the decisions are, and who is released."""
        super().committed(transaction)
        if STATE in transaction.replaced:
            node = transaction.after(STATE)
            self.largest_record = max(self.largest_record, 0 if node is None else len(node.content))
        for path, node in transaction.changes:
            if node is None and path.startswith(IN_FLIGHT):
                self.released_at.append(self.clock.now)

    def killed(self, process: Process) -> None:
        """Note when a command goes down."""
        super().killed(process)
        self._killed_at[process.host] = self.clock.now

    def command_known_good(self, process: Process, command: CommandModel) -> None:
        """Note how long it was down."""
        super().command_known_good(process, command)
        if process.host in self._killed_at:
            self.down_s.append(self.clock.now - self._killed_at.pop(process.host))

    @property
    def watches(self) -> int:
        """How many watches the servers keep."""
        return sum(len(link.watched) for server in self.ensemble.servers
                   for link in server.connections)  # fmt: skip


def kind_of(request: Request) -> str:
    """Describe a request in one or two words."""
    path = getattr(request, "path", "")
    kind = type(request).__name__
    if isinstance(request, TransactionRequest):
        paths = [one.path for one in request.operations]
        areas = sorted({one.removeprefix(f"{BASE}/").partition("/")[0] for one in paths})
        return f"{kind} of {', '.join(areas)}"
    if not path:
        paths = getattr(request, "paths", [])
        is_of_group = any(one.startswith(f"{BASE}/") for one in paths)
        return f"{kind} of {'the group' if is_of_group else 'inputs'}"
    area = path.removeprefix(f"{BASE}/").partition("/")[0] or "inputs"
    watched = " with a watch" if getattr(request, "watch", None) is not None else ""
    return f"{kind} of {area if path.startswith(BASE) else 'inputs'}{watched}"


def size_of_request(request: Request) -> int:
    """Count the bytes of a request on the wire, without its header."""
    match request:
        case Create() | Delete() | Check() | SetContent() | TransactionRequest():
            return size_of(request)
    paths = getattr(request, "paths", None) or [getattr(request, "path", "")]
    return sum(2 * INT_BYTES + len(path) for path in paths)


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


def ideal_s(down_s: Sequence[float], width: int) -> float:
    """Return how long these turns take if a turn begins whenever the ramp allows one more."""
    ends: list[float] = []
    now, succeeded = 0.0, 0
    for one_s in down_s:
        while len(ends) >= min(width, max(1, 2 * succeeded)):
            now = heapq.heappop(ends)
            succeeded += 1
        heapq.heappush(ends, now + one_s)
    return max(ends)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    size: int
    width: MaxUnavailable
    turn_s: float
    rollout_s: float
    ideal_s: float
    requests: float
    conflicts: float
    bytes_per_member: float
    largest_record: int
    watches: float
    kinds: Sequence[tuple[str, float]]
    took_s: float

    def __str__(self) -> str:
        cells = (
            f"{self.size:,}", str(self.width), f"{self.turn_s:g} s", told(self.rollout_s),
            f"{self.rollout_s / self.ideal_s:.2f}", f"{self.requests:.1f}",
            f"{self.conflicts:.3f}", f"{self.bytes_per_member:,.0f}",
            f"{self.largest_record:,}", f"{self.watches:.1f}",
        )  # fmt: skip
        return "| " + " | ".join(cells) + " |"


def told(seconds: float) -> str:
    """Write a time as people do."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def measure(size: int, width: MaxUnavailable, turn_s: float) -> Row:
    """Roll one good change out."""
    # Thousands of members read the same bytes, which takes a good part of the time.
    with patch.object(record_codec, "decode", decoded_record):
        return roll_out(size, width, turn_s)


def roll_out(size: int, width: MaxUnavailable, turn_s: float) -> Row:
    """Start all members one after the other, push once, and wait until all are released."""
    began = time.monotonic()
    world = MeasuredWorld(size, width, turn_s)
    world.push_new(world.paths, Mood.GOOD)
    world.hosts[0].start()
    world.run_until(world.clock.now + STARTS_OVER_S)
    for host in world.hosts[1:]:
        world.clock.after(STARTS_OVER_S * world.random.random(), host.start)
    world.run_until(world.clock.now + 3 * STARTS_OVER_S)
    world.begin()
    pushed_at = world.clock.now
    world.push_new(world.paths, Mood.GOOD)
    while len(world.released_at) < size:
        world.run_until(world.clock.now + 60.0)
        if world.clock.now > pushed_at + 4 * turn_s * size + 600:
            sys.exit(f"{size} members, {width}: only {len(world.released_at)} were released")
    assert not world.ensemble.tree.children[QUEUE]
    counts = world.counts
    return Row(
        size, width, turn_s, world.released_at[-1] - pushed_at,
        ideal_s(world.down_s, width.of(size)), counts["requests"] / size,
        counts["conflicts"] / counts["commits"], counts["bytes"] / size, world.largest_record,
        world.watches / size,
        [(kind, count / size) for kind, count in world.kinds.most_common()],
        time.monotonic() - began,
    )  # fmt: skip


def main() -> None:
    """Print the table; on stderr where the requests go."""
    wanted = [wanted_by(word) for word in sys.argv[1:]] or [
        (size, width, turn_s) for size in SIZES for width in WIDTHS for turn_s in TURNS_S
    ]
    columns = (
        "members", "max unavailable", "turn", "rollout", "of the ideal", "requests of a member",
        "conflicts per commit", "bytes per member", "largest record", "watches per member",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("| ---: " * len(columns) + "|")
    for size, width, turn_s in wanted:
        row = measure(size, width, turn_s)
        print(row, flush=True)
        print(f"{size} members, {width} at once: {row.took_s:.0f} s", file=sys.stderr)
        for kind, count in row.kinds:
            print(f"    {count:6.2f} {kind}", file=sys.stderr)


def wanted_by(word: str) -> tuple[int, MaxUnavailable, float]:
    """Return what to measure, from `10000:500:30` or `10000:5%:2.5`."""
    size, limit, turn_s = word.split(":")
    width = MaxUnavailable(int(limit.rstrip("%")), percent=limit.endswith("%"))
    return int(size), width, float(turn_s)


if __name__ == "__main__":
    main()
