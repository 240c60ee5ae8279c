"""What a znode held before, as values: entries, the index that lists them, and what they tell.

The rules of this file:

- Each content that was pushed has an entry with a number, which is never given again.  The last
  ten entries of a path stand in the index of its history; contents are kept by their digest.
- What a znode holds was pushed exactly where its digest is that of the newest entry.  Everything
  else was set by another tool, and gets its entry when the next push goes over it.
- Contents may be secrets, so they are left out of every `repr`.
- What is read may have been written by another version, or by anybody else.  Whatever is no
  valid index raises a ValueError whose one line says what is wrong.
"""

import re
from collections.abc import Sequence
from typing import Any

from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.group.json_fields import (
    INTEGER,
    SHOWN,
    TEXT,
    TIME,
    TRUTH,
    Fields,
    Table,
    array,
    integer,
    to_json,
)

KEPT = 10
"""So many entries are kept of each path."""

MOST_NUMBER = 10**15
"""No path has as many contents; a greater number in an index is a mistake."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHORT = 12


@frozen(kw_only=True)
class Entry:
    """One content that a znode had: who brought it, when, why.

    `digest` is the SHA-256 of the bytes, `at` in seconds of the epoch.  `is_foreign` where another
    tool has set it.  All entries of one push have the same `token`.  `restores` is the number of
    the entry whose content an undo brought back, 0 for all else.
    """

    number: int
    digest: str
    size: int
    by: str = ""
    at: float
    message: str = ""
    is_foreign: bool = False
    token: str = ""
    restores: int = 0

    @property
    def origin(self) -> int:
        """The number of the entry by which this content first came."""
        return self.restores or self.number


@frozen(kw_only=True, hidden=("content",))
class Znode:
    """One path and its history, as they were at one moment.

    `content` is None, and `version` -1, where there is no znode; `index_version` is -1 where
    there is no history yet.  `kept` are the digests of the contents that are there.
    """

    path: str
    content: bytes | None
    version: int = -1
    mzxid: int = 0
    modified_at: float = 0.0
    acl: tuple[Any, ...] = ()
    entries: tuple[Entry, ...] = ()
    index_version: int = -1
    index_mzxid: int = 0
    index_acl: tuple[Any, ...] = ()
    kept: frozenset[str] = frozenset()

    @property
    def present(self) -> Entry | None:
        """The entry of what it holds; None where that was not pushed, and where it is gone."""
        if self.content is None or not self.entries:
            return None
        newest = self.entries[-1]
        return newest if newest.digest == digest_of(self.content) else None

    @property
    def is_foreign(self) -> bool:
        """Whether it holds something that has no entry."""
        return self.content is not None and self.present is None

    @property
    def label(self) -> str:
        """How a difference names what it holds."""
        if self.content is None:
            return "/dev/null"
        present = self.present
        return f"{self.path}@{present.number}" if present else f"{self.path} (set by another tool)"

    def before(self) -> Entry | None:
        """The entry of what it held before what it holds now; None where nothing is known of it.

        From what an undo has brought back it goes further back, and never forth again.
        """
        present = self.present
        if present is None:
            return self.entries[-1] if self.entries else None
        earlier = [
            entry
            for entry in self.entries
            if entry.number < present.origin and entry.digest != present.digest
        ]
        return earlier[-1] if earlier else None

    def numbered(self, number: int) -> Entry | None:
        """The entry of this number, if it is still there."""
        return next((entry for entry in self.entries if entry.number == number), None)

    def pushed_by(self, token: str) -> Entry | None:
        """The entry that the push with this token has left."""
        return next((entry for entry in self.entries if entry.token == token), None)


@frozen(kw_only=True)
class Stamp:
    """Who pushes, when, and why; `token` is what this push is known by."""

    by: str
    at: float
    message: str
    token: str


def entries_after(
    znode: Znode, content: bytes, stamp: Stamp, restores: int = 0
) -> tuple[Entry, ...]:
    """The entries once this content has been pushed to the znode."""
    entries = list(znode.entries)
    if znode.is_foreign and znode.content is not None:
        entries.append(
            Entry(
                number=_next_number(entries),
                digest=digest_of(znode.content),
                size=len(znode.content),
                at=znode.modified_at,
                is_foreign=True,
            )
        )
    entries.append(
        Entry(
            number=_next_number(entries),
            digest=digest_of(content),
            size=len(content),
            by=stamp.by,
            at=stamp.at,
            message=stamp.message,
            token=stamp.token,
            restores=restores,
        )
    )
    return tuple(entries[-KEPT:])


def _next_number(entries: Sequence[Entry]) -> int:
    return entries[-1].number + 1 if entries else 1


def encode(entries: Sequence[Entry]) -> bytes:
    """The bytes of an index."""
    return to_json({"entries": _ENTRIES.write(entries, 0.0)})


def decode(content: bytes) -> tuple[Entry, ...]:
    """The entries of an index, oldest first."""
    entries: tuple[Entry, ...] = _ENTRIES.read(Fields.of_bytes(content, "the history"), "entries")
    numbers = [entry.number for entry in entries]
    if numbers != sorted(set(numbers)):
        raise ValueError("expected rising numbers in the history")
    return entries


def _check_digest(digest: str) -> str:
    # It becomes the name of a znode.
    if not _DIGEST.fullmatch(digest):
        raise ValueError("expected a SHA-256 as 'digest' in the history")
    return digest


_ENTRIES = array(
    Table(
        Entry,
        {
            "number": integer(1, MOST_NUMBER),
            "digest": TEXT.checked(_check_digest),
            "size": INTEGER,
            "by": SHOWN,
            "at": TIME,
            "message": SHOWN,
            "is_foreign": TRUTH.named("foreign"),
            "token": TEXT,
            "restores": INTEGER,
        },
    ),
    KEPT,
)


def is_digest(name: str) -> bool:
    """Tell whether this is the name under which a content may be kept."""
    return _DIGEST.fullmatch(name) is not None


def digest_of(content: bytes) -> str:
    """The name under which a content is kept."""
    return sha256(content).hexdigest()


def short(digest: str) -> str:
    """As much of a digest as a person can compare."""
    return digest[:_SHORT]


def size_text(size: int) -> str:
    """A number of bytes for a person."""
    if size < 1000:
        return f"{size} byte{'' if size == 1 else 's'}"
    if size < 999_950:
        return f"{size / 1000:.1f} kB"
    return f"{size / 1_000_000:.1f} MB"


def summary(content: bytes) -> str:
    """A content in a few words, without anything of it."""
    return f"{size_text(len(content))}, sha256 {short(digest_of(content))}"
