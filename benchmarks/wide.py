"""Wide rollouts of light members on real servers: `make scaling-real`, or with MEMBERS=300.

    python -m benchmarks.wide [--members N] [--width N] [--turn S] [--servers N] [--processes N]
        [--rollouts N] [--into FILE] [SCENE ...]

The tables go to stdout, and everything as JSON into FILE.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.noise import listen, machine
from benchmarks.results import RESULTS, Claim, Run, Table, save
from benchmarks.swarm.light_member import LightGroup
from benchmarks.swarm.member_process import Behave, Report
from benchmarks.swarm.rollout_arithmetic import beyond_ramp, ideal_s, most_at_once
from benchmarks.swarm.swarm import StalledError, Swarm, swarm
from benchmarks.tables import claim_lines, table_lines
from support.zookeeper import Ensemble, Server
from zkexec.devserver.server import LOOPBACK

MEMORY = ("-Xmx1g",)
_SETTLED_S = 2.0
_QUIET_S = 6.0
_SLOW = 4.0
"""A rollout that takes this many times the ideal time, and a minute, has stalled."""
_NARROW_TURN_S = 0.1
_FAILING_TURN_S = 1.0
_NAME = "light"


class Size(NamedTuple):
    """How large a group is measured, and where."""

    members: int
    width: int
    turn_s: float
    servers: int
    processes: int
    rollouts: int = 5

    def __str__(self) -> str:
        return f"{self.members:,} members, {self.width} in flight, turns of {self.turn_s:g} s"


@contextmanager
def place(size: Size, width: int) -> Iterator[tuple[Swarm, Sequence[Server]]]:
    """Have servers, and a group of this width without members on them."""
    ensemble = Ensemble(size.servers, options=MEMORY)
    try:
        ensemble.start()
        ports = tuple((LOOPBACK, server.port) for server in ensemble.servers)
        group = LightGroup(_NAME, ports, "/light", width)
        with swarm(group, size.processes) as members:
            yield members, ensemble.servers
    finally:
        ensemble.close()


class Rollout:
    """One rollout of a swarm, and what it took."""

    def __init__(self, members: Swarm, servers: Sequence[Server], behave: Behave) -> None:
        members.behave(behave)
        self._members, self._servers = members, servers
        self._before = members.report(forget=True)
        self._cpu_before_s = cpu_s(servers)
        self._content = f"rollout {behave.seed}"
        self.began_at = members.push(self._content)
        self.ideal_s = ideal_s(members.turns(), members.group.width)
        self.size = len(members.members)

    def wait(self, is_there: Callable[[Report], bool] | None = None) -> Report:
        """Wait until all members run the new content, or for what is given."""

        def is_complete(report: Report) -> bool:
            return report.runs[self._content] == self.size

        return self._members.wait(is_there or is_complete, 60.0 + _SLOW * self.ideal_s)

    def enter_into(self, tables: "Tables", name: str, *, has_ideal: bool = True) -> None:
        """Add what it took to the tables, once it is complete.

        Without an ideal, some commands were down before it began.
        """
        self.wait()
        time.sleep(_SETTLED_S)
        report, width = self._members.report(), self._members.group.width
        counts = report.counts.since(self._before.counts)
        answers = report.answers - self._before.answers
        conflicts = sum(n for kind, n in answers.items() if kind.startswith("conflict"))
        took_s = max(end for _, end in report.downs) - self.began_at
        as_timed = [end - start for start, end in sorted(report.downs)]
        if has_ideal:
            tables.time.add(name, took_s / self.ideal_s)
            tables.protocol.add(name, took_s / ideal_s(as_timed, width))
        tables.seconds.add(name, took_s)
        tables.requests.add(name, counts.total / self.size)
        tables.conflicts.add(name, conflicts / max(1, conflicts + answers["commit"]))
        tables.received.add(name, counts.received_bytes / self.size)
        tables.sent.add(name, counts.sent_bytes / self.size)
        tables.events.add(name, counts.events / self.size)
        tables.state.add(name, self._members.largest_state)
        tables.watches.add(name, watches(self._servers) / self.size)
        tables.server_cpu.add(name, (cpu_s(self._servers) - self._cpu_before_s) / self.size * 1e3)
        tables.beyond.add(name, max(0, most_at_once(report.downs) - width))
        tables.beyond.add(name, beyond_ramp(report.downs, width))
        print(
            f"{name}: {took_s:.1f} s of {self.ideal_s:.1f} s, {counts.total / self.size:.2f} "
            f"requests of a member, {conflicts} conflicts",
            file=sys.stderr,
            flush=True,
        )
        tables.requests.notes.append(f"{name}: {self._kinds(report)}")
        cpu_of_members_s = report.cpu_s - self._before.cpu_s
        tables.seconds.notes.append(
            f"{name}: ideal {self.ideal_s:.1f} s; the members' processes took "
            f"{cpu_of_members_s:.1f} s of CPU, and at most {report.longest_round_s:.2f} s a round"
        )

    def _kinds(self, report: Report) -> str:
        """Name the requests of each kind of a member, and the answers to all commits."""
        requests = report.counts.since(self._before.counts).requests
        kinds = ", ".join(f"{kind} {n / self.size:.2f}" for kind, n in requests.items())
        answers = sorted((report.answers - self._before.answers).items())
        return f"{kinds}; " + ", ".join(f"{kind} {n}" for kind, n in answers)


class Tables:
    """What is measured of each rollout."""

    def __init__(self) -> None:
        self.time = Table("wide-time", "time of a rollout against the ideal", "times")
        self.protocol = Table(
            "wide-protocol", "the same against the ideal for the turns as they were", "times"
        )
        self.protocol.notes.append("On a busy machine a turn takes longer than it is meant to.")
        self.seconds = Table("wide-seconds", "time of a rollout", "s")
        self.requests = Table("wide-requests", "requests of a member and rollout", "requests")
        self.conflicts = Table("wide-conflicts", "refused commits, of all", "share")
        self.received = Table("wide-received", "received by a member", "bytes")
        self.sent = Table("wide-sent", "sent by a member", "bytes")
        self.events = Table("wide-events", "watches fired, of a member", "events")
        self.state = Table("wide-state", "largest record", "bytes")
        self.watches = Table("wide-watches", "watches at rest, of a member", "watches")
        self.server_cpu = Table("wide-cpu", "CPU of all servers, of a member", "ms")
        self.beyond = Table("wide-beyond", "commands down beyond a limit", "commands")
        self.failing = Table("wide-failing", "requests after a failure at once", "requests")

    @property
    def filled(self) -> list[Table]:
        """Return the tables that have anything in them."""
        return [table for table in vars(self).values() if table.series]

    def claim(self, name: str, turn_s: float) -> None:
        """Claim of the rollouts of this name what a user can rely on."""
        at_most = 1.1 if turn_s >= 30 else 1.15
        for table, most, aim in (
            (self.requests, 13, 10),
            (self.conflicts, 0.05, 0),
            (self.state, 2_000, 1_000),
            (self.watches, 6, 4),
            (self.beyond, 0, 0),
        ):
            claim = Claim(f"{table.title}: {name}", name, "", most, aim)
            table.claims = (*table.claims, claim)
        claim = Claim(f"{self.time.title}: {name}", name, "", at_most)
        self.time.claims = (*self.time.claims, claim)


def watches(servers: Sequence[Server]) -> int:
    """Count the watches that all servers keep."""
    return sum(fact(server, "zk_watch_count") for server in servers)


def fact(server: Server, name: str) -> int:
    """Return a number of the server's own; 0 if it does not answer."""
    for line in server.ask("mntr").splitlines():
        key, _, value = line.partition("\t")
        if key == name:
            return int(value)
    return 0


