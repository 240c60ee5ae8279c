"""The folder for small files that live as long as the host does: locks, and what is remembered.

The rules of this file:

- Of the folders below, the first that can be used safely is used.  It is safe if it is owned by
  this user and nobody else can write to it.

  | folder | made if it is missing |
  | --- | --- |
  | each path in `$RUNTIME_DIRECTORY`, which systemd sets for `RuntimeDirectory=` | no |
  | as root `/run/zkexec` | yes |
  | `$XDG_RUNTIME_DIR/zkexec`, if that is this user's | yes |
  | `/tmp/zkexec-UID` | yes |

- A symbolic link is not followed: in `/tmp` everybody can make one.  In `$RUNTIME_DIRECTORY` a link
  of root's is: systemd makes one for a service with `DynamicUser=`.
- systemd removes the folder of a service when the service ends.  So a file in it can be gone at the
  next start, and the folder of one service is unknown to all others.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EPERM

from zkexec.frozen import frozen

TYPE_CHECKING = False  # not the one of `typing`, which is slow to import
if TYPE_CHECKING:
    from typing import TypeVar

    _T = TypeVar("_T")

RUN = "/run"
"""Where the folder of root is."""
TMP = "/tmp"  # noqa: S108 - A folder in it is used only if it is ours alone.
"""Where the folder is if there is no other."""


@frozen()
class RuntimeFolder:
    """An open folder; `of_service` if systemd made it for this service and will remove it."""

    path: str
    descriptor: int
    of_service: bool


class NoRuntimeFolderError(Exception):
    """No folder can be used; the text names each one that was tried, and what is wrong with it."""


def open_first() -> RuntimeFolder:
    """Open the first folder that can be used; the caller closes it, or never."""
    return in_first(_writable)


def in_first(use: "Callable[[RuntimeFolder], _T]", *, of_host: bool = False) -> "_T":
    """Return what `use` makes of the first folder in which it raises no OSError.

    `of_host`: prefer a folder that all services of this host share, if they have the same user.
    The folder stays open if `use` raises nothing.  Raises NoRuntimeFolderError.
    """
    obstacles = []
    found = list(_candidates())
    if of_host:
        found.sort(key=lambda candidate: candidate[1] is _open_service)
    for path, opened in found:
        try:
            folder = opened(path)
            try:
                return use(folder)
            except BaseException:
                os.close(folder.descriptor)
                raise
        except OSError as error:
            obstacles.append(f"{path} ({error.strerror})")
    raise NoRuntimeFolderError(", ".join(obstacles))


def service_folders() -> str:
    """The folders that systemd made for this service, "" if zkexec runs in none."""
    return os.environ.get("RUNTIME_DIRECTORY", "")


def _candidates() -> Iterator[tuple[str, Callable[[str], RuntimeFolder]]]:
    for path in service_folders().split(":"):
        if path.startswith("/"):
            yield path, _open_service
    user = os.geteuid()
    if user == 0:
        yield f"{RUN}/zkexec", _open_own
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield f"{runtime}/zkexec", _open_below_own
    yield f"{TMP}/zkexec-{user}", _open_own


def _open_service(path: str) -> RuntimeFolder:
    is_linked_by_root = os.lstat(path).st_uid == 0
    return RuntimeFolder(path, _open(path, 0 if is_linked_by_root else os.O_NOFOLLOW), True)


def _open_below_own(path: str) -> RuntimeFolder:
    # Root can inherit the variable from another user, who could move the folder away.
    if os.stat(os.path.dirname(path)).st_uid != os.geteuid():
        raise OSError(EPERM, "the folder above it belongs to another user")
    return _open_own(path)


def _open_own(path: str) -> RuntimeFolder:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return RuntimeFolder(path, _open(path, os.O_NOFOLLOW), False)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    status = os.fstat(descriptor)
    is_ours = status.st_uid == os.geteuid()
    if not is_ours or status.st_mode & 0o022:
        os.close(descriptor)
        raise OSError(EPERM, "others can write to it" if is_ours else "belongs to another user")
    # systemd-tmpfiles, which removes old files, leaves a locked folder alone.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _writable(folder: RuntimeFolder) -> RuntimeFolder:
    # Asks the file system too, which may be read-only.
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder.descriptor, effective_ids=True):
        raise OSError(EPERM, "cannot be written to")
    return folder
