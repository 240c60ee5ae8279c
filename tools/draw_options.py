"""Write the tables of docs/options.md and docs/zkexecctl.md, from the same tables as `--help`.

`python tools/draw_options.py` writes; a test compares the pages with what it would write.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from zkexec.cli.options import OPTIONS, Option
from zkexec.ctl.exit_status import STATUSES
from zkexec.ctl.subcommands import SUBCOMMANDS

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = ("| option | default | variable | meaning |", "| --- | --- | --- | --- |")


def in_cell(text: str) -> str:
    """Return a text for a cell of a table, in which a bare pipe would end it, also in code."""
    return text.replace("|", "\\|")


def spelling(option: Option) -> str:
    """Return the option as the first column shows it."""
    short = f"`-{option.short}` " if option.short else ""
    return f"{short}`{in_cell(option.spelling)}`"


def row(option: Option) -> str:
    """Return one line of the table of options."""
    default = f"`{option.default}`" if option.default else ""
    variable = f"`{option.variable}`" if option.variable else ""
    return f"| {spelling(option)} | {default} | {variable} | {option.meaning} |"


def options_tables() -> str:
    """Return all options of zkexec as Markdown, one table for each group."""
    parts = []
    for group, options in groupby(OPTIONS, key=lambda option: option.group):
        parts.append("\n".join([f"\n## {group}\n", *HEAD, *map(row, options)]))
    return "\n".join(parts) + "\n\n"


def subcommands_tables() -> str:
    """Return all subcommands of zkexecctl as Markdown, their options, and the exit statuses."""
    lines = []
    for group, subcommands in groupby(SUBCOMMANDS, key=lambda subcommand: subcommand.group):
        lines.extend([f"\n**{group}**\n", "| subcommand | meaning |", "| --- | --- |"])
        lines.extend(
            f"| `{in_cell(subcommand.usage)}` | {subcommand.summary} |"
            for subcommand in subcommands
        )
    options = dict.fromkeys(option for subcommand in SUBCOMMANDS for option in subcommand.options)
    lines.extend(["\n## Options\n", "| option | of | meaning |", "| --- | --- | --- |"])
    lines.extend(
        f"| {spelling(option)} | {_owners(option)} | {_explained(option)} |" for option in options
    )
    lines.extend(["\n## Exit statuses\n", "| status | meaning |", "| --- | --- |"])
    lines.extend(f"| {status} | {meaning} |" for status, meaning in STATUSES)
    return "\n".join(lines) + "\n\n"


def _owners(option: Option) -> str:
    return ", ".join(
        f"`{subcommand.name}`" for subcommand in SUBCOMMANDS if option in subcommand.options
    )


def _explained(option: Option) -> str:
    default = f"; by default {option.default}" if option.default else ""
    variable = f"; `{option.variable}`" if option.variable else ""
    return option.meaning + default + variable


TABLES = {"options": options_tables, "subcommands": subcommands_tables}
PAGES = {"options.md": "options", "zkexecctl.md": "subcommands"}


def drawn() -> Iterator[tuple[Path, str]]:
    """Return each page with its tables as they should be."""
    for page, name in PAGES.items():
        begin = f"<!-- {name}: drawn from the table of {name} by tools/draw_options.py -->\n"
        end = f"<!-- end of {name} -->"
        head, rest = (DOCS / page).read_text(encoding="utf-8").split(begin)
        _, tail = rest.split(end)
        yield DOCS / page, head + begin + TABLES[name]() + end + tail


if __name__ == "__main__":
    for path, text in drawn():
        path.write_text(text, encoding="utf-8")
