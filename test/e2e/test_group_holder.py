"""What befalls the member that holds the turn: cut off, frozen or killed, at each point of it."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from kazoo.client import KazooClient

from e2e.fleet_events import BusyWriter, FirstRequest, first_journaled
from support.fleet import SESSION_TIMEOUT_S, Fleet, FleetMember, fleet_on
from support.link import is_admission, is_commit
from support.processes import is_alive
from support.proxy import Way
from support.sandbox import Sandbox
from support.zookeeper import Server

# An entry is reaped no sooner than that, so that it is still there while a test looks.
PATIENT = ("--kill-timeout=20",)


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def lives(fleet: Fleet, member: FleetMember) -> bool:
    """Whether the group knows this member to be alive."""
    return member.name in fleet.children("members")


def session_ends(fleet: Fleet, member: FleetMember) -> None:
    """Wait until the cluster has given up the session of this member."""
    fleet.until(lambda: not lives(fleet, member), f"the session of {member.name} expires")


def waits_on(reaper: FleetMember) -> bool:
    """Whether a member that has taken back a turn has told since then why it gets none."""
    told = [line["event"] for line in reaper.log()]
    return "turn-blocked" in told[told.index("turn-reclaimed") :]


def others(fleet: Fleet, member: FleetMember) -> list[FleetMember]:
    """The other members."""
    return [one for one in fleet.members if one is not member]


@pytest.mark.parametrize("ways", [(), (Way.TO_SERVER,)], ids=["both ways", "to the server"])
def test_the_holder_is_cut_off_before_the_kill(fleet: Fleet, ways: tuple[Way, ...]) -> None:
    """Whoever asks for its turn and gets no answer kills nothing, and does not stop the group."""
    fleet.launch(3)

    first = FirstRequest(fleet, is_admission, lambda member: member.link.black_hole(*ways))
    fleet.push("good 1")
    holder = first.member()
    session_ends(fleet, holder)
    fleet.all_run("good 1", others(fleet, holder))
    assert len(holder.entries("born")) == 1
    assert is_alive(holder.entries("born")[0].pid)
    holder.link.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_the_holder_never_hears_that_it_is_admitted(fleet: Fleet) -> None:
    """Admitted, and cut off from all replies since then, it kills nothing until it has read it."""
    fleet.launch(3)

    first = FirstRequest(fleet, is_admission, lambda member: member.link.black_hole(Way.TO_CLIENT))
    fleet.push("good 1")
    holder = first.member()
    holder.until_logged("disconnected")
    # Its attempts to connect reach the server, so that its session may live as long as they do.
    assert [len(member.entries("born")) for member in fleet.members] == [1, 1, 1]
    holder.link.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


@pytest.mark.parametrize("ways", [(), (Way.TO_SERVER,)], ids=["both ways", "to the server"])
def test_the_holder_is_cut_off_after_the_kill(fleet: Fleet, ways: tuple[Way, ...]) -> None:
    """A restart that has begun is finished without the cluster, and its end is told later."""
    fleet.options = PATIENT
    fleet.launch(3, "linger 0")

    fleet.push("good 1")
    holder = first_journaled(fleet, "asked")
    holder.link.black_hole(*ways)
    session_ends(fleet, holder)
    holder.until(lambda: holder.is_healthy_on("good 1"), "is healthy all the same")
    assert fleet.ran("good 1") == {holder.name}
    holder.link.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_the_holder_is_cut_off_for_longer_than_the_grace(fleet: Fleet) -> None:
    """A holder that does not come back is taken for healthy in time; the others go on."""
    fleet.launch(3, "linger 0")

    fleet.push("good 1")
    holder = first_journaled(fleet, "asked")
    holder.link.black_hole()
    fleet.all_run("good 1", others(fleet, holder))
    assert holder.is_healthy_on("good 1")
    holder.link.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()
    assert len(holder.entries("born")) == 2


def test_the_holder_is_cut_off_in_a_busy_stream_of_requests(fleet: Fleet) -> None:
    """Where requests keep going out, a dead connection is not taken for a living one, either."""
    fleet.launch(3)

    first = FirstRequest(fleet, is_commit, lambda member: member.link.black_hole())
    with BusyWriter(fleet, "good 1"):
        holder = first.member()
        session_ends(fleet, holder)
        assert is_alive(holder.entries("born")[0].pid)
    fleet.all_run("good 1", others(fleet, holder))
    assert len(holder.entries("born")) == 1
    holder.link.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_the_holder_is_frozen_between_admission_and_kill(fleet: Fleet) -> None:
    """Frozen for two session timeouts, and with its entry still there, it asks before it kills."""
    fleet.options = PATIENT
    fleet.launch(3)

    first = FirstRequest(fleet, is_admission, FleetMember.freeze)
    fleet.push("good 1")
    holder = first.member()
    threading.Event().wait(2 * SESSION_TIMEOUT_S)  # that long it is to be frozen
    session_ends(fleet, holder)
    assert fleet.in_flight().keys() == {holder.name}
    sent = len(holder.link.sent)
    asked_before_kill: list[bool] = []
    confirmation = holder.link.on(
        is_commit, lambda: asked_before_kill.append(not holder.entries("asked"))
    )
    holder.thaw()
    fleet.at_rest("good 1")

    assert confirmation.is_set()
    assert asked_before_kill == [True]
    assert len(holder.link.sent) > sent
    fleet.keeps_max_unavailable()


def test_the_holder_is_frozen_until_its_turn_is_given_away(fleet: Fleet) -> None:
    """Frozen until its entry was reaped and the others went on, it kills nothing when it wakes."""
    fleet.launch(3)

    first = FirstRequest(fleet, is_admission, FleetMember.freeze)
    fleet.push("slow 1")
    holder = first.member()
    session_ends(fleet, holder)
    assert first_journaled(fleet, "asked") is not holder
    holder.thaw()
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()
    assert [len(member.entries("born")) for member in fleet.members] == [2, 2, 2]


@pytest.mark.parametrize("within", [True, False], ids=["within the timeout", "after the timeout"])
@pytest.mark.parametrize("mood", ["exit", "unhealthy"])
def test_the_holder_is_killed_after_the_failure(fleet: Fleet, mood: str, within: bool) -> None:
    """The record of a failure outlives zkexec: started again, it waits, and so do the others."""
    fleet.launch(3)
    fleet.push(f"{mood} 1")
    holder = fleet.failing(f"{mood} 1")

    holder.kill()
    if not within:
        session_ends(fleet, holder)
    connections = len(holder.log("connected"))
    holder.start()
    holder.until_logged("connected", connections + 1)
    fleet.until(lambda: lives(fleet, holder), "is back")
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert fleet.ran(f"{mood} 1") == {holder.name}
    fleet.keeps_max_unavailable()


def test_the_holder_is_killed_after_the_failure_and_stays_away(fleet: Fleet) -> None:
    """Whoever failed and is gone for good does not let the bad content walk on."""
    fleet.launch(3)
    fleet.push("unhealthy 1")
    holder = fleet.failing("unhealthy 1")

    holder.kill()
    fleet.until(lambda: not fleet.in_flight(), "its entry is taken back")
    (reaper,) = (member for member in fleet.members if member.log("turn-reclaimed"))
    reaper.until(partial(waits_on, reaper), "looks again, and says again why it waits")
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert fleet.ran("unhealthy 1") == {holder.name}
    fleet.keeps_max_unavailable()


@pytest.mark.parametrize("within", [True, False], ids=["within the timeout", "after the timeout"])
@pytest.mark.parametrize("mood", ["late", "slow"])
def test_the_holder_is_killed_while_its_server_comes_up(
    fleet: Fleet, mood: str, within: bool
) -> None:
    """Started again under the same name it goes on with its turn, well or badly."""
    fleet.options = PATIENT if not within else ()
    fleet.launch(3)
    fleet.push(f"{mood} 1")
    holder = first_journaled(fleet, "born", f"{mood} 1")

    holder.kill()
    if not within:
        session_ends(fleet, holder)
    holder.start()
    if mood == "slow":
        fleet.at_rest("slow 1")
    else:
        fleet.until(lambda: fleet.phase_of(holder) == "failed", "its failure")
        assert fleet.ran("late 1") == {holder.name}
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert len(fleet.ran("late 1")) <= 1
    fleet.keeps_max_unavailable()


@pytest.mark.parametrize("within", [True, False], ids=["within the timeout", "after the timeout"])
def test_the_holder_is_killed_before_the_kill(fleet: Fleet, within: bool) -> None:
    """Killed in the moment of its admission, it takes its server with it, and no turn is lost."""
    fleet.launch(3)

    first = FirstRequest(fleet, is_admission, FleetMember.kill)
    fleet.push("good 1")
    holder = first.member()
    if not within:
        fleet.all_run("good 1", others(fleet, holder))
    holder.start()
    fleet.at_rest("good 1", fleet.members)

    fleet.keeps_max_unavailable()


def test_the_holder_is_killed_once_it_has_proven_it(fleet: Fleet) -> None:
    """Killed when its server is healthy but its turn not yet given back, it stops nobody."""
    fleet.launch(3)

    fleet.push("slow 1")
    holder = first_journaled(fleet, "born", "slow 1")
    killed = holder.link.on(is_commit, holder.kill)
    holder.until(killed.is_set, "is done")
    holder.wait()
    holder.start()
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()
