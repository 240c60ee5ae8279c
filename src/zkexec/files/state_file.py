"""The state file: which version is installed, and each file and folder that zkexec has made.

It is written before an install with what was there and what is to be there, and after it with what
is there.  So a kill at any moment loses track of no file.

The name has a mark of each server.  Servers are added to an ensemble and removed from it: the state
file of a list with one of the same servers is renamed and used.  Another ensemble, which has no
server in common, has another file.
"""

from __future__ import annotations

import json
import os
import stat

from zkexec.digest import sha256
from zkexec.files.staged_file import Attributes, StagedFile, remove_leftovers, write_staged
from zkexec.files.target_file import TargetFile, folder_of, make_folders, sync_folder
from zkexec.frozen import frozen
from zkexec.lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORMAT = 1
_MOST_BYTES = 64 * 1024 * 1024
_OF_ROOT = "/var/lib/zkexec"
_PRIVATE = Attributes(0o600)
_DIGITS = frozenset("0123456789abcdef")
_NUMBER_OF_DIGITS = 64
_ENDING = ".state"
_MARK_DIGITS = 6
_MOST_MARKS = 30
"""A name of more would be too long."""


@frozen(kw_only=True, hidden=("variables",))
class InstalledState:
    """What zkexec has installed on this host.

    `digest` and `zxid` are those of the version.  `files` are the SHA-256 of each file by its local
    path, and `folders` the local paths of those folders that zkexec has made.  `variables` are
    those of the command, None if they are not kept.  `was_healthy` is true if the command was
    healthy on these files and variables, and `proves_nothing` is that of the snapshot.

    `pending` are the path and SHA-256 of each file that an install wanted to write when this was
    written, if it has not ended.  `removed` are the paths that the last install has removed: if
    zkexec was killed, they can still be there by another name.
    """

    digest: str = ""
    zxid: int = 0
    files: Mapping[str, str] = {}
    folders: tuple[str, ...] = ()
    variables: Mapping[str, bytes] | None = None
    was_healthy: bool = False
    proves_nothing: bool = False
    pending: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


class StateFile:
    """The state file of one member or command, at this absolute path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is_ready = False

    def load(self) -> InstalledState | None:
        """Read the state; None if there is none that this user has written.  Never fails."""
        self._prepare()
        with suppress(OSError, LookupError, ValueError, TypeError, RecursionError, MemoryError):
            return _decoded(_read(self.path))
        return None

    def write(self, state: InstalledState) -> None:
        """Replace the state in one step.  Raises OSError; then it is what it was."""
        staged = self.stage(state)
        try:
            self.replace(staged)
        finally:
            staged.discard()

    def stage(self, state: InstalledState) -> StagedFile:
        """Write a state beside the file, and sync it, so that only `replace` is left to do.

        Raises OSError.  The caller discards what is returned.
        """
        folder = folder_of(self.path)
        if not os.path.isdir(folder):
            make_folders(folder_of(folder))
            with suppress(FileExistsError):
                # systemd creates the folders of services of other users below that of root, which
                # the umask of this process must not keep out.
                mode = 0o711 if folder == _OF_ROOT else 0o700
                os.mkdir(folder, mode)
                os.chmod(folder, mode)
        self._prepare()
        target = TargetFile(self.path, None)
        staged = write_staged(target, _encoded(state), replaces=False, attributes=_PRIVATE)
        try:
            staged.sync()
        except BaseException:
            staged.discard()
            raise
        return staged

    def _prepare(self) -> None:
        """Use what an earlier zkexec left; this one leaves nothing, so once is enough."""
        if not self._is_ready:
            self._is_ready = True
            with suppress(OSError):
                self._rename_earlier()
            remove_leftovers([self.path])

    def _rename_earlier(self) -> None:
        """If the newest state of the same ensemble has another list of servers, rename it."""
        folder, _, name = self.path.rpartition("/")
        kind, marks = _parts_of(name)
        found = []
        for other in os.listdir(folder):
            other_kind, other_marks = _parts_of(other)
            if other_kind == kind and not marks.isdisjoint(other_marks):
                status = os.lstat(f"{folder}/{other}")
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    found.append((status.st_mtime_ns, other == name, other))
        if found and max(found)[2] != name:
            os.rename(f"{folder}/{max(found)[2]}", self.path)

    def replace(self, staged: StagedFile) -> None:
        """Move a staged state to its place.  Raises OSError."""
        staged.install()
        sync_folder(folder_of(self.path))


def state_path(folder: str, kind: str, servers: Iterable[tuple[str, int]]) -> str:
    """Return the path of the state file of this kind of zkexec, with an ensemble of these servers.

    `folder` is "" for the usual one.
    """
    marks = sorted({hex_digest(repr(server).encode())[:_MARK_DIGITS] for server in servers})
    return f"{folder or _usual_folder()}/{kind}-{''.join(marks[:_MOST_MARKS])}{_ENDING}"


def _parts_of(name: str) -> tuple[str, set[str]]:
    """Return the kind and the marks of the servers that a name is made of; no marks of another."""
    kind, _, marks = name.removesuffix(_ENDING).partition("-")
    if not name.endswith(_ENDING):
        return kind, set()
    return kind, {marks[at : at + _MARK_DIGITS] for at in range(0, len(marks), _MARK_DIGITS)}


def _usual_folder() -> str:
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return given
    if os.geteuid() == 0:
        return _OF_ROOT
    above = os.environ.get("XDG_STATE_HOME", "")
    if not above.startswith("/"):
        above = f"{os.path.expanduser('~')}/.local/state"
    return f"{above}/zkexec"


def hex_digest(content: bytes) -> str:
    """Return the SHA-256 of a content as the state has it."""
    return sha256(content).hexdigest()


def _read(path: str) -> bytes:
    """Read the whole file if only this user can have written it.  Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        status = os.fstat(file)
        is_ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not stat.S_ISREG(status.st_mode) or not is_ours or status.st_size > _MOST_BYTES:
            raise PermissionError
        pieces = []
        while piece := os.read(file, status.st_size + 1):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(file)


