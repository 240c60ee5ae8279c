"""Cut texts from znodes, which can be a megabyte long.

A text that is only shown is cut as soon as it is read.  A text that identifies something is never
cut.
"""

LONGEST = 1000
"""At most this many characters of a text are shown."""

LONGEST_LINE = 4000
"""At most this many characters of a line that contains several texts are shown."""

_DOTS = "..."


def cut(text: str, most: int = LONGEST) -> str:
    """Cut a text to what is shown; dots at its end mark a cut."""
    return text if len(text) <= most else text[: most - len(_DOTS)] + _DOTS


def printable(text: str) -> str:
    """Make a text harmless on a terminal: one line, all that does not print as an ASCII escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
