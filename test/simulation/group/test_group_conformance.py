"""Both kinds of members agree: a rollout without faults takes the same steps with either.

Most seeds of the simulation have a model in the place of the product's client, which carries
requests as values.  Here that model is compared with the client, so that what it assumes of it is
known to be true.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import pytest

from simulation.group.contents import Mood
from simulation.group.group_znodes import RESTART
from simulation.group.process import Process
from simulation.group.world import Plot, World
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.core.rollout.group_events import ANSWERS, GroupRequestFailed, GroupTouched, RecordRead
from zkexec.frozen import replace

POLICY = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f0", "/z0"), Mirror("/f1", "/z1"))),
    session_timeout_s=10.0,
    health_delay_s=3.0,
    health_interval_s=5.0,
    checks_health=True,
    in_group=True,
    restart_path=RESTART,
)
PAUSE_S = 60.0


class RecordedWorld(World):
    """A group in which nothing goes wrong, and what its members get to know."""

    def __init__(self, size: int, limit: int, *, is_wired: bool) -> None:
        """Make a group whose members queue in the order of their numbers."""
        shared = replace(POLICY, max_unavailable=MaxUnavailable(limit))
        policy = [replace(shared, settle_s=1.0 + number) for number in range(size)]
        plot = Plot(policy, servers=3, tick_s=1.0, is_wired=is_wired)
        super().__init__(plot, Random(1))
        self.chaos.calm = True
        self.start_s, self.stop_s, self.stubbornness, self.lies = 0.5, 0.1, 0.0, 0.0
        self.heard: dict[str, list[str]] = {}
        """What each member reads of its inputs, and apart from that what it gets of its group."""

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note an event of the cluster."""
        super().decided(process, event, todo)
        if words := describe(event):
            of = "inputs" if isinstance(event, events.ZnodesRead) else "group"
            heard = self.heard.setdefault(f"{process.name} {of}", [])
            # How often something is read depends on when its watches fire.
            if words not in heard[-1:]:
                heard.append(words)

    def play(self) -> None:
        """Start the members, push, request a restart, push what hangs, retry, push what is good."""
        self.push_new(self.paths, Mood.GOOD)
        for host in self.hosts:
            host.start()
            self.run_until(self.clock.now + PAUSE_S)
        steps: list[Callable[[], None]] = [
            partial(self.push_new, self.paths, Mood.GOOD),
            self.operator.restart,
            partial(self.push_new, self.paths[:1], Mood.HANGS),
            self.operator.retry,
            partial(self.push_new, self.paths[:1], Mood.GOOD),
        ]
        for step in steps:
            step()
            self.run_until(self.clock.now + 3 * PAUSE_S)
        self.rest()


def describe(event: Event) -> str:
    """Put an event into words, "" if it is not about the cluster or its place is left to chance."""
    match event:
        case events.SessionConnected():
            return "connected"
        case events.ZnodesRead(_, znodes):
            return f"read {[znodes[path].content for path in sorted(znodes)]}"
        case RecordRead(_, record, _, alive):
            flying = {name: entry.phase.value for name, entry in record.in_flight.items()}
            return f"record {flying}, alive {sorted(alive)}"
        case GroupRequestFailed():
            return f"request failed: {event.reason}"
        case GroupTouched():
            return ""
        case _ if isinstance(event, ANSWERS):
            return type(event).__name__
    return ""


@pytest.mark.parametrize(("size", "limit"), [(1, 1), (2, 1), (4, 1), (4, 2)])
def test_members_with_values_and_with_bytes_take_the_same_steps(size: int, limit: int) -> None:
    """Starts, rollouts, a failure and a retry are the same for each member of either kind."""
    values, wired = [RecordedWorld(size, limit, is_wired=is_wired) for is_wired in (False, True)]
    values.play()
    wired.play()
    assert wired.heard == values.heard
