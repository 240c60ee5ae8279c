"""Rubbish in the znodes of a group under living members, and znodes that are nobody's.

The rules of this file: whatever is done to the znodes, every zkexec and, while no restart was
requested, every command remains the same process.  Once the znodes are what they were, a change
goes through the group.
"""

import json
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from e2e.fleet_events import first_journaled
from support.fleet import FULL, GAVE_UP, PATIENCE_S, SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.rubbish import RUBBISH
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import Zkexecctl
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
    """Wait until a member logs why it does not go on, and return all such messages."""

    def logged() -> list[str]:
        return [line["message"] for one in fleet.members for line in one.log("group-trouble")]

    until(logged, "a member logs the trouble", PATIENCE_S)
    return logged()


def put(fleet: Fleet, path: str, content: bytes) -> None:
    """Write a znode, whether it is there or not; it may go with its session at any moment."""
    try:
        fleet.client.set(path, content)
    except NoNodeError:
        fleet.client.create(path, content)


def queue_node(fleet: Fleet, member: FleetMember) -> str:
    """Have a member wait for its turn, behind a node that never goes on; the path of its node."""
    fleet.until(lambda: member.name in fleet.queued(), f"{member.name} waits")
    return f"{base(fleet)}/queue/{fleet.stored.queued()[member.name]}"


def is_same(fleet: Fleet, before: list[int], born: int) -> bool:
    """Whether all zkexecs and all commands are the same processes."""
    return pids(fleet) == before and births(fleet) == born


def known_version(fleet: Fleet) -> str:
    """Wait until the group knows one version, and return its digest."""
    fleet.until(lambda: fleet.children("versions"), "a version is known")
    (digest,) = fleet.children("versions")
    return digest


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
    if kind not in ("nothing", "a record of nothing"):
        logged = troubles(fleet)
        assert all(line.startswith(f"cannot take part in the group: {state}: ") for line in logged)
        assert births(fleet) == born
    assert pids(fleet) == before
    fleet.client.set(state, record)
    fleet.at_rest("good 1")
    assert pids(fleet) == before


def test_a_record_of_an_earlier_format(fleet: Fleet, tmp_path: Path) -> None:
    """Each member that needs it logs one line, its command runs on, and `status` names the format.

    A member cannot start that does not know the record.
    """
    fleet.launch(2)
    before, born = pids(fleet), births(fleet)
    state = f"{base(fleet)}/state"
    record, _ = fleet.client.get(state)
    fleet.client.set(state, b'{"format":1,"in_flight":{},"versions":{}}')
    fleet.push("good 1")
    (line,) = set(troubles(fleet))
    assert f"{state}: the record has format 1, which this zkexec does not read: " in line
    shown = Zkexecctl(fleet[0].link.hosts, tmp_path)("status", fleet.lock, "--json")
    (group,) = json.loads(shown.out)["groups"]
    assert group["state"] == "unreadable"
    assert "format 1" in group["error"]
    fleet.options = ("--connect-timeout=3",)
    late = fleet.add()
    late.start()
    assert late.wait() == GAVE_UP
    fleet.members.remove(late)
    assert is_same(fleet, before, born)
    assert all(len(member.log("group-trouble")) <= 1 for member in fleet.members)
    fleet.client.set(state, record)
    fleet.at_rest("good 1")


@pytest.mark.parametrize(
    "where",
    ["base", "members", "member", "queue", "queue node", "restart", "in_flight", "versions"],
)
def test_rubbish_in_any_other_znode(fleet: Fleet, where: str) -> None:
    """Whatever it contains, every member lives, and the next change goes through."""
    fleet.launch(2)
    before = pids(fleet)
    group = base(fleet)
    paths = {
        "base": group,
        "members": f"{group}/members",
        "member": f"{group}/members/m1",
        "queue": f"{group}/queue",
        "restart": f"{group}/restart",
        "in_flight": f"{group}/in_flight",
        "versions": f"{group}/versions",
    }
    for number, kind in enumerate(RUBBISH if FULL else SHORT, 1):
        if where == "queue node":
            fleet.client.create(f"{group}/queue/q-", b"m9", ephemeral=True, sequence=True)
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


def test_the_entry_of_another_member(fleet: Fleet) -> None:
    """One that cannot be read counts as in flight, and no member is admitted until it is gone."""
    fleet.launch(2)
    before, born = pids(fleet), births(fleet)
    path = f"{base(fleet)}/in_flight/m9"
    fleet.client.create(path, b"")
    for number, kind in enumerate(RUBBISH if FULL else SHORT, 1):
        fleet.client.set(path, RUBBISH[kind])
        fleet.push(f"good {number}")
        fleet.until(lambda: len(fleet.queued()) == 2, "both wait")
        fleet.until(lambda: any(m.log("turn-next") for m in fleet.members), "one is next")
        assert is_same(fleet, before, born)
    fleet.client.delete(path)
    fleet.at_rest(f"good {number}")
    assert pids(fleet) == before


@pytest.mark.parametrize("kind", [*RUBBISH] if FULL else SHORT)
def test_rubbish_in_the_own_entry(fleet: Fleet, kind: str) -> None:
    """The member in flight names its entry, the others wait, and all go on when it is gone."""
    fleet.options = SLOW_TO_FAIL
    fleet.launch(2)
    before = pids(fleet)
    fleet.push("gated 1")
    holder = first_journaled(fleet, "born", "gated 1")
    path = f"{base(fleet)}/in_flight/{holder.name}"
    fleet.client.set(path, RUBBISH[kind])
    fleet.open_gate()
    logged = holder.until_logged("group-trouble")["message"]
    assert logged.startswith(f"cannot take part in the group: {path}: ")
    assert fleet.ran("gated 1") == {holder.name}
    fleet.client.delete(path)
    fleet.at_rest("gated 1")
    assert pids(fleet) == before
    fleet.keeps_max_unavailable()


