"""Convert the text of one option: seconds, flags, choices, signals, mirrors, names.

Every function takes the text that an operator wrote and returns its value, or raises a ValueError.
The message of the error continues a sentence that begins with the text: "is not a number of
seconds".  The caller puts the name of the option and the text before it, see `option_values.py`.
"""

from __future__ import annotations

import os
import stat

from zkexec.core.input_options import Mirror
from zkexec.core.policy import ActionRule, ChangeAction, MaxFailed, MaxUnavailable
from zkexec.enumeration import Enum
from zkexec.lean import signal
from zkexec.signal_names import SIGNAL_NAMES
from zkexec.znode_paths import check_zk_path, group_path

# About thirty years: longer than any useful wait, and shorter than what overflows a kernel timer.
LONGEST_S = 1_000_000_000
_LONGEST_ID = 200
_LONGEST_ZONE_BYTES = 100
_PER_ZONE = "%/zone"

HISTORY = "/zkexec/.history"
"""The znode below which zkexecctl keeps pushed contents; no group can be there."""

_A_DIRECTORY = "names a directory: write the LOCAL_PATH of a file, or DIR/=ZK_PATH/ for a tree"

_YES = ("1", "true", "yes")
_NO = ("0", "false", "no")

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Choice = TypeVar("Choice", bound=Enum)


def seconds(least: float = 0, most: float = LONGEST_S) -> Callable[[str], float]:
    """Return a parser of plain decimal seconds between two bounds, both included."""

    def parse(text: str) -> float:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if not (digits.isascii() and digits.isdigit()) or text.endswith("."):
            raise ValueError("is not a number of seconds, such as 30 or 0.5")
        if not least <= float(text) <= most:
            raise ValueError(f"is not between {least} and {most} seconds")
        return float(text)

    return parse


def seconds_or_none(least: float) -> Callable[[str], float | None]:
    """Return a parser of seconds that also accepts the word "none"."""
    parse_seconds = seconds(least)

    def parse(text: str) -> float | None:
        return None if text == "none" else parse_seconds(text)

    return parse


def flag(text: str) -> bool:
    """Read a flag as it is written in an environment variable."""
    if text.lower() in _YES + _NO:
        return text.lower() in _YES
    raise ValueError("is neither yes nor no: write 1, true, yes, 0, false or no")


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a parser for the values of an enum."""

    def parse(text: str) -> Choice:
        for member in kind:
            if member.value == text:
                return member
        *first, last = (str(member.value) for member in kind)
        raise ValueError(f"is unknown: write {', '.join(first)} or {last}")

    return parse


def signal_number(text: str) -> int:
    """Read a signal: a name with or without SIG, in either case, or a number."""
    numbers: list[int]
    if text.isascii() and text.isdigit():
        numbers = [number for number in signal.valid_signals() if str(int(number)) == text]
    else:
        name = "SIG" + text.upper().removeprefix("SIG")
        numbers = [number for number, known in SIGNAL_NAMES.items() if known == name]
    if not numbers:
        raise ValueError("is not a signal: write a name or a number, such as TERM or 15")
    return int(numbers[0])


def reload_signal(text: str) -> int:
    """Read a signal that a program can handle."""
    number = signal_number(text)
    if number in (signal.SIGKILL, signal.SIGSTOP):
        raise ValueError("reloads no program: write a signal that it can handle, such as HUP")
    return number


def shell_words(text: str) -> tuple[str, ...]:
    """Split a text into words as a shell does: at blanks and newlines outside of quotes."""
    import shlex  # noqa: PLC0415 - only several values in one variable need it

    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ValueError("has a quote that is not closed") from None


def mirror(text: str) -> Mirror:
    """Read LOCAL_PATH=ZK_PATH or DIR/=ZK_PATH/, split at the first `=`; the target is absolute."""
    local_path, equals, zk_path = text.partition("=")
    if not local_path or not equals or "\0" in local_path:
        raise ValueError("is not of the form LOCAL_PATH=ZK_PATH")
    is_tree = local_path.endswith("/") and zk_path.endswith("/")
    if not is_tree and zk_path.startswith("/") and "/" in (local_path[-1], zk_path[1:][-1:]):
        raise ValueError(
            "has a slash at one end only: write DIR/=ZK_PATH/ for a tree, or LOCAL_PATH=ZK_PATH "
            "for a file"
        )
    zk_path = input_path(zk_path[:-1] if len(zk_path) > 1 and is_tree else zk_path)
    return (
        Mirror(_folder_of_tree(local_path), f"{zk_path}/")
        if is_tree
        else Mirror(target_file(local_path), zk_path)
    )


def input_path(path: str) -> str:
    """Return the path of a znode, or the root of a tree, that an option names as an input."""
    if path == "/":
        raise ValueError("names / itself: write a ZK_PATH below it")
    return check_zk_path(path)


def target_file(path: str) -> str:
    """Return the absolute path of a file that zkexec may write."""
    if path.rpartition("/")[2] in ("", ".", ".."):
        raise ValueError(_A_DIRECTORY)
    absolute = make_absolute(path)
    _check_target(absolute)
    return absolute


def _folder_of_tree(path: str) -> str:
    """Return the absolute path of a folder into which a tree may be written, with its slash."""
    absolute = make_absolute(path)
    if os.path.realpath(absolute) == "/":
        raise ValueError("names / itself: write the DIR/ of a folder below it")
    if os.path.exists(absolute) and not os.path.isdir(absolute):
        raise ValueError("names a file: write the DIR/ of a folder, or LOCAL_PATH=ZK_PATH")
    return f"{absolute}/"


def action_rule(text: str) -> ActionRule:
    """Read [PATH=]ACTION, split at the last `=`; the path becomes absolute, as a LOCAL_PATH."""
    path, equals, name = text.rpartition("=")
    actions = [action for action in ChangeAction if action.value == name]
    if not actions:
        raise ValueError("has an unknown action: write [PATH=]ACTION with restart, reload or none")
    if equals and not path:
        raise ValueError(f"has an empty PATH: write {name}, or PATH={name}")
    return ActionRule(path_of_rule(path) if path else "", actions[0])


def path_of_rule(path: str) -> str:
    """Return the absolute path of a target, or of a folder if it ends with a slash."""
    absolute = make_absolute(path)
    return absolute.rstrip("/") + "/" if path.endswith("/") else absolute


def new_folder(text: str) -> str:
    """Read the path of a folder that is empty or does not exist; it becomes absolute."""
    if not text or "\0" in text:
        raise ValueError("is not the path of a folder")
    path = make_absolute(text)
    try:
        is_empty = not os.listdir(path)
    except FileNotFoundError:
        return path
    except OSError as error:
        raise ValueError(
            f"cannot be used ({error.strerror}): write the path of a new folder"
        ) from None
    if not is_empty:
        raise ValueError("is not empty: write the path of a new folder")
    return path


def folder(text: str) -> str:
    """Read the path of a folder, which need not exist; it becomes absolute."""
    if not text or "\0" in text:
        raise ValueError("is not the path of a folder")
    path = make_absolute(text)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError("is not a folder: write the path of one")
    return path


def metrics_file(text: str) -> str:
    """Read the path of a file that zkexec replaces; it becomes absolute."""
    if not text or "\0" in text:
        raise ValueError("is not the path of a file: write one that ends with .prom")
    try:
        return target_file(text)
    except ValueError as mistake:
        # There is no znode and no tree.
        sentence = str(mistake).partition(", or DIR/")[0].replace("LOCAL_PATH", "PATH")
        raise ValueError(sentence) from None


def max_unavailable(text: str) -> MaxUnavailable:
    """Read a number of members, a percentage of them, or N%/zone, a percentage of a zone's."""
    per_zone = text.endswith(_PER_ZONE)
    amount = text.removesuffix("/zone") if per_zone else text
    return MaxUnavailable(*_number_or_percentage(amount, 1, "25% or 25%/zone"), per_zone)


