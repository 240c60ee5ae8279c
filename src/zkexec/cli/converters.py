"""What the text of one option may be: seconds, flags, choices, signals, mirrors, names.

Every function takes what an operator wrote and returns the value, or raises a ValueError that
says what was expected.  What was given is added by the caller, who knows the option's name.
"""

import os
import signal
import stat
from collections.abc import Callable, Sequence
from enum import Enum

from zkexec.core.policy import MaxUnavailable
from zkexec.core.snapshot import Mirror
from zkexec.zookeeper.connect_string import base_of, check_zk_path

# Some thirty years: more than anyone waits, and less than what overflows a timer of the kernel.
LONGEST_S = 1_000_000_000
_LONGEST_ID = 200

HISTORY = "/zkexec/.history"
"""The znode below which zkexecctl keeps what it has pushed; no group lives there."""

_YES = ("1", "true", "yes")
_NO = ("0", "false", "no")

TYPE_CHECKING = False  # as in cli.py: `typing` is slow to import, and large
if TYPE_CHECKING:
    from typing import TypeVar

    Choice = TypeVar("Choice", bound=Enum)


def seconds(least: float = 0, most: float = LONGEST_S) -> Callable[[str], float]:
    """Return a parser of plain decimal seconds between two bounds, both included."""

    def parse(text: str) -> float:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isascii() and digits.isdigit()) or text.endswith("."):
            raise ValueError("expected seconds such as 30 or 0.5")
        if not least <= float(text) <= most:
            raise ValueError(f"expected from {least} to {most} seconds")
        return float(text)

    return parse


def seconds_or_none(least: float) -> Callable[[str], float | None]:
    """Return a parser of seconds that takes the word "none" as well."""
    parse_seconds = seconds(least)

    def parse(text: str) -> float | None:
        return None if text == "none" else parse_seconds(text)

    return parse


def flag(text: str) -> bool:
    """Read a flag as environment variables spell it."""
    if text.lower() in _YES + _NO:
        return text.lower() in _YES
    raise ValueError("expected 1, true, yes, 0, false or no")


def choice(kind: "type[Choice]") -> "Callable[[str], Choice]":
    """Return a parser for the values of an enum."""

    def parse(text: str) -> "Choice":
        for member in kind:
            if member.value == text:
                return member
        *first, last = (str(member.value) for member in kind)
        raise ValueError(f"expected {', '.join(first)} or {last}")

    return parse


def signal_number(text: str) -> int:
    """Read a signal: a name with or without SIG, in either case, or a number."""
    if text.isascii() and text.isdigit():
        numbers = [number for number in signal.valid_signals() if str(int(number)) == text]
    else:
        name = "SIG" + text.upper().removeprefix("SIG")
        numbers = [member for member in signal.Signals if member.name == name]
    if not numbers:
        raise ValueError("expected a signal such as TERM, SIGINT or 15")
    return int(numbers[0])


def shell_words(text: str) -> tuple[str, ...]:
    """Split words that are separated by blanks or newlines and may be quoted."""
    import shlex  # noqa: PLC0415 - only several mirrors in one variable need it

    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ValueError("expected LOCAL_PATH=ZK_PATH words with closed quotes") from None


def mirror(text: str) -> Mirror:
    """Read LOCAL_PATH=ZK_PATH, split at the first `=`; the local path becomes absolute."""
    local_path, equals, zk_path = text.partition("=")
    if not local_path or not equals or "\0" in local_path:
        raise ValueError("expected LOCAL_PATH=ZK_PATH")
    check_zk_path(zk_path)
    if local_path.rpartition("/")[2] in ("", ".", ".."):
        raise ValueError("expected a LOCAL_PATH that names a file and no directory")
    absolute = _make_absolute(local_path)
    _check_target(absolute)
    return Mirror(absolute, zk_path)


def width(text: str) -> MaxUnavailable:
    """Read a number of members, or a percentage of them."""
    number = text.removesuffix("%")
    percent = number != text
    if not (number.isascii() and number.isdigit() and len(number) <= 9 and int(number) > 0):
        raise ValueError("expected a number of members such as 2, or a percentage such as 25%")
    if percent and int(number) > 100:
        raise ValueError("expected a percentage from 1% to 100%")
    return MaxUnavailable(int(number), percent)


def lock_name(text: str) -> str:
    """Read the name of a group: a znode below /zkexec, or one that begins with /."""
    if not text or text == "/":
        raise ValueError("expected a NAME")
    try:
        check_zk_path(text if text.startswith("/") else "/" + text)
    except ValueError as mistake:
        raise ValueError(str(mistake).replace("a znode path", "a NAME")) from None
    if (base_of(text) + "/").startswith(HISTORY + "/"):
        raise ValueError(f"expected a NAME outside of {HISTORY}, where pushed contents are kept")
    return text


def member_id(text: str) -> str:
    """Read the name of a member, which is also that of a znode."""
    if not text or "/" in text or len(text) > _LONGEST_ID:
        raise ValueError(f"expected an ID without / of at most {_LONGEST_ID} characters")
    try:
        check_zk_path("/" + text)
    except ValueError:
        raise ValueError("expected an ID of printable UTF-8 characters, and not . or ..") from None
    return text


def clashes(paths: Sequence[str]) -> list[str]:
    """Say which targets cannot exist beside each other, however they are spelled."""
    sentences = []
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    resolved: dict[str, str] = {}
    for path in paths:
        real = _resolve(path, resolved)
        # A folder that is known is that of another file, so nothing above it is a file.
        above = [] if real.rpartition("/")[0] in folders else _folders_above(real)
        if real in files:
            got = f"the same file twice: {shown(files[real])} and {shown(path)}"
        elif real in folders or not files.keys().isdisjoint(above):
            other = folders.get(real) or next(files[folder] for folder in above if folder in files)
            got = f"a file inside another one: {shown(other)} and {shown(path)}"
        else:
            files[real] = path
            folders.update(dict.fromkeys(above, path))
            continue
        sentences.append(f"expected a file of its own for each pair, got {got}")
    return sentences


def _resolve(path: str, resolved: dict[str, str]) -> str:
    """Follow every symbolic link; many files lie in few folders, each of which is resolved once."""
    folder, _, name = path.rpartition("/")
    if folder not in resolved:
        resolved[folder] = os.path.realpath(folder or "/").rstrip("/")
    real = f"{resolved[folder]}/{name}"
    return os.path.realpath(real) if os.path.islink(real) else real


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def shown(text: str) -> str:
    """Quote a text for a message: on one line, and not without end."""
    return repr(text if len(text) <= 200 else text[:200] + "...")


def _make_absolute(path: str) -> str:
    """Resolve against the working directory, but leave symlinks and .. to the kernel."""
    if not path.startswith("/"):
        try:
            path = os.getcwd() + "/" + path
        except OSError:
            raise ValueError(
                "expected a LOCAL_PATH that starts with /, as the working directory is gone"
            ) from None
    return "/" + "/".join([part for part in path.split("/") if part not in ("", ".")])


def _check_target(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing there yet, or nothing that could be told before writing
    if stat.S_ISDIR(mode):
        raise ValueError("expected a LOCAL_PATH that is a file and no directory")
    # Renaming over a device would take /dev/null from the whole machine.
    if not stat.S_ISREG(mode):
        raise ValueError("expected a LOCAL_PATH that is a regular file or not there yet")