def _encoded(state: InstalledState) -> bytes:
    variables = state.variables
    if variables is not None:
        text = {name: os.fsdecode(value) for name, value in variables.items()}
    return json.dumps(
        {
            "format": _FORMAT,
            "digest": state.digest,
            "zxid": state.zxid,
            "was_healthy": state.was_healthy,
            "proves_nothing": state.proves_nothing,
            "files": dict(state.files),
            "folders": state.folders,
            "variables": None if variables is None else text,
            "pending": state.pending,
            "removed": state.removed,
        }
    ).encode()


def _decoded(content: bytes) -> InstalledState:
    """Read the content of a state file.  Raises ValueError or TypeError if it is none."""
    found = json.loads(content)
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError
    variables = found["variables"]
    return InstalledState(
        digest=_text(found["digest"]),
        zxid=_number(found["zxid"]),
        was_healthy=found["was_healthy"] is True,
        proves_nothing=found["proves_nothing"] is True,
        files={_path(path): _digest(digest) for path, digest in _mapping(found["files"])},
        folders=tuple(map(_path, _sequence(found["folders"]))),
        variables=None
        if variables is None
        else {_text(name): os.fsencode(_text(value)) for name, value in _mapping(variables)},
        pending=tuple(map(_pair, _sequence(found["pending"]))),
        removed=tuple(map(_path, _sequence(found["removed"]))),
    )


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError
    return found


def _number(found: object) -> int:
    if not isinstance(found, int):
        raise TypeError
    return found


def _path(found: object) -> str:
    """Return an absolute path that a file can have.  Raises ValueError or TypeError."""
    path = _text(found)
    if not path.startswith("/") or b"\0" in os.fsencode(path):
        raise ValueError
    return path


def _digest(found: object) -> str:
    digest = _text(found)
    if len(digest) != _NUMBER_OF_DIGITS or not _DIGITS.issuperset(digest):
        raise ValueError
    return digest


def _pair(found: object) -> tuple[str, str]:
    path, digest = _sequence(found)
    return _path(path), _digest(digest)


def _mapping(found: object) -> list[tuple[object, object]]:
    if not isinstance(found, dict):
        raise TypeError
    return list(found.items())


def _sequence(found: object) -> list[object]:
    if not isinstance(found, list):
        raise TypeError
    return found