@pytest.mark.parametrize("kind", [*RUBBISH] if FULL else SHORT)
def test_rubbish_in_a_version(fleet: Fleet, kind: str) -> None:
    """Members name it, and no member is admitted until it is what it was."""
    fleet.launch(2)
    before, born = pids(fleet), births(fleet)
    digest = known_version(fleet)
    path = f"{base(fleet)}/versions/{digest}"
    fleet.client.set(path, RUBBISH[kind])
    fleet.push("good 1")
    if kind != "nothing":
        logged = troubles(fleet)
        assert all(line.startswith(f"cannot take part in the group: {path}: ") for line in logged)
        assert births(fleet) == born
    fleet.client.set(path, b"")
    fleet.at_rest("good 1")
    assert pids(fleet) == before


def test_strangers_below_a_version(fleet: Fleet) -> None:
    """Children of a version that no member has made do no harm, and go with the version."""
    fleet.launch(2)
    before = pids(fleet)
    digest = known_version(fleet)
    for name in ("notes", "failed", "lost", "failed.", "lost.x y", "\u202e", "condemned"):
        fleet.client.create(f"{base(fleet)}/versions/{digest}/{name}", RUBBISH["no text"])
    for number in range(1, 4):
        fleet.push(f"good {number}")
        fleet.at_rest(f"good {number}")
    assert digest not in fleet.children("versions")
    assert pids(fleet) == before


def test_a_status_that_may_not_be_written_holds_no_other_up(fleet: Fleet) -> None:
    """A member that is refused its own node lets the others go on, and follows once it may."""
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
    """A member that cannot read the record at its first start exits 125, and names the reason."""
    fleet.launch(1)
    fleet.client.set(f"{base(fleet)}/state", RUBBISH["numbers that cannot be"])
    fleet.options = ("--connect-timeout=3",)
    late = fleet.add()
    late.start()
    assert late.wait() == GAVE_UP
    (fatal,) = (line for line in late.log() if line["level"] == "fatal")
    assert f"{base(fleet)}/state: expected at most 9223372036854775807 as " in fatal["message"]
    assert fleet[0].is_running()


def test_strangers_in_the_queue(fleet: Fleet) -> None:
    """What no member has put there is ignored, logged once with its path, and does no harm."""
    fleet.launch(2)
    before = pids(fleet)
    queue = f"{base(fleet)}/queue"
    for name in ("notes", "q-", "q-1", "Zettel für morgen", "\u202e", "n" * 5000):
        fleet.client.create(f"{queue}/{name}", b"not mine")
    for number in range(1, 4):
        fleet.push(f"good {number}")
        fleet.all_run(f"good {number}", fleet.members)
        fleet.until(lambda: not fleet.in_flight(), "no member in flight")
    assert pids(fleet) == before
    logged = [member.log("queue-strays") for member in fleet.members]
    assert sorted(map(len, logged)) in ([0, 1], [1, 1])
    for line in chain(*logged):
        assert f"{queue}/Zettel für morgen" in line["message"]
        assert line["level"] == "warning"
    late = fleet.add()
    late.start()
    fleet.all_run("good 3", [late])


def test_a_group_that_was_restored_from_a_dump(fleet: Fleet) -> None:
    """Lasting nodes of members and of the queue are in no member's way, and are replaced."""
    group = base(fleet)
    for name in ("m0", "m7"):
        queued = {"format": 2, "member": name, "token": "t", "digest": "d"}
        fleet.client.create(f"{group}/members/{name}", b'{"format":2}', makepath=True)
        fleet.client.create(
            f"{group}/queue/q-", json.dumps(queued).encode(), makepath=True, sequence=True
        )
    fleet.push("good 0")
    for _ in range(2):
        fleet.add().start()
    fleet.all_run("good 0", fleet.members)
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members)
    fleet.until(lambda: not fleet.in_flight(), "no member in flight")
    assert fleet.client.exists(f"{group}/members/m0").ephemeralOwner
    assert len(fleet.children("queue")) == 2
    assert not any(member.log("member-id-taken") for member in fleet.members)
    logged = [line["path"] for member in fleet.members for line in member.log("queue-left-over")]
    # The second member knows by the admission of the first that no node is before its own.
    assert set(logged) == {f"{group}/queue/{name}" for name in fleet.children("queue")}


def entry(**changes: object) -> bytes:
    """The content of an entry of a member in flight."""
    usual = {"token": "t", "digest": "d", "zxid": 1, "phase": "restarting", "since": 1}
    return json.dumps({"format": 2, **usual, "admission": 0, **changes}).encode()


def test_a_lost_member_whose_node_was_restored_is_reclaimed(fleet: Fleet) -> None:
    """A lasting node is no sign of life: the turn of a member that is gone is reclaimed."""
    fleet.launch(2)
    fleet.client.create(f"{base(fleet)}/members/m7", b"")
    fleet.client.create(f"{base(fleet)}/in_flight/m7", entry())
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members)
    fleet.until(lambda: not fleet.in_flight(), "no member in flight")
    assert [name for _, name in fleet.reclaimed()] == ["m7"]


@pytest.mark.parametrize("phase", ["failed", "restarting"])
def test_an_entry_without_its_version(fleet: Fleet, phase: str) -> None:
    """A member that starts again under such an entry adopts it, and everything goes on."""
    fleet.launch(2)
    fleet[0].end()
    fleet.client.create(f"{base(fleet)}/in_flight/m0", entry(phase=phase))
    fleet[0].start()
    fleet.until(partial(fleet[0].log, "adopted"), "m0 adopts the entry")
    fleet.push("good 1")
    fleet.at_rest("good 1")
