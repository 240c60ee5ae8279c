"""Groups whose cluster is wiped, and holds what had failed, or nothing at all, afterwards."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.fleet import Fleet, fleet_on
from support.posted_events import connected_client
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server

AHEAD = 300
"""So many more transactions than the new history has when the members are back."""
RENEWED_S = 180.0
"""A client that is refused is replaced after a minute; the rest is patience."""


class Wiped:
    """A fleet on a server of its own that can be wiped."""

    def __init__(self, fleet: Fleet, server: Server, clients: ExitStack) -> None:
        self.fleet = fleet
        self._server = server
        self._clients = clients

    def wipe(self, content: str = "") -> None:
        """Let the server forget everything, and begin with this content; no command is touched."""
        fleet = self.fleet
        # The members have to have seen transactions that the new history does not have.
        for number in range(AHEAD):
            fleet.client.set(fleet.root, b"%d" % number)
        before = [member.newest() for member in fleet.members]
        self._server.stop()
        self._server.wipe()
        self._server.start()
        fleet.client = self._clients.enter_context(connected_client(self._server.hosts))
        fleet.client.ensure_path(fleet.root)
        if content:
            fleet.push(content)
        names = {member.name for member in fleet.members}
        until(
            lambda: all(member.log("history-changed") for member in fleet.members),
            "all members find another history",
            RENEWED_S,
        )
        fleet.until(lambda: names <= set(fleet.children("members")), "all are members again")
        assert [member.newest() for member in fleet.members] == before


@pytest.fixture
def wiped(own_zookeeper: Server, tmp_path: Path) -> Iterator[Wiped]:
    """Such a fleet, still without members."""
    sandbox = Sandbox(tmp_path, own_zookeeper.hosts)
    with ExitStack() as clients:
        client = clients.enter_context(connected_client(own_zookeeper.hosts))
        fleet = clients.enter_context(fleet_on(sandbox, client, own_zookeeper.port))
        clients.callback(sandbox.close)
        yield Wiped(fleet, own_zookeeper, clients)


def test_what_failed_is_tried_by_nobody_else(
    wiped: Wiped, own_zookeeper: Server, tmp_path: Path
) -> None:
    """A failure holds where the same content is there again, and the next push goes through."""
    fleet, zkexecctl = wiped.fleet, Zkexecctl(own_zookeeper.hosts, tmp_path)
    fleet.launch(3)
    fleet.push("exit 1")
    failed = fleet.failing("exit 1")

    wiped.wipe("exit 1")
    fleet.until(fleet.has_failure, "the failure is told to the new record")
    others = [member for member in fleet.members if member is not failed]
    fleet.until(lambda: fleet.queued() == {one.name for one in others}, "the others wait")
    heads = [len(one.log("turn-blocked")) for one in others]
    status = zkexecctl("status", fleet.lock, "--json")

    assert json.loads(status.out)["groups"][0]["state"] == "failed"
    fleet.until(
        lambda: sum(len(one.log("turn-blocked")) for one in others) >= 1, f"{heads} blocked"
    )
    assert fleet.ran("exit 1") == {failed.name}

    zkexecctl.push(fleet.znodes[0], b"good 1", "--lock", fleet.lock, "--wait", "--timeout", "60")

    fleet.at_rest("good 1", fleet.members)
    fleet.keeps_max_unavailable()


def test_the_next_push_is_waited_for(wiped: Wiped, own_zookeeper: Server, tmp_path: Path) -> None:
    """An idle group finds its znode gone; a push is 0 when all run it, and one was first."""
    fleet, zkexecctl = wiped.fleet, Zkexecctl(own_zookeeper.hosts, tmp_path)
    fleet.launch(3)

    wiped.wipe()
    zkexecctl.push(fleet.znodes[0], b"good 1", "--lock", fleet.lock, "--wait", "--timeout", "60")

    assert fleet.ran("good 1") == {member.name for member in fleet.members}
    fleet.at_rest("good 1")
    fleet.keeps_max_unavailable()
