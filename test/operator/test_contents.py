"""Entries of a history as values: numbers, what comes before what, and bytes from anybody."""

import json
from typing import Any

import pytest

from zkexec.operator.contents import (
    KEPT,
    Stamp,
    Znode,
    decode,
    digest_of,
    encode,
    entries_after,
    size_text,
)

STAMP = Stamp(by="ada@host", at=1000.0, message="why", token="t")  # noqa: S106 -- no password


def pushed(znode: Znode, content: bytes, restores: int = 0) -> Znode:
    """The znode after a push."""
    entries = entries_after(znode, content, STAMP, restores)
    return Znode(path=znode.path, content=content, entries=entries, index_version=0)


def grown(*contents: bytes) -> Znode:
    """A znode with these contents pushed one after the other."""
    znode = Znode(path="/p", content=None)
    for content in contents:
        znode = pushed(znode, content)
    return znode


def undone(znode: Znode, number: int | None = None) -> tuple[Znode, int]:
    """The znode after an undo, and the number of the content that it went back to."""
    target = znode.before() if number is None else znode.numbered(number)
    assert target is not None
    content = next(c for c in (b"A", b"B", b"C", b"D") if digest_of(c) == target.digest)
    return pushed(znode, content, target.origin), target.number


def test_numbers_are_never_given_again() -> None:
    """The last ten entries stay, and the next one has the next number."""
    znode = grown(*(b"%d" % number for number in range(25)))

    assert [entry.number for entry in znode.entries] == list(range(16, 26))
    assert len(znode.entries) == KEPT


def test_undo_goes_further_back_each_time() -> None:
    """From what an undo has brought back, the next undo goes further back, and not forth."""
    znode = grown(b"A", b"B", b"C")

    znode, first = undone(znode)
    znode, second = undone(znode)

    assert (first, second) == (2, 1)
    assert znode.before() is None


def test_undo_after_a_push_over_an_undo() -> None:
    """What was undone is passed over later, as if it had never been pushed."""
    znode, _ = undone(grown(b"A", b"B", b"C"))
    znode = pushed(znode, b"D")

    znode, first = undone(znode)
    znode, second = undone(znode)

    assert (first, second) == (4, 1)


def test_undo_of_an_undo() -> None:
    """An undo to a number goes forth as well, and from there back again."""
    znode, _ = undone(grown(b"A", b"B", b"C"))

    znode, forth = undone(znode, 3)
    znode, back = undone(znode)

    assert (forth, back) == (3, 2)


def test_content_of_another_tool() -> None:
    """What another tool has set is no entry's content, and before it is the newest entry."""
    znode = Znode(path="/p", content=b"X", modified_at=7.0, entries=grown(b"A", b"B").entries)

    assert znode.is_foreign
    assert znode.present is None
    before = znode.before()
    assert before is not None
    assert before.number == 2


def test_content_of_another_tool_gets_its_entry() -> None:
    """A push over what another tool has set gives that an entry as well, as of its own time."""
    znode = Znode(path="/p", content=b"X", modified_at=7.0, entries=grown(b"A", b"B").entries)

    theirs, ours = pushed(znode, b"C").entries[-2:]

    assert (theirs.number, theirs.is_foreign, theirs.at, theirs.by) == (3, True, 7.0, "")
    assert theirs.digest == digest_of(b"X")
    assert (ours.number, ours.is_foreign, ours.by, ours.message) == (4, False, "ada@host", "why")


def test_the_same_content_by_another_tool_is_the_same() -> None:
    """Where another tool has written what was there anyway, nothing is said to be foreign."""
    znode = Znode(path="/p", content=b"B", version=9, entries=grown(b"A", b"B").entries)

    assert not znode.is_foreign
    assert znode.present is znode.entries[-1]


def test_a_deleted_znode() -> None:
    """A znode that is gone holds nothing, and before that it held the newest entry."""
    znode = Znode(path="/p", content=None, entries=grown(b"A", b"B").entries)

    assert znode.present is None
    assert not znode.is_foreign
    assert znode.before() is znode.entries[-1]


def test_there_and_back() -> None:
    """An index is read as it was written."""
    entries = undone(grown(b"A", b"B", b"C"))[0].entries

    assert decode(encode(entries)) == entries


def test_what_newer_versions_add() -> None:
    """Keys that are not known are passed over."""
    told = json.loads(encode(grown(b"A").entries))
    told["more"] = 1
    told["entries"][0]["more"] = [2]

    assert decode(json.dumps(told).encode()) == grown(b"A").entries


def broken(**fields: Any) -> bytes:
    """An index with one entry that has such fields."""
    told = json.loads(encode(grown(b"A").entries))
    told["entries"][0] |= fields
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the history is no valid JSON"),
        (b"[]", "expected a JSON object as the history"),
        (b'{"format":2}', "the history was written by a newer zkexec (format 2)"),
        (b'{"format":1}', "expected a JSON array as 'entries' of the history"),
        (broken(digest="../../x"), "expected a SHA-256 as 'digest' in the history"),
        (broken(digest="A" * 64), "expected a SHA-256 as 'digest' in the history"),
        (broken(number=0), "expected at least 1 as 'number' of 'entries' of the history"),
        (broken(at=1e300), "expected seconds of the epoch as 'at' of 'entries' of the history"),
        (broken(by=None), "expected a JSON string as 'by' of 'entries' of the history"),
        (
            encode(grown(b"A").entries * 2),
            "expected rising numbers in the history",
        ),
    ],
)
def test_what_is_no_index(content: bytes, reason: str) -> None:
    """Whatever is no valid index is refused in one line that says what is wrong."""
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
    """A size is told in the unit in which it is easily read."""
    assert size_text(size) == text
