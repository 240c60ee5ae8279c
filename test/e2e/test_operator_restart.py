"""Rolling restarts that an operator asks for, in groups of real members.

The rules of this file: a member has followed a restart when its card says so, which has the name of
the restart behind the digest of the contents.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from support.fleet import Fleet, FleetMember, fleet_on
from support.mirrored_host import quoted
from support.processes import is_alive
from support.sandbox import LIBEXEC, Sandbox
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Server

OTHERS = make_digest_acl("others", "their password", all=True)


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def zkexecctl(fleet: Fleet, verb: str, *words: str, status: int = 0) -> str:
    """Run a verb on the fleet's group, which has to end like this; what it said."""
    ended, out, err = fleet.sandbox.run(*ZKEXECCTL, verb, fleet.lock, *words, "--by=ann")
    assert ended == status, (out, err, fleet.story())
    return (err if status else out).decode()


def runs(fleet: Fleet, member: FleetMember) -> str:
    """The configuration of which the card of a member says that it runs; empty where it is none."""
    try:
        content, _ = fleet.client.get(f"/zkexec/{fleet.lock}/members/{member.name}")
    except NoNodeError:
        return ""
    status = json.loads(content)
    return str(status["running"]) if status["running"] == status["wanted"] else ""


def asked(fleet: Fleet) -> str:
    """The name of the restart that was asked for last."""
    content, _ = fleet.client.get(f"/zkexec/{fleet.lock}/restart")
    return str(content.decode().split()[0])


def restarted(fleet: Fleet, content: str) -> None:
    """Wait until all members have followed the last restart, and are at rest on the content."""
    end = f".{asked(fleet)}"
    living = fleet.living()
    fleet.until(lambda: all(runs(fleet, one).endswith(end) for one in living), "all restarted")
    fleet.at_rest(content)


def births(fleet: Fleet) -> list[int]:
    """How often the server of each member was started."""
    return [len(member.entries("born")) for member in fleet.members]


def file_of(member: FleetMember) -> Path:
    """The file that a member mirrors."""
    return member.folder / "file0"


def test_a_restart_goes_through_all(fleet: Fleet) -> None:
    """Each member is restarted once, one at a time, and no file is written anew for that."""
    fleet.launch(3, "slow 0")
    old = [member.newest() for member in fleet.members]
    files = [file_of(member).stat() for member in fleet.members]

    said = zkexecctl(fleet, "restart", "--reason=new certificates")
    assert said.startswith(f"{fleet.lock}: rolling restart {asked(fleet)[:4]} requested")
    assert said.endswith("living members: 3\n")
    restarted(fleet, "slow 0")

    assert births(fleet) == [2, 2, 2]
    assert not [entry for entry in old if entry is None or is_alive(entry.pid)]
    stats = [file_of(member).stat() for member in fleet.members]
    assert [(s.st_ino, s.st_mtime_ns) for s in stats] == [(s.st_ino, s.st_mtime_ns) for s in files]
    (audit_entry,) = fleet.record()["audit"]
    assert (audit_entry["operation"], audit_entry["by"], audit_entry["reason"]) == (
        "restart",
        "ann",
        "new certificates",
    )
    fleet.keeps_max_unavailable()


def test_a_restart_in_the_middle_of_a_rollout(fleet: Fleet) -> None:
    """Who has the new content already is restarted once more, and the others need one restart."""
    fleet.options = ("--health-delay=15",)
    fleet.launch(3)

    fleet.push("gated 1")
    fleet.until(lambda: fleet.ran("gated 1"), "the first one takes it")
    (first,) = fleet.ran("gated 1")
    zkexecctl(fleet, "restart")
    fleet.open_gate()
    restarted(fleet, "gated 1")

    assert births(fleet) == [3 if member.name == first else 2 for member in fleet.members]
    fleet.keeps_max_unavailable()


# Succeeds as the check that follows does, but not for a server that was started between two times:
# those of a file, and of the same with .mended behind its name.
_CHECK = """\
[ ! -e "$0" ] || [ "$4" -ot "$0" ] || [ "$4" -nt "$0.mended" ] || exit 1
exec "$@"
"""


