"""Ignore the Python variables of the caller's environment, and hand them on unchanged.

`PYTHONPATH`, `PYTHONHOME` and the like are for the command: zkexec could not work with the
command's `types.py`.  So zkexec executes itself again with `-E`, which makes Python ignore
them; the environment stays as the caller passed it, byte for byte.

A module that is imported before that can be the command's own.  So this file uses only what is
built into the interpreter, and runs before anything else of zkexec.
"""

import posix
import sys

_HARMLESS = frozenset({b"PYTHONDONTWRITEBYTECODE", b"PYTHONHASHSEED", b"PYTHONUNBUFFERED"})
"""Many containers set these.  They change nothing for zkexec, so it is not executed again."""
_PACKAGE = __file__.rpartition("/")[0]
_ROOT = _PACKAGE.rpartition("/")[0]


def isolate(module: str) -> None:
    """Execute this module of zkexec again if the environment has Python variables; else return."""
    if not sys.flags.ignore_environment and sys.executable and _has_python_variables():
        flags = ["-E", "-P"]
        flags += ["-B"] * sys.flags.dont_write_bytecode + ["-s"] * sys.flags.no_user_site
        words = [sys.executable, *flags, _program(module), *sys.argv[1:]]
        try:  # noqa: SIM105 -- contextlib imports modules that can be the command's
            posix.execve(sys.executable, words, _environment())
        except OSError:
            pass  # zkexec may still work as it is
    # The folder of the script, or the working directory, comes first: it can be the command's.
    if not sys.flags.safe_path or sys.path[0] == _ROOT:
        sys.path.append(sys.path.pop(0))


def _has_python_variables() -> bool:
    return any(name.startswith(b"PYTHON") and name not in _HARMLESS for name in posix.environ)


def _program(module: str) -> str:
    """Return the file that runs the module: that of the archive, or of the package."""
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
