"""Changes of the configuration, as a command sees them that records what it reads at each start."""

import re
import time
from collections.abc import Callable

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from e2e.scene import Running, Scene
from e2e.stage import lines, until


def write_until_seen(scene: Scene, run: Running, write: Callable[[], object]) -> None:
    """Write again and again until znode `a` was seen to be touched three times more.

    A touch is seen by a watch that was set after the one before was seen, and reads are answered
    one after the other.  So with the third touch, the first has had its consequences.  Needs
    --verbose.
    """
    touched = f"{scene.path('a')} was touched"
    goal = len(run.all(touched)) + 3

    def seen() -> bool:
        write()
        return len(run.all(touched)) >= goal

    until(seen, touched)


def test_a_change_restarts_once(scene: Scene) -> None:
    """New content is written, the old command is ended, and one new command reads it."""
    scene.create(a=b"one")
    run = scene.wrap()
    first = scene.born()

    scene.set(a=b"two")

    second = scene.born(2)
    assert second.files == {"a": "two"}
    assert second.alone
    run.line("forked", 2)
    assert run.end() == 0
    assert scene.births() == [first, second]
    assert len(run.all("restarting for the new configuration")) == 1


def test_the_same_bytes_change_nothing(scene: Scene) -> None:
    """Writing the same content again, even many times, restarts nothing and rewrites nothing."""
    scene.create(a=b"one")
    run = scene.wrap("--verbose")
    scene.born()
    inode = scene.file("a").stat().st_ino

    write_until_seen(scene, run, lambda: scene.set(a=b"one"))
    assert scene.file("a").stat().st_ino == inode
    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(scene.births()) == 2
    assert not run.all("nothing to change")


def test_a_change_taken_back_in_time_is_none(scene: Scene) -> None:
    """A change that is taken back within --settle restarts nothing."""
    scene.create(a=b"one")
    run = scene.wrap("--settle=4")
    scene.born()

    scene.set(a=b"two")
    run.line("new content")
    scene.set(a=b"one")
    run.line("nothing to change")
    scene.set(a=b"three")

    assert scene.born(2).files == {"a": "three"}
    assert run.end() == 0
    assert len(scene.births()) == 2


def test_a_transaction_is_one_change(scene: Scene) -> None:
    """Two znodes written in one transaction are answered by one restart that sees both."""
    scene.create(a=b"one", b=b"one")
    run = scene.wrap("--settle=0", names="a b")
    scene.born()

    for count, content in ((2, "two"), (3, "three"), (4, "four")):
        scene.set(a=content.encode(), b=content.encode())
        assert scene.born(count).files == {"a": content, "b": content}

    assert run.end() == 0
    assert len(scene.births()) == 4


def test_no_start_ever_sees_half_a_transaction(scene: Scene) -> None:
    """While hundreds of pairs are written, what is installed and what is read are pairs."""
    scene.create(a=b"pair 0\n", b=b"pair 0\n")
    # Builtins only: this command has read both files within a few milliseconds.
    script = "read -r a <$1; read -r b <$2; echo $a/$b >>$3; exec sleep 1000"
    files = [scene.file("a"), scene.file("b"), scene.record]
    command = ["sh", "-c", script, "sh", *map(str, files)]
    run = scene.start("--settle=0", *scene.mirrors("a", "b"), "--", *command)
    until(lambda: lines(scene.record), "the first start")

    for written in range(1, 301):
        pair = f"pair {written}\n".encode()
        scene.set(a=pair, b=pair)

    until(lambda: lines(scene.record)[-1] == "pair 300/pair 300", "the last pair is read")
    run.end()
    starts = [line.split("/") for line in lines(scene.record)]
    installed = [re.findall(r"sha256 (\w+)", line)[0] for line in run.all("wrote ")]
    assert len(starts) >= 3
    assert [start for start in starts if len(set(start)) != 1] == []
    assert installed[::2] == installed[1::2]


def test_a_burst_of_changes_is_few_restarts(scene: Scene) -> None:
    """Of 300 changes in a row only so many restart as --settle allows, and the last one runs."""
    scene.create(a=b"0")
    settle_s = 0.5
    run = scene.wrap(f"--settle={settle_s}")
    scene.born()

    begun = time.monotonic()
    writes = [scene.client.set_async(scene.path("a"), str(n).encode()) for n in range(1, 301)]
    for write in writes:
        write.get(timeout=30)
    elapsed_s = time.monotonic() - begun

    scene.born_with(a="300")
    assert run.end() == 0
    assert len(scene.births()) <= 2 + elapsed_s / settle_s
    assert scene.content("a") == b"300"


def test_a_stream_that_never_pauses_is_acted_on(scene: Scene) -> None:
    """Changes that keep coming within --settle hold a restart off only for a while."""
    scene.create(a=b"0")
    run = scene.wrap("--settle=0.3")
    scene.born()
    end = time.monotonic() + 60

    number = 0
    while len(scene.births()) < 2 and time.monotonic() < end:
        number += 1
        scene.set(a=str(number).encode())

    assert len(scene.births()) >= 2
    assert run.end() == 0


def test_a_deleted_znode_leaves_everything_as_it_is(scene: Scene) -> None:
    """A warning names the deleted znode once; file and command stay, and other changes go on."""
    scene.create(a=b"one", b=b"one")
    run = scene.wrap(names="a b")
    first = scene.born()

    scene.delete("a")
    run.line(f"{scene.path('a')} does not exist; its file and the command stay")
    assert scene.content("a") == b"one"
    scene.only(first)
    scene.set(b=b"two")

    assert scene.born(2).files == {"a": "one", "b": "two"}
    assert run.end() == 0
    assert len(run.all("does not exist")) == 1


