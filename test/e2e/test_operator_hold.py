"""Pushes with a hold, and pushes that are undone on failure, in groups of real members."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.sandbox import Sandbox
from support.zkexecctl import Zkexecctl, entries
from support.zookeeper import Server


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def births(fleet: Fleet) -> list[int]:
    """How often the server of each member was started, the least first."""
    return sorted(len(member.entries("born")) for member in fleet.members)


def test_one_member_gets_a_push_before_its_approval(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """With a hold after one member, two of three wait until an operator has approved the push."""
    fleet.launch(3)
    (conf,) = fleet.znodes
    words = ["--lock", fleet.lock, "--wait", "--timeout=60", "--by=ann"]
    approve = f"to let all members follow: zkexecctl approve {fleet.lock}"

    answer = zkexecctl.push(conf, b"good 1", *words, "--hold", "--message=more cache")

    assert len(fleet.ran("good 1")) == 1
    assert re.fullmatch(
        rf"{fleet.lock}: held after 1 member by ann since \S+ \S+ \S+: more cache; {approve}",
        answer.out.splitlines()[-1],
    )
    waited = zkexecctl("wait", fleet.lock, "--timeout=60")
    assert (waited.status, waited.err) == (1, f"zkexecctl: {answer.out.splitlines()[-1]}\n")
    fleet.until(lambda: len(fleet.children("queue")) == 2, "two wait")
    # A newer push does not end the hold: one member more would be too many.
    later = zkexecctl.push(conf, b"good 2", "--lock", fleet.lock)
    assert "warning: " in later.err
    fleet.until(lambda: len(fleet.ran("good 2")) == 1, "one member has the newer push")
    held = zkexecctl("wait", fleet.lock, "--timeout=60")
    assert (held.status, len(fleet.ran("good 2"))) == (1, 1)

    zkexecctl.does("approve", fleet.lock)

    assert zkexecctl("wait", fleet.lock, "--timeout=60").status == 0
    fleet.at_rest("good 2")
    assert len(fleet.ran("good 1")) == 1
    fleet.keeps_max_unavailable()


def test_a_hold_does_not_apply_to_what_was_known_good(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """An undo of the push that is held brings its members back, without an approval."""
    fleet.launch(3)
    (conf,) = fleet.znodes
    words = ["--lock", fleet.lock, "--wait", "--timeout=60"]
    zkexecctl.push(conf, b"good 1", *words, "--hold")
    (first,) = fleet.ran("good 1")

    zkexecctl.does("undo", conf, "--yes", *words)

    fleet.at_rest("good 0")
    assert len(fleet.named(first).entries("born")) == 3
    assert births(fleet) == [1, 1, 3]


def test_a_push_is_undone_on_failure(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If one of three members fails, the previous content is back, and all members run it."""
    fleet.launch(3)
    (conf,) = fleet.znodes
    words = ["--lock", fleet.lock, "--wait", "--timeout=60", "--by=ann"]

    answer = zkexecctl.refused(conf, b"exit 1", *words, "--undo-on-failure")

    (failed,) = fleet.ran("exit 1")
    assert answer.status == 1
    why, undone = answer.err.splitlines()
    assert why.startswith(f"zkexecctl: {fleet.lock}: ")
    reason = why.partition(f"{fleet.lock}: ")[2]
    assert f" failed on {failed} (" in reason
    assert undone == (
        f"zkexecctl: the push is undone: {conf} has the content of @1 again; to follow this: "
        f"zkexecctl wait {fleet.lock}"
    )
    fleet.at_rest("good 0")
    assert zkexecctl("wait", fleet.lock, "--timeout=60").status == 0
    newest = entries(fleet.client, conf)[-1]
    assert newest["message"] == f"undone: {reason}"
    assert (newest["by"], newest["restored_revision"]) == ("ann", 1)
    assert births(fleet) == [1, 1, 3]
