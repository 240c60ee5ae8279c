"""How a run is written for people: aligned tables, the same in a terminal and in Markdown."""

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.arithmetic import fewest_for, percentile
from benchmarks.results import Run, Table, verdict_on

Cells = Sequence[str]
_PERCENTILES = (50, 95, 99)


def number(value: float | None) -> str:
    """Three digits that count, as people write them."""
    if value is None:
        return ""
    if value and abs(value) < 0.01:
        return f"{value:.4f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def aligned(head: Cells, rows: Sequence[Cells], *, markdown: bool = False) -> Iterator[str]:
    """The lines of a table: the first column to the left, all others to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    for row in (head, rule, *rows) if markdown else (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield f"| {' | '.join(cells)} |" if markdown else "  ".join(cells).rstrip()


def table_lines(table: Table, *, markdown: bool = False) -> Iterator[str]:
    """One subject: its percentiles and ratios, its noise and its notes."""
    shown = [name for name in table.references if name in table.series]
    most = max(map(len, table.series.values()), default=0)
    if most == 1:
        head = [table.title, table.unit]
    else:
        head = [f"{table.title} [{table.unit}]", "n", *(f"p{p}" for p in _PERCENTILES)]
    rows = [
        [name, *_numbers(values, single=most == 1), *(_times(table, name, ref) for ref in shown)]
        for name, values in table.series.items()
    ]
    yield from aligned([*head, *(f"x {name}" for name in shown)], rows, markdown=markdown)
    if markdown:
        yield ""
    if table.noise:
        yield f"noise: {noise_text(table)}"
    yield from table.notes


def _numbers(values: Sequence[float], *, single: bool) -> list[str]:
    if single:
        return [number(values[0])]
    cells = [
        # Of few values a high percentile would be nothing but the largest.
        number(percentile(values, p)) if p == 50 or len(values) >= fewest_for(p) else "-"
        for p in _PERCENTILES
    ]
    return [str(len(values)), *cells]


def _times(table: Table, name: str, reference: str) -> str:
    found = table.ratio_of(name, reference)
    return "" if found is None else f"{found:.2f}"


def noise_text(table: Table) -> str:
    """What the machine did by itself: how far from their best the same few things were."""
    return "; ".join(
        f"{name} p50 {number(median(values))} p95 {number(percentile(values, 95))} "
        f"max {number(max(values))} ms"
        for name, values in table.noise.items()
        if values
    )


def claim_lines(run: Run, *, markdown: bool = False) -> Iterator[str]:
    """Every figure of the run: what was found, what it may be at most, and what the aim is."""
    rows = [
        [
            claim.figure, claim.reference or "(a number)", number(table.found(claim)),
            number(claim.at_most), number(claim.aim), verdict_on(table.found(claim), claim),
        ]
        for table in run.tables
        for claim in table.claims
    ]  # fmt: skip
    head = ["figure", "reference", "found", "at most", "aim", ""]
    yield from aligned(head, rows, markdown=markdown)


def run_lines(run: Run, *, markdown: bool = False) -> Iterator[str]:
    """The whole run."""
    yield ", ".join(f"{name} {value}" for name, value in run.machine.items())
    for table in run.tables:
        yield ""
        yield from table_lines(table, markdown=markdown)
    yield ""
    yield from claim_lines(run, markdown=markdown)
