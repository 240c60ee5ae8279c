"""Changes of the configuration, as a command sees them that records what it reads at each start."""

import re
import time
from collections.abc import Callable

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from support.mirrored_host import MirroredHost
from support.program import Program
from support.waiting import lines, until


def write_until_seen(host: MirroredHost, run: Program, write: Callable[[], object]) -> None:
    """Write again and again until znode `a` was seen to be touched three times more.

    A touch is seen by a watch that was set after the one before was seen, and reads are answered
    one after the other.  So with the third touch, the first has had its consequences.  Needs
    --verbose.
    """
    touched = f"{host.path('a')} may have changed"
    goal = len(run.stderr.matching(touched)) + 3

    def seen() -> bool:
        write()
        return len(run.stderr.matching(touched)) >= goal

    until(seen, touched)


def test_a_change_restarts_once(host: MirroredHost) -> None:
    """New content is written, the old command is ended, and one new command reads it."""
    host.create(a=b"one")
    run = host.wrap()
    first = host.born()

    host.set(a=b"two")

    second = host.born(2)
    assert second.files == {"a": "two"}
    assert second.alone
    run.until("forked", count=2)
    assert run.end() == 0
    assert host.births() == [first, second]
    assert len(run.stderr.matching("restarting for the new configuration")) == 1


def test_the_same_bytes_change_nothing(host: MirroredHost) -> None:
    """Writing the same content again, even many times, restarts nothing and rewrites nothing."""
    host.create(a=b"one")
    run = host.wrap("--verbose")
    host.born()
    inode = host.file("a").stat().st_ino

    write_until_seen(host, run, lambda: host.set(a=b"one"))
    assert host.file("a").stat().st_ino == inode
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(host.births()) == 2
    assert not run.stderr.matching("nothing to change")


def test_a_change_taken_back_in_time_is_none(host: MirroredHost) -> None:
    """A change that is taken back within --settle restarts nothing."""
    host.create(a=b"one")
    run = host.wrap("--settle=4")
    host.born()

    host.set(a=b"two")
    run.until("new content")
    host.set(a=b"one")
    run.until("nothing to change")
    host.set(a=b"three")

    assert host.born(2).files == {"a": "three"}
    assert run.end() == 0
    assert len(host.births()) == 2


def test_a_transaction_is_one_change(host: MirroredHost) -> None:
    """Two znodes written in one transaction are answered by one restart that sees both."""
    host.create(a=b"one", b=b"one")
    run = host.wrap("--settle=0", names="a b")
    host.born()

    for count, content in ((2, "two"), (3, "three"), (4, "four")):
        host.set(a=content.encode(), b=content.encode())
        assert host.born(count).files == {"a": content, "b": content}

    assert run.end() == 0
    assert len(host.births()) == 4


def test_no_start_ever_sees_half_a_transaction(host: MirroredHost) -> None:
    """While hundreds of pairs are written, what is installed and what is read are pairs."""
    host.create(a=b"pair 0\n", b=b"pair 0\n")
    # Builtins only: this command has read both files within a few milliseconds.
    script = "read -r a <$1; read -r b <$2; echo $a/$b >>$3; exec sleep 1000"
    files = [host.file("a"), host.file("b"), host.record]
    command = ["sh", "-c", script, "sh", *map(str, files)]
    run = host.start("--settle=0", *host.mirrors("a", "b"), "--", *command)
    until(lambda: lines(host.record), "the first start")

    for written in range(1, 301):
        pair = f"pair {written}\n".encode()
        host.set(a=pair, b=pair)
        if written in (100, 200):
            # On a busy host all could be written before the first restart.
            starts_before = written // 100
            until(lambda: len(lines(host.record)) > starts_before, "a restart")  # noqa: B023

    until(lambda: lines(host.record)[-1] == "pair 300/pair 300", "the last pair is read")
    run.end()
    starts = [line.split("/") for line in lines(host.record)]
    installed = [re.findall(r"sha256 (\w+)", line)[0] for line in run.stderr.matching("wrote ")]
    assert len(starts) >= 3
    assert [start for start in starts if len(set(start)) != 1] == []
    assert installed[::2] == installed[1::2]


def test_a_burst_of_changes_is_few_restarts(host: MirroredHost) -> None:
    """Of 300 changes in a row only so many restart as --settle allows, and the last one runs."""
    host.create(a=b"0")
    settle_s = 0.5
    run = host.wrap(f"--settle={settle_s}")
    host.born()

    begun = time.monotonic()
    writes = [host.client.set_async(host.path("a"), str(n).encode()) for n in range(1, 301)]
    for write in writes:
        write.get(timeout=30)
    elapsed_s = time.monotonic() - begun

    host.born_with(a="300")
    assert run.end() == 0
    assert len(host.births()) <= 2 + elapsed_s / settle_s
    assert host.content("a") == b"300"


def test_a_stream_that_never_pauses_is_acted_on(host: MirroredHost) -> None:
    """Changes that keep coming within --settle hold a restart off only for a while."""
    host.create(a=b"0")
    run = host.wrap("--settle=0.3")
    host.born()
    end = time.monotonic() + 60

    number = 0
    while len(host.births()) < 2 and time.monotonic() < end:
        number += 1
        host.set(a=str(number).encode())

    assert len(host.births()) >= 2
    assert run.end() == 0


