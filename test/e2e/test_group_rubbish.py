"""Rubbish in the znodes of a group under living members, and znodes that are nobody's.

The rules of this file: whatever is done to the znodes, every zkexec and, as long as no restart was
asked for, every command stays the same process; and once the znodes are what they were, a change
goes through the group.
"""

import json
from collections.abc import Iterator
from functools import partial

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from support.fleet import FULL, PATIENCE_S, Fleet, FleetMember, fleet_on
from support.rubbish import RUBBISH
from support.sandbox import Sandbox
from support.waiting import until
from support.zookeeper import Server

SHORT = ("no JSON", "a megabyte", "deep nesting", "numbers that cannot be")


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def base(fleet: Fleet) -> str:
    """The path of the group."""
    return f"/zkexec/{fleet.lock}"


def pids(fleet: Fleet) -> list[int]:
    """The processes of all zkexecs, which have to live."""
    assert all(member.is_running() for member in fleet.members), fleet.story()
    return [member.pid for member in fleet.members]


def births(fleet: Fleet) -> int:
    """How many commands were started so far."""
    return len(fleet.journal.of_all("born"))


def troubles(fleet: Fleet) -> list[str]:
    """Wait until a member, which is the first in the queue, tells why it does not go on."""

    def told() -> list[str]:
        return [line["message"] for one in fleet.members for line in one.log("group-trouble")]

    until(told, "a member tells of the trouble", PATIENCE_S)
    return told()


def put(fleet: Fleet, path: str, content: bytes) -> None:
    """Write a znode, whether it is there or not; it may go with its session at any moment."""
    try:
        fleet.client.set(path, content)
    except NoNodeError:
        fleet.client.create(path, content)


def queue_node(fleet: Fleet, member: FleetMember) -> str:
    """Have a member wait for its turn, behind somebody who never goes on; its node."""
    fleet.until(lambda: member.name in fleet.queued(), f"{member.name} waits")
    for name in fleet.children("queue"):
        path = f"{base(fleet)}/queue/{name}"
        if fleet.client.get(path)[0] == member.name.encode():
            return path
    raise LookupError(member.name)


@pytest.mark.parametrize("kind", [*RUBBISH] if FULL else SHORT)
def test_rubbish_in_the_record(fleet: Fleet, kind: str) -> None:
    """No command is touched and nobody is admitted until the record is what it was."""
    fleet.launch(2)
    before = pids(fleet)
    state = f"{base(fleet)}/state"
    record, _ = fleet.client.get(state)
    fleet.client.set(state, RUBBISH[kind])
    born = births(fleet)
    fleet.push("good 1")
    if kind not in ("nothing", "failed without a version"):
        told = troubles(fleet)
        assert all(line.startswith(f"cannot take part in the group: {state}: ") for line in told)
        assert births(fleet) == born
    assert pids(fleet) == before
    fleet.client.set(state, record)
    fleet.at_rest("good 1")
    assert pids(fleet) == before


@pytest.mark.parametrize("where", ["base", "members", "member", "queue", "own place", "restart"])
def test_rubbish_in_any_other_znode(fleet: Fleet, where: str) -> None:
    """Whatever stands there, everybody lives, and the next change goes through."""
    fleet.launch(2)
    before = pids(fleet)
    group = base(fleet)
    paths = {
        "base": group,
        "members": f"{group}/members",
        "member": f"{group}/members/m1",
        "queue": f"{group}/queue",
        "restart": f"{group}/restart",
    }
    for number, kind in enumerate(RUBBISH if FULL else SHORT, 1):
        if where == "own place":
            fleet.client.create(f"{group}/queue/x-", b"m9", ephemeral=True, sequence=True)
            (ahead,) = fleet.children("queue")
            fleet.push(f"good {number}")
            paths[where] = queue_node(fleet, fleet[1])
            put(fleet, paths[where], RUBBISH[kind])
            fleet.client.delete(f"{group}/queue/{ahead}")
        else:
            put(fleet, paths[where], RUBBISH[kind])
            fleet.push(f"good {number}")
        fleet.at_rest(f"good {number}")
        assert pids(fleet) == before
    fleet.keeps_max_unavailable()


def test_a_card_that_may_not_be_written_holds_nobody_up(fleet: Fleet) -> None:
    """Who is refused its own node lets the others go on, names it, and follows once it may."""
    fleet.launch(2)
    before = pids(fleet)
    first, second = fleet.members
    node = f"{base(fleet)}/members/{first.name}"
    fleet.client.set_acls(node, [make_acl("world", "anyone", read=True, admin=True)])
    second.freeze()
    fleet.push("good 1")
    # It is the head of the queue, and leaves it as soon as it was refused.
    fleet.until(lambda: first.name in fleet.queued() or first.log("group-trouble"), "it has queued")
    second.thaw()

    fleet.all_run("good 1", [second])
    assert node in first.until_logged("group-trouble")["message"]
    fleet.client.set_acls(node, OPEN_ACL_UNSAFE)
    fleet.at_rest("good 1")
    assert pids(fleet) == before