def hold(text: str) -> MaxUnavailable:
    """Read after how many members a version is held: a number, or a percentage of them."""
    return MaxUnavailable(*_number_or_percentage(text, 1, "10%"))


def max_failed(text: str) -> MaxFailed:
    """Read on how many members a version may fail: a number, or a percentage of them."""
    return MaxFailed(*_number_or_percentage(text, 0, "5%"))


def _number_or_percentage(text: str, least: int, example: str) -> tuple[int, bool]:
    """Return the number, and whether it is a percentage."""
    number = text.removesuffix("%")
    percent = number != text
    if not (number.isascii() and number.isdigit() and len(number) <= 9 and int(number) >= least):
        raise ValueError(f"is not a number of members such as 2, or a percentage such as {example}")
    if percent and int(number) > 100:
        raise ValueError(f"is not a percentage from {least}% to 100%")
    return int(number), percent


def lock_name(text: str) -> str:
    """Read the name of a group: a znode below /zkexec, or one that begins with /."""
    if not text or text == "/":
        raise ValueError("is not a NAME")
    try:
        check_zk_path(text if text.startswith("/") else "/" + text)
    except ValueError as mistake:
        raise ValueError(str(mistake).replace("a znode path", "a NAME")) from None
    if (group_path(text) + "/").startswith(HISTORY + "/"):
        raise ValueError(f"is not a NAME: {HISTORY} is for pushed contents")
    if group_path(text) == "/zkexec":
        raise ValueError("is not a NAME: all groups are below /zkexec")
    return text


def member_id(text: str) -> str:
    """Read the name of a member, which is also that of a znode."""
    if not text or "/" in text or len(text) > _LONGEST_ID:
        raise ValueError(f"is not an ID: write 1 to {_LONGEST_ID} characters without /")
    try:
        check_zk_path("/" + text)
    except ValueError:
        raise ValueError("is not an ID: write printable UTF-8 characters, not . or ..") from None
    return text


def zone_name(text: str) -> str:
    """Read the name of a zone, which is also that of a znode."""
    if not text or "/" in text or len(text.encode(errors="surrogatepass")) > _LONGEST_ZONE_BYTES:
        raise ValueError(f"is not a NAME: write 1 to {_LONGEST_ZONE_BYTES} bytes without /")
    try:
        check_zk_path("/" + text)
    except ValueError:
        raise ValueError("is not a NAME: write printable UTF-8 characters, not . or ..") from None
    return text


def shown(text: str) -> str:
    """Quote a text for a message: on one line, and cut if it is long."""
    return repr(text if len(text) <= 200 else text[:200] + "...")


def make_absolute(path: str) -> str:
    """Resolve against the working directory, but leave symlinks and .. to the kernel."""
    if not path.startswith("/"):
        try:
            path = os.getcwd() + "/" + path
        except OSError:
            raise ValueError(
                "needs a LOCAL_PATH that starts with /, because the working directory was removed"
            ) from None
    return "/" + "/".join([part for part in path.split("/") if part not in ("", ".")])


def _check_target(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing is there, or only writing will show what is wrong
    if stat.S_ISDIR(mode):
        raise ValueError(_A_DIRECTORY)
    # A rename over a device would take /dev/null from the whole machine.
    if not stat.S_ISREG(mode):
        raise ValueError("names a special file: write the LOCAL_PATH of a regular or a new file")
