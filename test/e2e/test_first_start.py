"""The first start: what has to be there before the command runs, and what is said otherwise."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL, READ_ACL_UNSAFE

from e2e.scene import Scene, shell
from proxy import READS_ONLY, Proxy
from zookeeper import Port, Server

CANNOT_WORK = 125


@contextmanager
def dead_port() -> Iterator[str]:
    """A host that refuses every connection."""
    port = Port()
    try:
        yield f"127.0.0.1:{port.number}"
    finally:
        port.release()


@contextmanager
def mute_port() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    port = Port()
    with socket.create_server(("127.0.0.1", port.number), backlog=100):
        yield f"127.0.0.1:{port.number}"
    port.release()


def test_files_stand_before_the_command_starts(scene: Scene) -> None:
    """The first start reads what ZooKeeper holds, also in a folder that is yet to be made."""
    scene.create(a=b"one", b=b"two\n")
    scene.folder.rmdir()

    run = scene.wrap(names="a b")

    assert scene.born().files == {"a": "one", "b": "two\n"}
    assert run.end() == 0
    assert scene.content("a") == b"one"


def test_a_missing_znode_is_named(scene: Scene) -> None:
    """One line names the znode that is missing, and nothing was started or written."""
    scene.create(a=b"one")

    run = scene.wrap("--silent", names="a nowhere")

    assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    assert f"{scene.path('nowhere')} does not exist" in run.said
    assert scene.path("a") not in run.said
    assert not scene.births()
    assert not list(scene.folder.iterdir())


def test_all_missing_znodes_are_named_at_once(scene: Scene) -> None:
    """Several missing znodes, and empty ones, are named in one line."""
    scene.create(c=b"")

    run = scene.wrap("--silent", names="a b c")

    assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    for words in ("a does not exist", "b does not exist", "c is empty"):
        assert f"{scene.root}/{words}" in run.said


def test_start_wait_waits_for_all(scene: Scene) -> None:
    """With --start wait the command starts as soon as the last missing znode is there."""
    run = scene.wrap("--start=wait", names="a b")
    assert scene.path("a") in run.line(r"waiting .*/a does not exist.*/b does not exist")

    scene.create(a=b"one")
    run.line(r"waiting .*: [^,]*/b does not exist$")
    assert not scene.births()
    scene.create(b=b"two")

    assert scene.born().files == {"a": "one", "b": "two"}
    assert run.end() == 0
    assert len(scene.births()) == 1


def test_a_wait_outlives_a_lost_connection(scene: Scene, proxy: Proxy) -> None:
    """A znode that is made while the cluster is away is found when it is back."""
    scene.hosts = proxy.hosts
    run = scene.wrap("--start=wait", "--connect-timeout=5")
    run.line("waiting")

    proxy.refuse()
    run.line("connection to the cluster lost")
    scene.create(a=b"one")
    proxy.heal()

    assert scene.born().files == {"a": "one"}
    assert run.end() == 0


def test_start_wait_does_not_wait_for_the_cluster(scene: Scene) -> None:
    """With --start wait a cluster that is unreachable is as fatal as without."""
    with dead_port() as scene.hosts:
        run = scene.wrap("--silent", "--start=wait", "--connect-timeout=0.5")

        assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    assert "Connection refused" in run.said


def test_a_wait_can_be_ended(scene: Scene) -> None:
    """A TERM ends zkexec while it waits for a znode; nothing was started."""
    run = scene.wrap("--start=wait")
    run.line("waiting")

    assert run.end() == -15
    assert not scene.births()


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        (dead_port, "Connection refused"),
        (mute_port, "no answer within"),
        (lambda: nullcontext("no-such-host.invalid:2181"), "cannot be resolved"),
    ],
)
def test_an_unreachable_cluster_is_named_with_its_cause(
    scene: Scene, host: Callable[[], AbstractContextManager[str]], cause: str
) -> None:
    """A host that refuses, one that is mute, and a name that nobody knows: 125 and the cause."""
    with host() as scene.hosts:
        run = scene.wrap("--silent", "--connect-timeout=2", "--session-timeout=3")

        assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    assert scene.hosts in run.said
    assert cause in run.said
    assert not scene.births()


@pytest.mark.parametrize("bad", [dead_port, mute_port])
def test_bad_hosts_among_good_ones_do_no_harm(
    scene: Scene, bad: Callable[[], AbstractContextManager[str]]
) -> None:
    """A host that refuses or is mute costs less than the connect timeout where another is good."""
    scene.create(a=b"one")
    with bad() as first, bad() as second:
        scene.hosts = f"{first},{second},{scene.hosts}"

        run = scene.wrap("--connect-timeout=30", "--session-timeout=3")

        assert scene.born().files == {"a": "one"}
        assert run.end() == 0


def test_start_cached_uses_the_files_that_are_there(scene: Scene, proxy: Proxy) -> None:
    """Without the cluster --start cached starts on the files, and catches up once it is back."""
    scene.create(a=b"one", b=b"two")
    scene.file("a").write_text("older")
    scene.file("b").write_text("two")
    proxy.refuse()
    scene.hosts = proxy.hosts

    run = scene.wrap("--start=cached", "--connect-timeout=0.5", names="a b")
    assert scene.born().files == {"a": "older", "b": "two"}
    run.line("starting on the files that are there")
    proxy.heal()

    assert scene.born(2).files == {"a": "one", "b": "two"}
    assert run.end() == 0
    assert run.all(r"wrote .*/a ")
    assert not run.all(r"wrote .*/b ")


def test_start_cached_without_a_file(scene: Scene) -> None:
    """Where a file is missing, --start cached ends with 125 and one line that names it."""
    scene.file("a").write_text("older")
    with dead_port() as scene.hosts:
        run = scene.wrap("--silent", "--start=cached", "--connect-timeout=0.5", names="a b")

        assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    assert str(scene.file("b")) in run.said
    assert not scene.births()


def test_start_cached_prefers_the_cluster(scene: Scene) -> None:
    """A cluster that answers is what --start cached starts on, whatever the files hold."""
    scene.create(a=b"one")
    scene.file("a").write_text("older")

    run = scene.wrap("--start=cached")

    assert scene.born().files == {"a": "one"}
    assert run.end() == 0
    assert len(scene.births()) == 1


@pytest.mark.parametrize(
    "host", [dead_port, mute_port, lambda: nullcontext("no-such-host.invalid:2181")]
)
def test_nothing_to_mirror_needs_no_cluster(
    scene: Scene, host: Callable[[], AbstractContextManager[str]]
) -> None:
    """With nothing to mirror a cluster that does not answer is one warning, and the command runs.

    It does not matter how long the cluster may take for an answer.
    """
    with host() as scene.hosts:
        run = scene.start("--session-timeout=3600", "--connect-timeout=3600", "--exec=echo hello")

        assert run.wait() == 0
    assert run.out == ["hello"]
    assert len(run.all("nothing is mirrored, so the command starts without it")) == 1


def test_connecting_continues_beside_a_command_that_needs_no_cluster(
    scene: Scene, proxy: Proxy
) -> None:
    """A cluster that comes after such a command has started is connected to."""
    proxy.refuse()
    scene.hosts = proxy.hosts

    run = scene.start("--exec=sleep 1000")
    run.line("forked")
    proxy.heal()

    run.line(" connected$")
    said = [line.split("] ")[1].split()[0] for line in run.lines]
    assert said == ["connecting", "cannot", "no", "forking", "forked", "connected"]
    assert run.end() == -signal.SIGTERM


def test_silent_says_nothing_of_a_failed_child(scene: Scene) -> None:
    """A command that fails under --silent leaves no line, and its status is zkexec's."""
    scene.create(a=b"one")

    run = scene.start("--silent", *scene.mirrors("a"), f"--exec={shell('sh', '-c', 'exit 7')}")

    assert run.wait() == 7
    assert run.lines == []


