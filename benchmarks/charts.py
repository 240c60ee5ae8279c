"""The charts and tables of docs/performance.md, drawn from the published results: `make charts`.

    python -m benchmarks.charts PAPER FOLDER [RESULTS]

Each chart is an SVG in FOLDER: bars for the medians, with a thin line up to the 95th percentile.
In PAPER, the part between `<!-- benchmark: KEY -->` and `<!-- end of benchmark -->` is drawn anew:
the table with that key, `claims` for all figures, or `machine` for where it was measured.  A table
that the published run does not have is replaced by a line that says so.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.arithmetic import percentile
from benchmarks.results import RESULTS, Run, Table, load
from benchmarks.tables import claim_lines, number, table_lines

PUBLISHED = RESULTS / "published.json"
"""A copy of the latest.json of a run that is worth it; only this one is committed."""
CHARTS = ("change", "start", "start-many", "pss", "rolling")
TABLES = (
    "help", "start", "start-many", "change", "change-disk", "reload", "check-cost", "crowd",
    "burst", "burst-restarts", "pss-share", "pss", "uss", "threads", "wakeups", "cpu", "health",
    "rolling", "rolling-whole", "packets", "requests", "bytes", "peers-start", "peers-change",
    "peers-reload", "peers-pss",
)  # fmt: skip
"""The keys of all tables that the figures can make."""
_UNPUBLISHED = "Not measured in the published run."
_DRAWN = re.compile(
    r"(<!-- benchmark: ([a-z-]+) -->\n).*?(<!-- end of benchmark -->)", re.DOTALL
)  # fmt: skip
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 250, 70, 26, 44
_OURS, _OTHERS = "#2f7ebc", "#9aa5b1"


def main() -> None:
    """Draw all charts, and the tables of the paper if it is there."""
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m benchmarks.charts PAPER FOLDER [RESULTS]")
    paper, folder = map(Path, sys.argv[1:3])
    results = Path(sys.argv[3]) if len(sys.argv) == 4 else PUBLISHED
    try:
        run = load(results)
    except OSError as error:
        sys.exit(f"charts: {results}: {error.strerror}")
    for table in run.tables:
        if table.key in CHARTS:
            (folder / f"performance-{table.key}.svg").write_text(chart(table))
    if paper.exists():
        paper.write_text(redrawn(paper.read_text(), run))


def redrawn(text: str, run: Run) -> str:
    """The text of the paper with its drawn parts anew; ValueError for an unknown key."""

    def draw(match: re.Match[str]) -> str:
        lines = "\n".join(_part(run, match[2]))
        return f"{match[1]}\n{lines}\n\n{match[3]}"

    return _DRAWN.sub(draw, text)


def _part(run: Run, key: str) -> Iterator[str]:
    if key == "claims":
        yield from claim_lines(run, markdown=True)
    elif key == "machine":
        yield ", ".join(f"{name} {value}" for name, value in run.machine.items()) + "."
    else:
        tables = {table.key: table for table in run.tables}
        if key in tables:
            yield from table_lines(tables[key], markdown=True)
        elif key in TABLES:
            yield _UNPUBLISHED
        else:
            raise ValueError(f"no table {key!r}; there are {', '.join(TABLES)}")


def chart(table: Table) -> str:
    """One table as an SVG of horizontal bars."""
    largest = max((percentile(values, 95) for values in table.series.values()), default=0.0)
    height = _TOP + _ROW * len(table.series) + 10
    scale = (_WIDTH - _LEFT - _RIGHT) / (largest or 1.0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"',
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(table.title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(table.title)} [{table.unit}]</text>',
    ]
    for row, (name, values) in enumerate(table.series.items()):
        lines += _bar(name, values, _TOP + row * _ROW, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bar(name: str, values: Sequence[float], top: int, scale: float) -> Iterator[str]:
    middle, high = (max(0.0, percentile(values, percent)) for percent in (50, 95))
    colour = _OURS if name.startswith("zkexec") else _OTHERS
    centre = top + 9
    yield f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect x="{_LEFT}" y="{top}" width="{max(middle * scale, 1):.1f}" height="18" '
        f'fill="{colour}"/>'
    )
    if len(values) > 1:
        yield (
            f'<line x1="{_LEFT + middle * scale:.1f}" y1="{centre}" '
            f'x2="{_LEFT + high * scale:.1f}" y2="{centre}" stroke="#444444"/>'
        )
    end = _LEFT + max(high, middle) * scale + 6
    yield f'<text x="{end:.1f}" y="{top + 14}">{number(middle)}</text>'


if __name__ == "__main__":
    main()
