"""Trees of a real server: contents, watches, permissions, limits, and no torn read."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from support.posted_events import (
    Opener,
    PostedEvents,
    connected_client,
    connected_member,
    drive_until,
    ensemble_of,
    group_place,
)
from support.program import Program
from support.proxy import READS_ONLY, TRANSACTION, Proxy, Request, Treatment
from support.zookeeper import Server
from zkexec.core.events import ReadFailed, SessionConnected, ZnodesRead, ZnodeTouched
from zkexec.core.rollout.group_events import RecordCommitted
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.snapshot import MOST_ZNODES, Problem, Tree
from zkexec.runtime.cluster_session import ClusterSession

SECRET = [make_digest_acl("some", "one", all=True)]


@pytest.fixture
def tree(client: KazooClient, root: str) -> str:
    """The root of a small tree: /a, /sub, /sub/x and /empty, whose contents are their names."""
    path = f"{root}/tree"
    client.create(path, b"root")
    for name in ("a", "sub", "sub/x"):
        client.create(f"{path}/{name}", name.encode())
    client.create(f"{path}/empty")
    return path


CONTENTS = {"": b"root", "a": b"a", "sub": b"sub", "sub/x": b"sub/x", "empty": b""}
CHANGED = {"": b"root", "a": b"new", "sub": b"sub", "sub/x": b"sub/x", "sub/y": b"new"}
"""After /a was changed, /empty deleted and /sub/y created."""


def create(client: KazooClient, root: str, names: Iterable[str], content: bytes = b"x") -> None:
    """Create many znodes below a root, in few transactions."""
    names = list(names)
    at_once = max(1, min(500, 500_000 // (len(content) + 100)))
    for start in range(0, len(names), at_once):
        transaction = client.transaction()
        for name in names[start : start + at_once]:
            transaction.create(f"{root}/{name}", content)
        for result in transaction.commit():
            assert isinstance(result, str)


@contextmanager
def ready(server: Server, *paths: str) -> Iterator[tuple[ClusterSession, PostedEvents]]:
    """A session right with a server, which has shown by a first read whether it is an old one."""
    with ensemble_of(server.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        if isinstance(posted.answer(ensemble), ReadFailed):
            posted.next(SessionConnected)
            posted.trees(ensemble)
        yield ensemble, posted


def test_contents_of_a_tree(opened: Opener, client: KazooClient, tree: str) -> None:
    """Each znode of a tree comes with its bytes and statistics, by its path below the root."""
    with opened(f"{tree}/") as (ensemble, posted):
        assert posted.tree_contents(ensemble, tree) == CONTENTS
        stat = client.set(f"{tree}/sub/x", b"\0binary\xff")
        found = posted.trees(ensemble)[tree]
        znode = found.znodes["sub/x"]
        assert (znode.path, znode.content) == (f"{tree}/sub/x", b"\0binary\xff")
        assert (znode.mzxid, znode.version, znode.is_ephemeral) == (stat.mzxid, 1, False)
        assert found.zxid == stat.mzxid


def test_the_zxid_counts_what_was_removed(opened: Opener, client: KazooClient, tree: str) -> None:
    """The newest transaction of a tree can be the one that has removed something."""
    with opened(f"{tree}/") as (ensemble, posted):
        before = posted.trees(ensemble)[tree]
        client.delete(f"{tree}/sub/x")
        after = posted.trees(ensemble)[tree]
        assert after.zxid == client.exists(f"{tree}/sub").pzxid
        assert after.zxid > before.zxid == max(z.mzxid for z in before.znodes.values())


def test_ephemeral_znodes_are_marked(opened: Opener, client: KazooClient, tree: str) -> None:
    """An ephemeral znode is read as any other, and marked."""
    client.create(f"{tree}/here", b"me", ephemeral=True)
    with opened(f"{tree}/") as (ensemble, posted):
        znodes = posted.trees(ensemble)[tree].znodes
        assert znodes["here"].content == b"me"
        assert [path for path, znode in znodes.items() if znode.is_ephemeral] == ["here"]


def test_trees_and_single_znodes(opened: Opener, client: KazooClient, root: str, tree: str) -> None:
    """All inputs are read together: znodes and trees, also a tree within another."""
    client.create(f"{root}/single", b"1")
    with opened(f"{root}/single", f"{tree}/sub", f"{tree}/", f"{tree}/sub/") as (ensemble, posted):
        answer = posted.answer(ensemble)
        assert isinstance(answer, ZnodesRead)
        assert {path: znode.content for path, znode in answer.znodes.items()} == {
            f"{root}/single": b"1",
            f"{tree}/sub": b"sub",
        }
        assert answer.trees.keys() == {tree, f"{tree}/sub"}
        assert answer.trees[f"{tree}/sub"].znodes.keys() == {"", "x"}
        client.set(f"{root}/single", b"2")
        posted.next(ZnodeTouched, path=f"{root}/single")
        assert posted.contents(ensemble)[f"{root}/single"] == b"2"


def test_each_change_of_a_tree_is_reported(opened: Opener, client: KazooClient, tree: str) -> None:
    """Whatever is added, changed or removed is reported, and the next read shows it."""
    contents = dict(CONTENTS)
    with opened(f"{tree}/") as (ensemble, posted):
        assert posted.tree_contents(ensemble, tree) == contents
        for round_number in range(3):
            content = str(round_number).encode()
            client.create(f"{tree}/a/new", content)
            posted.next(ZnodeTouched, path=f"{tree}/a")
            contents["a/new"] = content
            assert posted.tree_contents(ensemble, tree) == contents
            client.set(f"{tree}/a/new", b"changed")
            posted.next(ZnodeTouched, path=f"{tree}/a/new")
            contents["a/new"] = b"changed"
            assert posted.tree_contents(ensemble, tree) == contents
            client.create(f"{tree}/a/new/below", content)
            posted.next(ZnodeTouched, path=f"{tree}/a/new")
            assert posted.tree_contents(ensemble, tree)["a/new/below"] == content
            client.delete(f"{tree}/a/new", recursive=True)
            posted.next(ZnodeTouched, path=f"{tree}/a")
            del contents["a/new"]
            assert posted.tree_contents(ensemble, tree) == contents
            client.set(tree, content)
            posted.next(ZnodeTouched, path=tree)
            contents[""] = content
            assert posted.tree_contents(ensemble, tree) == contents


def test_a_root_that_comes_and_goes(opened: Opener, client: KazooClient, root: str) -> None:
    """A missing root is no failure of the read; its creation is reported each time."""
    path = f"{root}/later"
    with opened(f"{path}/") as (ensemble, posted):
        for content in (b"1", b"2"):
            assert posted.trees(ensemble)[path] == Tree({}, problem=Problem.MISSING)
            client.create(path, content)
            posted.next(ZnodeTouched, path=path)
            assert posted.tree_contents(ensemble, path) == {"": content}
            client.create(f"{path}/a", content)
            posted.next(ZnodeTouched, path=path)
            assert posted.tree_contents(ensemble, path) == {"": content, "a": content}
            client.delete(path, recursive=True)
            posted.next(ZnodeTouched, path=path)


def test_a_root_that_is_replaced_in_one_transaction(
    opened: Opener, client: KazooClient, root: str
) -> None:
    """A root that is deleted and created again at once is reported, and read as it is now."""
    path = f"{root}/again"
    client.create(path, b"same")
    client.create(f"{path}/old", b"old")
    with opened(f"{path}/") as (ensemble, posted):
        before = posted.trees(ensemble)[path]
        transaction = client.transaction()
        transaction.delete(f"{path}/old")
        transaction.delete(path)
        transaction.create(path, b"same")
        transaction.create(f"{path}/new", b"new")
        transaction.commit()
        posted.next(ZnodeTouched, path=path)
        assert posted.tree_contents(ensemble, path) == {"": b"same", "new": b"new"}
        assert posted.trees(ensemble)[path].zxid > before.zxid
        client.set(f"{path}/new", b"newer")
        posted.next(ZnodeTouched, path=f"{path}/new")


def test_a_part_that_may_not_be_read(opened: Opener, client: KazooClient, tree: str) -> None:
    """A znode that may not be read has this problem, and what is below it is not known.

    It is read once it is permitted.
    """
    client.set_acls(f"{tree}/sub", SECRET)
    with opened(f"{tree}/") as (ensemble, posted):
        znodes = posted.trees(ensemble)[tree].znodes
        assert znodes.keys() == {"", "a", "sub", "empty"}
        assert {p: z.problem for p, z in znodes.items() if z.problem} == {"sub": Problem.FORBIDDEN}
        client.add_auth("digest", "some:one")
        client.set_acls(f"{tree}/sub", OPEN_ACL_UNSAFE)
        assert posted.tree_contents(ensemble, tree) == CONTENTS
        client.set(f"{tree}/sub/x", b"new")
        posted.next(ZnodeTouched, path=f"{tree}/sub/x")


def test_a_permission_that_is_withdrawn(opened: Opener, client: KazooClient, tree: str) -> None:
    """The next read shows that a znode may not be read any more, even if it has not changed."""
    with opened(f"{tree}/") as (ensemble, posted):
        assert posted.tree_contents(ensemble, tree) == CONTENTS
        client.set_acls(f"{tree}/a", SECRET)
        assert posted.trees(ensemble)[tree].znodes["a"].problem is Problem.FORBIDDEN
        client.set_acls(tree, SECRET)
        found = posted.trees(ensemble)[tree]
        assert found.znodes.keys() == {""}
        assert found.znodes[""].problem is Problem.FORBIDDEN


def test_trees_below_a_chroot(opened: Opener, client: KazooClient, root: str, tree: str) -> None:
    """Below a chroot all paths are those without it, also those that are touched."""
    with opened("/tree/", chroot=root) as (ensemble, posted):
        found = posted.trees(ensemble)["/tree"]
        assert found.znodes["sub/x"].path == "/tree/sub/x"
        assert found.znodes[""].path == "/tree"
        client.set(f"{tree}/sub/x", b"new")
        assert posted.next(ZnodeTouched).path == "/tree/sub/x"
        client.set(tree, b"new")
        posted.next(ZnodeTouched, path="/tree")


def test_a_missing_chroot_is_named(opened: Opener, client: KazooClient, root: str) -> None:
    """Below a chroot that does not exist a tree has another problem than being missing."""
    with opened("/tree/", chroot=f"{root}/later") as (ensemble, posted):
        assert posted.trees(ensemble)["/tree"].problem is Problem.NO_CHROOT
        client.create(f"{root}/later")
        assert posted.trees(ensemble)["/tree"].problem is Problem.MISSING
        client.create(f"{root}/later/tree", b"now")
        posted.next(ZnodeTouched, path="/tree")
        assert posted.tree_contents(ensemble, "/tree") == {"": b"now"}


def test_a_tree_that_nobody_may_write(
    opened: Opener, proxy: Proxy, client: KazooClient, root: str
) -> None:
    """A client that may only read reads everything, and sends nothing that could write."""
    readable = [make_acl("world", "anyone", read=True)]
    client.create(f"{root}/tree", b"1", acl=readable)
    with opened(f"{root}/tree/", f"{root}/missing/") as (ensemble, posted):
        assert posted.trees(ensemble).keys() == {f"{root}/tree", f"{root}/missing"}
        client.create(f"{root}/missing")
        posted.next(ZnodeTouched)
        posted.trees(ensemble)
    assert proxy.opcodes
    assert set(proxy.opcodes) <= READS_ONLY


_WRITER = """
import sys
import time
from itertools import count
from kazoo.client import KazooClient