def test_a_deleted_znode_leaves_everything_as_it_is(host: MirroredHost) -> None:
    """A warning names the deleted znode once, and nothing changes before all can be used again."""
    host.create(a=b"one", b=b"one")
    run = host.wrap(names="a b")
    first = host.born()

    host.delete("a")
    run.until(f"{host.path('a')} does not exist; the files and the command stay")
    assert host.content("a") == b"one"
    host.only(first)
    host.set(b=b"two")
    host.create(a=b"three")

    assert host.born(2).files == {"a": "three", "b": "two"}
    assert run.end() == 0
    assert len(host.births()) == 2
    assert len(run.stderr.matching("does not exist")) == 1


def test_a_znode_comes_back(host: MirroredHost) -> None:
    """A deleted znode with its old content again is no change, with other content it is one."""
    host.create(a=b"one")
    run = host.wrap()
    first = host.born()

    host.delete("a")
    run.until("does not exist")
    host.create(a=b"one")
    run.until(f"{host.path('a')} has content again")
    host.only(first)
    host.delete("a")
    run.until("does not exist", count=2)
    host.create(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(host.births()) == 2


def made_again(client: KazooClient, path: str, content: bytes) -> None:
    """Delete a znode and make it again in one transaction."""
    transaction = client.transaction()
    transaction.delete(path)
    transaction.create(path, content)
    assert not [result for result in transaction.commit() if isinstance(result, Exception)]


def test_a_znode_made_again_in_the_same_instant(host: MirroredHost) -> None:
    """A znode that was never seen missing is judged by its content: same or other."""
    host.create(a=b"one")
    run = host.wrap("--verbose")
    host.born()

    write_until_seen(host, run, lambda: made_again(host.client, host.path("a"), b"one"))
    made_again(host.client, host.path("a"), b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(host.births()) == 2
    assert not run.stderr.matching("does not exist")


def test_an_emptied_znode_leaves_everything_as_it_is(host: MirroredHost) -> None:
    """A znode that becomes empty is warned of like a deleted one."""
    host.create(a=b"one")
    run = host.wrap()
    first = host.born()

    host.set(a=b"")
    run.until(f"{host.path('a')} is empty; the files and the command stay")
    assert host.content("a") == b"one"
    host.only(first)
    host.set(a=b"two")

    assert host.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_znode_that_is_forbidden_later(host: MirroredHost) -> None:
    """If a permission was withdrawn all files stay; a warning comes with the next read."""
    host.create(a=b"one", b=b"one")
    run = host.wrap(names="a b")
    first = host.born()

    host.client.add_auth("digest", "owner:secret")
    host.client.set_acls(host.path("a"), CREATOR_ALL_ACL)
    host.set(b=b"two")
    run.until(f"{host.path('a')} may not be read; the files and the command stay")
    host.only(first)
    host.client.set_acls(host.path("a"), OPEN_ACL_UNSAFE)

    assert host.born(2).files == {"a": "one", "b": "two"}
    assert run.end() == 0


def test_allow_empty_takes_emptiness_as_content(host: MirroredHost) -> None:
    """With --allow-empty an empty znode is mirrored, at the start and as a change."""
    host.create(a=b"one", b=b"")
    run = host.wrap("--allow-empty", names="a b")
    assert host.born().files == {"a": "one", "b": ""}

    host.set(a=b"")

    assert host.born(2).files == {"a": "", "b": ""}
    assert run.end() == 0
    assert not run.stderr.matching("is empty")


def test_one_goes_while_another_changes(host: MirroredHost) -> None:
    """One znode deleted and another changed at once: a warning, and nothing else."""
    host.create(a=b"one", b=b"one")
    run = host.wrap(names="a b")
    first = host.born()

    transaction = host.client.transaction()
    transaction.delete(host.path("a"))
    transaction.set_data(host.path("b"), b"two")
    assert transaction.commit()

    run.until(f"{host.path('a')} does not exist")
    assert (host.content("a"), host.content("b")) == (b"one", b"one")
    host.only(first)
    host.create(a=b"three")

    assert host.born(2).files == {"a": "three", "b": "two"}
    assert run.end() == 0


def test_one_znode_for_two_files(host: MirroredHost) -> None:
    """A znode may be mirrored to several files; they change together."""
    host.create(a=b"one")
    copy = host.file("copy")
    run = host.start(
        *host.mirrors("a"),
        f"--mirror={copy}={host.path('a')}",
        f"--exec={host.recorder('a', 'copy')}",
    )
    assert host.born().files == {"a": "one", "copy": "one"}

    host.set(a=b"two")

    assert host.born(2).files == {"a": "two", "copy": "two"}
    assert run.end() == 0


def test_the_newest_wins_during_a_slow_stop(host: MirroredHost) -> None:
    """What comes while the old command takes its time to end replaces what was to be installed."""
    host.create(a=b"one")
    gate = host.sandbox.folder / "gate"
    run = host.wrap("--verbose", recorder=("--linger", str(gate)))
    host.born()

    host.set(a=b"two")
    host.asked()
    assert host.content("a") == b"one"
    host.set(a=b"three")
    write_until_seen(host, run, lambda: host.set(a=b"four"))
    gate.touch()

    assert host.born(2).files == {"a": "four"}
    assert run.end() == 0
    assert len(host.births()) == 2


def test_a_change_taken_back_during_a_slow_stop(host: MirroredHost) -> None:
    """Taken back before the old command has ended, a change leaves the file untouched."""
    host.create(a=b"one")
    gate = host.sandbox.folder / "gate"
    run = host.wrap("--verbose", recorder=("--linger", str(gate)))
    host.born()
    inode = host.file("a").stat().st_ino

    host.set(a=b"two")
    host.asked()
    write_until_seen(host, run, lambda: host.set(a=b"one"))
    gate.touch()

    assert host.born(2).files == {"a": "one"}
    run.until("nothing to change")
    assert run.end() == 0
    assert host.file("a").stat().st_ino == inode
