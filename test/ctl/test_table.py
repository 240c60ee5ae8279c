"""Columns and wrapped text: what fits, however much there is of it."""

from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.ctl.status.group_status import counting_order
from zkexec.ctl.terminal.table import Cell, Column, table
from zkexec.ctl.terminal.text_width import cells, fit, wrap

LETTERS = st.text(st.sampled_from("ab 界é\u0301한\u1161"), max_size=60)


def plain(_style: str, text: str) -> str:
    """No colours."""
    return text


@examples(300)
@given(LETTERS, st.integers(3, 20))
def test_text_is_wrapped_at_blanks(text: str, width: int) -> None:
    """No line is wider than the terminal, no letter is lost, and words are broken only if long."""
    lines = wrap(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    words = {word for word in text.split(" ") if cells(word) <= width}
    assert words - {""} <= {word for line in lines for word in line.split(" ")}


@examples(300)
@given(LETTERS, st.integers(0, 20))
def test_text_is_cut_to_the_terminal(text: str, width: int) -> None:
    """What is too wide loses its end and gets dots, and what fits stays."""
    found = fit(text, width)
    assert cells(found) <= width
    if cells(text) <= width:
        assert found == text
    else:
        assert found.endswith("..."[:width])
        assert text.startswith(found.removesuffix("..."[:width]))


def test_a_text_of_a_megabyte_is_wrapped() -> None:
    """It takes as long as it is long: with the square of that this would take days."""
    for text in ("界é" * 500_000, "ab " * 300_000):
        lines = wrap(text, 80)
        assert max(map(cells, lines)) in (78, 79, 80)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert cells(fit(text, 80)) in (79, 80)


def test_a_long_text_does_not_hide_the_other_columns() -> None:
    """Of a name that takes the whole terminal the end is cut, so that there is more to see."""
    columns = [
        Column("MEMBER", (Cell("7" * 5000), Cell("m1"))),
        Column("PHASE", (Cell("unreadable"), Cell("running"))),
        Column("REASON", (Cell("x" * 5000), Cell(""))),
    ]
    _, strange, ordinary = table(columns, 100, plain)
    assert ordinary.split() == ["m1", "running"]
    assert strange.startswith("7" * 60)
    assert "unreadable" in strange
    assert cells(strange) <= 100


def test_excessively_long_texts_are_cut_for_a_pipe_too() -> None:
    """Without a terminal a text is whole up to a thousand letters."""
    columns = [Column("REASON", (Cell("x" * 1000), Cell("y" * 900_000)))]
    _, whole, long = table(columns, None, plain)
    assert whole == "x" * 1000
    assert long == "y" * 997 + "..."


def test_numbers_of_any_length_are_in_their_order() -> None:
    """Names are sorted as a person counts, even if Python takes no number of this length."""
    long, longer = "m" + "9" * 5000, "m1" + "0" * 5000
    names = [longer, "m10", long, "m2", "m02", "m", "m2a", "a"]
    assert sorted(names, key=counting_order) == ["a", "m", "m02", "m2", "m2a", "m10", long, longer]
