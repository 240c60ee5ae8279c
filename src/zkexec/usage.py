"""The text of `--help` and of the short usage, drawn from the table of options.

The layout is that of the table in the README: 80 columns, ASCII, one row for each option.
"""

from zkexec.options import OPTIONS, Option

USAGE = """\
Usage: zkexec [options]
       zkexec [options] -- COMMAND [ARGUMENT...]
"""

HINT = "Try 'zkexec --help' for all options.\n"

_SUMMARY = """\
Run a command, and restart if the config files change on the remote zookeeper.

The command is given with --exec, or word by word after --.  Defaults stand in
brackets.  An option that the command line does not give is read from the
environment variable named with it (for flags: 1, true, yes, 0, false or no).
"""

_EXIT_STATUS = """\
Exit status: that of the command.  A command that died of a signal makes zkexec
die of the same signal (as PID 1: exit with 128 + its number).  Otherwise:
    2    wrong usage; nothing was started and nothing written
    125  zkexec could not do its work (cluster unreachable, znode missing,
         file not writable)
    126  the command is not executable
    127  the command was not found
"""

_LEFT_WIDTH = 37
_WIDTH = 79


def help_text() -> str:
    """Return everything that `--help` shows, with its last newline."""
    lines = [USAGE, _SUMMARY]
    group = ""
    for option in OPTIONS:
        if option.group != group:
            lines.append(("\n" if group else "") + f"{option.group}:")
            group = option.group
        lines.extend(_rows(option))
    return "\n".join([*lines, "", _EXIT_STATUS])


def _rows(option: Option) -> list[str]:
    short = f"-{option.short}, " if option.short else "    "
    spelling = f"    {short}--{option.name} {option.metavar}".rstrip()
    default = f"[{option.default}]" if option.default else ""
    right = [*_wrap(option.meaning), *_wrap(f"{default} {option.variable}".strip())]
    return [
        f"{left:<{_LEFT_WIDTH}}{text}"
        for left, text in zip([spelling] + [""] * (len(right) - 1), right, strict=True)
    ]


def _wrap(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _LEFT_WIDTH + len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines
