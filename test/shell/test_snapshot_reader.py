"""One consistent read of many znodes, played without a server."""

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
from zkexec.zookeeper.requests import Exists, Get, MultiRead, Request, SetWatches
from zkexec.zookeeper.snapshot_reader import COLLECTS, FEW, SnapshotReader

A, B = (b"a", at(5)), (b"b", at(7))
MISSING, FORBIDDEN = NoNodeError("/b"), NoAuthError("/b")


def reader(*paths: str, old: bool = False) -> SnapshotReader:
    """A reader on a new connection; an `old` server lacks the multi-read."""
    return SnapshotReader(paths, "w", lambda: old)


def test_no_znodes_need_no_request() -> None:
    """Without inputs nothing is read and nothing has to be verified."""
    one = reader()
    assert play(one.read()) == {}
    assert not one.has_to_verify


def test_few_znodes_are_read_one_by_one() -> None:
    """Few znodes are read and watched by one batch, which shows them at one moment."""
    one = reader("/a", "/b")
    assert play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B])) == {"/a": A, "/b": B}
    assert not one.has_to_verify


def test_only_what_fired_is_read_again() -> None:
    """If one watch fires only its znode is read, and the others are verified behind it."""
    one, newer = reader("/a", "/b"), (b"c", at(9))
    play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B]))
    one.fired("/b")
    assert play(one.read(), ([Get("/b", "w")], [newer])) == {"/a": A, "/b": newer}
    assert one.has_to_verify
    assert play(one.verify(), ([MultiRead(("/a", "/b"))], [[A, newer]])) == []


def test_a_change_without_a_watch_is_found() -> None:
    """A znode that has changed behind a withdrawn permission is found by verifying."""
    one = reader("/a", "/b")
    play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B]))
    one.fired("/b")
    play(one.read(), ([Get("/b", "w")], [B]))
    assert play(one.verify(), ([MultiRead(("/a", "/b"))], [[NoAuthError("/a"), B]])) == ["/a"]


def test_a_missing_znode_has_all_read_at_once() -> None:
    """If one of few znodes does not exist all are read by one request, with its watch set later."""
    one = reader("/a", "/b")
    found = play(
        one.read(),
        ([Get("/a", "w"), Get("/b", "w")], [A, MISSING]),
        ([MultiRead(("/a", "/b"))], [[A, MISSING]]),
        ([SetWatches(5, [], ["/b"], (), "w")], [None]),
    )
    assert found == {"/a": A, "/b": MISSING}


def test_a_watch_that_fires_within_a_read() -> None:
    """If a watch fires before the last answer the read begins anew, with all znodes at once."""
    one = reader("/a", "/b")
    dialogue = one.read()
    assert next(dialogue) == [Get("/a", "w"), Get("/b", "w")]
    one.fired("/a")
    assert dialogue.send([A, B]) == [MultiRead(("/a", "/b"))]


def test_many_znodes_are_read_at_once() -> None:
    """More than a few znodes cost two requests: one reads them, one sets their watches."""
    paths = tuple(f"/{number}" for number in range(FEW + 1))
    contents = [(b"x", at(number)) for number in range(FEW)]
    found = play(
        reader(*paths).read(),
        ([MultiRead(paths)], [[*contents, FORBIDDEN]]),
        (
            [SetWatches(FEW - 1, list(paths[:-1]), [], (), "w"), Exists(paths[-1], "w")],
            [None, FORBIDDEN],
        ),
    )
    assert [*found.values()] == [*contents, FORBIDDEN]


def collect(stats: list[object]) -> Turn:
    """One attempt of an old server's read whose watches are set, and what `Exists` answers."""
    requests: list[Request] = [Get("/a"), Get("/b"), Exists("/a"), Exists("/b")]
    return requests, [A, MISSING, *stats]


def test_an_old_server_is_read_twice() -> None:
    """Without the multi-read znodes are read twice, until nothing differs between the two."""
    watching = [Exists("/a", "w"), Exists("/b", "w")]
    requests, outcomes = collect([at(6), None])
    found = play(
        reader("/a", "/b", old=True).read(),
        ([*watching, *requests], [at(5), None, *outcomes]),
        collect([at(5), None]),
    )
    assert found == {"/a": A, "/b": MISSING}


def test_znodes_that_never_rest() -> None:
    """Znodes that differ each time make the read fail, in words."""
    one = reader("/a", "/b", old=True)
    requests, outcomes = collect([at(6), None])
    first = [Exists("/a", "w"), Exists("/b", "w")]
    with pytest.raises(RefusedError, match="changed during each of 50 attempts"):
        play(
            one.read(),
            ([*first, *requests], [at(5), None, *outcomes]),
            *[collect([at(6), None])] * (COLLECTS - 1),
        )


@pytest.mark.parametrize("error", [UnimplementedError(), BadVersionError("/a")])
def test_an_error_leaves_the_watches_in_doubt(error: ZooKeeperError) -> None:
    """After an error the next read sets all watches again."""
    one = reader("/a", "/b")
    play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B]))
    one.fired("/a")
    with pytest.raises((RefusedError, ZooKeeperError)):
        play(one.read(), ([Get("/a", "w")], [error]))
    play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B]))


def test_a_lost_connection_leaves_the_watches_in_doubt() -> None:
    """A read that is closed on its way leaves nothing that counts as watched."""
    one = reader("/a", "/b")
    dialogue = one.read()
    next(dialogue)
    dialogue.close()
    play(one.read(), ([Get("/a", "w"), Get("/b", "w")], [A, B]))
