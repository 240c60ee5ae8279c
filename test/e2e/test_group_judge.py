"""The journal of a fleet: when a member counts as unavailable, and when it does not."""

from pathlib import Path

import pytest

from support.journal import Entry, Journal, peak_of, ran

ONE_AFTER_THE_OTHER = """
    born a 1 new; healthy a 1; born b 2 new; healthy b 2
    asked a 1; born a 3 new; healthy a 3; asked b 2; born b 4 new; healthy b 4
"""
BOTH_AT_ONCE = "born a 1 x; born b 2 x; asked a 1; asked b 2; born a 3 y; healthy a 3"
BEFORE_HEALTH = "asked a 1; born a 3 y; asked b 2; healthy a 3"
HEALTH_OF_THE_OLD = "asked a 1; born a 3 y; healthy a 1; asked b 2"
FIRST_STARTS = "started a 9; born a 1 x; started b 8; born b 2 x; healthy b 2"
ASKED_TO_END = "ending a 9; asked a 1; asked b 2; born b 3 y; healthy b 3"
STARTED_AGAIN = "ending a 9; asked a 1; started a 8; born a 3 x; asked a 3; asked b 2"
KILLED_IN_ITS_TURN = "asked a 1; killed a 9; started a 8; asked b 2; born a 3 y; healthy a 3"
KILLED_OUT_OF_TURN = "killed a 9; started a 8; asked b 2; born a 3 y; healthy a 3"


def journal(text: str) -> list[Entry]:
    """The entries of a short text, one second apart."""
    entries = []
    for second, line in enumerate(text.replace("\n", ";").split(";")):
        if line.strip():
            word, name, pid, *content = line.split()
            entries.append(Entry(word, name, int(pid), float(second), " ".join(content)))
    return entries


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (ONE_AFTER_THE_OTHER, 1),
        (BOTH_AT_ONCE, 2),
        (BEFORE_HEALTH, 2),
        (HEALTH_OF_THE_OLD, 2),
        (FIRST_STARTS, 0),
        (ASKED_TO_END, 1),
        (STARTED_AGAIN, 2),
        (KILLED_IN_ITS_TURN, 2),
        (KILLED_OUT_OF_TURN, 1),
    ],
)
def test_who_is_down_is_counted(text: str, most: int) -> None:
    """Down is who was stopped for a restart and has not been healthy since, and nobody else."""
    assert peak_of(journal(text)).count == most


@pytest.mark.parametrize(("at", "most"), [(1.5, 1), (3.5, 2)])
def test_whose_entry_was_reaped_is_not_counted(at: float, most: int) -> None:
    """From the moment of its reaping, and no sooner, a member is not counted."""
    entries = journal("asked a 1; killed a 9; asked b 2; asked c 3")[:3]

    assert peak_of(entries, [(at, "a")]).count == most


def test_a_violation_is_shown() -> None:
    """The story names the members that were unavailable, and all that happened before."""
    story = peak_of(journal(BOTH_AT_ONCE)).story

    assert story.startswith("['a', 'b'] unavailable after")
    assert "3.000 b asked 2" in story
    assert "born 3" not in story


def test_who_ran_what_is_known() -> None:
    """A member has run what its server was started on."""
    assert ran(journal("born a 1 good 1; born b 2 exit 1; healthy c 3"), "exit 1") == {"b"}


def test_a_journal_keeps_what_is_written(tmp_path: Path) -> None:
    """What servers, checks and the fleet write is read back in its order."""
    kept = Journal(tmp_path / "journal")
    kept.write("started", "a", 7, 1.5)
    with kept.path.open("a") as file:
        file.write("born a 8 2.25 good 1|good 1\nhealthy a 8 0\nborn b 9 unfin")

    assert kept.entries() == [
        Entry("started", "a", 7, 1.5),
        Entry("born", "a", 8, 2.25, "good 1|good 1"),
        Entry("healthy", "a", 8, 0.0),
    ]
    assert kept.of("a", "healthy") == kept.of_all("healthy")
