"""The verbs history, show and diff: what a znode held before, by whom and why."""

import json
from typing import Any

from zkexec.operator.call import Call
from zkexec.operator.cluster import Cluster, opened
from zkexec.operator.console import Console, clean
from zkexec.operator.contents import Entry, Znode, digest_of, short, size_text
from zkexec.operator.difference import difference, is_text
from zkexec.operator.keeping import Places, entry_of, look, read, recall
from zkexec.operator.outcome import DONE, OperatorError
from zkexec.operator.table import Cell, Column, table
from zkexec.operator.times import when

_FOREIGN = "another tool"


def run(call: Call, console: Console) -> int:
    """Tell what the call asks for."""
    with opened(call.connection, console) as cluster:
        past = _Past(cluster, call.paths[0])
        match call.verb:
            case "history":
                past.tell(console, as_json=call.json)
            case "show":
                past.show(console, call.numbers)
            case _:
                past.compare(console, call.numbers)
    return DONE


class _Past:
    """One path and what is kept of it."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._cluster = cluster
        self._places = Places.below(cluster.chroot)
        self._path = path

    def tell(self, console: Console, *, as_json: bool) -> None:
        """List the entries, newest first."""
        znode = self._look()
        if znode.content is None and not znode.entries:
            raise OperatorError(f"{self._path}: there is no such znode, and no history of one")
        if as_json:
            console.out(json.dumps(_in_json(znode)))
            return
        if znode.content is None:
            console.out(clean(f"{self._path}: was deleted"))
        width = console.width if console.is_terminal else None
        for line in table(_columns(znode), width, console.paint):
            console.out(line)

    def show(self, console: Console, numbers: tuple[int, ...]) -> None:
        """Write a content to stdout, byte for byte."""
        content = self._content(numbers[0]) if numbers else self._present()
        if console.is_terminal and not is_text(content):
            raise OperatorError(
                f"{self._path}: binary content ({size_text(len(content))}) is not shown on a "
                "terminal; write it to a file or a pipe"
            )
        console.write(content)

    def compare(self, console: Console, numbers: tuple[int, ...]) -> None:
        """Show what has changed since a content, up to another or to the present one."""
        znode = self._look()
        old = self._content(numbers[0], znode)
        if len(numbers) > 1:
            new, name = self._content(numbers[1], znode), f"{self._path}@{numbers[1]}"
        else:
            if znode.content is None:
                raise OperatorError(f"{self._path}: there is no such znode; name two contents")
            new, name = znode.content, znode.label
        if old == new:
            console.out(clean(f"{self._path}: same content"))
            return
        names = (f"{self._path}@{numbers[0]}", name)
        for style, line in difference(old, new, names):
            console.out(console.paint(style, line) if style else line)

    def _look(self) -> Znode:
        znode: Znode = self._cluster.ask(look(self._places, self._path))
        return znode

    def _present(self) -> bytes:
        content: bytes | None = self._cluster.ask(read(self._places, self._path))
        if content is None:
            raise OperatorError(f"{self._path}: there is no such znode")
        return content

    def _content(self, number: int, znode: Znode | None = None) -> bytes:
        entry = entry_of(znode or self._look(), number)
        content: bytes = self._cluster.ask(recall(self._places, self._path, entry))
        return content


def _columns(znode: Znode) -> list[Column]:
    entries = list(reversed(znode.entries))
    present = znode.present
    rows = [_cells(entry, is_present=entry is present) for entry in entries]
    if (unlisted := _unlisted(znode)) is not None:
        rows.insert(0, _cells(unlisted, is_present=True))
    titles = ("NUMBER", "TIME", "BY", "SIZE", "SHA256", "MESSAGE")
    ranks = (0, 2, 0, 4, 3, 0)
    return [
        Column(title, tuple(column), rank)
        for title, column, rank in zip(titles, zip(*rows, strict=True), ranks, strict=True)
    ]


def _cells(entry: Entry, *, is_present: bool) -> list[Cell]:
    number = [f"@{entry.number}"] * bool(entry.number) + ["now"] * is_present
    return [
        Cell(" ".join(number), "good" if is_present else ""),
        Cell(when(entry.at)),
        Cell(_FOREIGN, "busy") if entry.is_foreign else Cell(entry.by),
        Cell(size_text(entry.size)),
        Cell(short(entry.digest)),
        Cell(entry.message),
    ]


def _unlisted(znode: Znode) -> Entry | None:
    """What another tool has set and nobody has pushed over yet, so that it has no number."""
    if not znode.is_foreign or znode.content is None:
        return None
    return Entry(
        number=0,
        digest=digest_of(znode.content),
        size=len(znode.content),
        at=znode.modified_at,
        is_foreign=True,
    )


def _in_json(znode: Znode) -> dict[str, Any]:
    entries = [_entry_in_json(entry, znode) for entry in reversed(znode.entries)]
    if (unlisted := _unlisted(znode)) is not None:
        entries.insert(0, _entry_in_json(unlisted, znode))
    return {"path": znode.path, "exists": znode.content is not None, "contents": entries}


def _entry_in_json(entry: Entry, znode: Znode) -> dict[str, Any]:
    is_unlisted = not entry.number
    return {
        "number": entry.number or None,
        "present": is_unlisted or entry is znode.present,
        "foreign": entry.is_foreign,
        "kept": entry.digest in znode.kept or is_unlisted,
        "at": entry.at,
        "by": entry.by or None,
        "message": entry.message or None,
        "size": entry.size,
        "sha256": entry.digest,
        "restores": entry.restores or None,
    }
