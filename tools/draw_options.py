"""Write the table of options into README.md, from the same table as `--help`.

`python tools/draw_options.py` writes; a test compares what it would write with what is there.
"""

from itertools import groupby
from pathlib import Path

from zkexec.options import OPTIONS, Option

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- options: drawn from zkexec.options by tools/draw_options.py -->\n"
END = "<!-- end of options -->"
HEAD = ("| option | default | variable | meaning |", "| --- | --- | --- | --- |")


def row(option: Option) -> str:
    """One line of the table."""
    short = f"`-{option.short}` " if option.short else ""
    spelling = f"`--{option.name}{' ' + option.metavar if option.metavar else ''}`"
    default = f"`{option.default}`" if option.default else ""
    variable = f"`{option.variable}`" if option.variable else ""
    return f"| {short}{spelling} | {default} | {variable} | {option.meaning} |"


def table() -> str:
    """All options as Markdown, one table for each group."""
    parts = []
    for group, options in groupby(OPTIONS, key=lambda option: option.group):
        parts.append("\n".join([f"\n**{group}**\n", *HEAD, *map(row, options)]))
    return "\n".join(parts) + "\n\n"


def drawn(readme: str) -> str:
    """The README with its table as it should be."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + table() + END + tail


if __name__ == "__main__":
    README.write_text(drawn(README.read_text()))
