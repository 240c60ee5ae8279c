"""Draw the phases of a member into docs/design.md, from the table that the core goes by.

`python tools/draw_phases.py` writes; a test compares what it would write with what is there.
"""

from pathlib import Path

from zkexec.core.events import Event
from zkexec.core.phases import Phase
from zkexec.core.transitions import TABLE

DESIGN = Path(__file__).resolve().parent.parent / "docs" / "design.md"
BEGIN = "<!-- phases: drawn from the table of phases by tools/draw_phases.py -->\n"
END = "<!-- end of phases -->"


def steps() -> dict[tuple[Phase, Phase], list[type[Event]]]:
    """Each way from one phase to another, with the events that lead there."""
    return {
        (left, entered): list(events)
        for left, row in TABLE.items()
        for entered, events in row.items()
    }


def diagram() -> str:
    """The phases as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.LOADING.value}"]
    for (left, entered), events in steps().items():
        names = ", ".join(event.__name__ for event in events)
        lines.append(f"    {left.value} --> {entered.value}: {names}")
    lines += [f"    {Phase.DONE.value} --> [*]", "```"]
    return "\n".join(lines) + "\n"


def drawn(design: str) -> str:
    """The page with its diagram as it should be."""
    head, rest = design.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + diagram() + END + tail


if __name__ == "__main__":
    DESIGN.write_text(drawn(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
