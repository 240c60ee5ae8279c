"""Read a local folder that is pushed as a tree: every file once, and nothing that is no file.

Everything that cannot become a znode is refused with its path.  Names that begin with a dot are
left out, as Solr's tools do.
"""

import os
import stat
from collections.abc import Iterator

from zkexec.core.snapshot import MOST_ZNODES
from zkexec.core.tree_files import OWN_CONTENT
from zkexec.ctl.exit_status import WRONG_USAGE, SubcommandError
from zkexec.ctl.history.tree_content import from_files
from zkexec.frozen import frozen
from zkexec.group.paths import LARGEST_COMMIT


@frozen(hidden=("znodes",))
class PushedFolder:
    """The tree that a folder becomes, and the names that were left out."""

    znodes: dict[str, bytes]
    skipped: tuple[str, ...]


def is_skipped(path: str) -> bool:
    """Return whether a push leaves this path in a tree alone."""
    return any(name.startswith(".") for name in path.split("/"))


def read_folder(path: str, folder: str) -> PushedFolder:
    """Read the files below a folder; `path` is the tree, for messages."""
    return _FolderRead(path, folder).read()


class _FolderRead:
    def __init__(self, path: str, folder: str) -> None:
        self._pair = f"{path}={folder}"
        self._folder = folder
        self._skipped: list[str] = []

    def read(self) -> PushedFolder:
        sizes = dict(self._sizes())
        if not sizes:
            dots = ", besides names that begin with a dot" if self._skipped else ""
            raise self._refusal(f"has no files{dots}: a push would delete the whole tree")
        self._check_size(sum(sizes.values()), len(sizes))
        files: dict[str, bytes] = {}
        left = LARGEST_COMMIT
        for file in sorted(sizes):
            files[file] = self._content(file, left)
            left -= len(files[file])
        try:
            return PushedFolder(from_files(files, self._skipped), tuple(self._skipped))
        except ValueError as mistake:
            raise self._refusal(str(mistake)) from None

    def _sizes(self) -> Iterator[tuple[str, int]]:
        """The files, by the path below the folder, and how large each of them is."""
        count = 0
        below = [""]
        while below:
            inside = below.pop()
            for entry in self._entries(inside):
                file = self._checked(inside + entry.name)
                count += 1
                if count > MOST_ZNODES:
                    raise self._refusal(f"has more than {MOST_ZNODES} files and folders")
                if entry.name.startswith("."):
                    self._skipped.append(file)
                elif self._is_folder(entry, file):
                    below.append(f"{file}/")
                else:
                    yield file, self._size(entry, file)

    def _entries(self, inside: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder + inside) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            at = f"{inside}: " if inside else ""
            raise self._refusal(f"{at}cannot read the folder: {error.strerror}") from None

    def _checked(self, file: str) -> str:
        try:
            file.encode()
        except UnicodeEncodeError:
            name = os.fsencode(file).decode("utf-8", "backslashreplace")
            raise self._refusal(f"{name}: the name is no UTF-8") from None
        return file

    def _is_folder(self, entry: os.DirEntry[str], file: str) -> bool:
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            # A link can lead to itself, or to what cannot be reached.
            raise self._unreadable(file, error) from None
        if not is_folder:
            return False
        if entry.is_symlink():
            raise self._refusal(f"{file}: is a symbolic link to a folder, which is not followed")
        if entry.name == OWN_CONTENT:
            raise self._refusal(f"{file}: is a folder; this name is for the content of a znode")
        return True

    def _size(self, entry: os.DirEntry[str], file: str) -> int:
        try:
            found = entry.stat()
        except OSError as error:
            raise self._unreadable(file, error) from None
        self._check_regular(file, found.st_mode)
        return found.st_size

    def _content(self, file: str, most: int) -> bytes:
        try:
            # A pipe that has taken the place of the file must not make it wait.
            with open(self._folder + file, "rb", opener=_without_waiting) as opened:
                self._check_regular(file, os.fstat(opened.fileno()).st_mode)
                content = opened.read(most + 1)
        except OSError as error:
            raise self._unreadable(file, error) from None
        if len(content) > most:
            raise self._refusal(f"{file}: has grown while the folder was read")
        return content

    def _check_regular(self, file: str, mode: int) -> None:
        if not stat.S_ISREG(mode):
            raise self._refusal(f"{file}: is no regular file")

    def _check_size(self, size: int, count: int) -> None:
        if size > LARGEST_COMMIT:
            raise SubcommandError(
                f"{self._pair}: {size} bytes in {count} files, more than the {LARGEST_COMMIT} that "
                "a server takes at once: push its files or folders one by one"
            )

    def _unreadable(self, file: str, error: OSError) -> SubcommandError:
        return self._refusal(f"{file}: cannot read the file: {error.strerror}")

    def _refusal(self, what: str) -> SubcommandError:
        return SubcommandError(f"{self._pair}: {what}", WRONG_USAGE)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)
