"""How much of a text that others wrote is taken in, and how much of one is shown.

Whoever may write to a znode can put a megabyte into it.  What is only shown is cut where it
enters, before anything else is done with it; what names or identifies something is never cut.
"""

LONGEST = 1000
"""So many characters of a text are shown."""

LONGEST_LINE = 4000
"""So many of a line that is made of several."""

_DOTS = "..."
_BYTES_OF_A_LETTER = 4


def cut(text: str, most: int = LONGEST) -> str:
    """As much of a text as is shown, with dots at its end where that is not all."""
    return text if len(text) <= most else text[: most - len(_DOTS)] + _DOTS


def in_letters(content: bytes) -> str:
    """Bytes as text for a person, whatever they are, and not more of them than are shown."""
    # Half a letter at the end of the part that is decoded is cut away with what is behind it.
    part = content[: LONGEST * _BYTES_OF_A_LETTER + _BYTES_OF_A_LETTER]
    return cut(part.decode(errors="backslashreplace"))
