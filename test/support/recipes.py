"""The recipes of docs/changes.md, as a test types them: for its own paths, ports and znodes."""

import re
from collections.abc import Iterable

from support.sandbox import TEST

_PAGE = TEST.parent / "docs" / "changes.md"


def recipe(heading: str) -> str:
    """The first block below a heading."""
    _, _, below = _PAGE.read_text().partition(f"\n## {heading}\n")
    section = below.partition("\n## ")[0]
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return blocks[0]


def typed(text: str, replaced: Iterable[tuple[str, str]]) -> str:
    """A recipe with other values; AssertionError if it does not contain one that is replaced."""
    for before, after in replaced:
        assert before in text, (before, text)
        text = text.replace(before, after)
    return text
