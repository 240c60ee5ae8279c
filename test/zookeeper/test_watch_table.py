"""Which watches are set: from the request that sets one to the event that ends it."""

import pytest

from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import (
    ANY_WATCH,
    CHILDREN_WATCH,
    CONTENT_WATCH,
    Children,
    Exists,
    Get,
    RemoveWatches,
    SetWatches,
)
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.values import Stat
from zkexec.zookeeper.watch_table import WatchTable

CREATED, DELETED, CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4
CONTENT = (b"", Stat(mzxid=5, pzxid=7))
NAMES = ((), Stat(mzxid=5, pzxid=7))


def table(*answered: tuple[AnyRequest, object]) -> WatchTable:
    """The watches of these requests, each of which was answered."""
    watches = WatchTable()
    for xid, (request, outcome) in enumerate(answered, start=1):
        watches.sending(xid, request)
        watches.answered(xid, request, outcome)
    return watches


def everything() -> WatchTable:
    """Watches of the content and of the children of one znode."""
    return table((Get("/a", "content"), CONTENT), (Children("/a", "children"), NAMES))


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (CREATED, ("content",)),
        (DELETED, ("content", "children")),
        (CHANGED, ("content",)),
        (CHILDREN_CHANGED, ("children",)),
        (5, ("content",)),
        (6, ("children",)),
        (7, ()),
        (-1, ()),
    ],
)
def test_an_event_ends_the_watches_that_it_is_about(kind: int, keys: tuple[str, ...]) -> None:
    """Each kind of event fires its watches once; the others stay."""
    watches = everything()

    assert watches.fired(kind, "/other") == ()
    assert watches.fired(kind, "/a") == keys
    assert watches.fired(kind, "/a") == ()
    assert len(watches) == 2 - len(keys)


def test_requests_without_a_key_set_no_watch() -> None:
    """Reads and sets of watches without a key enter nothing."""
    requests = (Get("/a"), Exists("/a"), Children("/a"), SetWatches(1, ["/a"], ["/b"], ["/c"]))
    watches = WatchTable()
    for request in requests:
        watches.sending(1, request)

    assert len(watches) == 0


def test_all_keys_of_a_watch_fire_each_once() -> None:
    """Keys that were set several times, on content or children, fire once for an event."""
    watches = table(
        (Get("/a", "x"), CONTENT),
        (Exists("/a", "y"), CONTENT[1]),
        (Get("/a", "x"), CONTENT),
        (Children("/a", "x"), NAMES),
    )

    assert watches.fired(DELETED, "/a") == ("x", "y")


def test_a_set_of_watches_enters_all_of_them() -> None:
    """Existing and missing znodes have a watch of their content, parents one of their children."""
    watches = table((SetWatches(9, ["/a"], ["/b"], ["/c"], "key"), None))

    assert watches.fired(CHANGED, "/a") == ("key",)
    assert watches.fired(CREATED, "/b") == ("key",)
    assert watches.fired(CHILDREN_CHANGED, "/c") == ("key",)


@pytest.mark.parametrize("request_", [Get("/a", "w"), Exists("/a", "w"), Children("/a", "w")])
def test_a_refused_request_sets_no_watch(request_: AnyRequest) -> None:
    """The watch of a request that the server refuses is gone."""
    watches = WatchTable()
    watches.sending(1, request_)
    assert len(watches) == 1

    watches.answered(1, request_, NoAuthError("/a"))
    assert len(watches) == 0


def test_a_missing_znode_is_watched_by_exists_alone() -> None:
    """The watch of `Exists` is set if there is no znode, that of `Get` is not."""
    watches = table((Exists("/a", "exists"), None), (Get("/a", "get"), NoNodeError("/a")))

    assert watches.fired(CREATED, "/a") == ("exists",)


def test_a_refused_request_leaves_what_was_set_before() -> None:
    """A key stays as long as one request that set it was answered, or may be."""
    watches = table((Get("/a", "w"), CONTENT), (Get("/a", "w"), NoAuthError("/a")))
    assert watches.fired(CHANGED, "/a") == ("w",)

    watches = table((Get("/a", "first"), CONTENT), (Get("/a", "second"), NoAuthError("/a")))
    assert watches.fired(CHANGED, "/a") == ("first",)


