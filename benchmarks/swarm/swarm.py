"""A group of light members in several processes, as the one that measures it has it."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from benchmarks.swarm.light_member import LightGroup
from benchmarks.swarm.member_process import Behave, Report, ReportNow, Start, run, turn_of
from zkexec.znode_paths import group_path
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.errors import NodeExistsError
from zkexec.zookeeper.requests import Create, Dialogue, Exists, Request, SetContent
from zkexec.zookeeper.values import OPEN_ACL

_STARTED_AT_ONCE = 200
_START_S = 120.0
_EACH_S = 0.25
_ANSWER_S = 30.0


class StalledError(Exception):
    """A group that does not get where it should."""


class Swarm:
    """The members of a group, in as many processes as are given, and a client beside them."""

    def __init__(self, group: LightGroup, pipes: Sequence[Connection], client: Client) -> None:
        self.group = group
        self.members: list[str] = []
        self._pipes = pipes
        self._client = client
        self._behave = Behave(0.0)
        self.largest_state = 0
        """The bytes of the largest `state` that was seen."""

    def behave(self, behave: Behave) -> None:
        """Let all commands behave like this from now on."""
        self._behave = behave
        for pipe in self._pipes:
            pipe.send(behave)

    def turns(self) -> list[float]:
        """Return the times of the turns of all members, as they are now."""
        return [turn_of(member, self._behave) for member in self.members]

    def start(self, size: int, content: str) -> float:
        """Start members, the first alone, until each runs this content; return how long it took."""
        began = time.monotonic()
        with suppress(NodeExistsError):
            self.ask([Create(self.group.input_path, f"{content}\n".encode(), OPEN_ACL)])
        self.members = [f"member-{number:05}" for number in range(size)]
        first, others = self.members[:1], self.members[1:]
        self._start(first)
        self._wait_for(1, content)
        time.sleep(1.0)
        for start in range(0, len(others), _STARTED_AT_ONCE):
            part = others[start : start + _STARTED_AT_ONCE]
            self._start(part)
            self._wait_for(start + len(part) + 1, content)
        return time.monotonic() - began

    def _wait_for(self, count: int, content: str) -> None:
        self.wait(lambda report: report.runs[content] == count, _START_S)

    def _start(self, names: Sequence[str]) -> None:
        for number, pipe in enumerate(self._pipes):
            pipe.send(Start(tuple(names[number :: len(self._pipes)])))

    def push(self, content: str) -> float:
        """Write the input; return when, in the time of the members."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.ask([SetContent(self.group.input_path, f"{content}\n".encode())])
        return now

    def ask(self, requests: Sequence[Request]) -> Sequence[object]:
        """Send requests beside those of the members, again if the connection is lost."""
        until = time.monotonic() + _ANSWER_S
        while True:
            try:
                found: Sequence[object] = self._client.run(_asking(requests), _ANSWER_S)
            except NodeExistsError:
                raise
            except Exception:
                if time.monotonic() > until:
                    raise
                self._client.wait(self._now() + _EACH_S)
            else:
                return found

    def _now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def report(self, *, forget: bool = False) -> Report:
        """Return what all members are doing and have met."""
        for pipe in self._pipes:
            pipe.send(ReportNow(forget))
        report = Report()
        for pipe in self._pipes:
            report.add(pipe.recv())
        return report

    def wait(self, is_there: Callable[[Report], bool], limit_s: float) -> Report:
        """Wait until the group is there; StalledError after the limit."""
        until = time.monotonic() + limit_s
        while True:
            report = self.report()
            self._note_state()
            if is_there(report):
                return report
            if time.monotonic() > until:
                raise StalledError(f"{report.runs}, {report.phases}, {report.reasons}")
            time.sleep(_EACH_S)

    def wait_until_quiet(self, lasting_s: float, limit_s: float) -> Report:
        """Wait until no member has sent anything for this time, or for no longer than the limit."""
        until = time.monotonic() + limit_s
        report = self.report()
        since = time.monotonic()
        while time.monotonic() < min(until, since + lasting_s):
            time.sleep(_EACH_S)
            now = self.report()
            if now.counts.total != report.counts.total:
                report, since = now, time.monotonic()
        return report

    def _note_state(self) -> None:
        (stat,) = self.ask([Exists(f"{group_path(self.group.name)}/state")])
        size = getattr(stat, "data_length", 0)
        self.largest_state = max(self.largest_state, size)


@contextmanager
def swarm(group: LightGroup, processes: int) -> Iterator[Swarm]:
    """Have a group without members, in these many processes, as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    settings = ClientSettings(servers=group.servers, session_timeout_s=group.session_timeout_s)
    client = Client(settings, lambda _: None)
    ends, started = [], []
    try:
        client.open()
        for _ in range(processes):
            mine, theirs = context.Pipe()
            process = context.Process(target=run, args=(theirs, group), daemon=True)
            process.start()
            theirs.close()
            ends.append(mine)
            started.append(process)
        yield Swarm(group, ends, client)
    finally:
        for end in ends:
            end.close()
        for process in started:
            process.join(10.0)
            process.kill()
        client.close(1.0)


def _asking(requests: Sequence[Request]) -> Dialogue:
    outcomes = yield requests
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes
