"""One consistent read of trees and single znodes, played without a server."""

import pytest

from support.dialogue_player import Turn, at, play
from zkexec.zookeeper.errors import (
    BadVersionError,
    NoAuthError,
    NoNodeError,
    RefusedError,
    UnimplementedError,
    ZooKeeperError,
)
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Exists,
    Get,
    MultiRead,
    Request,
    SetWatches,
)
from zkexec.zookeeper.snapshot_reader import COLLECTS
from zkexec.zookeeper.tree_outline import ReadLimits, TreeExcess
from zkexec.zookeeper.tree_reader import (
    MOST_AT_ONCE,
    TreeFound,
    TreeReader,
    TreesFound,
)
from zkexec.zookeeper.values import Stat

LIMITS = ReadLimits(5, 4 * MOST_AT_ONCE)
ROOT = at(3, num_children=1, pzxid=5)
LEAF = at(5)


def reader(*roots: str, paths: tuple[str, ...] = (), old: bool = False) -> TreeReader:
    """A reader on a new connection; an `old` server lacks the multi-read."""
    return TreeReader(paths, roots, "w", lambda: old, LIMITS)


def of_tree(*stats: tuple[str, Stat]) -> TreesFound:
    """What is found of the tree /t, whose znodes all contain b"x"."""
    return TreesFound({}, {"/t": TreeFound({path: (b"x", stat) for path, stat in stats})})


EXPLORED: list[Turn] = [
    ([Exists("/t")], [ROOT]),
    ([Children("/t")], [(("a",), ROOT)]),
    ([Exists("/t/a")], [LEAF]),
]
"""How a tree of two znodes becomes known."""

WATCHING = SetWatches(5, ("/t", "/t/a"), (), ["/t", "/t/a"], "w")
FOUND = of_tree(("/t", ROOT), ("/t/a", LEAF))
READ: list[Turn] = [
    *EXPLORED,
    ([WATCHING, MultiRead(("/t", "/t/a"))], [None, ((b"x", ROOT), (b"x", LEAF))]),
]
"""The first read of this tree."""


def test_a_tree_is_explored_watched_and_read() -> None:
    """All znodes become known level by level; then they are watched, and read by one request."""
    assert play(reader("/t").read(), *READ) == FOUND


def test_nothing_but_single_znodes() -> None:
    """Single znodes are read with the trees, and neither listed nor watched for children."""
    one = reader(paths=("/s", "/none"))
    found = play(
        one.read(),
        ([Exists("/s"), Exists("/none")], [ROOT, None]),
        (
            [
                SetWatches(5, ("/s",), (), [], "w"),
                SetWatches(0, (), ("/none",), (), "w"),
                MultiRead(("/s", "/none")),
            ],
            [None, None, ((b"x", ROOT), NoNodeError("/none"))],
        ),
    )
    assert found.trees == {}
    assert [type(what) for what in found.znodes.values()] == [tuple, NoNodeError]


def test_what_is_watched_is_not_explored_again() -> None:
    """If nothing has fired, one request reads everything again; if a watch has, its znode first."""
    one, newer = reader("/t"), at(9)
    play(one.read(), *READ)
    again = MultiRead(("/t", "/t/a"))
    assert play(one.read(), ([again], [((b"x", ROOT), (b"x", LEAF))])) == FOUND
    one.fired("/t/a")
    found = play(
        one.read(),
        ([Exists("/t/a")], [newer]),
        (
            [SetWatches(9, ("/t/a",), (), ["/t/a"], "w"), again],
            [None, ((b"x", ROOT), (b"x", newer))],
        ),
    )
    assert found == of_tree(("/t", ROOT), ("/t/a", newer))


