"""The texts of `zkexecctl --help` and `zkexecctl SUBCOMMAND --help`, from the table.

The layout is that of `zkexec --help`: 80 columns, ASCII, names on the left and their meaning on
the right.
"""

from itertools import groupby

from zkexec.cli.help_text import grouped_rows, rows, status_rows, wrapped
from zkexec.ctl.exit_status import STATUSES
from zkexec.ctl.subcommand import CONNECTION, QUESTIONS, Subcommand
from zkexec.ctl.subcommands import SUBCOMMANDS

USAGE = """\
Usage: zkexecctl [connection options] SUBCOMMAND [options] [arguments]
       zkexecctl help [SUBCOMMAND]
"""

SUMMARY = """\
Show the rollouts of zkexec, steer them, and push configuration.

Options can be anywhere.  'zkexecctl SUBCOMMAND --help' describes a subcommand.
"""

ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("ZKEXEC_BY", "Who does it, if --by is not given"),
    ("ZKEXEC_DEBUG", "1: after an internal error, show where it happened"),
    ("NO_COLOR", "Anything: no colours on the terminal"),
)

_NAME_WIDTH = 27


def overview() -> str:
    """Return everything that `zkexecctl --help` shows, with its last newline."""
    lines = [USAGE, SUMMARY]
    for group, subcommands in groupby(SUBCOMMANDS, key=lambda subcommand: subcommand.group):
        lines.append(f"{group}:")
        for subcommand in subcommands:
            lines.extend(rows(subcommand.synopsis, subcommand.summary, width=_NAME_WIDTH))
        lines.append("")
    lines.extend([*grouped_rows((*CONNECTION, *QUESTIONS)), "", "Other variables:"])
    lines.extend(line for name, meaning in ENVIRONMENT for line in rows(name, meaning))
    return "\n".join([*lines, "", "Exit status:\n" + status_rows(STATUSES)])


def subcommand_help(subcommand: Subcommand) -> str:
    """Return everything that `zkexecctl SUBCOMMAND --help` shows, with its last newline."""
    options = " [options]" if subcommand.options or subcommand.needs_cluster else ""
    lines = [f"Usage: zkexecctl {subcommand.usage}{options}"]
    for paragraph in (subcommand.summary + ".", *subcommand.text.split("\n\n")):
        lines.extend(["", *wrapped(paragraph)])
    if subcommand.arguments:
        lines.extend(["", "Arguments:"])
    for argument in subcommand.arguments:
        lines.extend(rows(argument.spelling, argument.meaning))
    if subcommand.options:
        lines.extend(["", *grouped_rows(subcommand.options)])
    if subcommand.needs_cluster:
        lines.extend(["", "Connection options (--cluster, --auth, ...): see 'zkexecctl --help'."])
    lines.extend(["", "Exit status:\n" + status_rows(subcommand.statuses), "Examples:"])
    for command, meaning in subcommand.examples:
        lines.extend([f"    {command}", *(f"        {line}" for line in wrapped(meaning, 8))])
    return "\n".join(lines) + "\n"
