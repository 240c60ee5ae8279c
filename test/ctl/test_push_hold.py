"""Pushes with a hold: it is written with the contents, or nothing is written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl

from support.group_samples import GroupZnodes, paused
from support.proxy import TRANSACTION, Proxy, Request, Treatment, Way, pass_all
from support.steering_samples import HOLD
from support.waiting import DEADLINE_S, until
from support.zkexecctl import Zkexecctl, entries
from support.zookeeper import Server
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import HeldAgain, Hold, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.time_phrases import full_time
from zkexec.frozen import replace
from zkexec.group.record_codec import decode

KNOWN = RolloutRecord(
    versions={
        "d1": VersionState(1, "s", known_good=True),
        "d2": VersionState(2, "s"),
        "d3": VersionState(3, "s", known_good=True),
    }
)
APPROVAL = "to let all members follow: zkexecctl approve"


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def behind(proxy: Proxy, tmp_path: Path) -> Zkexecctl:
    """An operator behind the proxy."""
    return Zkexecctl(proxy.hosts, tmp_path)


@pytest.fixture
def group(client: KazooClient, root: str) -> Iterator[GroupZnodes]:
    """A group with a member that is up to date."""
    group = GroupZnodes(client, root.strip("/"), f"{root}/conf")
    group.show("m1")
    group.decide(KNOWN)
    yield group
    group.remove()


def record(group: GroupZnodes) -> RolloutRecord:
    """The decisions in the znode of the group."""
    return decode(group.client.get(f"{group.base}/state")[0])


def hold_of(group: GroupZnodes) -> Hold:
    """The hold in the znode of the group."""
    hold = record(group).hold
    assert hold is not None
    return hold


@pytest.mark.parametrize("subcommand", ["push", "undo"])
def test_a_hold_is_written_with_the_contents(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, subcommand: str
) -> None:
    """One transaction has the contents and the hold: number, operator, message, known versions."""
    zkexecctl.push(group.path, b"earlier")
    zkexecctl.push(group.path, b"old")
    pair = f"={zkexecctl.file(b'new')}" if subcommand == "push" else ""
    words = ["--lock", group.lock, "--hold=2", "--yes", "--by=ann", "--message=more cache"]

    answer = zkexecctl.does(subcommand, f"{group.path}{pair}", *words)

    hold = hold_of(group)
    token = entries(client, group.path)[-1]["token"]
    assert hold == Hold(MaxUnavailable(2), "ann", "more cache", ("d1", "d3"), hold.at, token)
    assert client.exists(f"{group.base}/state").mzxid == client.exists(group.path).mzxid
    assert answer.out.splitlines()[-1] == (
        f"{group.lock}: to be held after 2 members; {APPROVAL} {group.lock}"
    )
    (audit_entry,) = record(group).audit
    assert (audit_entry.operation, audit_entry.by, audit_entry.reason, audit_entry.at) == (
        "hold",
        "ann",
        "more cache",
        hold.at,
    )
    assert audit_entry.token == token
    assert record(group).versions == KNOWN.versions


@pytest.mark.parametrize(
    ("option", "after", "text"),
    [("--hold", "1", "1 member"), ("--hold=10%", "10%", "10% of the members")],
)
def test_the_number_of_a_hold(
    zkexecctl: Zkexecctl, group: GroupZnodes, option: str, after: str, text: str
) -> None:
    """Without a number one member gets the new contents; a percentage is kept as it is."""
    answer = zkexecctl.push(group.path, b"new", "--lock", group.lock, option)

    assert str(hold_of(group).after) == after
    assert f"{group.lock}: to be held after {text}; " in answer.out


def test_the_history_shows_the_hold(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """The list has after how many members a push was held, and a column for it only if needed."""
    zkexecctl.push(group.path, b"free")
    assert "HELD" not in zkexecctl.does("history", group.path).out

    zkexecctl.push(group.path, b"new", "--lock", group.lock, "--hold=10%", "--message=cache")

    title, newest, older = zkexecctl.does("history", group.path).out.splitlines()[:3]
    assert title.split()[-2:] == ["HELD", "MESSAGE"]
    assert newest.split()[-3:] == ["after", "10%", "cache"]
    assert "after" not in older
    assert [one["held_after"] for one in zkexecctl.contents(group.path)][:2] == ["10%", None]


def test_without_a_group_nothing_is_pushed(
    zkexecctl: Zkexecctl, client: KazooClient, root: str
) -> None:
    """Without the group there is nothing to hold: this is refused before anything is shown."""
    answer = zkexecctl.refused(f"{root}/conf", b"new", "--lock", root.strip("/"), "--hold")

    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        f"zkexecctl: --hold: there is no group {root.strip('/')} (/zkexec{root}/state does not "
        "exist): start its members first; nothing was pushed\n"
    )
    assert client.exists(f"{root}/conf") is None
    assert entries(client, f"{root}/conf") == []


def test_a_record_that_is_not_understood(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """If the decisions are not valid, nothing is pushed, and they stay as they are."""
    group.client.set(f"{group.base}/state", b"junk")

    answer = zkexecctl.refused(group.path, b"new", "--lock", group.lock, "--hold")

    assert answer.status == 125
    assert f"zkexecctl: {group.base}/state: " in answer.err
    assert group.client.get(group.path)[0] == b"again"
    assert group.client.get(f"{group.base}/state")[0] == b"junk"


def test_a_group_that_may_not_be_written(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """Without the permission to write the decisions, this is the error, and nothing is pushed."""
    group.client.set_acls(f"{group.base}/state", [make_acl("world", "anyone", read=True)])

    answer = zkexecctl.refused(group.path, b"new", "--lock", group.lock, "--hold")

    assert answer.status == 125
    assert answer.err == f"zkexecctl: {group.base}/state: no permission to write it (w)\n"
    assert group.client.get(group.path)[0] == b"again"


def test_a_hold_that_is_there_already(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """A push with a hold warns of an earlier one, replaces it, and approves nothing by that."""
    held = replace(KNOWN, hold=replace(HOLD, known_good=("d1",)))
    group.decide(held)

    answer = zkexecctl.push(group.path, b"new", "--lock", group.lock, "--hold=3")

    assert answer.err == (
        f"zkexecctl: warning: {group.lock} is held after 2 members by ann@hill since "
        f"{full_time(HOLD.at)}: more cache; the hold of this push replaces that one\n"
    )
    assert "to be held after 3 members, instead of 2 members; " in answer.out
    assert hold_of(group).after == MaxUnavailable(3)
    assert hold_of(group).known_good == ("d1",)


def test_a_push_without_a_hold_into_a_held_group(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """The hold stays, and the operator is warned that it applies to this push as well."""
    group.decide(replace(KNOWN, hold=HOLD))

    answer = zkexecctl.push(group.path, b"new", "--lock", group.lock)

    assert answer.err == (
        f"zkexecctl: warning: {group.lock} is held after 2 members by ann@hill since "
        f"{full_time(HOLD.at)}: more cache; the hold applies to this push as well, "
        "unless its contents were known good then; "
        f"{APPROVAL} {group.lock}\n"
    )
    assert hold_of(group) == HOLD


@pytest.mark.parametrize("subcommand", ["push", "undo"])
def test_what_was_known_good_is_held_again(
    zkexecctl: Zkexecctl, group: GroupZnodes, subcommand: str
) -> None:
    """If its history shows it, the hold is about it, and its earlier successes do not count."""
    zkexecctl.push(group.path, b"first")
    zkexecctl.push(group.path, b"canary")
    zxid = group.client.exists(group.path).mzxid
    zkexecctl.push(group.path, b"first")
    good = VersionState(zxid, "s", known_good=True, succeeded=3)
    other = VersionState(zxid - 1, "s", known_good=True)
    group.decide(RolloutRecord(versions={"d1": good, "d2": other}))
    pair = f"={zkexecctl.file(b'canary')}" if subcommand == "push" else ""

    words = ("--yes", "--lock", group.lock, "--hold")
    zkexecctl.does(subcommand, f"{group.path}{pair}", *words)

    hold = hold_of(group)
    assert (hold.known_good, hold.again) == (("d2",), (HeldAgain("d1", 3),))
    now = ConfigVersion("d1", zxid + 9, "s")
    known = replace(record(group), versions={"d1": good, "d2": other})
    assert not known.is_held(now, "m1")
    assert replace(known, versions={"d1": replace(good, succeeded=4)}).is_held(now, "m1")


@pytest.mark.parametrize("why", ["not known good", "other input", "older"])
def test_another_version_is_not_held_again(
    zkexecctl: Zkexecctl, group: GroupZnodes, root: str, why: str
) -> None:
    """Contents that failed, or come with another new input, make no known good version again."""
    group.client.create(f"{root}/other", b"")
    group.show("m1", paths=(group.path, f"{root}/other"))
    zkexecctl.push(group.path, b"canary")
    zxid = group.client.exists(group.path).mzxid
    zkexecctl.push(group.path, b"first")
    if why == "other input":
        group.client.set(f"{root}/other", b"changed")
    state = VersionState(zxid, "s", known_good=why != "not known good")
    state = replace(state, zxid=zxid - 1) if why == "older" else state
    group.decide(RolloutRecord(versions={"d1": state}))

    zkexecctl.push(group.path, b"canary", "--lock", group.lock, "--hold")

    assert hold_of(group).again == ()
    assert hold_of(group).known_good == (() if why == "not known good" else ("d1",))


def test_without_a_push_there_is_no_hold(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """If the contents are there already, or the push is only tried, no hold is written."""
    same = zkexecctl.push(group.path, b"again", "--lock", group.lock, "--hold")
    tried = zkexecctl.push(group.path, b"new", "--lock", group.lock, "--hold", "--dry-run")

    assert same.out.endswith("nothing to push, and so nothing to hold\n")
    assert tried.out.endswith("dry run: nothing was pushed\n")
    assert record(group) == KNOWN


def test_decisions_that_change_meanwhile(
    behind: Zkexecctl, proxy: Proxy, group: GroupZnodes
) -> None:
    """What members decide while the push is on its way is kept, and the hold is added to it."""
    made: list[int] = []

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION and len(made) < 20:
            made.append(len(made))
            group.decide(replace(KNOWN, admissions=len(made), paused=paused()))
        return Treatment.PASS_ON

    proxy.on_request = look

    behind.push(group.path, b"new", "--lock", group.lock, "--hold")

    assert len(made) == 20
    assert hold_of(group).known_good == ("d1", "d3")
    assert record(group).admissions == 20
    assert record(group).paused == paused()
    assert len(entries(group.client, group.path)) == 2


def test_contents_that_change_meanwhile(
    behind: Zkexecctl, proxy: Proxy, group: GroupZnodes
) -> None:
    """If the content was written meanwhile, there is no hold, either."""

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION:
            proxy.on_request = pass_all
            group.push(b"theirs")
        return Treatment.PASS_ON

    proxy.on_request = look

    answer = behind.refused(group.path, b"new", "--lock", group.lock, "--hold")

    assert answer.status == 1
    assert answer.err.endswith("; nothing was pushed\n")
    assert record(group) == KNOWN


def test_a_hold_whose_reply_is_lost(behind: Zkexecctl, proxy: Proxy, group: GroupZnodes) -> None:
    """A push whose reply was lost is reported as done, and has begun one hold."""

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION:
            proxy.black_hole(Way.TO_CLIENT)
        return Treatment.PASS_ON

    proxy.on_request = look
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(behind.push, group.path, b"new", "--lock", group.lock, "--hold")
        until(lambda: group.client.get(group.path)[0] == b"new" or push.done(), "it was done")
        proxy.on_request = pass_all
        proxy.heal()
        answer = push.result(DEADLINE_S)

    assert f"{group.path}: pushed as @2 " in answer.out
    assert hold_of(group).after == MaxUnavailable(1)
    assert [one.operation for one in record(group).audit] == ["hold"]
    assert group.client.exists(group.path).version == 2


def test_a_tree_is_held(zkexecctl: Zkexecctl, group: GroupZnodes, root: str) -> None:
    """The hold of a push of several paths and trees is in the same transaction as all of them."""
    folder = zkexecctl.folder / "site"
    folder.mkdir()
    (folder / "a.conf").write_text("a")
    pair = f"{group.path}={zkexecctl.file(b'new')}"

    words = ["--yes", "--lock", group.lock, "--hold"]
    zkexecctl.does("push", pair, f"{root}/site/={folder}/", *words)

    assert hold_of(group).after == MaxUnavailable(1)
    paths = (f"{group.base}/state", group.path, f"{root}/site/a.conf")
    assert len({group.client.exists(path).mzxid for path in paths}) == 1
    assert zkexecctl.contents(f"{root}/site/")[0]["held_after"] == "1"


def held_push(zkexecctl: Zkexecctl, group: GroupZnodes, *more: str) -> None:
    """Push new content with a hold, after two pushes without one."""
    zkexecctl.push(group.path, b"old")
    pair = f"{group.path}={zkexecctl.file(b'new', 'held')}"
    zkexecctl.does("push", pair, *more, "--yes", "--lock", group.lock, "--hold")
    assert record(group).hold is not None


def test_an_undo_of_the_push_ends_its_hold(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """With the group, the undo ends the hold in its transaction, also after a newer push."""
    held_push(zkexecctl, group)
    zkexecctl.push(group.path, b"newer")
    words = ["undo", group.path, "--yes", "--lock", group.lock, "--by=bob", "--message=bad"]

    first = zkexecctl.does(*words)

    assert group.client.get(group.path)[0] == b"new"
    assert record(group).hold is not None
    assert "the hold applies to this push as well" in first.err
    second = zkexecctl.does(*words)
    assert group.client.get(group.path)[0] == b"old"
    assert record(group).hold is None
    assert [(one.operation, one.by, one.reason) for one in record(group).audit][1:] == [
        ("undo", "bob", "bad")
    ]
    base, path = (group.client.exists(p) for p in (f"{group.base}/state", group.path))
    assert base.mzxid == path.mzxid
    assert f"{group.lock}: the hold of the push has ended; it was held after 1 member" in second.out
    assert second.err.endswith("; this undo ends the hold\n")


def test_an_undo_without_the_group_leaves_the_hold(
    zkexecctl: Zkexecctl, group: GroupZnodes
) -> None:
    """Without --lock the hold stays, and the operator is warned of it, with the way to end it."""
    held_push(zkexecctl, group)

    answer = zkexecctl.does("undo", group.path, "--yes")

    assert record(group).hold is not None
    assert answer.err == (
        "zkexecctl: warning: @3 was pushed with a hold, which this undo does not end without "
        "--lock NAME; to remove it: zkexecctl approve NAME\n"
    )
    assert zkexecctl.does("undo", group.path, "--yes").err == ""


def held_push_of_two(zkexecctl: Zkexecctl, group: GroupZnodes, root: str, *, is_tree: bool) -> str:
    """Push two contents with a hold, of one tree or of two inputs; return the second path."""
    other = f"{root}/parts/other"
    group.client.create(other, b"old", makepath=True)
    if is_tree:
        group.path = f"{root}/parts/sub/one"
        group.client.create(group.path, b"first", makepath=True)
    paths = (f"{root}/parts/",) if is_tree else (group.path, other)
    group.show("m1", paths=paths)
    held_push(zkexecctl, group, f"{other}={zkexecctl.file(b'new', 'other')}")
    return other


@pytest.mark.parametrize("is_tree", [False, True])
def test_an_undo_of_a_part_of_the_push_leaves_the_hold(
    zkexecctl: Zkexecctl, group: GroupZnodes, root: str, *, is_tree: bool
) -> None:
    """What the push has written to other inputs is not approved by the undo of one of them."""
    held_push_of_two(zkexecctl, group, root, is_tree=is_tree)

    part = zkexecctl.does("undo", group.path, "--yes", "--lock", group.lock)

    assert group.client.get(group.path)[0] == b"old"
    assert record(group).hold is not None
    assert "the hold applies to this push as well" in part.err


@pytest.mark.parametrize("is_tree", [False, True])
def test_an_undo_of_all_of_the_push_ends_the_hold(
    zkexecctl: Zkexecctl, group: GroupZnodes, root: str, *, is_tree: bool
) -> None:
    """If nothing of the push is left in any input, the hold ends."""
    other = held_push_of_two(zkexecctl, group, root, is_tree=is_tree)

    zkexecctl.does("undo", group.path, other, "--yes", "--lock", group.lock)

    assert record(group).hold is None


def test_an_undo_without_the_permission_to_end_the_hold(
    zkexecctl: Zkexecctl, group: GroupZnodes
) -> None:
    """The content is brought back all the same; the hold stays, with a warning."""
    held_push(zkexecctl, group)
    group.client.set_acls(f"{group.base}/state", [make_acl("world", "anyone", read=True)])

    answer = zkexecctl.does("undo", group.path, "--yes", "--lock", group.lock)

    assert group.client.get(group.path)[0] == b"old"
    assert record(group).hold is not None
    assert f"{APPROVAL} {group.lock}" in answer.err