def test_a_znode_that_comes_before_the_contents_are_read() -> None:
    """If the read shows other children than were listed, they are listed, and all is read again."""
    one, later, new = reader("/t"), at(3, num_children=2, pzxid=7), at(7)
    found = play(
        one.read(),
        *EXPLORED,
        ([WATCHING, MultiRead(("/t", "/t/a"))], [None, ((b"x", later), (b"x", LEAF))]),
        ([Children("/t")], [(("a", "b"), later)]),
        ([Exists("/t/b")], [new]),
        (
            [
                SetWatches(7, ("/t/b",), (), ["/t/b"], "w"),
                MultiRead(("/t", "/t/a", "/t/b")),
            ],
            [None, ((b"x", later), (b"x", LEAF), (b"x", new))],
        ),
    )
    assert found == of_tree(("/t", later), ("/t/a", LEAF), ("/t/b", new))


def test_a_znode_that_goes_before_it_is_examined() -> None:
    """A znode that was listed and is gone then is just another attempt."""
    one, later = reader("/t"), at(3, num_children=0, pzxid=7)
    found = play(
        one.read(),
        *EXPLORED[:2],
        ([Exists("/t/a")], [None]),
        (
            [SetWatches(5, ("/t",), (), ["/t"], "w"), MultiRead(("/t", "/t/a"))],
            [None, ((b"x", later), NoNodeError("/t/a"))],
        ),
        ([MultiRead(("/t",))], [((b"x", later),)]),
    )
    assert found == of_tree(("/t", later))


def test_a_missing_root() -> None:
    """A root that does not exist is watched for its creation, and found to be missing."""
    found = play(
        reader("/t").read(),
        ([Exists("/t")], [None]),
        ([SetWatches(0, (), ("/t",), (), "w"), MultiRead(("/t",))], [None, (NoNodeError("/t"),)]),
    )
    assert [type(what) for what in found.trees["/t"].znodes.values()] == [NoNodeError]


def test_a_znode_that_may_not_be_read() -> None:
    """Of a znode that may not be read nothing is known below, and the next read tries it again."""
    one = reader("/t")
    folder = at(5, num_children=3)
    tree = "/t", "/t/a"
    refused = NoAuthError("/t/a")
    first = play(
        one.read(),
        *EXPLORED[:2],
        ([Exists("/t/a")], [folder]),
        ([Children("/t/a")], [refused]),
        (
            [SetWatches(5, ("/t",), (), ["/t"], "w"), MultiRead(tree)],
            [None, ((b"x", ROOT), refused)],
        ),
    )
    assert [type(what) for what in first.trees["/t"].znodes.values()] == [tuple, NoAuthError]
    again = play(
        one.read(),
        ([Exists("/t/a")], [at(5)]),
        (
            [SetWatches(5, ("/t/a",), (), ["/t/a"], "w"), MultiRead(tree)],
            [None, ((b"x", ROOT), (b"x", at(5)))],
        ),
    )
    assert again == of_tree(("/t", ROOT), ("/t/a", at(5)))


def test_too_many_children_are_not_listed() -> None:
    """A tree with too many znodes is refused before they are listed, and watched as far as known.

    The next read explores it again, whatever has fired.
    """
    one, wide = reader("/t"), at(3, num_children=5)
    turn: Turn = ([Exists("/t")], [wide])
    watching: Turn = ([SetWatches(3, ("/t",), (), ["/t"], "w")], [None])
    assert play(one.read(), turn, watching).trees == {"/t": TreeFound({}, TreeExcess.ZNODES)}
    assert list(one.refused) == ["/t"]
    assert play(one.read(), turn).trees == {"/t": TreeFound({}, TreeExcess.ZNODES)}
    small = at(3)
    found = play(one.read(), ([Exists("/t")], [small]), ([MultiRead(("/t",))], [((b"x", small),)]))
    assert found == of_tree(("/t", small))
    assert not one.refused


