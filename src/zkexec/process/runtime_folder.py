"""Find the folder for small files that last until the host is rebooted: locks and notes.

The first folder that is safe is used.  A folder is safe if this user owns it and no other user can
write to it:

| folder | created if it is missing |
| --- | --- |
| each path in `$RUNTIME_DIRECTORY`, which systemd sets for `RuntimeDirectory=` | no |
| as root `/run/zkexec` | yes |
| `$XDG_RUNTIME_DIR/zkexec`, if this user owns it | yes |
| `/tmp/zkexec-UID` | yes |

A symbolic link is not followed, because in `/tmp` every user can create one; only in
`$RUNTIME_DIRECTORY` a link of root is, because systemd creates one for `DynamicUser=`.  systemd
removes the folder of a service when the service ends, so a file in it can be gone at the next
start, and other services do not know the folder.
"""

from __future__ import annotations

import fcntl
import os
from errno import EPERM

from zkexec.frozen import frozen
from zkexec.lean import suppress

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    _T = TypeVar("_T")

RUN = "/run"
"""Contains the folder of root."""
TMP = "/tmp"  # noqa: S108 - A folder in it is used only if this user owns it.
"""Contains the folder if no other can be used."""


@frozen()
class RuntimeFolder:
    """An open folder; `of_service` if systemd created it for this service and will remove it."""

    path: str
    descriptor: int
    of_service: bool


class NoRuntimeFolderError(Exception):
    """No folder can be used; the message names each one, and what is wrong with it."""


def open_first() -> RuntimeFolder:
    """Open the first folder that can be used; the caller closes it, or never."""
    return in_first(_writable)


def in_first(use: Callable[[RuntimeFolder], _T], *, of_host: bool = False) -> _T:
    """Call `use` on the first folder in which it raises no OSError, and return its result.

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
    """Return the folders that systemd created for this service, "" if zkexec runs in none."""
    return os.environ.get("RUNTIME_DIRECTORY", "")


def _candidates() -> Iterator[tuple[str, Callable[[str], RuntimeFolder]]]:
    for path in service_folders().split(":"):
        if path.startswith("/"):
            yield path, _open_service
    user = os.geteuid()
    if user == 0:
        yield f"{RUN}/zkexec", _open_of_root
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield f"{runtime}/zkexec", _open_below_own
    yield f"{TMP}/zkexec-{user}", _open_own


def _open_service(path: str) -> RuntimeFolder:
    is_linked_by_root = os.lstat(path).st_uid == 0
    return RuntimeFolder(path, _open(path, 0 if is_linked_by_root else os.O_NOFOLLOW), True)


def _open_below_own(path: str) -> RuntimeFolder:
    # Root can inherit the variable from another user, who could replace the folder.
    if os.stat(os.path.dirname(path)).st_uid != os.geteuid():
        raise OSError(EPERM, "the folder above it belongs to another user")
    return _open_own(path)


def _open_of_root(path: str) -> RuntimeFolder:
    # systemd creates the folders of services of other users below it, as in `zkexec@.service`.
    return _open_own(path, 0o711)


def _open_own(path: str, mode: int = 0o700) -> RuntimeFolder:
    is_new = False
    with suppress(FileExistsError):
        os.mkdir(path, mode)
        is_new = True
    descriptor = _open(path, os.O_NOFOLLOW)
    if is_new:
        # The umask of this process must not keep services of other users out of root's folder.
        os.fchmod(descriptor, mode)
    return RuntimeFolder(path, descriptor, False)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    status = os.fstat(descriptor)
    is_ours = status.st_uid == os.geteuid()
    if not is_ours or status.st_mode & 0o022:
        os.close(descriptor)
        raise OSError(EPERM, "others can write to it" if is_ours else "belongs to another user")
    # systemd-tmpfiles removes old files, but not from a locked folder.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _writable(folder: RuntimeFolder) -> RuntimeFolder:
    # This also asks the file system, which can be read-only.
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder.descriptor, effective_ids=True):
        raise OSError(EPERM, "cannot be written to")
    return folder