hosts, root, pause_s = sys.argv[1:]
client = KazooClient(hosts=hosts)
client.start()
places = [root + "/a", root + "/b/deep", root + "/c"]
for number in count(1):
    token = str(number).encode()
    transaction = client.transaction()
    old, new = places[(number - 1) % 3], places[number % 3]
    if number > 1:
        transaction.delete(old + "/token")
    transaction.create(new + "/token", token)
    transaction.set_data(old, token)
    transaction.set_data(new, token)
    transaction.commit()
    time.sleep(float(pause_s))
"""


def test_no_torn_read_of_a_tree(
    request: pytest.FixtureRequest,
    opened: Opener,
    zookeeper: Server,
    client: KazooClient,
    root: str,
) -> None:
    """A znode that moves about in a tree is always at just one place, with what belongs to it."""
    for name in ("a", "b", "b/deep", "c"):
        client.create(f"{root}/{name}", b"0")
    is_old = request.node.callspec.params["opened"] == "twice"
    writer = Program(
        sys.executable, "-c", _WRITER, zookeeper.hosts, root, "0.03" if is_old else "0.005"
    )
    seen: set[bytes] = set()
    failed = 0
    with writer:
        drive_until(lambda: len(client.get_children(f"{root}/a")), "the first token")
        with opened(f"{root}/") as (ensemble, posted):
            end = time.monotonic() + 10.0
            while time.monotonic() < end and len(seen) < 300:
                answer = posted.answer(ensemble)
                if isinstance(answer, ReadFailed):
                    failed += 1
                    continue
                contents = {p: z.content for p, z in answer.trees[root].znodes.items()}
                (place,) = [path for path in contents if path.endswith("/token")]
                token = contents[place]
                assert contents[place.removesuffix("/token")] == token
                assert [contents[name] for name in ("a", "b/deep", "c")].count(token) >= (
                    2 if int(token) > 1 else 1
                )
                seen.add(token)
        assert writer.is_running()
    # A writer that rests, or reads that all fail, would prove nothing.
    assert len(seen) > 20
    assert failed < len(seen)


def test_thousands_of_znodes(zookeeper: Server, client: KazooClient, root: str) -> None:
    """As many znodes as are permitted are read, and a change of any one of them is reported."""
    folders = [f"f{number:02}" for number in range(20)]
    names = [f"{folder}/{n:03}" for folder in folders for n in range(MOST_ZNODES // 20 - 2)]
    create(client, root, [*folders, *names])
    with ready(zookeeper, f"{root}/") as (ensemble, posted):
        contents = posted.tree_contents(ensemble, root)
        assert contents == {"": b"", **dict.fromkeys([*folders, *names], b"x")}
        for name in (names[0], names[2500], names[-1]):
            client.set(f"{root}/{name}", b"new")
            posted.next(ZnodeTouched, path=f"{root}/{name}")
            contents[name] = b"new"
            assert posted.tree_contents(ensemble, root) == contents
        client.delete(f"{root}/{names[7]}")
        posted.next(ZnodeTouched, path=f"{root}/{folders[0]}")
        del contents[names[7]]
        assert posted.tree_contents(ensemble, root) == contents


def test_too_many_znodes(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A tree with too many znodes has this problem; a smaller tree is read all the same.

    It is read once there are fewer.
    """
    large = f"{root}/large"
    client.create(large)
    client.create(f"{root}/small", b"s")
    create(client, large, [*"abc", *[f"{part}/{n}" for part in "abc" for n in range(1664)]])
    with ready(zookeeper, f"{large}/", f"{root}/small/") as (ensemble, posted):
        found = posted.trees(ensemble)
        assert found[f"{root}/small"].znodes[""].content == b"s"
        assert len(found[large].znodes) == 1 + 3 + 3 * 1664
        create(client, large, [f"b/more-{n}" for n in range(20)])
        posted.next(ZnodeTouched, path=f"{large}/b")
        found = posted.trees(ensemble)
        assert found[large] == Tree({}, problem=Problem.TOO_MANY)
        assert found[f"{root}/small"].znodes[""].content == b"s"
        for number in range(20):
            client.delete(f"{large}/b/more-{number}")
        posted.next(ZnodeTouched, path=f"{large}/b")
        assert posted.trees(ensemble)[large].problem is None