def launch_breakable(fleet: Fleet, count: int) -> Path:
    """Start members of which none starts well between the times of two files, see above."""
    broken = fleet.sandbox.folder / "broken"
    fleet.push("good 0")
    for number in range(count):
        name = f"m{number}"
        check = (
            LIBEXEC / "moodcheck",
            name,
            fleet.journal.path,
            fleet.sandbox.folder / name / "state",
        )
        fleet.options = (f"--health={quoted('sh', '-c', _CHECK, broken, *check)}",)
        fleet.add().start()
    fleet.at_rest("good 0")
    return broken


def test_a_restart_that_fails_and_a_retry(fleet: Fleet) -> None:
    """A restart that fails on one member stops there; a retry lets it try, and then the others."""
    broken = launch_breakable(fleet, 3)
    # As what breaks a command need not be in the cluster.
    broken.touch()
    zkexecctl(fleet, "restart")
    failed = fleet.failing("good 0")
    fleet.until(lambda: any(one.log("turn-blocked") for one in fleet.members), "the next one waits")
    assert sorted(births(fleet)) == [1, 1, 2]

    said = zkexecctl(fleet, "retry", "--reason=not yet")
    assert f" failed on {failed.name} (" in said
    failed.until_logged("restart-failed", 2)
    assert sorted(births(fleet)) == [1, 1, 3]

    broken.with_suffix(".mended").touch()
    zkexecctl(fleet, "retry", "--reason=the disk was full")
    restarted(fleet, "good 0")
    assert sorted(births(fleet)) == [2, 2, 4]
    said = zkexecctl(fleet, "retry", status=1)
    assert re.search(r": no version has failed that could be tried again; .* a retry\n$", said)
    fleet.keeps_max_unavailable()


def test_a_second_restart_while_the_first_is_under_way(fleet: Fleet) -> None:
    """It is refused and names who was first; when all have restarted, there can be another one."""
    fleet.options = ("--session-timeout=30",)
    fleet.launch(2)
    fleet[1].freeze()
    zkexecctl(fleet, "restart")
    said = zkexecctl(fleet, "restart", status=1)
    assert f"{fleet.lock}: ann (" in said
    assert "has already requested a restart" in said
    fleet[1].thaw()
    restarted(fleet, "good 0")
    assert births(fleet) == [2, 2]

    zkexecctl(fleet, "restart")
    fleet.until(lambda: births(fleet) == [3, 3], "all have restarted once more")
    fleet.keeps_max_unavailable()


def test_a_group_that_is_older_than_restarts(fleet: Fleet) -> None:
    """Where the znode of restarts is missing, rollouts go on, and it is made when it is needed."""
    fleet.launch(2)
    restart = f"/zkexec/{fleet.lock}/restart"
    fleet.client.delete(restart)
    fleet.push("good 1")
    fleet.at_rest("good 1")
    zkexecctl(fleet, "restart")
    restarted(fleet, "good 1")
    assert births(fleet) == [3, 3]

    fleet.client.delete(restart)
    fleet.push("good 2")
    fleet.at_rest("good 2")
    assert births(fleet) == [4, 4]
    fleet.add().start()
    fleet.at_rest("good 2")
    fleet.push("good 3")
    fleet.at_rest("good 3")
    zkexecctl(fleet, "restart")
    restarted(fleet, "good 3")
    fleet.keeps_max_unavailable()


def test_a_znode_of_restarts_that_nobody_may_read(fleet: Fleet) -> None:
    """Where members may not read it, rollouts and first starts go on as if it were not there."""
    fleet.launch(2)
    restart = f"/zkexec/{fleet.lock}/restart"
    fleet.client.set_acls(restart, [OTHERS])
    fleet.push("good 1")
    fleet.at_rest("good 1")
    fleet.add().start()
    fleet.at_rest("good 1")
    said = zkexecctl(fleet, "restart", status=125)
    assert said == f"zkexecctl: {restart}: the cluster gives no permission for this\n"
    zkexecctl(fleet, "pause", "--reason=lunch")
    zkexecctl(fleet, "resume")

    fleet.client.add_auth("digest", "others:their password")
    fleet.client.set_acls(restart, OPEN_ACL_UNSAFE)
    zkexecctl(fleet, "restart")
    restarted(fleet, "good 1")
    assert births(fleet) == [3, 3, 2]
    fleet.keeps_max_unavailable()
