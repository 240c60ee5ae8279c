"""Choose the ID of this member, and lock it so that no second zkexec of this host uses it.

- The lock is on a local file, which is never closed: the kernel releases it when zkexec ends in any
  way.  The file is closed on exec, so no command keeps the lock.
- An automatic ID ends in the first number that is not locked, so a member gets its ID again after a
  restart.  Two services have different folders and do not see each other's locks, so the folder is
  part of the automatic ID.
- The files are never removed: a lock on a removed file excludes no other zkexec.
- A given ID can do without a lock.  If no folder can be used, only the member's znode prevents a
  second zkexec with this ID.
"""

from __future__ import annotations

import fcntl
import os
import re
from itertools import count

from zkexec.cli.settings import Settings
from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.process.procfs import read_boot_id
from zkexec.process.runtime_folder import (
    NoRuntimeFolderError,
    RuntimeFolder,
    in_first,
    service_folders,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


_LONGEST_HOST_NAME = 100
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class MemberIdError(Exception):
    """No ID can be given to this member; the message is for the operator."""


@frozen()
class MemberIdentity:
    """The ID of the member, and the ID of its lock file, which no two living processes share.

    `obstacles` is why the member ID is not locked, "" if it is.
    """

    member_id: str
    lock_file_id: str
    obstacles: str = ""


def lock_member_id(settings: Settings) -> MemberIdentity:
    """Lock the member's ID until this process ends; raises MemberIdError."""
    try:
        return in_first(lambda folder: _lock_in(folder, settings))
    except NoRuntimeFolderError as none:
        if settings.member_id:
            return MemberIdentity(settings.member_id, _id_of_process(), str(none))
        raise MemberIdError(
            f"--lock: no folder for the lock of the member ID: {none}; make one of them usable, "
            "name another by $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, "
            "or give each member a --member-id of its own"
        ) from None


def _lock_in(folder: RuntimeFolder, settings: Settings) -> MemberIdentity:
    for member_id in _candidate_ids(settings):
        lock_file_id = _lock_file(folder, _digest(member_id, settings.lock, *_cluster(settings)))
        if lock_file_id:
            return MemberIdentity(member_id, lock_file_id)
    raise MemberIdError(f"--member-id: another zkexec on this host uses {settings.member_id}")


def _candidate_ids(settings: Settings) -> Iterator[str]:
    if settings.member_id:
        yield settings.member_id
        return
    mirrors, *others = settings.policy.inputs.identity
    service = (service_folders(),) if service_folders() else ()
    command = (*settings.command.argv, *settings.command.variables)
    ours = (command, mirrors, settings.lock, *_cluster(settings), *service, *others)
    stem = f"{_host_name()}-{_digest(*ours)[:8]}"
    yield from (f"{stem}-{slot}" for slot in count())


def _lock_file(folder: RuntimeFolder, name: str) -> str:
    """Lock the file of this name and return its ID; "" if another process has locked it."""
    file = os.open(f"{name}.lock", _FILE_FLAGS, 0o600, dir_fd=folder.descriptor)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            return ""
        raise
    status = os.fstat(file)
    # systemd removes the file of a service at each end, so only its path stays the same.
    file_id = _digest(folder.path, name) if folder.of_service else f"{status.st_ino:x}"
    return f"{_of_host()}-{status.st_dev:x}-{file_id}"


def _id_of_process() -> str:
    """Return an ID that no later process has, either."""
    return f"{_of_host()}-{os.getpid()}-{_random()}"


def _of_host() -> str:
    """Return what no other host has, and no other process if the ID of the boot cannot be read.

    Then a zkexec that was killed and starts again gets its ID only when its session has expired.
    """
    return read_boot_id() or _random()


def _random() -> str:
    return os.urandom(8).hex()


def _cluster(settings: Settings) -> tuple[object, ...]:
    return sorted(settings.servers), settings.chroot


def _host_name() -> str:
    """Return the host's name, without characters that a znode or a log cannot contain."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename)[:_LONGEST_HOST_NAME] or "host"


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
