"""The arithmetic of the benchmark and the form of its tables; nothing is measured here."""

import re
from collections import Counter
from pathlib import Path
from xml.dom import minidom

import pytest

from benchmarks.arithmetic import fewest_for, interleaved, percentile, ratio
from benchmarks.charts import chart, redrawn
from benchmarks.results import Claim, Run, Table, load, save, verdict_on
from benchmarks.stamps import Stamps
from benchmarks.tables import aligned, claim_lines, number, table_lines

CLAIM = Claim("speed", "ours", "theirs", 1.5, 1.1)


def a_table() -> Table:
    """Ours takes 1.2 times as long as theirs in each round, however slow the round was."""
    table = Table("speed", "speed <of both>", "ms", references=("theirs",), claims=(CLAIM,))
    for value in (10.0, 20.0, 1000.0):
        table.add("ours", value * 1.2)
        table.add("theirs", value)
    table.noise["fixed loop"] = [0.25, 0.5]
    table.notes.append("a note")
    return table


def a_run() -> Run:
    """A run with one table."""
    return Run({"cores": "2"}, True, [a_table()])


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (95, 95), (99, 99), (100, 100)]
)
def test_a_percentile_is_a_measured_value(percent: float, expected: float) -> None:
    """Of the values 1 to 100 each percentile is the value of that number."""
    assert percentile([*range(100, 0, -1)], percent) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    """Without values there is no percentile."""
    with pytest.raises(ValueError, match="at least one value"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "fewest"), [(95, 20), (99, 100)])
def test_a_high_percentile_wants_many_values(percent: float, fewest: int) -> None:
    """With that many values, and with no fewer, a percentile is not simply the largest one."""
    assert fewest_for(percent) == fewest
    assert percentile(range(fewest), percent) < fewest - 1
    assert percentile(range(fewest - 1), percent) == fewest - 2


def test_a_ratio_is_taken_round_by_round() -> None:
    """A slow round slows both candidates and does not change their ratio."""
    assert ratio([2.0, 200.0, 4.0], [1.0, 100.0, 2.0]) == 2.0
    assert ratio([2.0, 4.0, 6.0], [2.0]) == 2.0


def test_candidates_take_turns() -> None:
    """Each round has each candidate once, orders differ, and a second run repeats them."""
    rounds = list(interleaved("abc", 60))

    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert set(Counter(order[0] for order in rounds)) == {"a", "b", "c"}
    assert rounds == list(interleaved("abc", 60))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0.00"),
        (0.00123, "0.0012"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (-3.2, "-3.20"),
    ],
)
def test_a_number_has_three_digits_that_count(value: float | None, text: str) -> None:
    """Numbers are as precise as they deserve."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("found", "said"),
    [(None, "not measured"), (1.51, "MISSED"), (1.5, "within"), (1.1, "aim reached")],
)
def test_a_claim_is_judged_by_limit_and_aim(found: float | None, said: str) -> None:
    """A limit that is just kept is kept, and so is an aim."""
    assert verdict_on(found, CLAIM) == said


def test_a_claim_without_a_reference_is_about_the_largest_value() -> None:
    """A number of restarts is to hold each time, not on average."""
    table = Table("restarts", "restarts", "restarts", series={"ours": [1.0, 13.0, 2.0]})

    assert table.found(Claim("restarts", "ours", "", 12)) == 13.0


def test_columns_are_aligned() -> None:
    """The first column stands to the left and all others to the right, also in Markdown."""
    assert list(aligned(["a", "bb"], [["long", "1"]])) == ["a     bb", "long   1"]
    assert list(aligned(["a", "bb"], [["long", "1"]], markdown=True)) == [
        "| a    | bb |",
        "| ---- | -: |",
        "| long |  1 |",
    ]


def test_a_table_shows_median_ratio_noise_and_notes() -> None:
    """High percentiles of three values are left out, and the ratio is that of the rounds."""
    head, ours, theirs, noise, note = table_lines(a_table())

    assert head.split()[-6:] == ["n", "p50", "p95", "p99", "x", "theirs"]
    assert ours.split() == ["ours", "3", "24.0", "-", "-", "1.20"]
    assert theirs.split() == ["theirs", "3", "20.0", "-", "-", "1.00"]
    assert "fixed loop" in noise
    assert note == "a note"


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    """What was saved reads back, and says the same of each claim."""
    path = tmp_path / "folder" / "run.json"
    save(a_run(), path)

    assert list(claim_lines(load(path))) == list(claim_lines(a_run()))
    assert load(path).tables[0].series == a_table().series


def test_a_chart_is_an_image_with_a_bar_for_each_series() -> None:
    """The SVG is well-formed, and the longer value has the longer bar."""
    document = minidom.parseString(chart(a_table()))  # noqa: S318 -- the text is our own
    _, ours, theirs = (
        float(element.getAttribute("width")) for element in document.getElementsByTagName("rect")
    )

    assert ours > theirs > 0


def test_the_paper_is_drawn_anew_between_its_marks() -> None:
    """A table takes the place of what stood between the marks, and nothing else changes."""
    text = "before\n<!-- benchmark: speed -->\nold\n<!-- end of benchmark -->\nafter\n"
    drawn = redrawn(text, a_run())

    assert re.fullmatch(r"before\n.*\| ours +\|.*\nafter\n", drawn, re.DOTALL)
    assert "old" not in drawn
    assert redrawn(drawn, a_run()) == drawn


def test_a_table_that_was_not_published_is_named_as_such() -> None:
    """A part of the paper whose table the run did not measure shows no old figures."""
    text = "<!-- benchmark: crowd -->\nold\n<!-- end of benchmark -->\n"
    drawn = redrawn(text, a_run())

    assert "Not measured in the published run." in drawn
    assert "old" not in drawn
    assert redrawn(drawn, a_run()) == drawn


def test_an_unknown_table_is_named() -> None:
    """A mark for what was not measured is a mistake that says so."""
    with pytest.raises(ValueError, match="no table 'speeed'"):
        redrawn("<!-- benchmark: speeed -->\n<!-- end of benchmark -->\n", a_run())


def test_stamps_come_in_order_and_whole(tmp_path: Path) -> None:
    """Lines that several children wrote are told apart, up to the one that is waited for."""
    stamps = Stamps(tmp_path / "fifo")
    try:
        with open(stamps.path, "wb") as command:
            command.write(b"5 1 a\n6 2 b\n7 3 c")
            command.flush()
            assert [stamp.tag for stamp in stamps.until("b")] == ["a", "b"]
            command.write(b"\n")
        assert stamps.next() == (7, 3, "c")
        with pytest.raises(TimeoutError, match="no child in main"):
            stamps.next(0.01)
    finally:
        stamps.close()
