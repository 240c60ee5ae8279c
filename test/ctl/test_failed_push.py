"""How a failed push is undone, as values: what comes back, what is left, what was written since."""

from typing import Any

import pytest

from support.dialogue_player import at
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import (
    HistoryEntry,
    PathHistory,
    PushAuthor,
    entries_after,
)
from zkexec.ctl.history.failed_push import FailedPush
from zkexec.ctl.history.push_transaction import PushResult
from zkexec.ctl.history.tree_content import encode
from zkexec.ctl.history.tree_state import TreeState, TreeZnode
from zkexec.frozen import replace

ZXID = 50
EARLIER, OURS, LATER = (
    PushAuthor(by=by, at=1.0, message="why", token=by[:3])
    for by in ("ann@hill", "bob@dale", "eve@sea")
)


def pushed(
    history: PathHistory, content: bytes, author: PushAuthor, zxid: int, **changes: Any
) -> PathHistory:
    """The history after a push in this transaction."""
    entries = entries_after(history, content, author)
    return replace(history, content=content, entries=entries, mzxid=zxid, **changes)


def known(path: str = "/conf") -> PathHistory:
    """A path that was pushed twice by others."""
    once = pushed(PathHistory(path=path, content=None), b"old", EARLIER, 10)
    return pushed(once, b"previous", EARLIER, 20)


def change(history: PathHistory, content: bytes = b"ours") -> ContentChange:
    """The change of the push that fails."""
    return ContentChange(history=history, content=content, source="file")


def failed(*changes: ContentChange) -> FailedPush:
    """The push of these changes, which has failed."""
    entries: dict[str, HistoryEntry] = {
        one.path: entries_after(one.history, one.content, OURS)[-1]
        for one in changes
        if one.is_needed
    }
    return FailedPush("web", changes, PushResult(ZXID, entries), "failed on m1: exit status 3")


def test_the_previous_content_comes_back() -> None:
    """What the path contained before the push is pushed, as the revision that it was."""
    before = known()
    now = pushed(before, b"ours", OURS, ZXID)

    push = failed(change(before))
    (undone,) = push.undone_by([now])

    assert undone == ContentChange(
        history=now, content=b"previous", source="@2", restored_revision=2
    )
    assert push.message == "undone: failed on m1: exit status 3"
    assert push.report([undone], has_hold=True) == [
        "the push is undone: /conf has the content of @2 again; to follow this: zkexecctl wait web",
        "the hold of the push is still there; to remove it: zkexecctl approve web",
    ]


def test_a_content_that_was_too_much_to_be_kept_comes_back() -> None:
    """Content of another tool without an entry is pushed as it was read before the push."""
    before = PathHistory(path="/conf", content=b"theirs", mzxid=20)
    pushed_now = pushed(before, b"ours", OURS, ZXID)
    now = replace(pushed_now, entries=pushed_now.entries[-1:])

    (undone,) = failed(change(before)).undone_by([now])

    assert (undone.content, undone.source, undone.restored_revision) == (
        b"theirs",
        "another tool",
        0,
    )


def test_what_the_push_has_created_is_left() -> None:
    """A path that did not exist keeps the content, and the report names it."""
    before = PathHistory(path="/new", content=None)
    push = failed(change(before), change(known()))

    undone = push.undone_by(
        [pushed(before, b"ours", OURS, ZXID), pushed(known(), b"ours", OURS, ZXID)]
    )

    assert [one.is_needed for one in undone] == [False, True]
    assert push.report(undone, has_hold=False)[1:] == [
        "created by the push, and left as an undo deletes nothing: /new"
    ]
    alone = failed(change(before))
    (left,) = alone.undone_by([pushed(before, b"ours", OURS, ZXID)])
    assert alone.report([left], has_hold=False) == [
        "created by the push, and left as an undo deletes nothing: /new"
    ]


OURS_NOW = pushed(known(), b"ours", OURS, ZXID)
WRITES: dict[str, tuple[PathHistory, str]] = {
    "deleted": (replace(OURS_NOW, content=None), "/conf was deleted since"),
    "pushed": (
        pushed(OURS_NOW, b"theirs", LATER, 60),
        "/conf was written as @4 by eve@sea since",
    ),
    "set": (
        replace(OURS_NOW, content=b"theirs", mzxid=60),
        "/conf was written by another tool since",
    ),
    "set to the same": (replace(OURS_NOW, mzxid=60), "/conf was written by another tool since"),
    "without its history": (
        replace(OURS_NOW, entries=()),
        "/conf was written by another tool since",
    ),
}


@pytest.mark.parametrize(("now", "why"), WRITES.values(), ids=WRITES)
def test_nothing_is_undone_that_was_written_since(now: PathHistory, why: str) -> None:
    """If one of several paths was written since the push, none of them is undone."""
    other = known("/other")
    push = failed(change(other), change(known()))

    assert len(push.undone_by([pushed(other, b"ours", OURS, ZXID), OURS_NOW])) == 2
    with pytest.raises(SubcommandError) as refusal:
        push.undone_by([pushed(other, b"ours", OURS, ZXID), now])

    assert str(refusal.value) == why


def test_a_path_that_the_push_left_as_it_was() -> None:
    """A path whose content was the same is checked as well, and not written."""
    same, other = known("/same"), known("/other")
    push = failed(change(same, b"previous"), change(other))
    now = pushed(other, b"ours", OURS, ZXID)

    unchanged, undone = push.undone_by([same, now])

    assert not unchanged.is_needed
    assert undone.content == b"previous"
    with pytest.raises(SubcommandError, match="/same was changed since the diff was shown"):
        push.undone_by([replace(same, version=1, mzxid=60), now])


def test_one_file_of_a_tree_that_was_written_since() -> None:
    """A write below the root of a tree counts, also of the same bytes."""
    old, new = encode({"a": b"old"}), encode({"a": b"new"})
    before = pushed(PathHistory(path="/conf/", content=None), old, EARLIER, 20)

    def tree(zxid: int) -> PathHistory:
        znodes = {
            "": TreeZnode(b"", at(ZXID), ()),
            "a": TreeZnode(b"new", at(zxid), ()),
        }
        return pushed(before, new, OURS, ZXID, tree=TreeState(znodes, frozenset()))

    push = failed(change(before, new))

    assert push.undone_by([tree(ZXID)])[0].content == old
    with pytest.raises(SubcommandError, match="/conf/ was written by another tool since"):
        push.undone_by([tree(60)])


def test_a_push_that_has_changed_nothing() -> None:
    """There is nothing to undo if all paths had the contents before."""
    with pytest.raises(SubcommandError, match="it has changed nothing"):
        failed(change(known(), b"previous")).undone_by([known()])
