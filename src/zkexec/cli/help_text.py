"""Draw the text of `--help` and the short usage from the table of options.

The layout has 80 columns of ASCII and one row for each option.  zkexecctl draws its texts with the
same functions.
"""

from collections.abc import Iterable
from itertools import groupby

from zkexec.cli.options import OPTIONS, Option

USAGE = """\
Usage: zkexec [options]
       zkexec [options] -- COMMAND [ARGUMENT...]
"""

HINT = "Try 'zkexec --help' for all options.\n"

SUMMARY = """\
Run a command, and restart if the config files change on the remote zookeeper.

The command is given with --exec, or word by word after --.  Defaults are in
brackets.  An option that is not on the command line is read from the
environment variable beside it (for flags: 1, true, yes, 0, false or no).
"""

EXIT_STATUS = """\
Exit status: that of the command.  If a signal killed the command, zkexec ends
by the same signal (as PID 1: exit with 128 + its number).  Otherwise:
"""

STATUSES: tuple[tuple[int, str], ...] = (
    (2, "wrong usage; nothing was started and nothing written"),
    (
        125,
        "zkexec could not do its work (cluster unreachable, znode missing, file not writable)",
    ),
    (126, "the command is not executable"),
    (127, "the command was not found"),
)

_LEFT_WIDTH = 37
_STATUS_WIDTH = 9
_WIDTH = 79


def help_text() -> str:
    """Return everything that `--help` shows, with its last newline."""
    options = grouped_rows(OPTIONS)
    return "\n".join([USAGE, SUMMARY, *options, "", EXIT_STATUS + status_rows(STATUSES)])


def grouped_rows(options: Iterable[Option]) -> list[str]:
    """Return the rows of all options under the titles of their groups."""
    lines: list[str] = []
    for group, members in groupby(options, key=lambda option: option.group):
        lines.extend([*([""] if lines else []), f"{group}:"])
        for option in members:
            lines.extend(option_rows(option))
    return lines


def option_rows(option: Option) -> list[str]:
    """Return the names of an option, and its meaning beside them."""
    short = f"-{option.short}, " if option.short else "    "
    default = f"[{option.default}]" if option.default else ""
    return rows(short + option.spelling, option.meaning, f"{default} {option.variable}".strip())


def rows(left: str, *paragraphs: str, width: int = _LEFT_WIDTH) -> list[str]:
    """Return a text on the left, and paragraphs in the column beside it."""
    right = [line for text in paragraphs for line in wrapped(text, width)]
    return _beside(f"    {left}", right, width)


def status_rows(statuses: Iterable[tuple[int, str]]) -> str:
    """Return the rows of all exit statuses as one text."""
    lines = [
        line
        for status, meaning in statuses
        for line in _beside(f"    {status}", wrapped(meaning, _STATUS_WIDTH), _STATUS_WIDTH)
    ]
    return "".join(f"{line}\n" for line in lines)


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Break a text into lines that fit beside the first `indent` columns."""
    lines: list[str] = []
    for word in text.split():
        if lines and indent + len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


def _beside(left: str, right: list[str], width: int) -> list[str]:
    # A text that is too long for its column gets a line of its own.
    if len(left) >= width:
        return [left, *(" " * width + text for text in right)]
    return [
        f"{beginning:<{width}}{text}"
        for beginning, text in zip([left] + [""] * (len(right) - 1), right, strict=True)
    ]
