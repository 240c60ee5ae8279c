"""Keep from zkexec what the caller's environment says to Python, and hand it on untouched.

`PYTHONPATH`, `PYTHONHOME` and their like are meant for the command: with its `types.py` or its
kazoo zkexec could not work.  So zkexec executes itself anew with `-E`, which has Python ignore
them; the environment stays as the caller passed it, byte for byte.

Whatever is imported before that may be the command's own.  This file therefore uses only what is
built into the interpreter, and runs before anything else of zkexec.
"""

import posix
import sys

_HARMLESS = frozenset({b"PYTHONDONTWRITEBYTECODE", b"PYTHONHASHSEED", b"PYTHONUNBUFFERED"})
"""What many containers set, and what changes nothing for zkexec: not worth a second start."""
_PACKAGE = __file__.rpartition("/")[0]
_ROOT = _PACKAGE.rpartition("/")[0]


def isolate(module: str) -> None:
    """Execute this module of zkexec anew if the environment speaks to Python; else return."""
    if not sys.flags.ignore_environment and sys.executable and _is_spoken_to():
        flags = ["-E", "-P"]
        flags += ["-B"] * sys.flags.dont_write_bytecode + ["-s"] * sys.flags.no_user_site
        words = [sys.executable, *flags, _program(module), *sys.argv[1:]]
        try:  # noqa: SIM105 -- what contextlib imports may be the command's
            posix.execve(sys.executable, words, _environment())
        except OSError:
            pass  # as it is, zkexec may still work
    # The folder of the script, or the working directory, comes first: it may be the command's.
    if not sys.flags.safe_path or sys.path[0] == _ROOT:
        sys.path.append(sys.path.pop(0))


def _is_spoken_to() -> bool:
    return any(name.startswith(b"PYTHON") and name not in _HARMLESS for name in posix.environ)


def _program(module: str) -> str:
    """Name the file that runs the module, wherever zkexec was found."""
    archive = getattr(globals().get("__loader__"), "archive", "")
    if archive:
        return str(archive)
    return "/".join([_PACKAGE, *module.split(".")[1:], "__main__.py"])


def _environment() -> dict[bytes, bytes]:
    """Read the environment as it was at exec: under the C locale CPython adds to its own."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return dict(posix.environ)
    environment: dict[bytes, bytes] = {}
    for entry in entries:
        name, equals, value = entry[1:].partition(b"=")
        if equals:
            environment.setdefault(entry[:1] + name, value)
    return environment
