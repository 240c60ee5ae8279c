"""Text in columns: as wide as needed, or as narrow as the terminal.

Without a width nothing is left out, and only excessively long texts are cut.  On a terminal that
is too narrow, empty columns go first unless they are fixed, then those of the highest rank, and
then the last column is cut.  Cells can contain anything; what comes out is printable and has the
colour of its style.
"""

from collections.abc import Callable, Sequence

from zkexec.ctl.terminal.text_width import cells, fit
from zkexec.frozen import frozen
from zkexec.text import cut, printable

Paint = Callable[[str, str], str]

_GAP = "  "
_NOTHING = "-"
_LAST_AT_LEAST = 24


@frozen()
class Frame:
    """The room for a text; None means as much as it takes."""

    paint: Paint
    width: int | None = None
    height: int | None = None


@frozen()
class Cell:
    """The text of one cell, and its style."""

    text: str = ""
    style: str = ""

    @property
    def shown(self) -> str:
        """As much of the text as is shown, made printable."""
        return printable(cut(self.text))


@frozen()
class Column:
    """A title and the cells below it; the higher the rank, the sooner it is left out.

    One that `is_fixed` is shown even if it is empty, as that is an answer as well.
    """

    title: str
    cells: tuple[Cell, ...]
    rank: int = 0
    is_fixed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no cell has a text."""
        return not any(cell.text for cell in self.cells)

    @property
    def width(self) -> int:
        """How wide it has to be."""
        return max(cells(self.title), *(cells(cell.shown) for cell in self.cells), 1)


def table(columns: Sequence[Column], width: int | None, paint: Paint) -> list[str]:
    """Return the lines of titles and rows, not wider than the width if there is one."""
    kept = list(columns) if width is None else _narrowed(list(columns), width)
    widths = _widths(kept, width)
    if width is not None and kept:
        before = sum(widths[:-1]) + len(_GAP) * (len(kept) - 1)
        widths[-1] = max(1, min(widths[-1], width - before))
    titles = [Cell(column.title, "faint") for column in kept]
    rows = [titles, *(list(row) for row in zip(*(c.cells for c in kept), strict=True))]
    return [_line(row, widths, width, paint) for row in rows]


def _narrowed(columns: list[Column], width: int) -> list[Column]:
    if _natural(columns, width) > width:
        columns = [column for column in columns if column.is_fixed or not column.is_empty]
    while _needed(columns, width) > width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    """Return the widths of the columns; none but the last takes all the room."""
    widths = [column.width for column in columns]
    if width is None:
        return widths
    most = max(_LAST_AT_LEAST, 2 * width // 3)
    return [*(min(each, most) for each in widths[:-1]), *widths[-1:]]


def _natural(columns: Sequence[Column], width: int) -> int:
    return sum(_widths(columns, width)) + len(_GAP) * (len(columns) - 1)


def _needed(columns: Sequence[Column], width: int) -> int:
    """Return the width below which too little of the last column would be seen."""
    if not columns:
        return 0
    last = columns[-1].width
    return _natural(columns, width) - last + min(last, _LAST_AT_LEAST)


def _line(row: Sequence[Cell], widths: Sequence[int], width: int | None, paint: Paint) -> str:
    parts = []
    room = width
    for position, (cell, column) in enumerate(zip(row, widths, strict=True)):
        is_last = position == len(row) - 1
        text = cell.shown or ("" if is_last else _NOTHING)
        text = text if width is None else fit(text, column)
        if room is not None:
            text = fit(text, max(0, room))
            room -= column + len(_GAP)
        blanks = "" if is_last else " " * (column - cells(text)) + _GAP
        parts.append((paint(cell.style, text) if cell.style and text else text) + blanks)
    return "".join(parts).rstrip()
