"""Which other members of this host write to the same files.

The rules of this file:

- Each member keeps a small file that names its targets, and locks it for as long as it lives.  The
  files of others that are not locked are left over, and are of no interest.
- A member writes its own file before it looks at the others'.  So of two members that start at the
  same moment at least one sees the other.
- The files lie in a folder of the host, rather than in that of one service.  Where there is none,
  nothing is found; nothing here is an error.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from zkexec.cli.settings import Settings
from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.process.runtime_folder import NoRuntimeFolderError, RuntimeFolder, in_first
from zkexec.runtime.member_id import MemberIdentity

_SUFFIX = ".files"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 100
_LARGEST = 4_000_000
MOST_MEMBERS = 10
"""More of them are not worth a line."""


@frozen()
class Sharing:
    """Another member, and a file that both write to; `member` names its group if that differs."""

    member: str
    pid: int
    file: str


def share_files(settings: Settings, identity: MemberIdentity) -> list[Sharing]:
    """Tell the other members of this host what this one writes to; return who writes there too."""
    targets = [os.path.realpath(mirror.local_path) for mirror in settings.policy.mirrors]
    group = f"{sorted(settings.servers)}{settings.chroot} {settings.lock}"
    own = {"member": identity.member_id, "group": group, "lock": settings.lock, "files": targets}
    if not targets:
        return []
    try:
        return in_first(lambda folder: _share_in(folder, identity, own), of_host=True)
    except NoRuntimeFolderError:
        return []


def _share_in(
    folder: RuntimeFolder, identity: MemberIdentity, own: dict[str, Any]
) -> list[Sharing]:
    name = sha256(identity.place.encode()).hexdigest()[:32] + _SUFFIX
    _hold(folder, name, json.dumps({**own, "pid": os.getpid()}).encode())
    found = [sharing for other in _others(folder, name) for sharing in _common(own, other)]
    return sorted(found, key=lambda sharing: (sharing.member, sharing.pid))[:MOST_MEMBERS]


def _hold(folder: RuntimeFolder, name: str, content: bytes) -> None:
    """Lock the own file until the end of this process; nothing closes it."""
    file = os.open(name, _FLAGS | os.O_CREAT, 0o600, dir_fd=folder.descriptor)
    try:
        for _ in range(_TRIES):
            # Who looks whether it is locked locks it for a moment.
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        os.ftruncate(file, 0)
        os.pwrite(file, content, 0)
    except OSError:
        os.close(file)
        raise


def _others(folder: RuntimeFolder, own: str) -> Iterator[dict[str, Any]]:
    """What the files of living members tell."""
    for name in sorted(os.listdir(folder.descriptor)):
        if name.endswith(_SUFFIX) and name != own:
            with suppress(OSError, ValueError):
                found = json.loads(_read_locked(folder, name))
                if isinstance(found, dict):
                    yield found


def _read_locked(folder: RuntimeFolder, name: str) -> bytes:
    """The content of a file that another process has locked, "" of one that none has."""
    file = os.open(name, _FLAGS, dir_fd=folder.descriptor)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, _LARGEST, 0)
    else:
        return b""
    finally:
        os.close(file)


def _common(own: dict[str, Any], other: dict[str, Any]) -> Iterable[Sharing]:
    """One of the files that both write to, if there is any."""
    files = other.get("files")
    if not isinstance(files, list):
        return
    member, pid = str(other.get("member", "")), other.get("pid")
    if other.get("group") != own["group"]:
        member += f" of {other.get('lock', '')}"
    for file in own["files"]:
        if file in files:
            yield Sharing(member, pid if isinstance(pid, int) else 0, file)
            return