def test_the_tree_that_crosses_the_limit_is_refused() -> None:
    """Single znodes count first, then the trees in their order; a smaller one may still fit."""
    large, small = at(1, data_length=3 * MOST_AT_ONCE), at(1, data_length=10)
    one = reader("/t", "/u", paths=("/s",))
    found = play(
        one.read(),
        ([Exists("/s")], [at(2, data_length=2 * MOST_AT_ONCE)]),
        ([Exists("/t"), Exists("/u")], [large, small]),
        ([SetWatches(2, ("/s", "/t", "/u"), (), ["/t", "/u"], "w")], [None]),
        ([Get("/s")], [(b"s", at(2, data_length=2 * MOST_AT_ONCE))]),
        ([Get("/u")], [(b"u", small)]),
        ([Exists("/s"), Children("/u")], [at(2), ((), small)]),
    )
    assert found.trees == {
        "/t": TreeFound({}, TreeExcess.BYTES),
        "/u": TreeFound({"/u": (b"u", small)}),
    }
    assert found.znodes["/s"][0] == b"s"


def test_long_paths_are_not_put_together() -> None:
    """A tree whose paths would take too much memory is refused before they are listed."""
    root = f"/{'x' * 1024 * 1024}"
    found = play(
        reader(root).read(),
        ([Exists(root)], [at(3, num_children=4)]),
        ([SetWatches(3, (root,), (), [root], "w")], [None]),
    )
    assert found.trees == {root: TreeFound({}, TreeExcess.BYTES)}


def test_a_znode_of_two_trees_counts_once() -> None:
    """Trees that overlap are read once, and count once."""
    one = reader("/t", "/t/a")
    found = play(
        one.read(),
        ([Exists("/t"), Exists("/t/a")], [ROOT, LEAF]),
        ([Children("/t")], [(("a",), ROOT)]),
        READ[-1],
    )
    assert found.trees == {
        "/t": FOUND.trees["/t"],
        "/t/a": TreeFound({"/t/a": (b"x", LEAF)}),
    }


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "\0"])
def test_a_name_that_no_znode_can_have(name: str) -> None:
    """A server that lists a name that ZooKeeper does not have is refused."""
    with pytest.raises(RefusedError, match="lists a name that no znode can have"):
        play(reader("/t").read(), EXPLORED[0], ([Children("/t")], [((name,), ROOT)]))


# On servers that are older, and if there is much to read.

SECOND: list[Request] = [Children("/t"), Children("/t/a")]
OLD: list[Turn] = [
    *EXPLORED,
    ([WATCHING], [None]),
    ([Get("/t"), Get("/t/a")], [(b"x", ROOT), (b"x", LEAF)]),
]


def test_an_old_server_is_read_twice() -> None:
    """Without the multi-read contents are read, then statistics, which have to be the same."""
    one = reader("/t", old=True)
    found = play(one.read(), *OLD, (SECOND, [(("a",), ROOT), ((), LEAF)]))
    assert found == FOUND
    assert play(one.read(), (SECOND, [(("a",), ROOT), ((), LEAF)])) == FOUND


def test_only_what_differs_is_read_again() -> None:
    """If something differs between the two, what has changed is read, and statistics once more."""
    newer = at(8)
    found = play(
        reader("/t", old=True).read(),
        *OLD,
        (SECOND, [(("a",), ROOT), ((), newer)]),
        ([Get("/t/a")], [(b"x", newer)]),
        (SECOND, [(("a",), ROOT), ((), newer)]),
    )
    assert found == of_tree(("/t", ROOT), ("/t/a", newer))


def test_a_child_that_was_there_for_a_moment() -> None:
    """A znode that comes and goes between the two is noticed by the one above it."""
    later = at(5, pzxid=9)
    found = play(
        reader("/t", old=True).read(),
        *OLD,
        (SECOND, [(("a",), ROOT), ((), later)]),
        (SECOND, [(("a",), ROOT), ((), later)]),
    )
    assert found == of_tree(("/t", ROOT), ("/t/a", later))