def test_a_tree_that_was_too_much_is_tried_again(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """Rearming has a tree that was refused read again, as not all of it is watched."""
    create(client, root, ["a", *[f"a/{number}" for number in range(MOST_ZNODES)]])
    with ready(zookeeper, f"{root}/", f"{root}/none/") as (ensemble, posted):
        assert posted.trees(ensemble)[root].problem is Problem.TOO_MANY
        ensemble.rearm()
        posted.next(ZnodeTouched, path=root)
        for number in range(3):
            client.delete(f"{root}/a/{number}")
        assert posted.trees(ensemble)[root].problem is None
        ensemble.rearm()
        posted.trees(ensemble)
        assert ZnodeTouched(root) not in posted.since_mark(ZnodeTouched)


@pytest.fixture
def roomy_server() -> Iterable[Server]:
    """A server with memory for more than is permitted."""
    server = Server(options=("-Xmx512m",))
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_too_many_bytes(roomy_server: Server) -> None:
    """A tree of too many bytes has this problem, and none of its contents is requested."""
    with (
        connected_client(roomy_server.hosts) as client,
        ready(roomy_server, "/large/") as (ensemble, posted),
    ):
        client.create("/large")
        for number in range(66):
            client.create(f"/large/{number:02}", bytes(1_000_000))
        found = posted.trees(ensemble)["/large"]
        assert len(found.znodes) == 67
        assert all(len(found.znodes[f"{n:02}"].content) == 1_000_000 for n in range(66))
        for number in range(66, 68):
            client.create(f"/large/{number:02}", bytes(1_000_000))
        assert posted.trees(ensemble)["/large"] == Tree({}, problem=Problem.TOO_LARGE)
        posted.next(ZnodeTouched, path="/large")
        client.set("/large/00", b"")
        posted.next(ZnodeTouched, path="/large/00")
        assert posted.trees(ensemble)["/large"].znodes["67"].content == bytes(1_000_000)


def test_a_large_tree_harms_no_server(own_zookeeper: Server) -> None:
    """A server with little memory survives a tree that fills a good part of it."""
    with (
        connected_client(own_zookeeper.hosts) as client,
        ready(own_zookeeper, "/tree/") as (ensemble, posted),
    ):
        client.create("/tree")
        create(client, "/tree", [f"{number:04}" for number in range(2000)], bytes(10_000))
        assert len(posted.trees(ensemble)["/tree"].znodes) == 2001
        client.set("/tree/0007", b"new")
        posted.next(ZnodeTouched, path="/tree/0007")
        assert posted.trees(ensemble)["/tree"].znodes["0007"].content == b"new"
        assert own_zookeeper.is_serving()


def watch_count(server: Server) -> int:
    """How many watches the server keeps."""
    found = re.search(r"zk_watch_count\s+(\d+)", server.ask("mntr"))
    assert found, server.ask("mntr")
    return int(found[1])


def test_no_watch_is_left_behind(own_zookeeper: Server) -> None:
    """However often znodes come and go, each that exists has two watches, and no other has one."""
    with (
        connected_client(own_zookeeper.hosts) as client,
        ready(own_zookeeper, "/tree/") as (ensemble, posted),
    ):
        client.create("/tree")
        names = [f"{number:02}" for number in range(50)]
        for _ in range(3):
            create(client, "/tree", names)
            posted.next(ZnodeTouched, path="/tree")
            posted.trees(ensemble)
            assert len(posted.trees(ensemble)["/tree"].znodes) == 51
            assert watch_count(own_zookeeper) == 2 * 51
            client.delete("/tree", recursive=True)
            client.create("/tree")
            posted.next(ZnodeTouched, path="/tree")
            posted.trees(ensemble)
            assert len(posted.trees(ensemble)["/tree"].znodes) == 1
            assert watch_count(own_zookeeper) == 2


def test_what_was_missed_is_reported_by_rearming(
    opened: Opener, proxy: Proxy, client: KazooClient, tree: str
) -> None:
    """Changes of contents and of children whose events are lost are reported by rearming."""
    with opened(f"{tree}/") as (ensemble, posted):
        posted.trees(ensemble)
        proxy.loses_events = True
        client.set(f"{tree}/a", b"new")
        client.create(f"{tree}/sub/y", b"new")
        client.delete(f"{tree}/empty")
        # Of the deleted one, and of the children of the root.
        drive_until(lambda: proxy.lost_events == 4, "four lost events")
        proxy.loses_events = False
        assert not posted.since_mark(ZnodeTouched)

        ensemble.rearm()

        touched = {posted.next(ZnodeTouched).path for _ in range(4)}
        assert touched == {f"{tree}/a", f"{tree}/sub", f"{tree}/empty", tree}
        found = posted.tree_contents(ensemble, tree)
        assert found == {
            "": b"root",
            "a": b"new",
            "sub": b"sub",
            "sub/x": b"sub/x",
            "sub/y": b"new",
        }
        ensemble.rearm()
        posted.trees(ensemble)
        assert not posted.since_mark(ZnodeTouched)


def test_rearming_a_tree_at_rest_reports_nothing(
    opened: Opener, client: KazooClient, tree: str
) -> None:
    """If nothing was missed nothing is touched, whichever transactions the znodes are known of."""
    with opened(f"{tree}/", f"{tree}/none/") as (ensemble, posted):
        posted.trees(ensemble)
        for name in ("a", "sub/x", "sub/y"):
            if name == "sub/y":
                client.create(f"{tree}/{name}")
            else:
                client.set(f"{tree}/{name}", b"new")
            posted.next(ZnodeTouched)
            posted.trees(ensemble)
            ensemble.rearm()
            posted.trees(ensemble)
            assert not posted.since_mark(ZnodeTouched)


def test_a_change_between_exploring_and_reading(
    opened: Opener, proxy: Proxy, client: KazooClient, tree: str
) -> None:
    """What changes before the watches are set is reported, or in what is read."""
    done: list[int] = []

    def change(request: Request) -> Treatment:
        if request.opcode == 101 and not done:
            done.append(request.opcode)
            client.set(f"{tree}/a", b"new")
            client.create(f"{tree}/sub/y", b"new")
            client.delete(f"{tree}/empty")
        return usual(request)

    with opened(f"{tree}/") as (ensemble, posted):
        usual = proxy.on_request
        proxy.on_request, proxy.one_by_one = change, True
        assert posted.tree_contents(ensemble, tree) == CHANGED
        assert done


def test_a_reconnect_has_everything_read_and_watched_again(
    opened: Opener, proxy: Proxy, client: KazooClient, tree: str
) -> None:
    """After a lost connection the first read shows what has changed, and sets all watches."""
    with opened(f"{tree}/") as (ensemble, posted):
        posted.trees(ensemble)
        proxy.cut()
        client.set(f"{tree}/a", b"new")
        posted.next(SessionConnected)
        assert posted.tree_contents(ensemble, tree)["a"] == b"new"
        client.create(f"{tree}/sub/y", b"")
        posted.next(ZnodeTouched, path=f"{tree}/sub")


def test_a_watch_fires_before_an_admission_is_answered(
    proxy: Proxy, client: KazooClient, root: str, tree: str
) -> None:
    """What is created in a tree before an admission is committed is reported before its answer.

    The version check of the root does not notice it, so the member relies on this order.
    """

    def create_first(request: Request) -> Treatment:
        if request.opcode == TRANSACTION:
            client.create(f"{tree}/sub/new", b"new")
        return Treatment.PASS_ON

    place = group_place(f"{root}/g")
    with connected_member(proxy.hosts, group=place, paths=(f"{tree}/",)) as member:
        posted, ensemble = member.posted, member.ensemble
        if isinstance(posted.answer(ensemble), ReadFailed):
            # An old server has refused to read at once.
            posted.next(SessionConnected)
        check = {tree: posted.trees(ensemble)[tree].znodes[""].version}
        member.enrol()
        commit = member.commit_request(RolloutRecord(last_admitted=1), checks=check)
        proxy.on_request, proxy.one_by_one = create_first, True
        member.get(RecordCommitted, commit)
        kinds = [
            type(event)
            for event in posted.events
            if event == ZnodeTouched(f"{tree}/sub") or isinstance(event, RecordCommitted)
        ]
        assert kinds == [ZnodeTouched, RecordCommitted]
