"""Write copies of the new files for a check, which only this user can read, and remove them.

Each zkexec locks its folder of copies while it has one.  So what a killed zkexec left can be
recognized, and `remove_left_copies` removes it.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock

from zkexec.files.staged_folder import FOLDER_FLAGS, empty_folder, path_below, write_new
from zkexec.files.target_file import folder_of

_PREFIX = "zkexec-check-"
_STAGED = "staged"
_MODE = 0o600


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
        write_new(path, content, _MODE)
        full_path = path_below(self.staged, target)
        os.makedirs(folder_of(full_path), exist_ok=True)
        try:
            os.link(path, full_path)
        except OSError:
            # Not every filesystem has hard links.
            write_new(full_path, content, _MODE)

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
    folder = os.open(f"{above}/{name}", FOLDER_FLAGS)
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
        folder = os.open(path, FOLDER_FLAGS)
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


def _remove(above: str, name: str, folder: int) -> None:
    empty_folder(folder)
    with suppress(OSError):
        os.rmdir(f"{above}/{name}")
