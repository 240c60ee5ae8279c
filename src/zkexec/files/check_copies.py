"""Write copies of the new files for a check, which only this user can read, and remove them.

Each zkexec locks its folder of copies while it has one.  So what a killed zkexec left can be
recognized, and `remove_left_copies` removes it.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock

from zkexec.files.target_file import folder_of, write_all

_PREFIX = "zkexec-check-"
_STAGED = "staged"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CopyError(Exception):
    """The copies could not be written; the message is for people."""


class CheckCopies:
    """A folder of copies; `remove` must be called at every end.

    `paths` are the copies under the names of their targets, in the order given.  `staged` is a
    folder that contains each copy at its full path.
    """

    def __init__(self) -> None:
        """Make an empty folder.  Raises OSError."""
        self._folder, self._lock = _locked_folder(_temporary_folder())
        self._targets: list[str] = []
        self.paths: list[str] = []
        self.staged = f"{self._folder}/{_STAGED}"

    def add(self, target: str, content: bytes) -> None:
        """Write one copy.  Raises OSError."""
        self._targets.append(target)
        path = f"{self._folder}/{len(self._targets)}/{target.rpartition('/')[2]}"
        self.paths.append(path)
        os.mkdir(folder_of(path), 0o700)
        _write(path, content)
        full_path = self.staged + _without_dots(target)
        os.makedirs(folder_of(full_path), exist_ok=True)
        try:
            os.link(path, full_path)
        except OSError:
            # Not every filesystem has hard links.
            _write(full_path, content)

    def with_target_paths(self, text: str) -> str:
        """Replace the path of each copy in this text by that of its target."""
        if self._folder not in text:
            return text
        for path, target in zip(self.paths, self._targets, strict=True):
            text = text.replace(path, target)
        return text.replace(self.staged + "/", "/")

    def remove(self) -> None:
        """Remove the folder with all that is in it.  Idempotent, never fails."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            above, _, name = self._folder.rpartition("/")
            _remove(above, name, lock)
            os.close(lock)


def write_copies(files: Iterable[tuple[str, bytes]]) -> CheckCopies:
    """Write copies of the contents for these targets.  Raises CopyError; then no copy is left."""
    try:
        copies = CheckCopies()
        try:
            for target, content in files:
                copies.add(target, content)
        except BaseException:
            copies.remove()
            raise
    except OSError as failure:
        reason = failure.strerror or failure
        raise CopyError(f"cannot write copies in {_temporary_folder()}: {reason}") from failure
    return copies


def remove_left_copies() -> None:
    """Remove the copies that a killed zkexec of this user left.  Never fails."""
    above = _temporary_folder()
    with suppress(OSError):
        for name in os.listdir(above):
            if name.startswith(_PREFIX):
                with suppress(OSError):
                    _remove_left(above, name)


def _remove_left(above: str, name: str) -> None:
    folder = os.open(f"{above}/{name}", _FOLDER)
    try:
        if os.fstat(folder).st_uid == os.geteuid():
            flock(folder, LOCK_EX | LOCK_NB)
            _remove(above, name, folder)
    finally:
        os.close(folder)


def _temporary_folder() -> str:
    return os.path.abspath(os.environ.get("TMPDIR") or "/tmp").rstrip("/")  # noqa: S108 - private


def _locked_folder(above: str) -> tuple[str, int]:
    """Make a folder that only this user can enter, and lock it → its path, its descriptor."""
    while True:
        path = f"{above}/{_PREFIX}{os.urandom(8).hex()}"
        os.mkdir(path, 0o700)
        folder = _lock_new(path)
        if folder >= 0:
            return path, folder


def _lock_new(path: str) -> int:
    """Lock a new folder; -1 if another zkexec has taken it for a left one meanwhile."""
    try:
        folder = os.open(path, _FOLDER)
    except FileNotFoundError:
        return -1
    try:
        flock(folder, LOCK_EX | LOCK_NB)
        if os.path.samestat(os.fstat(folder), os.stat(path)):
            return folder
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        # This filesystem has no such locks, so no other zkexec takes the folder.
        return folder
    os.close(folder)
    return -1


def _without_dots(target: str) -> str:
    """Return the path of a target without `..`, which would lead out of the folder of copies."""
    if "/../" not in target:
        return target
    return f"{os.path.realpath(folder_of(target)).rstrip('/')}/{target.rpartition('/')[2]}"


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, _FILE, 0o600)
    try:
        write_all(fd, content)
    finally:
        os.close(fd)


def _remove(above: str, name: str, folder: int) -> None:
    _empty(folder)
    with suppress(OSError):
        os.rmdir(f"{above}/{name}")


def _empty(folder: int) -> None:
    """Remove all that is in an open folder; no link is followed."""
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                _remove_entry(folder, name)


def _remove_entry(above: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=above)
    except IsADirectoryError:
        folder = os.open(name, _FOLDER, dir_fd=above)
        try:
            _empty(folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=above)