def test_rubbish_at_a_first_start(fleet: Fleet) -> None:
    """Who cannot read the record at its first start ends with 125, naming it and the reason."""
    fleet.launch(1)
    fleet.client.set(f"{base(fleet)}/state", RUBBISH["numbers that cannot be"])
    fleet.options = ("--connect-timeout=3",)
    late = fleet.add()
    late.start()
    assert late.wait() == 125
    (told,) = (line for line in late.log() if line["level"] == "fatal")
    assert f"{base(fleet)}/state: expected at most 9223372036854775807 as " in told["message"]
    assert fleet[0].is_running()


def test_strangers_in_the_queue(fleet: Fleet) -> None:
    """What no member has put there is ignored, told once with its path, and starts no trouble."""
    fleet.launch(2)
    before = pids(fleet)
    queue = f"{base(fleet)}/queue"
    for name in ("notes", "0000000000", "Zettel für morgen", "\u202e", "n" * 5000):
        fleet.client.create(f"{queue}/{name}", b"not mine")
    for number in range(1, 4):
        fleet.push(f"good {number}")
        fleet.all_run(f"good {number}", fleet.members)
        fleet.until(lambda: not fleet.in_flight(), "nobody in flight")
    assert pids(fleet) == before
    for member in fleet.members:
        (line,) = member.log("queue-strays")
        assert f"{queue}/0000000000" in line["message"]
        assert line["level"] == "warning"
    late = fleet.add()
    late.start()
    fleet.all_run("good 3", [late])


def test_a_group_that_was_restored_from_a_dump(fleet: Fleet) -> None:
    """Lasting nodes of members and of the queue stand in nobody's way, and are replaced."""
    group = base(fleet)
    for name in ("m0", "m7"):
        fleet.client.create(f"{group}/members/{name}", b'{"format":1}', makepath=True)
        fleet.client.create(f"{group}/queue/dead-", name.encode(), makepath=True, sequence=True)
    fleet.push("good 0")
    for _ in range(2):
        fleet.add().start()
    fleet.all_run("good 0", fleet.members)
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members)
    fleet.until(lambda: not fleet.in_flight(), "nobody in flight")
    assert fleet.client.exists(f"{group}/members/m0").ephemeralOwner
    assert len(fleet.children("queue")) == 2
    assert not any(member.log("member-id-taken") for member in fleet.members)
    told = [[line["path"] for line in member.log("queue-left-over")] for member in fleet.members]
    left_over = sorted(f"{group}/queue/{name}" for name in fleet.children("queue"))
    # Who came second was told by the first one's admission that nobody is before it.
    assert {tuple(sorted(paths)) for paths in told} <= {tuple(left_over), ()}
    assert any(told)


def test_a_lost_member_whose_node_was_restored_is_reaped(fleet: Fleet) -> None:
    """A lasting node is no sign of life: the turn of who is gone is taken back all the same."""
    fleet.launch(2)
    gone = json.dumps(
        {
            **fleet.record(),
            "in_flight": {
                "m7": {
                    "token": "t",
                    "digest": "d",
                    "zxid": 1,
                    "phase": "restarting",
                    "since": 1,
                }
            },
        }
    )
    fleet.client.create(f"{base(fleet)}/members/m7", b"")
    fleet.client.set(f"{base(fleet)}/state", gone.encode())
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members)
    fleet.until(lambda: not fleet.in_flight(), "nobody in flight")
    assert [name for _, name in fleet.reclaimed()] == ["m7"]


@pytest.mark.parametrize("phase", ["failed", "restarting"])
def test_a_record_without_the_verdict_of_a_failure(fleet: Fleet, phase: str) -> None:
    """A member that starts again under such an entry adopts it, and everything goes on."""
    fleet.launch(2)
    entry = {"token": "t", "digest": "d", "zxid": 1, "phase": phase, "since": 1}
    record = {**fleet.record(), "in_flight": {"m0": entry}, "versions": {}}
    fleet[0].end()
    fleet.client.set(f"{base(fleet)}/state", json.dumps(record).encode())
    fleet[0].start()
    fleet.until(partial(fleet[0].log, "adopted"), "m0 adopts the entry")
    fleet.push("good 1")
    fleet.at_rest("good 1")
