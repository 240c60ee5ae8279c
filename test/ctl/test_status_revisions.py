"""What status shows of real fleets: revisions, and the way back after several bad pushes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from support.fleet import Fleet
from support.group_samples import parsed
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def status(zkexecctl: Zkexecctl, fleet: Fleet) -> tuple[str, dict[str, Any]]:
    """The status of the fleet as text, and the object of its group."""
    text = zkexecctl.does("status", fleet.lock).out
    (group,) = parsed(zkexecctl.does("status", fleet.lock, "--json").out)["groups"]
    return text, group


def test_the_way_back_leads_to_what_was_good(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """After two bad pushes and a retry that failed, the undo that is shown skips the bad ones."""
    (conf,) = fleet.znodes
    wait = ("--lock", fleet.lock, "--wait", "--timeout=60")
    fleet.launch(2)
    zkexecctl.push(conf, b"good 1", "-m", "more cache", "--by", "alice", *wait)
    text, group = status(zkexecctl, fleet)
    assert text.startswith(f'{fleet.lock}: 2 of 2 updated to {conf}@2 (alice, "more cache")')
    assert group["last_push"]["revision"] == 2
    assert {row["running_revision"] for row in group["members"]} == {f"{conf}@2"}

    for number in (3, 4):
        answer = zkexecctl.refused(conf, b"exit %d" % number, "--by", "bob", *wait)
        assert f": {conf}@{number} (" in answer.err
    text, group = status(zkexecctl, fleet)
    (progress,) = group["progress"]
    assert (progress["write"]["revision"], progress["previous"]["revision"]) == (4, 2)
    assert f"1 of 2 serves {conf}@2" in text
    undo = f"zkexecctl undo {conf} --to=2 --lock {fleet.lock} --wait"
    assert f"to undo the push: {undo}\n" in text

    zkexecctl.does("retry", fleet.lock, "--by", "carol")
    fleet.until(lambda: zkexecctl("wait", fleet.lock, "--timeout=60").status == 1, "a failure")
    text, group = status(zkexecctl, fleet)
    assert group["progress"][0]["request"]["by"] == "carol"
    assert re.search(rf"updated to {conf}@4 \(bob\), tried again by carol", text)
    assert f"to undo the push: {undo}\n" in text

    zkexecctl.does(*shlex.split(undo)[1:], "--yes")
    text, group = status(zkexecctl, fleet)
    assert f"2 of 2 updated to {conf}@5" in text
    assert {row["running_revision"] for row in group["members"]} == {f"{conf}@5"}


def test_what_another_tool_has_written_has_no_revision(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """A write behind the back of the history is shown as one of another tool."""
    (conf,) = fleet.znodes
    fleet.launch(1)
    zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait", "--timeout=60")
    fleet.push("good 2")
    fleet.at_rest("good 2")
    text, group = status(zkexecctl, fleet)

    assert re.search(rf"^{conf}, written by another tool at .* ago$", text, re.MULTILINE)
    assert (group["last_push"]["revision"], group["last_push"]["set_by_other_tool"]) == (None, True)
    assert group["members"][0]["running_revision"] is None


def test_a_rolling_restart_has_its_author(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """After a restart the revision is that of the content, with the operator who restarted."""
    (conf,) = fleet.znodes
    fleet.launch(1)
    zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait", "--timeout=60")
    zkexecctl.does("restart", fleet.lock, "--by", "dora", "--reason", "new certificates")
    zkexecctl.does("wait", fleet.lock, "--timeout=60")
    text, group = status(zkexecctl, fleet)

    assert f'restarted on {conf}@2 (by dora, "new certificates")' in text
    assert group["members"][0]["running_revision"] == f"{conf}@2"
