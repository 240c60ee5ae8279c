"""Write the tables of options and verbs into README.md, from the same tables as `--help`.

`python tools/draw_options.py` writes; a test compares what it would write with what is there.
"""

from itertools import groupby
from pathlib import Path

from zkexec.cli.options import OPTIONS, Option
from zkexec.operator.usage import STATUSES
from zkexec.operator.verbs import VERBS

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- options: drawn from zkexec.cli.options by tools/draw_options.py -->\n"
END = "<!-- end of options -->"
BEGIN_VERBS = "<!-- verbs: drawn from zkexec.operator.verbs by tools/draw_options.py -->\n"
END_VERBS = "<!-- end of verbs -->"
HEAD = ("| option | default | variable | meaning |", "| --- | --- | --- | --- |")


def spelling(option: Option) -> str:
    """The option as the first column shows it."""
    short = f"`-{option.short}` " if option.short else ""
    return f"{short}`--{option.name}{' ' + option.metavar if option.metavar else ''}`"


def row(option: Option) -> str:
    """One line of the table of options."""
    default = f"`{option.default}`" if option.default else ""
    variable = f"`{option.variable}`" if option.variable else ""
    return f"| {spelling(option)} | {default} | {variable} | {option.meaning} |"


def table() -> str:
    """All options of zkexec as Markdown, one table for each group."""
    parts = []
    for group, options in groupby(OPTIONS, key=lambda option: option.group):
        parts.append("\n".join([f"\n**{group}**\n", *HEAD, *map(row, options)]))
    return "\n".join(parts) + "\n\n"


def verbs_table() -> str:
    """All verbs of zkexecctl as Markdown, then their options, then what it ends with."""
    lines = []
    for group, verbs in groupby(VERBS, key=lambda verb: verb.group):
        lines.extend([f"\n**{group}**\n", "| verb | meaning |", "| --- | --- |"])
        lines.extend(f"| `{verb.usage}` | {verb.summary} |" for verb in verbs)
    options = dict.fromkeys(option for verb in VERBS for option in verb.options)
    lines.extend(["\n**Options of verbs**\n", "| option | of | meaning |", "| --- | --- | --- |"])
    lines.extend(
        f"| {spelling(option)} | {_owners(option)} | {_explained(option)} |" for option in options
    )
    lines.extend(["\n**Exit statuses**\n", "| status | meaning |", "| --- | --- |"])
    lines.extend(f"| {status} | {meaning} |" for status, meaning in STATUSES)
    return "\n".join(lines) + "\n\n"


def _owners(option: Option) -> str:
    return ", ".join(f"`{verb.name}`" for verb in VERBS if option in verb.options)


def _explained(option: Option) -> str:
    default = f"; by default {option.default}" if option.default else ""
    variable = f"; `{option.variable}`" if option.variable else ""
    return option.meaning + default + variable


def drawn(readme: str) -> str:
    """The README with its tables as they should be."""
    text = _between(readme, BEGIN, END, table())
    return _between(text, BEGIN_VERBS, END_VERBS, verbs_table())


def _between(text: str, begin: str, end: str, inside: str) -> str:
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return head + begin + inside + end + tail


if __name__ == "__main__":
    README.write_text(drawn(README.read_text()))