def cpu_s(servers: Sequence[Server]) -> float:
    """Return the CPU time that the servers have taken so far."""
    total = 0
    for server in servers:
        fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def wide(size: Size, tables: Tables) -> None:
    """Roll out several times with the whole width."""
    with place(size, size.width) as (members, servers):
        started = members.start(size.members, "first")
        tables.seconds.notes.append(f"{size}: all members had started after {started:.0f} s")
        for number in range(size.rollouts):
            listen(tables.time)
            Rollout(members, servers, Behave(size.turn_s, number)).enter_into(tables, str(size))
    tables.claim(str(size), size.turn_s)


def narrow(size: Size, tables: Tables) -> None:
    """Roll out one member after the other, in a smaller group with short turns."""
    small = size._replace(members=min(300, size.members), width=1, turn_s=_NARROW_TURN_S)
    with place(small, 1) as (members, servers):
        members.start(small.members, "first")
        for number in range(2):
            rollout = Rollout(members, servers, Behave(small.turn_s, number))
            rollout.enter_into(tables, str(small))
    name = str(small)
    tables.requests.claims = (
        *tables.requests.claims,
        Claim(f"{tables.requests.title}: {name}", name, "", 12, 10),
    )


def failing(size: Size, tables: Tables) -> None:
    """Let 150 members that are in flight fail at once, and then push what is good."""
    width = min(150, size.width)
    small = size._replace(members=2 * width + 60, width=width, turn_s=_FAILING_TURN_S)
    with place(small, width) as (members, servers):
        members.start(small.members, "first")
        good = Behave(small.turn_s)
        rollout = Rollout(members, servers, good)
        enough = width // 2 + 5
        rollout.wait(lambda report: report.runs["rollout 0"] >= enough)
        members.behave(Behave(small.turn_s, is_held=True))
        rollout.wait(lambda report: _down(report) == width)
        before = members.wait_until_quiet(_QUIET_S, 30.0)
        members.behave(Behave(small.turn_s, is_held=True, fails=True))
        after = members.wait_until_quiet(_QUIET_S, 60.0)
        counts = after.counts.since(before.counts)
        name = f"{width} of {small.members} members fail at once"
        tables.failing.add(name, counts.total)
        claim = Claim(f"requests: {name}", name, "", 20 * width, 10 * width)
        tables.failing.claims = (*tables.failing.claims, claim)
        kinds = ", ".join(f"{kind} {n}" for kind, n in counts.requests.items())
        answers = ", ".join(f"{k} {n}" for k, n in sorted((after.answers - before.answers).items()))
        tables.failing.notes.append(
            f"{name}: {kinds}; {answers}; {counts.events} watches fired, "
            f"{counts.received_bytes:,} bytes received; {dict(after.phases)}"
        )
        recovery = f"after the failure: {small}"
        Rollout(members, servers, Behave(small.turn_s, 1)).enter_into(
            tables, recovery, has_ideal=False
        )