def test_a_chroot_is_put_before_every_path(scene: Scene) -> None:
    """With HOST:PORT/PATH znodes are looked for below PATH, and changes there are seen."""
    scene.create(a=b"one")
    scene.hosts += scene.root
    chrooted = f"--mirror={scene.file('a')}=/a"

    run = scene.start(chrooted, f"--exec={scene.recorder('a')}")
    assert scene.born().files == {"a": "one"}
    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    run.line("registering callback on /a$")
    assert run.end() == 0


def test_read_permission_is_enough(scene: Scene) -> None:
    """A znode that all may read and only its owner may write is mirrored, with its changes."""
    scene.client.add_auth("digest", "owner:secret")
    scene.client.create(scene.path("a"), b"one", acl=CREATOR_ALL_ACL + READ_ACL_UNSAFE)

    run = scene.wrap()
    assert scene.born().files == {"a": "one"}
    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_forbidden_znode_is_named(scene: Scene) -> None:
    """A znode that zkexec may not read is named, and nothing was started."""
    scene.client.add_auth("digest", "owner:secret")
    scene.client.create(scene.path("a"), b"one", acl=CREATOR_ALL_ACL)

    run = scene.wrap("--silent")

    assert run.wait() == CANNOT_WORK
    assert len(run.lines) == 1
    assert f"{scene.path('a')} may not be read" in run.said
    assert not scene.births()


def test_nothing_is_written_to_the_cluster(scene: Scene, proxy: Proxy, zookeeper: Server) -> None:
    """From start to end zkexec only reads: by its requests, and by what the tree looks like."""
    scene.create(a=b"one", b=b"two")
    scene.hosts = proxy.hosts
    before = tree(scene, "/")
    others = zookeeper.sessions()

    run = scene.wrap(names="a b")
    scene.born()
    scene.set(a=b"three")
    scene.born(2)
    assert run.end() == 0

    scene.client.sync("/")
    after = tree(scene, "/")
    changed = {path for path in before.keys() | after if before.get(path) != after.get(path)}
    assert changed == {scene.path("a")}
    assert set(proxy.opcodes) <= READS_ONLY
    assert zookeeper.sessions() <= others


def tree(scene: Scene, path: str) -> dict[str, object]:
    """All znodes with their stat, but for what ZooKeeper itself keeps."""
    found: dict[str, object] = {}
    # What an earlier test has forbidden to everybody has a stat, but shows no children.
    with suppress(NoAuthError):
        for name in scene.client.get_children(path):
            child = f"{path.rstrip('/')}/{name}"
            if child != "/zookeeper":
                found[child] = scene.client.exists(child)
                found |= tree(scene, child)
    return found