def test_an_event_in_front_of_the_answer_ends_the_watch() -> None:
    """The answer of a request whose watch has fired meanwhile enters nothing again."""
    watches = WatchTable()
    watches.sending(1, Get("/a", "w"))
    assert watches.fired(CHANGED, "/a") == ("w",)

    watches.answered(1, Get("/a", "w"), CONTENT)
    assert len(watches) == 0


def test_an_event_of_an_older_watch_leaves_the_one_that_is_being_set() -> None:
    """If a watch fires while it is being set once more, that request sets the next one."""
    watches = table((Get("/a", "w"), CONTENT))
    watches.sending(9, Get("/a", "w"))
    assert watches.fired(CHANGED, "/a") == ("w",)
    assert watches.setting_again() == []

    watches.answered(9, Get("/a", "w"), CONTENT)
    assert watches.fired(CHANGED, "/a") == ("w",)
    assert watches.fired(CHANGED, "/a") == ()


def test_an_event_ends_the_oldest_of_two_requests() -> None:
    """If nothing is answered, the event is that of the first request; the second sets another."""
    watches = WatchTable()
    watches.sending(1, Get("/a", "first"))
    watches.sending(2, Exists("/a", "second"))
    assert watches.fired(CHANGED, "/a") == ("first", "second")
    assert watches.fired(CHANGED, "/a") == ("second",)
    assert len(watches) == 0


def test_an_old_answer_is_not_taken_for_a_new_one() -> None:
    """If the watch was set again after it fired, only the newer request can confirm it."""
    watches = WatchTable()
    watches.sending(1, Get("/a", "w"))
    watches.fired(CHANGED, "/a")
    watches.sending(2, Get("/a", "w"))
    watches.sending(3, Get("/a", "other"))
    watches.answered(1, Get("/a", "w"), CONTENT)
    watches.answered(2, Get("/a", "w"), NoAuthError("/a"))

    assert watches.fired(CHANGED, "/a") == ("other",)


@pytest.mark.parametrize(
    ("kind", "left"), [(ANY_WATCH, 0), (CONTENT_WATCH, 1), (CHILDREN_WATCH, 1)]
)
def test_removed_watches_are_gone(kind: int, left: int) -> None:
    """Watches that the server has removed fire no more; a refusal removes nothing."""
    watches = everything()
    watches.answered(3, RemoveWatches("/a", kind), NoNodeError("/a"))
    watches.answered(3, RemoveWatches("/none", kind), None)
    assert len(watches) == 2

    watches.answered(4, RemoveWatches("/a", kind), None)
    assert len(watches) == left


def test_all_watches_can_fire_at_once() -> None:
    """Each key fires once for each path, and then there is no watch."""
    watches = table(
        (Get("/a", "x"), CONTENT), (Children("/a", "x"), NAMES), (Get("/b", "x"), CONTENT)
    )

    assert watches.fire_all() == [("x", "/a"), ("x", "/b")]
    assert len(watches) == 0


def test_watches_are_set_again_as_of_their_transactions() -> None:
    """Each transaction has a request of its own; one that is not answered yet is left out."""
    watches = table(
        (Get("/a", "w"), (b"", Stat(mzxid=5))),
        (Exists("/b", "w"), Stat(mzxid=6)),
        (Exists("/c", "w"), None),
        (Children("/a", "w"), ((), Stat(pzxid=6))),
        (SetWatches(5, ["/d"], ["/e"], ["/f"], "w"), None),
    )
    watches.sending(9, Get("/late", "w"))

    assert watches.setting_again() == [
        SetWatches(0, missing=["/c", "/e"]),
        SetWatches(5, ["/a", "/d"], (), ["/f"]),
        SetWatches(6, ["/b"], (), ["/a"]),
    ]


def test_no_watches_need_no_request() -> None:
    """Without a watch there is nothing to set again."""
    assert WatchTable().setting_again() == []


def test_many_watches_are_set_again_in_parts() -> None:
    """No request names paths of more than 128 KiB, and together they name all."""
    paths = [f"/{number:04}{'x' * 995}" for number in range(300)] + ["/" + "y" * 200_000, "/z"]
    watches = table((SetWatches(5, paths, (), (), "w"), None))
    requests = watches.setting_again()

    sizes = [sum(map(len, request.existing)) for request in requests]
    assert [path for request in requests for path in request.existing] == paths
    assert sizes == [131_000, 131_000, 38_000, 200_001, 2]
