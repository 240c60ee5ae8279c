"""The first start: what has to be there before the command runs, and what is said otherwise."""

import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL, READ_ACL_UNSAFE, make_acl

from support.mirrored_host import MirroredHost, quoted
from support.proxy import READS_ONLY, Proxy
from support.zookeeper import Port, Server

CANNOT_WORK = 125
WRITE_ONLY = make_acl("world", "anyone", write=True)


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


def test_files_stand_before_the_command_starts(host: MirroredHost) -> None:
    """The first start reads what ZooKeeper holds, also in a folder that is yet to be made."""
    host.create(a=b"one", b=b"two\n")
    host.folder.rmdir()

    run = host.wrap(names="a b")

    assert host.born().files == {"a": "one", "b": "two\n"}
    assert run.end() == 0
    assert host.content("a") == b"one"


def test_a_missing_znode_is_named(host: MirroredHost) -> None:
    """One line names the znode that is missing, and nothing was started or written."""
    host.create(a=b"one")

    run = host.wrap("--silent", names="a nowhere")

    assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert f"{host.path('nowhere')} does not exist" in run.stderr.text
    assert host.path("a") not in run.stderr.text
    assert not host.births()
    assert not list(host.folder.iterdir())


def test_all_missing_znodes_are_named_at_once(host: MirroredHost) -> None:
    """Several missing znodes, and empty ones, are named in one line."""
    host.create(c=b"")

    run = host.wrap("--silent", names="a b c")

    assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    for words in ("a does not exist", "b does not exist", "c is empty"):
        assert f"{host.root}/{words}" in run.stderr.text


def test_a_record_that_may_not_be_read_ends_the_start_at_once(host: MirroredHost) -> None:
    """Without a permission on the record of its group zkexec exits with 125, and does not wait."""
    host.create(a=b"one")
    lock = host.path("group")
    host.client.create(lock)
    host.client.create(f"{lock}/state", b"", acl=[WRITE_ONLY])

    # Far longer than the test waits for its end.
    run = host.wrap("--silent", f"--lock={lock}", "--connect-timeout=1000")

    assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert f"--lock: cannot read the record of the group: {lock}/state: " in run.stderr.text
    assert not host.births()


def test_start_wait_waits_for_all(host: MirroredHost) -> None:
    """With --start wait the command starts as soon as the last missing znode is there."""
    run = host.wrap("--start=wait", names="a b")
    assert host.path("a") in run.until(r"waiting .*/a does not exist.*/b does not exist")

    host.create(a=b"one")
    run.until(r"waiting .*: [^,]*/b does not exist$")
    assert not host.births()
    host.create(b=b"two")

    assert host.born().files == {"a": "one", "b": "two"}
    assert run.end() == 0
    assert len(host.births()) == 1


def test_a_wait_outlives_a_lost_connection(host: MirroredHost, proxy: Proxy) -> None:
    """A znode that is made while the cluster is away is found when it is back."""
    host.hosts = proxy.hosts
    run = host.wrap("--start=wait", "--connect-timeout=5")
    run.until("waiting")

    proxy.refuse()
    run.until("connection to the cluster lost")
    host.create(a=b"one")
    proxy.heal()

    assert host.born().files == {"a": "one"}
    assert run.end() == 0


def test_start_wait_does_not_wait_for_the_cluster(host: MirroredHost) -> None:
    """With --start wait a cluster that is unreachable is as fatal as without."""
    with dead_port() as host.hosts:
        run = host.wrap("--silent", "--start=wait", "--connect-timeout=0.5")

        assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert "Connection refused" in run.stderr.text


def test_a_wait_can_be_ended(host: MirroredHost) -> None:
    """A TERM ends zkexec while it waits for a znode; nothing was started."""
    run = host.wrap("--start=wait")
    run.until("waiting")

    assert run.end() == -15
    assert not host.births()


@pytest.mark.parametrize(
    ("server", "cause"),
    [
        (dead_port, "Connection refused"),
        (mute_port, "the server does not answer the handshake"),
        (lambda: nullcontext("no-such-host.invalid:2181"), "cannot be resolved"),
    ],
)
def test_an_unreachable_cluster_is_named_with_its_cause(
    host: MirroredHost, server: Callable[[], AbstractContextManager[str]], cause: str
) -> None:
    """A host that refuses, one that is mute, and a name that nobody knows: 125 and the cause."""
    with server() as host.hosts:
        run = host.wrap("--silent", "--connect-timeout=2", "--session-timeout=3")

        assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert host.hosts in run.stderr.text
    assert cause in run.stderr.text
    assert not host.births()


@pytest.mark.parametrize("bad", [dead_port, mute_port])
def test_bad_hosts_among_good_ones_do_no_harm(
    host: MirroredHost, bad: Callable[[], AbstractContextManager[str]]
) -> None:
    """A host that refuses or is mute costs less than the connect timeout where another is good."""
    host.create(a=b"one")
    with bad() as first, bad() as second:
        host.hosts = f"{first},{second},{host.hosts}"

        run = host.wrap("--connect-timeout=30", "--session-timeout=3")

        assert host.born().files == {"a": "one"}
        assert run.end() == 0


def test_start_cached_uses_the_files_that_are_there(host: MirroredHost, proxy: Proxy) -> None:
    """Without the cluster --start cached starts on the files, and catches up once it is back."""
    host.create(a=b"one", b=b"two")
    host.file("a").write_text("older")
    host.file("b").write_text("two")
    proxy.refuse()
    host.hosts = proxy.hosts

    run = host.wrap("--start=cached", "--connect-timeout=0.5", names="a b")
    assert host.born().files == {"a": "older", "b": "two"}
    run.until("starting on the files on disk")
    proxy.heal()

    assert host.born(2).files == {"a": "one", "b": "two"}
    assert run.end() == 0
    assert run.stderr.matching(r"wrote .*/a ")
    assert not run.stderr.matching(r"wrote .*/b ")