def _down(report: Report) -> int:
    return report.phases["stopping"] + report.phases["verifying"]


def killed(size: Size, tables: Tables) -> None:
    """Kill the leader of three servers in the middle of a rollout, and start it again."""
    three = size._replace(servers=3)
    name = f"the leader is killed: {three}"
    with place(three, three.width) as (members, servers):
        members.start(three.members, "first")
        rollout = Rollout(members, servers, Behave(three.turn_s))
        rollout.wait(lambda report: report.runs["rollout 0"] >= three.members // 3)
        leader = next(server for server in servers if server.fact("Mode") == "leader")
        leader.stop(suddenly=True)
        time.sleep(5.0)
        leader.start()
        rollout.enter_into(tables, name)
        listen(tables.time)
    tables.beyond.claims = (*tables.beyond.claims, Claim(f"down: {name}", name, "", 0, 0))


SCENES = {"wide": wide, "narrow": narrow, "failing": failing, "killed": killed}


def main() -> None:
    """Measure the scenes, print, and save."""
    parser = argparse.ArgumentParser(prog="benchmarks.wide", description="Measure wide rollouts.")
    parser.add_argument("--members", type=int, default=4_000)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--turn", type=float, default=2.5, metavar="S", help="seconds of a turn")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rollouts", type=int, default=5, help="of the first scene")
    parser.add_argument("--into", type=Path, default=RESULTS / "wide.json")
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    wanted = parser.parse_args()
    if unknown := set(wanted.scenes) - set(SCENES):
        parser.error(f"no scene: {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    # A benchmark that is ended ends all that it has started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    size = Size(
        *(wanted.members, wanted.width, wanted.turn),
        *(wanted.servers, wanted.processes, wanted.rollouts),
    )
    tables, run = Tables(), Run(machine(), False)
    print(", ".join(f"{name} {value}" for name, value in run.machine.items()), flush=True)
    try:
        for name in wanted.scenes or SCENES:
            began = time.monotonic()
            SCENES[name](size, tables)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    except StalledError as stalled:
        sys.exit(f"the rollout has stalled: {stalled}")
    finally:
        run.tables = tables.filled
        for table in run.tables:
            print("", *table_lines(table), sep="\n", flush=True)
        print("", *claim_lines(run), sep="\n")
        save(run, wanted.into)


if __name__ == "__main__":
    main()
