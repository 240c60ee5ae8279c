"""`examples/pipeline`: a deployment to one member first, with a smoke test before the others."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "pipeline" / "deploy"
ONE_HAS_IT = 'test "$(grep -l "good 1" m*/file0 | wc -l)" -eq 1'
"""A smoke test that succeeds if just one member has the new content."""


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet of three on the shared server."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        one.launch(3)
        yield one


def deploy(fleet: Fleet, zookeeper: Server, content: str, smoke_test: str) -> tuple[int, str]:
    """Run the script → its exit status, and its output with its errors."""
    file = fleet.sandbox.folder / "new.conf"
    file.write_text(content)
    environment = fleet.sandbox.environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", ZKEXEC_CLUSTER=zookeeper.hosts
    )
    words = (DEPLOY, f"{fleet.znodes[0]}={file}", fleet.lock, smoke_test)
    status, out, err = fleet.sandbox.run(*words, env=environment)
    return status, (out + err).decode()


def births(fleet: Fleet) -> list[int]:
    """How often the server of each member was started, the least first."""
    return sorted(len(member.entries("born")) for member in fleet.members)


def test_all_members_follow_a_good_smoke_test(fleet: Fleet, zookeeper: Server) -> None:
    """One member has the new content when the smoke test runs, and all have it at the end."""
    status, shown = deploy(fleet, zookeeper, "good 1", ONE_HAS_IT)

    assert status == 0, shown
    fleet.at_rest("good 1")
    assert births(fleet) == [2, 2, 2]
    again, shown = deploy(fleet, zookeeper, "good 1", "true")
    assert (again, births(fleet)) == (0, [2, 2, 2]), shown


def test_a_bad_smoke_test_brings_the_old_content_back(fleet: Fleet, zookeeper: Server) -> None:
    """If the smoke test fails, only one member has ever run the new content."""
    status, shown = deploy(fleet, zookeeper, "good 1", f"{ONE_HAS_IT} && false")

    assert status == 1, shown
    fleet.at_rest("good 0")
    assert births(fleet) == [1, 1, 3]
    status, shown = deploy(fleet, zookeeper, "good 2", "true")
    assert status == 0, shown
    fleet.at_rest("good 2")


def test_no_smoke_test_runs_after_a_failure(fleet: Fleet, zookeeper: Server) -> None:
    """If the first member fails, its content is undone, and the script ends before the test."""
    status, shown = deploy(fleet, zookeeper, "exit 1", "touch tested")

    assert status == 1, shown
    assert "== one member" in shown
    assert not (fleet.sandbox.folder / "tested").exists()
    fleet.at_rest("good 0")
    assert births(fleet) == [1, 1, 3]