def test_start_cached_corrects_modes(host: MirroredHost) -> None:
    """The command starts on files that have the mode of the options, also without the cluster."""
    host.file("a").write_text("older")
    host.file("a").chmod(0o644)
    with dead_port() as host.hosts:
        run = host.wrap("--start=cached", "--connect-timeout=0.5", "--mode=0600")
        assert host.born().files == {"a": "older"}

        assert stat.S_IMODE(host.file("a").stat().st_mode) == 0o600
        assert run.end() == 0


def test_start_cached_without_a_file(host: MirroredHost) -> None:
    """Where a file is missing, --start cached ends with 125 and one line that names it."""
    host.file("a").write_text("older")
    with dead_port() as host.hosts:
        run = host.wrap("--silent", "--start=cached", "--connect-timeout=0.5", names="a b")

        assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert str(host.file("b")) in run.stderr.text
    assert not host.births()


def test_start_cached_prefers_the_cluster(host: MirroredHost) -> None:
    """A cluster that answers is what --start cached starts on, whatever the files hold."""
    host.create(a=b"one")
    host.file("a").write_text("older")

    run = host.wrap("--start=cached")

    assert host.born().files == {"a": "one"}
    assert run.end() == 0
    assert len(host.births()) == 1


@pytest.mark.parametrize(
    "server", [dead_port, mute_port, lambda: nullcontext("no-such-host.invalid:2181")]
)
def test_nothing_to_mirror_needs_no_cluster(
    host: MirroredHost, server: Callable[[], AbstractContextManager[str]]
) -> None:
    """With nothing to mirror a cluster that does not answer is one warning, and the command runs.

    It does not matter how long the cluster may take for an answer.
    """
    with server() as host.hosts:
        run = host.start("--session-timeout=3600", "--connect-timeout=3600", "--exec=echo hello")

        assert run.wait() == 0
    assert run.stdout.lines == ["hello"]
    assert len(run.stderr.matching("the command has no inputs and starts now")) == 1


def test_connecting_continues_beside_a_command_that_needs_no_cluster(
    host: MirroredHost, proxy: Proxy
) -> None:
    """A cluster that comes after such a command has started is connected to."""
    proxy.refuse()
    host.hosts = proxy.hosts

    run = host.start("--exec=sleep 1000")
    run.until("forked")
    proxy.heal()

    run.until(" connected$")
    said = [line.split("] ")[1].split()[0] for line in run.stderr.lines]
    assert said == ["connecting", "cannot", "no", "forking", "forked", "connected"]
    assert run.end() == -signal.SIGTERM


def test_silent_says_nothing_of_a_failed_child(host: MirroredHost) -> None:
    """A command that fails under --silent leaves no line, and its status is zkexec's."""
    host.create(a=b"one")

    run = host.start("--silent", *host.mirrors("a"), f"--exec={quoted('sh', '-c', 'exit 7')}")

    assert run.wait() == 7
    assert run.stderr.lines == []


def test_a_chroot_is_put_before_every_path(host: MirroredHost) -> None:
    """With HOST:PORT/PATH znodes are looked for below PATH, and changes there are seen."""
    host.create(a=b"one")
    host.hosts += host.root
    chrooted = f"--mirror={host.file('a')}=/a"

    run = host.start(chrooted, f"--exec={host.recorder('a')}")
    assert host.born().files == {"a": "one"}
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    run.until("registering callback on /a$")
    assert run.end() == 0


def test_read_permission_is_enough(host: MirroredHost) -> None:
    """A znode that all may read and only its owner may write is mirrored, with its changes."""
    host.client.add_auth("digest", "owner:secret")
    host.client.create(host.path("a"), b"one", acl=CREATOR_ALL_ACL + READ_ACL_UNSAFE)

    run = host.wrap()
    assert host.born().files == {"a": "one"}
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_forbidden_znode_is_named(host: MirroredHost) -> None:
    """A znode that zkexec may not read is named, and nothing was started."""
    host.client.add_auth("digest", "owner:secret")
    host.client.create(host.path("a"), b"one", acl=CREATOR_ALL_ACL)

    run = host.wrap("--silent")

    assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert f"{host.path('a')} may not be read" in run.stderr.text
    assert not host.births()


def test_nothing_is_written_to_the_cluster(
    host: MirroredHost, proxy: Proxy, zookeeper: Server
) -> None:
    """From start to end zkexec only reads: by its requests, and by what the tree looks like."""
    host.create(a=b"one", b=b"two")
    host.hosts = proxy.hosts
    before = tree(host, "/")
    others = zookeeper.sessions()

    run = host.wrap(names="a b")
    host.born()
    host.set(a=b"three")
    host.born(2)
    assert run.end() == 0

    host.client.sync("/")
    after = tree(host, "/")
    changed = {path for path in before.keys() | after if before.get(path) != after.get(path)}
    assert changed == {host.path("a")}
    assert set(proxy.opcodes) <= READS_ONLY
    assert zookeeper.sessions() <= others


def tree(host: MirroredHost, path: str) -> dict[str, object]:
    """All znodes with their stat, but for what ZooKeeper itself keeps.

    Another test may have left znodes that are nested deeper than calls can be.
    """
    found: dict[str, object] = {}
    parents = [path]
    while parents:
        parent = parents.pop()
        # What an earlier test has forbidden to everybody has a stat, but shows no children.
        with suppress(NoAuthError):
            for name in host.client.get_children(parent):
                child = f"{parent.rstrip('/')}/{name}"
                if child != "/zookeeper":
                    found[child] = host.client.exists(child)
                    parents.append(child)
    return found
