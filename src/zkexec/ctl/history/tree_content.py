"""The content of a tree of znodes as one value: the bytes that its history keeps, and its files.

A tree is a mapping from the path below its root, "" for the root itself, to a content.  It has the
znodes with content, and those without children; a folder without content follows from what is
below it.  The kept bytes are the same for equal trees: a first line with the format, one line for
each znode with its size and path (`.` is the root) in the order of the paths, an empty line, and
the contents in the same order, one right behind the other.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from zkexec.core.snapshot import MOST_ZNODES
from zkexec.core.tree_files import LONGEST_NAME_BYTES, OWN_CONTENT
from zkexec.frozen import frozen
from zkexec.znode_paths import check_zk_path

_FORMAT = b"zkexec tree 1\n"
_ROOT = "."
_DIGITS = 9

Znodes = Mapping[str, bytes]
Files = Mapping[str, bytes]


def is_tree(path: str) -> bool:
    """Return whether a ZK_PATH names a tree: it ends with a slash, and is not the root /."""
    return path.endswith("/") and path != "/"


def contains(tree: str, path: str) -> bool:
    """Return whether a path is part of a tree, or is this tree, or its root."""
    return is_tree(tree) and f"{path.rstrip('/')}/".startswith(tree)


def ancestors(path: str) -> Iterator[str]:
    """Give the paths above a path in a tree, the root last; none above the root."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def folders(paths: Iterable[str]) -> set[str]:
    """Return the paths that have others below them."""
    found: set[str] = set()
    for path in paths:
        for above in ancestors(path):
            # What is above a known folder is known, so that a deep tree takes no longer.
            if above in found:
                break
            found.add(above)
    return found


def canonical(znodes: Znodes) -> dict[str, bytes]:
    """Sort the znodes, without the root and the folders that have no content."""
    above = {"", *folders(znodes)}
    return {path: znodes[path] for path in sorted(znodes) if znodes[path] or path not in above}


def encode(znodes: Znodes) -> bytes:
    """Return the bytes that are kept of a tree."""
    kept = canonical(znodes)
    lines = [f"{len(content)} {path or _ROOT}\n".encode() for path, content in kept.items()]
    return b"".join([_FORMAT, *lines, b"\n", *kept.values()])


def decode(content: bytes) -> dict[str, bytes]:
    """Return the znodes of a kept tree.

    The bytes may have been written by anything: those that `encode` does not write raise a
    ValueError whose one line continues a sentence.
    """
    if not content.startswith(_FORMAT):
        raise ValueError("is no tree of a format that this zkexecctl knows")
    start = len(_FORMAT) - 1
    end = content.find(b"\n\n", start)
    if end < 0 or content.count(b"\n", start, end) > MOST_ZNODES:
        raise ValueError("is no valid tree")
    znodes = {}
    position = end + 2
    for line in content[start + 1 : end].split(b"\n") if end > start else ():
        size, path = _entry(line)
        znodes[path] = content[position : position + size]
        position += size
    if encode(znodes) != content:
        raise ValueError("is no valid tree")
    return znodes


def _entry(line: bytes) -> tuple[int, str]:
    size, _, name = line.partition(b" ")
    if not size.isdigit() or len(size) > _DIGITS:
        raise ValueError("is no valid tree")
    try:
        path = name.decode()
        # One with a slash at its end would be another path for the same znode.
        return int(size), "" if path == _ROOT else check_zk_path(f"/{path}")[1:]
    except ValueError:
        raise ValueError("is no valid tree") from None


def content_size(path: str, content: bytes) -> int:
    """Return the size of a content for a person; that of a tree is the sum of its files."""
    return sum(map(len, decode(content).values())) if is_tree(path) else len(content)


def from_files(files: Files, skipped: Collection[str] = ()) -> dict[str, bytes]:
    """Return the znodes that these files become; a ValueError names a file that becomes none.

    The names that were `skipped` make a folder of what is above them all the same.
    """
    above = folders([*skipped, *(path for path in files if not _is_folder_content(path))])
    znodes = {}
    for path, content in files.items():
        try:
            check_zk_path(f"/{path}")
        except ValueError:
            raise ValueError(f"{path}: ZooKeeper takes no such name") from None
        folder = path.rpartition("/")[0]
        if not _is_folder_content(path):
            znodes[path] = content
        elif folder and folder not in above:
            raise ValueError(
                f"{path}: is the only file in its folder, and a znode without children is a "
                f"file: make it the file {folder}"
            )
        else:
            znodes[folder] = content
    return canonical(znodes)


def to_files(znodes: Znodes) -> dict[str, bytes]:
    """Return the files that a tree is; a ValueError names a znode that cannot be a file."""
    files: dict[str, bytes] = {}
    for (file, path), content in _named(znodes).items():
        if any(len(name.encode()) > LONGEST_NAME_BYTES for name in path.split("/")):
            raise ValueError(f"{path}: a name of more than {LONGEST_NAME_BYTES} bytes is no file")
        if file in files:
            raise ValueError(f"{file}: two znodes would be this file")
        files[file] = content
    for path in sorted(folders(files).intersection(files)):
        raise ValueError(f"{path}: would be a file and a folder")
    return files


def listed(znodes: Znodes) -> list[tuple[str, bytes]]:
    """Return the files for a person, sorted by name, also of a tree that cannot be files."""
    return [(file, content) for (file, _), content in sorted(_named(znodes).items())]


def _named(znodes: Znodes) -> dict[tuple[str, str], bytes]:
    """The contents by file and path: two znodes can be the same file, see `to_files`."""
    above = {"", *folders(znodes)}
    return {
        (f"{path}/{OWN_CONTENT}".lstrip("/") if path in above else path, path): content
        for path, content in znodes.items()
    }


def _is_folder_content(path: str) -> bool:
    return path.rpartition("/")[2] == OWN_CONTENT


@frozen(kw_only=True, hidden=("old", "new"))
class FileDifference:
    """One file that differs between two trees; None is a file that does not exist."""

    file: str
    old: bytes | None
    new: bytes | None

    @property
    def kind(self) -> str:
        """What has happened to the file."""
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"


def differences(old: Znodes, new: Znodes) -> list[FileDifference]:
    """Return the files that differ between two trees, sorted by name."""
    before, after = _named(old), _named(new)
    return [
        FileDifference(file=key[0], old=before.get(key), new=after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