def test_a_root_that_was_there_for_a_moment() -> None:
    """A root that comes and goes between the two is noticed by its watch."""
    one = reader("/t", "/u", old=True)
    watching = SetWatches(3, ("/u",), (), ["/u"], "w"), SetWatches(0, (), ("/t",), (), "w")
    other, seconds = at(3), [NoNodeError("/t"), ((), at(3))]
    dialogue = one.read()
    assert next(dialogue) == [Exists("/t"), Exists("/u")]
    assert dialogue.send([None, other]) == list(watching)
    assert dialogue.send([None, None]) == [Get("/u")]
    assert dialogue.send([(b"x", other)]) == [Children("/t"), Children("/u")]
    one.fired("/t")
    assert dialogue.send(seconds) == [SetWatches(0, (), ("/t",), (), "w")]
    assert dialogue.send([None]) == [Children("/t"), Children("/u")]
    with pytest.raises(StopIteration) as end:
        dialogue.send(seconds)
    assert isinstance(end.value.value, TreesFound)


def test_much_is_read_in_parts() -> None:
    """A server never has to answer more than a little at once, whatever its version."""
    large = MOST_AT_ONCE // 2 + 1
    root, leaf = at(3, num_children=1, data_length=large), at(5, data_length=large)
    found = play(
        reader("/t").read(),
        ([Exists("/t")], [root]),
        ([Children("/t")], [(("a",), root)]),
        ([Exists("/t/a")], [leaf]),
        ([WATCHING], [None]),
        ([Get("/t")], [(b"x", root)]),
        ([Get("/t/a")], [(b"x", leaf)]),
        (SECOND, [(("a",), root), ((), leaf)]),
    )
    assert found == of_tree(("/t", root), ("/t/a", leaf))


def test_long_paths_do_not_make_a_request_too_large() -> None:
    """Watches are set by several requests, and contents read in parts, if the paths are long."""
    paths = tuple(f"/{number}{'x' * 300_000}" for number in range(5))
    one = reader(paths=paths)
    dialogue = one.read()
    assert next(dialogue) == [Exists(path) for path in paths]
    watching = [SetWatches(5, (path,), (), [], "w") for path in paths]
    assert dialogue.send([LEAF] * 5) == watching
    assert dialogue.send([None] * 5) == [Get(path) for path in paths]


@pytest.mark.parametrize("old", [False, True])
def test_a_tree_that_never_rests(old: bool) -> None:
    """A tree that differs each time makes the read fail, in words."""
    one = reader("/t", old=old)
    with pytest.raises(RefusedError, match=f"changed during each of {COLLECTS} attempts"):
        play_restless(one.read())


def play_restless(dialogue: Dialogue) -> None:
    """Answer as a server does whose znodes differ each time."""
    batch, zxid = next(dialogue), 5
    while True:
        zxid += 1
        outcomes: dict[type, object] = {
            Exists: at(zxid),
            Children: ((), at(zxid)),
            Get: (b"x", at(zxid)),
            SetWatches: None,
            MultiRead: ((b"x", at(zxid, num_children=1)),),
        }
        batch = dialogue.send([outcomes[type(request)] for request in batch])


@pytest.mark.parametrize("error", [UnimplementedError(), BadVersionError("/t")])
def test_an_error_leaves_the_watches_in_doubt(error: ZooKeeperError) -> None:
    """After an error the next read sets all watches again."""
    one = reader("/t")
    play(one.read(), *READ)
    with pytest.raises((RefusedError, ZooKeeperError)):
        play(one.read(), ([MultiRead(("/t", "/t/a"))], [error]))
    # The names are still those that belong to the pzxid.
    play(one.read(), ([Exists("/t")], [ROOT]), ([Exists("/t/a")], [LEAF]), READ[-1])


def test_a_lost_connection_leaves_the_watches_in_doubt() -> None:
    """A read that is closed on its way leaves nothing that counts as watched."""
    one = reader("/t")
    play(one.read(), *READ)
    dialogue = one.read()
    next(dialogue)
    dialogue.close()
    assert next(one.read()) == [Exists("/t")]


def test_a_read_without_watches() -> None:
    """Without a watch a tree is read once, and none is set."""
    one = TreeReader((), ("/t",), None, lambda: False, LIMITS)
    turn: Turn = ([MultiRead(("/t", "/t/a"))], [((b"x", ROOT), (b"x", LEAF))])
    assert play(one.read(), *EXPLORED, turn) == FOUND
