"""A terminal's screen as an SVG picture, drawn from what a program has really written to it."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

import pyte

_CELL_WIDTH, _CELL_HEIGHT = 8.4, 18
_MARGIN, _BAR = 14, 30
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_PAPER, _INK, _FAINT = "#14171c", "#d5dae3", "#7d8590"
_COLOURS = {
    "black": "#4b525c",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",  # What the library calls yellow.
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": _INK,
    "brightblack": _FAINT,
}


class Style(NamedTuple):
    """The style of letters."""

    colour: str
    bold: bool
    reverse: bool


class FaintScreen(pyte.Screen):
    """The library's screen, which also knows faint letters: as those of a colour of their own."""

    def select_graphic_rendition(self, *attributes: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Take the 2 for faint, and the 22 that ends it, for colours."""
        swaps = {2: 90, 22: 39}
        super().select_graphic_rendition(*(swaps.get(a, a) for a in attributes), **kwargs)
        if 22 in attributes:
            super().select_graphic_rendition(22)


def picture(screen: pyte.Screen, title: str) -> str:
    """The text of an SVG file: the rows of the screen that are not empty, in a window."""
    rows = [list(_runs(screen, row)) for row in range(screen.lines)]
    while rows and not rows[-1]:
        rows.pop()
    width = screen.columns * _CELL_WIDTH + 2 * _MARGIN
    height = len(rows) * _CELL_HEIGHT + _BAR + _MARGIN * 2
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(title)}">'
        ),
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
        *(
            f'<circle cx="{18 + 18 * number}" cy="{_BAR / 2 + 2:g}" r="5.5" fill="{colour}"/>'
            for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        ),
        (
            f'<text x="{width / 2:g}" y="{_BAR / 2 + 6:g}" fill="{_FAINT}" text-anchor="middle" '
            f'font-family="system-ui, sans-serif" font-size="12">{escape(title)}</text>'
        ),
        f'<g font-family="{_FONT}" font-size="14">',
        *(line for row, runs in enumerate(rows) for line in _drawn(row, runs)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


Run = tuple[int, Style, str]
"""The cell at which letters of one style begin, their style, and the letters."""


def _runs(screen: pyte.Screen, row: int) -> Iterator[Run]:
    cells = screen.buffer[row]
    style_of = [_style(cells[column]) for column in range(screen.columns)]
    for style, columns in groupby(range(screen.columns), key=style_of.__getitem__):
        numbers = list(columns)
        text = "".join(cells[column].data for column in numbers)
        if text.strip() or style.reverse:
            yield numbers[0], style, text if style.reverse else text.rstrip()


def _style(cell: Any) -> Style:  # noqa: ANN401 -- the library has no types
    return Style(_COLOURS.get(cell.fg, _INK), cell.bold, cell.reverse)


def _drawn(row: int, runs: list[Run]) -> Iterator[str]:
    top = _BAR + _MARGIN + row * _CELL_HEIGHT
    for column, style, text in runs:
        left, width = _MARGIN + column * _CELL_WIDTH, len(text) * _CELL_WIDTH
        ink = style.colour
        if style.reverse:
            yield (
                f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{_CELL_HEIGHT}" '
                f'fill="{ink}"/>'
            )
            ink = _PAPER
        weight = ' font-weight="bold"' if style.bold else ""
        # The length keeps each column at its place, with any font.  Browsers collapse blanks.
        shown = escape(text).replace(" ", "\N{NO-BREAK SPACE}")
        yield (
            f'<text x="{left:g}" y="{top + 13:g}" fill="{ink}"{weight} textLength="{width:g}" '
            f'lengthAdjust="spacingAndGlyphs">{shown}</text>'
        )
