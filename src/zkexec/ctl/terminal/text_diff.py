"""The diff of two contents, in lines that are harmless on a terminal.

Text is UTF-8 without control characters other than tab, newline and carriage return, and only a
newline ends its lines.  Of everything else only sizes and digests are shown.  A line is a style
of the console ("" for none) and a text.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from zkexec.digest import sha256
from zkexec.text import printable

Line = tuple[str, str]
_Opcode = tuple[str, int, int, int, int]

_SHORT = 12
_CONTROLS_OF_TEXT = "\t\n\r"
_NO_NEWLINE = "\\ No newline at end of file"
# With more pairs of equal lines than this, comparing can take minutes.
_MOST_PAIRS = 500_000


def text_diff(old: bytes | None, new: bytes | None, names: tuple[str, str]) -> Iterator[Line]:
    """Compare two contents; `names` are those of both sides.

    None is a znode that does not exist, which differs from an empty one.
    """
    yield "strong", f"--- {printable(names[0])}"
    yield "strong", f"+++ {printable(names[1])}"
    before, after = _text(old or b""), _text(new or b"")
    if before is None or after is None:
        for style, sign, content in (("bad", "-", old), ("good", "+", new)):
            if content is not None:
                kind = "text" if is_text(content) else "binary"
                yield style, f"{sign} {kind}, {content_summary(content)}"
    elif before or after:
        yield from _diff_of_lines(_lines(before), _lines(after))
    else:
        yield "", "(empty)"


def is_text(content: bytes) -> bool:
    """Return whether a person can read it."""
    return _text(content) is not None


def content_summary(content: bytes) -> str:
    """Describe a content without showing anything of it."""
    return f"{size_text(len(content))}, sha256 {short_digest(sha256(content).hexdigest())}"


def size_text(size: int) -> str:
    """Write a number of bytes for a person."""
    if size < 1000:
        return f"{size} byte{'' if size == 1 else 's'}"
    if size < 999_950:
        return f"{size / 1000:.1f} kB"
    return f"{size / 1_000_000:.1f} MB"


def short_digest(digest: str) -> str:
    """Return as much of a digest as a person can compare."""
    return digest[:_SHORT]


def _text(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    # Few texts have many different characters.
    unusual = set(text) - set(_CONTROLS_OF_TEXT)
    return None if any(unicodedata.category(each) == "Cc" for each in unusual) else text


def _lines(text: str) -> list[str]:
    *whole, rest = text.split("\n")
    return [f"{line}\n" for line in whole] + ([rest] if rest else [])


def _diff_of_lines(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    for group in _Matcher(_opcodes(before, after)).get_grouped_opcodes():
        first, last = group[0], group[-1]
        yield "faint", f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                yield from _shown("", " ", before[old_from:old_to])
            else:
                yield from _shown("bad", "-", before[old_from:old_to])
                yield from _shown("good", "+", after[new_from:new_to])


def _shown(style: str, sign: str, lines: Sequence[str]) -> Iterator[Line]:
    for line in lines:
        # Tabs only move to the right, and configuration is full of them.
        yield style, sign + "\t".join(map(printable, line.removesuffix("\n").split("\t")))
        if not line.endswith("\n"):
            yield "", _NO_NEWLINE


def _range(start: int, end: int) -> str:
    """Write the lines from start up to end, as unified diffs do."""
    length = end - start
    return f"{start + 1}" if length == 1 else f"{start + 1 if length else start},{length}"


class _Matcher(SequenceMatcher[str]):
    """Groups opcodes that were found elsewhere."""

    def __init__(self, opcodes: list[_Opcode]) -> None:
        super().__init__()
        self._opcodes = opcodes

    def get_opcodes(self) -> list[_Opcode]:  # type: ignore[override] # tuples, and not a class
        return self._opcodes


def _opcodes(before: Sequence[str], after: Sequence[str]) -> list[_Opcode]:
    """Compare only what is between the first and the last change."""
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    rest = shorter - head
    tail = next((i for i in range(rest) if before[-1 - i] != after[-1 - i]), rest)
    old_end, new_end = len(before) - tail, len(after) - tail
    opcodes: list[_Opcode] = [("equal", 0, head, 0, head)] if head else []
    for tag, a, b, c, d in _compared(before[head:old_end], after[head:new_end]):
        opcodes.append((tag, a + head, b + head, c + head, d + head))
    if tail:
        opcodes.append(("equal", old_end, len(before), new_end, len(after)))
    return opcodes


def _compared(before: Sequence[str], after: Sequence[str]) -> Sequence[_Opcode]:
    """Find what is equal; if that would take too long, everything counts as changed."""
    counts = Counter(after)
    if sum(counts[line] for line in before) > _MOST_PAIRS:
        return [("replace", 0, len(before), 0, len(after))]
    return SequenceMatcher(None, before, after).get_opcodes()
