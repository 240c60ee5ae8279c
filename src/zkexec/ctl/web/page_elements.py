"""Elements of the pages that are written here: what a template cannot do, or not fast enough.

Every text is escaped, and what does not print, such as a mark that turns the direction of a text,
is shown as an escape.
"""

import time
from collections.abc import Sequence
from itertools import groupby
from urllib.parse import quote

from markupsafe import Markup, escape

from zkexec.ctl.status.time_phrases import full_time, moment
from zkexec.ctl.web.group_page import ZoneView
from zkexec.text import printable

_LARGE, _MIDDLE = 600, 3000
"""A group with at most this many members has squares of this size; others have small ones."""


def harmless(value: object) -> object:
    """Return what a template prints for a value: a text on one line, of letters that print."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def exact(value: str) -> Markup:
    """Escape a value of a form, which the browser sends back exactly as it is."""
    return escape(value)


def quoted(text: str) -> str:
    """Return a text as a part of an address."""
    return quote(text, safe="", errors="surrogatepass")


def age_element(at: float) -> Markup:
    """Return seconds of the epoch as an element; the script shows how long ago that is."""
    return _time_element(at, "age")


def clock_element(at: float) -> Markup:
    """Return seconds of the epoch as an element, which the script leaves as it is."""
    return _time_element(at, "clock")


def size_text(size: int) -> str:
    """Return a number of bytes as a person writes it."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 100_000 else f"{size // 1000} kB"


def squares(zones: Sequence[ZoneView]) -> Markup:
    """Return the squares of a large group, zone by zone."""
    size = _size_class(sum(len(zone.members) for zone in zones))
    has_zones = len(zones) > 1 or any(zone.name for zone in zones)
    return Markup("").join(_squares_of(zone, size, has_title=has_zones) for zone in zones)


def letters(zones: Sequence[ZoneView]) -> str:
    """Return the marks of all squares: how many alike follow each other, and their letter."""
    marks = [mark.value for zone in zones for _, mark in zone.members]
    return "".join(f"{len(list(alike))}{letter}" for letter, alike in groupby(marks))


def _squares_of(zone: ZoneView, size: str, *, has_title: bool) -> Markup:
    # The end tags can be left out, and there are thousands of them.
    items = "".join(
        f"<li class={mark.value}>{escape(printable(row.name))}" for row, mark in zone.members
    )
    title = printable(f"Zone {zone.name}" if zone.name else "Without a zone")
    heading = Markup('<h3 class="zone">{}</h3>').format(title) if has_title else Markup("")
    return Markup(
        '<section>{}<ul class="squares {}" data-grid aria-label="{}">{}</ul></section>'
    ).format(
        heading,
        size,
        title if has_title else "Members",
        Markup(items),  # noqa: S704 -- each name is escaped
    )


def _size_class(count: int) -> str:
    if count <= _LARGE:
        return "large"
    return "middle" if count <= _MIDDLE else "small"


def _time_element(at: float, kind: str) -> Markup:
    if not at:
        return Markup("")
    # Not by datetime, which knows no year after 9999: a znode can contain any.
    machine = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return Markup('<time class="{}" datetime="{}" title="{}">{}</time>').format(
        kind, machine, full_time(at), moment(at, time.time())
    )
