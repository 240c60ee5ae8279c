"""What a znode contained before, as values: its entries, and the index that lists them.

The rules of this file:

- Each content that was pushed has an entry with a revision, which is never used again.  The index
  of a path has its last ten entries; the contents are kept by their digests.
- The present content was pushed exactly if its digest is that of the newest entry.  Everything
  else was set by another tool, and gets its entry when the next push replaces it.
- An index is only written together with its path, so both show the same transaction after a push.
  When the next push is added, the entry before it gets the number of its own transaction.
- The content of a tree is the bytes that `tree_content.encode` makes of it.
- Contents may be secrets, so they are left out of every `repr`.
- An index may have been written by anything.  One that is not valid raises a ValueError whose one
  line says what is wrong.
"""

import re
from collections.abc import Sequence
from typing import Any

from zkexec.ctl.history.tree_content import content_size
from zkexec.ctl.history.tree_state import TreeState
from zkexec.digest import sha256
from zkexec.frozen import frozen, replace
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

_FORMAT = 1
KEPT = 10
"""This many entries are kept of each path."""

MOST_REVISION = 10**15
"""No path has as many contents; a greater revision in an index is a mistake."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class HistoryEntry:
    """One content that a znode had: who pushed it, when, why.

    `digest` is the SHA-256 of the bytes, `at` is in seconds of the epoch.  All entries of one push
    have the same `token`.  `restored_revision` is the revision whose content an undo brought back,
    0 for any other push.  `held_after` is after how many members the push was held, "" for a push
    without a hold.

    `zxid` is the transaction that wrote the content; of the newest entry it is 0, as the index has
    it.  The content `lasted` if nothing else was written until the push of the next entry.
    """

    revision: int
    digest: str
    size: int
    by: str = ""
    at: float
    message: str = ""
    set_by_other_tool: bool = False
    token: str = ""
    restored_revision: int = 0
    held_after: str = ""
    zxid: int = 0
    lasted: bool = False

    @property
    def origin(self) -> int:
        """The revision by which this content first came."""
        return self.restored_revision or self.revision


@frozen(kw_only=True, hidden=("content",))
class PathHistory:
    """One path and its history, as they were at one moment.

    `content` is None, and `version` -1, if the znode does not exist; `index_version` is -1 if
    there is no history yet.  `kept` are the digests of the contents that can be read again.  Of a
    tree that exists, `tree` are its znodes; version, mzxid and ACL are those of its root.
    """

    path: str
    content: bytes | None
    version: int = -1
    mzxid: int = 0
    modified_at: float = 0.0
    acl: tuple[Any, ...] = ()
    entries: tuple[HistoryEntry, ...] = ()
    index_version: int = -1
    index_mzxid: int = 0
    index_acl: tuple[Any, ...] = ()
    kept: frozenset[str] = frozenset()
    tree: TreeState | None = None

    @property
    def present(self) -> HistoryEntry | None:
        """The entry of the present content; None if this was not pushed, or does not exist."""
        if self.content is None or not self.entries:
            return None
        newest = self.entries[-1]
        return newest if newest.digest == digest_of(self.content) else None

    @property
    def origin(self) -> HistoryEntry | None:
        """The entry by which the present content first came, if it is still there."""
        present = self.present
        return None if present is None else self.entry(present.origin)

    @property
    def is_set_by_other_tool(self) -> bool:
        """Whether the present content has no entry."""
        return self.content is not None and self.present is None

    @property
    def unlisted(self) -> HistoryEntry | None:
        """An entry without a revision for the present content, if another tool has set it."""
        if self.content is None or self.present is not None:
            return None
        return HistoryEntry(
            revision=0,
            digest=digest_of(self.content),
            size=content_size(self.path, self.content),
            at=self.modified_at,
            set_by_other_tool=True,
            zxid=self.written_zxid,
        )

    @property
    def written_zxid(self) -> int:
        """The newest transaction of the path; of a tree, that of any znode in it."""
        znodes = () if self.tree is None else self.tree.znodes.values()
        newest = (max(znode.stat.mzxid, znode.stat.pzxid) for znode in znodes)
        return max((self.mzxid, *newest))

    @property
    def label(self) -> str:
        """The name of the present content in a diff."""
        if self.content is None:
            return "/dev/null"
        present = self.present
        return (
            f"{self.path}@{present.revision}" if present else f"{self.path} (set by another tool)"
        )

    def before(self) -> HistoryEntry | None:
        """Return the entry before the present content; None if it is not known.

        After an undo the next one goes further back, and never forward again.
        """
        present = self.present
        if present is None:
            return self.entries[-1] if self.entries else None
        earlier = [
            entry
            for entry in self.entries
            if entry.revision < present.origin and entry.digest != present.digest
        ]
        return earlier[-1] if earlier else None

    def entry(self, revision: int) -> HistoryEntry | None:
        """Return the entry of this revision, if it is still there."""
        return next((entry for entry in self.entries if entry.revision == revision), None)

    def pushed_by(self, token: str) -> HistoryEntry | None:
        """Return the entry of the push with this token."""
        return next((entry for entry in self.entries if entry.token == token), None)


@frozen(kw_only=True)
class PushAuthor:
    """Who pushes, when, why, and with which hold; `token` identifies this push."""

    by: str
    at: float
    message: str
    token: str
    held_after: str = ""


def entries_after(
    history: PathHistory, content: bytes, author: PushAuthor, restored_revision: int = 0
) -> tuple[HistoryEntry, ...]:
    """Return the entries after this content has been pushed to the path."""
    entries = list(history.entries)
    if entries:
        zxid = history.index_mzxid
        entries[-1] = replace(entries[-1], zxid=zxid, lasted=zxid == history.written_zxid)
    if unlisted := history.unlisted:
        lasting = replace(unlisted, revision=_next_revision(entries), lasted=True)
        entries.append(lasting)
    entries.append(
        HistoryEntry(
            revision=_next_revision(entries),
            digest=digest_of(content),
            size=content_size(history.path, content),
            by=author.by,
            at=author.at,
            message=author.message,
            token=author.token,
            restored_revision=restored_revision,
            held_after=author.held_after,
        )
    )
    return tuple(entries[-KEPT:])


def _next_revision(entries: Sequence[HistoryEntry]) -> int:
    return entries[-1].revision + 1 if entries else 1


def _checked_digest(digest: str) -> str:
    # It becomes the name of a znode.
    if not is_digest(digest):
        raise ValueError("expected a SHA-256 as 'digest' in the history")
    return digest


_ENTRIES = array(
    Table(
        HistoryEntry,
        {
            "revision": integer(1, MOST_REVISION),
            "digest": TEXT.checked(_checked_digest),
            "size": INTEGER,
            "by": SHOWN,
            "at": TIME,
            "message": SHOWN,
            "set_by_other_tool": TRUTH,
            "token": TEXT,
            "restored_revision": INTEGER,
            "held_after": SHOWN.optional(""),
            "zxid": INTEGER.optional(0),
            "lasted": TRUTH.optional(False),
        },
    ),
    KEPT,
)
"""The entries in the index."""


def encode(entries: Sequence[HistoryEntry]) -> bytes:
    """Return the bytes of an index."""
    return to_json({"entries": _ENTRIES.write(entries, 0.0)}, _FORMAT)


def decode(content: bytes) -> tuple[HistoryEntry, ...]:
    """Return the entries of an index, oldest first."""
    fields = Fields.of_bytes(content, "the history", _FORMAT)
    entries: tuple[HistoryEntry, ...] = _ENTRIES.read(fields, "entries")
    revisions = [entry.revision for entry in entries]
    if revisions != sorted(set(revisions)):
        raise ValueError("expected rising revisions in the history")
    return entries


def decode_index(content: bytes, mzxid: int) -> tuple[HistoryEntry, ...]:
    """Return the entries of an index that was written last by the transaction `mzxid`.

    Each entry has its zxid.  If they do not rise up to `mzxid`, the index was restored from a dump,
    and all but the newest are 0.
    """
    entries = decode(content)
    if not entries:
        return ()
    known = [entry.zxid for entry in entries[:-1]] + [mzxid]
    if known != sorted(set(known)):
        entries = tuple(replace(entry, zxid=0, lasted=False) for entry in entries)
    return (*entries[:-1], replace(entries[-1], zxid=mzxid, lasted=False))


def is_digest(name: str) -> bool:
    """Return whether a content can be kept under this name."""
    return _DIGEST.fullmatch(name) is not None


def digest_of(content: bytes) -> str:
    """Return the name under which a content is kept."""
    return sha256(content).hexdigest()
