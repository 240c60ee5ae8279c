"""Write copies of the new files for a check, which only this user can read, and remove them.

Each zkexec locks its folder of copies while it has one.  So what a killed zkexec left can be
recognized, and `remove_left_copies` removes it.
"""

from __future__ import annotations

import os
from fcntl import LOCK_EX, LOCK_NB, flock

from zkexec.files.staged_folder import FOLDER_FLAGS, empty_folder, files_of, path_below, write_new
from zkexec.files.target_file import folder_of, make_folders
from zkexec.lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PREFIX = "zkexec-check-"
_DIGITS = frozenset("0123456789abcdef")
_NUMBER_OF_DIGITS = 16


class CopyError(Exception):
    """The copies could not be written; the message is for people."""


class CheckCopies:
    """A folder of copies, each at the full path of its target; `remove` must be called at the end.

    `paths` are the copies of the targets in the order given: of a tree, its folder.
    """

    def __init__(self) -> None:
        """Make an empty folder.  Raises OSError."""
        self.folder, self._lock = _locked_folder(_temporary_folder())
        self.paths: list[str] = []

    def add(self, target: str, files: Mapping[str, bytes]) -> None:
        """Write the copies of one target.  Raises OSError."""
        for file in files_of(target, files):
            path = path_below(self.folder, file)
            make_folders(folder_of(path))
            if file in files:
                write_new(path, files[file], 0o600)
        self.paths.append(path_below(self.folder, target).rstrip("/"))

    def with_target_paths(self, text: str) -> str:
        """Replace the path of each copy in this text by that of its target."""
        return text.replace(self.folder + "/", "/")

    def remove(self) -> bool:
        """Remove the folder with all that is in it; return whether it is gone.

        Never fails.  Call it again if this host was short of descriptors, or `give_up`.
        """
        if self._lock >= 0 and _remove(self.folder, self._lock):
            self.give_up()
        return self._lock < 0

    def give_up(self) -> None:
        """Leave what could not be removed to the next zkexec.  Idempotent, never fails."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def write_copies(targets: Iterable[str], files: Mapping[str, bytes]) -> CheckCopies:
    """Write copies of the new files of these targets; that of a tree ends with a slash.

    Raises CopyError; then no copy is left.
    """
    try:
        copies = CheckCopies()
        try:
            for target in targets:
                copies.add(target, files)
        except BaseException:
            copies.remove()
            copies.give_up()
            raise
    except OSError as failure:
        reason = failure.strerror or failure
        raise CopyError(f"cannot write copies in {_temporary_folder()}: {reason}") from failure
    return copies


def remove_left_copies() -> None:
    """Remove the copies that a killed zkexec of this user left.  Never fails."""
    above = _temporary_folder()
    with suppress(OSError):
        for name in os.listdir(above or "/"):
            if _is_name(name):
                with suppress(OSError):
                    _remove_left(f"{above}/{name}")


def _is_name(name: str) -> bool:
    """Whether `_locked_folder` can have made a folder of this name."""
    digits = name.removeprefix(_PREFIX)
    is_ours = name.startswith(_PREFIX) and _DIGITS.issuperset(digits)
    return is_ours and len(digits) == _NUMBER_OF_DIGITS


def _remove_left(path: str) -> None:
    folder = os.open(path, FOLDER_FLAGS)
    try:
        if os.fstat(folder).st_uid == os.geteuid():
            flock(folder, LOCK_EX | LOCK_NB)
            _remove(path, folder)
    finally:
        os.close(folder)


def _temporary_folder() -> str:
    return os.path.abspath(os.environ.get("TMPDIR") or "/tmp").rstrip("/")  # noqa: S108 - private


def _locked_folder(above: str) -> tuple[str, int]:
    """Make a folder that only this user can enter, and lock it → its path, its descriptor."""
    while True:
        path = f"{above}/{_PREFIX}{os.urandom(_NUMBER_OF_DIGITS // 2).hex()}"
        os.mkdir(path, 0o700)
        try:
            folder = _lock_new(path)
        except OSError:
            os.rmdir(path)
            raise
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


def _remove(path: str, folder: int) -> bool:
    """Remove a folder; return whether it is gone."""
    empty_folder(folder)
    with suppress(OSError):
        os.rmdir(path)
    return not os.path.lexists(path)
