"""A tree of znodes that a test writes, and the folder that it should become."""

from collections.abc import Mapping
from pathlib import Path

from kazoo.client import KazooClient, TransactionRequest

_AT_ONCE = 500
"""As many znodes as surely fit into one request."""


class ZnodeTree:
    """The znodes below `root`; each `write` is one transaction."""

    def __init__(self, client: KazooClient, root: str) -> None:
        self.root = root
        self._client = client
        self._known: set[str] = set()

    def path(self, below: str) -> str:
        """The whole path of a znode; "" for the root."""
        return f"{self.root}/{below}" if below else self.root

    def write(self, contents: Mapping[str, str | None]) -> None:
        """Set znodes by their paths below the root; None deletes one, with nothing below it.

        What is missing is created, also above.
        """
        transaction = self._client.transaction()
        for below in sorted(one for one, text in contents.items() if text is None)[::-1]:
            transaction.delete(self.path(below))
            self._known.discard(below)
        for below, text in contents.items():
            if text is not None:
                self._put(transaction, below, text.encode())
        failed = [result for result in transaction.commit() if isinstance(result, Exception)]
        assert not failed, failed

    def _put(self, transaction: TransactionRequest, below: str, content: bytes) -> None:
        for above in self._missing(below):
            transaction.create(self.path(above), content if above == below else b"")
            self._known.add(above)
            if above == below:
                return
        transaction.set_data(self.path(below), content)

    def _missing(self, below: str) -> list[str]:
        """The paths down to this one that do not exist yet."""
        parts = below.split("/") if below else []
        ways = ["", *("/".join(parts[: n + 1]) for n in range(len(parts)))]
        return [way for way in ways if way not in self._known]

    def fill(self, contents: Mapping[str, str]) -> None:
        """Create many znodes in several transactions."""
        names = list(contents)
        for start in range(0, len(names), _AT_ONCE):
            self.write({name: contents[name] for name in names[start : start + _AT_ONCE]})

    def delete(self) -> None:
        """Delete the root with all below it, znode by znode."""
        self._client.delete(self.root, recursive=True)
        self._known.clear()


def files_below(folder: Path) -> dict[str, str]:
    """The contents of all files below a folder, by their paths below it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_text()
    return found