def test_a_znode_comes_back(scene: Scene) -> None:
    """A deleted znode with its old content again is no change, with other content it is one."""
    scene.create(a=b"one")
    run = scene.wrap()
    first = scene.born()

    scene.delete("a")
    run.line("does not exist")
    scene.create(a=b"one")
    run.line(f"{scene.path('a')} has content again")
    scene.only(first)
    scene.delete("a")
    run.line("does not exist", 2)
    scene.create(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(scene.births()) == 2


def made_again(client: KazooClient, path: str, content: bytes) -> None:
    """Delete a znode and make it again in one transaction."""
    transaction = client.transaction()
    transaction.delete(path)
    transaction.create(path, content)
    assert not [result for result in transaction.commit() if isinstance(result, Exception)]


def test_a_znode_made_again_in_the_same_instant(scene: Scene) -> None:
    """A znode that was never seen missing is judged by its content: same or other."""
    scene.create(a=b"one")
    run = scene.wrap("--verbose")
    scene.born()

    write_until_seen(scene, run, lambda: made_again(scene.client, scene.path("a"), b"one"))
    made_again(scene.client, scene.path("a"), b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(scene.births()) == 2
    assert not run.all("does not exist")


def test_an_emptied_znode_leaves_everything_as_it_is(scene: Scene) -> None:
    """A znode that becomes empty is warned of like a deleted one."""
    scene.create(a=b"one")
    run = scene.wrap()
    first = scene.born()

    scene.set(a=b"")
    run.line(f"{scene.path('a')} is empty; its file and the command stay")
    assert scene.content("a") == b"one"
    scene.only(first)
    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two"}
    assert run.end() == 0


def test_a_znode_that_is_forbidden_later(scene: Scene) -> None:
    """A znode whose permission was withdrawn keeps its file; a warning comes with the next read."""
    scene.create(a=b"one", b=b"one")
    run = scene.wrap(names="a b")
    scene.born()

    scene.client.add_auth("digest", "owner:secret")
    scene.client.set_acls(scene.path("a"), CREATOR_ALL_ACL)
    scene.set(b=b"two")
    assert scene.born(2).files == {"a": "one", "b": "two"}
    run.line(f"{scene.path('a')} may not be read; its file and the command stay")
    scene.client.set_acls(scene.path("a"), OPEN_ACL_UNSAFE)
    scene.set(a=b"two")

    assert scene.born(3).files == {"a": "two", "b": "two"}
    assert run.end() == 0


def test_allow_empty_takes_emptiness_as_content(scene: Scene) -> None:
    """With --allow-empty an empty znode is mirrored, at the start and as a change."""
    scene.create(a=b"one", b=b"")
    run = scene.wrap("--allow-empty", names="a b")
    assert scene.born().files == {"a": "one", "b": ""}

    scene.set(a=b"")

    assert scene.born(2).files == {"a": "", "b": ""}
    assert run.end() == 0
    assert not run.all("is empty")


def test_one_goes_while_another_changes(scene: Scene) -> None:
    """One znode deleted and another changed at once: a warning, and a restart with the change."""
    scene.create(a=b"one", b=b"one")
    run = scene.wrap(names="a b")
    scene.born()

    transaction = scene.client.transaction()
    transaction.delete(scene.path("a"))
    transaction.set_data(scene.path("b"), b"two")
    assert transaction.commit()

    assert scene.born(2).files == {"a": "one", "b": "two"}
    run.line(f"{scene.path('a')} does not exist")
    assert run.end() == 0
    assert len(scene.births()) == 2


def test_one_znode_for_two_files(scene: Scene) -> None:
    """A znode may be mirrored to several files; they change together."""
    scene.create(a=b"one")
    copy = scene.file("copy")
    run = scene.start(
        *scene.mirrors("a"),
        f"--mirror={copy}={scene.path('a')}",
        f"--exec={scene.recorder('a', 'copy')}",
    )
    assert scene.born().files == {"a": "one", "copy": "one"}

    scene.set(a=b"two")

    assert scene.born(2).files == {"a": "two", "copy": "two"}
    assert run.end() == 0


def test_the_newest_wins_during_a_slow_stop(scene: Scene) -> None:
    """What comes while the old command takes its time to end replaces what was to be installed."""
    scene.create(a=b"one")
    gate = scene.stage.folder / "gate"
    run = scene.wrap("--verbose", recorder=("--linger", str(gate)))
    scene.born()

    scene.set(a=b"two")
    scene.asked()
    assert scene.content("a") == b"one"
    scene.set(a=b"three")
    write_until_seen(scene, run, lambda: scene.set(a=b"four"))
    gate.touch()

    assert scene.born(2).files == {"a": "four"}
    assert run.end() == 0
    assert len(scene.births()) == 2


def test_a_change_taken_back_during_a_slow_stop(scene: Scene) -> None:
    """Taken back before the old command has ended, a change leaves the file untouched."""
    scene.create(a=b"one")
    gate = scene.stage.folder / "gate"
    run = scene.wrap("--verbose", recorder=("--linger", str(gate)))
    scene.born()
    inode = scene.file("a").stat().st_ino

    scene.set(a=b"two")
    scene.asked()
    write_until_seen(scene, run, lambda: scene.set(a=b"one"))
    gate.touch()

    assert scene.born(2).files == {"a": "one"}
    run.line("nothing to change")
    assert run.end() == 0
    assert scene.file("a").stat().st_ino == inode
