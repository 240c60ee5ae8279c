"""Groups with zones: one after the other, shares of a zone, and a zone that is lost at once."""

from collections.abc import Iterator
from itertools import groupby

import pytest
from kazoo.client import KazooClient

from support.fleet import SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


class Zones:
    """The members of a fleet by zone; a member's zone is a letter."""

    def __init__(self, fleet: Fleet, letters: str) -> None:
        """Start a member for each letter, in this order."""
        self.fleet = fleet
        self._letters = letters
        fleet.launch_each([(f"--zone={letter}",) for letter in letters])

    def of(self, name: str) -> str:
        """The zone of a member."""
        return self._letters[int(name.removeprefix("m"))]

    def members(self, letter: str) -> list[FleetMember]:
        """The members of a zone."""
        return [member for member in self.fleet.members if self.of(member.name) == letter]

    def begin(self, content: str) -> FleetMember:
        """Push gated content; wait until one member has it and all others wait for a turn."""
        self.fleet.push(content)
        self.fleet.until(lambda: self.fleet.ran(content), "the first one takes it")
        others = len(self.fleet.members) - 1
        self.fleet.until(lambda: len(self.fleet.queued()) == others, "the others wait")
        (first,) = self.fleet.ran(content)
        return self.fleet.named(first)

    def never_two(self) -> None:
        """Demand that members of two zones were never unavailable at once."""
        for down in self.fleet.unavailable_at_once():
            assert len(set(map(self.of, down))) <= 1, f"{down}\n{self.fleet.story()}"

    def order(self, content: str) -> list[str]:
        """The zones in the order in which their members were started on this content."""
        born = [one for one in self.fleet.journal.of_all("born") if one.content == content]
        return [zone for zone, _ in groupby(self.of(one.name) for one in born)]


@pytest.mark.parametrize("width", [1, 3])
def test_one_zone_is_finished_before_the_next_begins(fleet: Fleet, width: int) -> None:
    """However the members of two zones queue, the waiting ones of the open zone go first."""
    fleet.options = (*SLOW_TO_FAIL, f"--max-unavailable={width}")
    zones = Zones(fleet, "abababab")

    first = zones.begin("gated 1")
    fleet.open_gate()
    fleet.at_rest("gated 1")

    zones.never_two()
    other = "b" if zones.of(first.name) == "a" else "a"
    assert zones.order("gated 1") == [zones.of(first.name), other]
    fleet.keeps_max_unavailable(width)


def test_members_without_a_zone_are_one_zone(fleet: Fleet) -> None:
    """Members with a zone and members without one are never in flight together."""
    fleet.options = (*SLOW_TO_FAIL, "--max-unavailable=3")
    fleet.launch_each([(), ("--zone=a",), (), ("--zone=a",)])

    for content in ("slow 1", "linger 2", "slow 3"):
        fleet.push(content)
        fleet.at_rest(content)

    pairs = [{int(name[1:]) % 2 for name in down} for down in fleet.unavailable_at_once()]
    assert {1} in pairs
    assert {0} in pairs
    assert {0, 1} not in pairs


def test_a_percentage_of_a_zone(fleet: Fleet) -> None:
    """With N%/zone, as many of a zone are in flight at once as its own size allows."""
    fleet.options = (*SLOW_TO_FAIL, "--max-unavailable=50%/zone")
    zones = Zones(fleet, "aaaaaabb")
    fleet.open_gate()
    fleet.push("gated 1")
    fleet.at_rest("gated 1")

    def is_at_most(letter: str, count: int) -> bool:
        downs = [down for down in fleet.unavailable_at_once() if letter in map(zones.of, down)]
        return max(map(len, downs)) <= count

    assert is_at_most("a", 3)
    assert is_at_most("b", 1)
    fleet.push("good 0")
    fleet.at_rest("good 0")
    # Enough members have succeeded with it before: half of the larger zone go at once.
    fleet.close_gate()
    for member in zones.members("b"):
        member.freeze()
    fleet.push("gated 1")
    fleet.until(lambda: len(fleet.in_flight()) == 3, "three at once")
    for member in zones.members("b"):
        member.thaw()
    fleet.open_gate()
    fleet.at_rest("gated 1")

    assert is_at_most("a", 3)
    assert is_at_most("b", 1)
    zones.never_two()


def test_a_zone_that_is_lost_at_once_is_one_loss(fleet: Fleet) -> None:
    """A rack that is lost with all its members in flight does not make a version fail."""
    fleet.options = (
        "--max-unavailable=2",
        "--health-delay=10",
        "--post-healthy=true",
        "--post-healthy-timeout=2",
    )
    zones = Zones(fleet, "aabb")
    fleet.open_gate()
    for content in ("gated 1", "good 0"):
        fleet.push(content)
        fleet.at_rest(content)
    # Enough members have succeeded with it before: both of a zone go at once.
    fleet.close_gate()
    fleet.push("gated 1")
    fleet.until(lambda: len(fleet.in_flight()) == 2, "all of one zone are in flight")
    lost = [fleet.named(name) for name in fleet.in_flight()]
    (zone,) = {zones.of(member.name) for member in lost}
    for member in lost:
        member.kill()
    fleet.open_gate()
    fleet.at_rest("gated 1")

    assert {zones.of(member.name) for member in fleet.living()} == {"a", "b"} - {zone}
    assert {name for _, name in fleet.reclaimed()} == {member.name for member in lost}
    assert fleet.stored.lost_turns() == 1
    assert not fleet.has_failure()
    for member in lost:
        member.start()
    fleet.at_rest("gated 1", fleet.members)
