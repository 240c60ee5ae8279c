"""The texts of `zkexecctl --help` and `zkexecctl VERB --help`, drawn from the table of verbs.

The layout is that of `zkexec --help`: 80 columns, ASCII, what is said on the left and what it
means on the right.
"""

from itertools import groupby

from zkexec.cli.help_text import grouped_rows, rows, status_rows, wrapped
from zkexec.operator.verbs import VERBS
from zkexec.operator.words import CONNECTION, QUESTIONS, Verb

USAGE = """\
Usage: zkexecctl [connection options] VERB [options] [arguments]
       zkexecctl help [VERB]
"""

HINT = "Try 'zkexecctl --help' for all verbs.\n"

SUMMARY = """\
See a rollout of zkexec, steer it, and push configuration to it.

Options may stand anywhere.  'zkexecctl VERB --help' tells all about a verb.
"""

ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("ZKEXEC_BY", "Who does it, where --by does not say it"),
    ("ZKEXEC_DEBUG", "1: show where in the program an internal error has happened"),
    ("NO_COLOR", "Anything: no colours on the terminal"),
)

_VERB_WIDTH = 27

STATUSES: tuple[tuple[int, str], ...] = (
    (0, "done; the answer is yes"),
    (1, "the answer is no: a rollout failed, is paused or superseded, or not all is as expected"),
    (2, "wrong usage; nothing was done"),
    (3, "it was not decided within --timeout"),
    (125, "zkexecctl could not do its work (cluster unreachable, permission missing)"),
)


def overview() -> str:
    """Return everything that `zkexecctl --help` shows, with its last newline."""
    lines = [USAGE, SUMMARY]
    for group, verbs in groupby(VERBS, key=lambda verb: verb.group):
        lines.append(f"{group}:")
        lines.extend(
            line for verb in verbs for line in rows(verb.usage, verb.summary, width=_VERB_WIDTH)
        )
        lines.append("")
    lines.extend([*grouped_rows((*CONNECTION, *QUESTIONS)), "", "Other variables:"])
    lines.extend(line for name, meaning in ENVIRONMENT for line in rows(name, meaning))
    return "\n".join([*lines, "", "Exit status:\n" + status_rows(STATUSES)])


def verb_help(verb: Verb) -> str:
    """Return everything that `zkexecctl VERB --help` shows, with its last newline."""
    lines = _usage_of(verb)
    for paragraph in (verb.summary + ".", *verb.text.split("\n\n")):
        lines.extend(["", *wrapped(paragraph)])
    if verb.arguments:
        lines.extend(["", "Arguments:"])
    for argument in verb.arguments:
        lines.extend(rows(argument.spelling, argument.meaning))
    if verb.options:
        lines.extend(["", *grouped_rows(verb.options)])
    if verb.needs_cluster:
        lines.extend(["", "Connection options (--cluster, --auth, ...): see 'zkexecctl --help'."])
    lines.extend(["", "Exit status:\n" + status_rows(verb.statuses), "Examples:"])
    for command, meaning in verb.examples:
        lines.extend([f"    {command}", *(f"        {line}" for line in wrapped(meaning, 8))])
    return "\n".join(lines) + "\n"


def _usage_of(verb: Verb) -> list[str]:
    options = " [options]" if verb.options or verb.needs_cluster else ""
    return [f"Usage: zkexecctl {verb.usage}{options}"]
