"""What a run finds: tables of series, what is claimed of them, and their form as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arithmetic import ratio

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Claim:
    """How one series has to stand to another, or to a number where `reference` is empty."""

    figure: str
    series: str
    reference: str
    at_most: float
    aim: float | None = None


@dataclass
class Table:
    """One subject: a series of values for each candidate, in one unit."""

    key: str
    title: str
    unit: str
    series: dict[str, list[float]] = field(default_factory=dict)
    references: Sequence[str] = ()
    """The series to which ratios are shown, as far as they are there."""
    claims: Sequence[Claim] = ()
    notes: list[str] = field(default_factory=list)
    noise: dict[str, list[float]] = field(default_factory=dict)
    """What the machine did by itself meanwhile, in milliseconds."""

    def add(self, name: str, value: float) -> None:
        """Append one value."""
        self.series.setdefault(name, []).append(value)

    def ratio_of(self, name: str, reference: str) -> float | None:
        """How one series stands to another; None where one is missing."""
        values, others = self.series.get(name), self.series.get(reference)
        if not values or not others or not all(others):
            return None
        return ratio(values, others)

    def found(self, claim: Claim) -> float | None:
        """The number that a claim is about; None where it was not measured."""
        if claim.reference:
            return self.ratio_of(claim.series, claim.reference)
        values = self.series.get(claim.series)
        return max(values) if values else None


@dataclass
class Run:
    """Everything that one run has found, and where it ran."""

    machine: Mapping[str, str]
    is_quick: bool
    tables: list[Table] = field(default_factory=list)


def verdict_on(found: float | None, claim: Claim) -> str:
    """What is to be said of a claim, in a word or two."""
    if found is None:
        return "not measured"
    if found > claim.at_most:
        return "MISSED"
    return "within" if claim.aim is None or found > claim.aim else "aim reached"


def save(run: Run, path: Path) -> None:
    """Write a run as JSON, values with as many digits as they deserve."""
    document = asdict(run)
    for table in document["tables"]:
        for part in ("series", "noise"):
            table[part] = {name: _rounded(values) for name, values in table[part].items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, separators=(",", ":")).replace("},{", "},\n{") + "\n")


def load(path: Path) -> Run:
    """Read what `save` has written."""
    document: dict[str, Any] = json.loads(path.read_text())
    tables = [_table(entry) for entry in document.pop("tables")]
    return Run(**document, tables=tables)


def _table(entry: dict[str, Any]) -> Table:
    claims = [Claim(**claim) for claim in entry.pop("claims")]
    return Table(**entry, claims=claims)


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
