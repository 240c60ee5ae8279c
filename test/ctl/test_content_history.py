"""Entries of a history as values: revisions, what comes before what, and bytes of any origin."""

import json
from typing import Any

import pytest

from zkexec.ctl.history.content_history import (
    KEPT,
    PathHistory,
    PushAuthor,
    decode,
    digest_of,
    encode,
    entries_after,
)
from zkexec.ctl.terminal.text_diff import size_text

AUTHOR = PushAuthor(by="ada@host", at=1000.0, message="why", token="t")  # noqa: S106 -- no password


def pushed(history: PathHistory, content: bytes, restored_revision: int = 0) -> PathHistory:
    """The history after a push."""
    entries = entries_after(history, content, AUTHOR, restored_revision)
    return PathHistory(path=history.path, content=content, entries=entries, index_version=0)


def grown(*contents: bytes) -> PathHistory:
    """A history with these contents pushed one after the other."""
    history = PathHistory(path="/p", content=None)
    for content in contents:
        history = pushed(history, content)
    return history


def undone(history: PathHistory, revision: int | None = None) -> tuple[PathHistory, int]:
    """The history after an undo, and the revision that it went back to."""
    target = history.before() if revision is None else history.entry(revision)
    assert target is not None
    content = next(c for c in (b"A", b"B", b"C", b"D") if digest_of(c) == target.digest)
    return pushed(history, content, target.origin), target.revision


def test_revisions_are_never_used_again() -> None:
    """The last ten entries stay, and the next one has the next revision."""
    history = grown(*(b"%d" % number for number in range(25)))

    assert [entry.revision for entry in history.entries] == list(range(16, 26))
    assert len(history.entries) == KEPT


def test_undo_goes_further_back_each_time() -> None:
    """After an undo, the next undo goes further back, and not forward."""
    history = grown(b"A", b"B", b"C")

    history, first = undone(history)
    history, second = undone(history)

    assert (first, second) == (2, 1)
    assert history.before() is None


def test_undo_after_a_push_over_an_undo() -> None:
    """What was undone is passed over later, as if it had never been pushed."""
    history, _ = undone(grown(b"A", b"B", b"C"))
    history = pushed(history, b"D")

    history, first = undone(history)
    history, second = undone(history)

    assert (first, second) == (4, 1)


def test_undo_of_an_undo() -> None:
    """An undo to a revision can go forward as well, and from there back again."""
    history, _ = undone(grown(b"A", b"B", b"C"))

    history, forth = undone(history, 3)
    history, back = undone(history)

    assert (forth, back) == (3, 2)


def test_content_of_another_tool() -> None:
    """What another tool has set has no entry, and before it is the newest entry."""
    history = PathHistory(
        path="/p", content=b"X", modified_at=7.0, entries=grown(b"A", b"B").entries
    )

    assert history.is_set_by_other_tool
    assert history.present is None
    before = history.before()
    assert before is not None
    assert before.revision == 2


def test_content_of_another_tool_gets_its_entry() -> None:
    """A push over what another tool has set gives that an entry as well, as of its own time."""
    history = PathHistory(
        path="/p", content=b"X", modified_at=7.0, entries=grown(b"A", b"B").entries
    )

    theirs, ours = pushed(history, b"C").entries[-2:]

    assert (theirs.revision, theirs.set_by_other_tool, theirs.at, theirs.by) == (3, True, 7.0, "")
    assert theirs.digest == digest_of(b"X")
    assert (ours.revision, ours.set_by_other_tool, ours.by, ours.message) == (
        4,
        False,
        "ada@host",
        "why",
    )


def test_the_same_content_by_another_tool_is_the_same() -> None:
    """If another tool has written the same content, it does not count as set by another tool."""
    history = PathHistory(path="/p", content=b"B", version=9, entries=grown(b"A", b"B").entries)

    assert not history.is_set_by_other_tool
    assert history.present is history.entries[-1]


def test_a_deleted_znode() -> None:
    """A deleted znode has no content, and before that it had that of the newest entry."""
    history = PathHistory(path="/p", content=None, entries=grown(b"A", b"B").entries)

    assert history.present is None
    assert not history.is_set_by_other_tool
    assert history.before() is history.entries[-1]


def test_there_and_back() -> None:
    """An index is read as it was written."""
    entries = undone(grown(b"A", b"B", b"C"))[0].entries

    assert decode(encode(entries)) == entries


def test_what_newer_versions_add() -> None:
    """Unknown keys are ignored."""
    written = json.loads(encode(grown(b"A").entries))
    written["more"] = 1
    written["entries"][0]["more"] = [2]

    assert decode(json.dumps(written).encode()) == grown(b"A").entries


def broken(**fields: Any) -> bytes:
    """An index with one entry that has such fields."""
    written = json.loads(encode(grown(b"A").entries))
    written["entries"][0] |= fields
    return json.dumps(written).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the history is no valid JSON"),
        (b"[]", "expected a JSON object as the history"),
        (b'{"format":2}', "the history was written by a newer zkexec (format 2)"),
        (b'{"format":1}', "expected a JSON array as 'entries' of the history"),
        (broken(digest="../../x"), "expected a SHA-256 as 'digest' in the history"),
        (broken(digest="A" * 64), "expected a SHA-256 as 'digest' in the history"),
        (broken(revision=0), "expected at least 1 as 'revision' of 'entries' of the history"),
        (broken(at=1e300), "expected seconds of the epoch as 'at' of 'entries' of the history"),
        (broken(by=None), "expected a JSON string as 'by' of 'entries' of the history"),
        (
            encode(grown(b"A").entries * 2),
            "expected rising revisions in the history",
        ),
    ],
)
def test_what_is_no_index(content: bytes, reason: str) -> None:
    """An index that is not valid is refused in one line that says what is wrong."""
    with pytest.raises(ValueError, match=r".") as refused:
        decode(content)

    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """A size is written in the unit in which it is easily read."""
    assert size_text(size) == text
