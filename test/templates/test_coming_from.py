"""What docs/coming-from.md shows instead of the functions of other tools is there, and renders."""

import re
from pathlib import Path

import pytest

from templates.samples import rendered

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from.md"
TABLE = re.compile(r"^\| function \| zkexec \|\n\| --- \| --- \|\n((?:\|.*\n)+)", re.MULTILINE)
VALUES = {"/web": {"port": b"8080", "json": b'{"a": 1}', "x": b"", "x/y": b"z"}}
# What the rows take for granted.
NAMES = '{% set names, text, path = ["a", "b"], "a,b/", "x/y" %}'
STATEMENTS = {"include", "import", "extends"}


def shown() -> list[str]:
    """Each piece of code in the column of zkexec, in the tables of functions."""
    rows = "".join(TABLE.findall(PAGE.read_text(encoding="utf-8"))).splitlines()
    cells = [re.split(r"(?<!\\) \| ", row)[1].replace(r"\|", "|") for row in rows]
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


TEMPLATES = sorted({code for code in shown() if re.match(r"\{\{|\{% (if|for)", code)})
WORDS = sorted({code for code in shown() if code.isidentifier()} - STATEMENTS)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_of_the_page_renders(template: str) -> None:
    """A piece of a template renders, once its blocks are closed."""
    opened = re.findall(r"\{% (if|for) ", template)
    ends = "".join(f"{{% end{name} %}}" for name in reversed(opened))

    assert rendered(f"{NAMES}{template}{ends}", values=VALUES) is not None


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_page_is_known(word: str) -> None:
    """A single word is a filter, or a name that templates find defined."""
    assert rendered(f"{{{{ '{word}' is filter or {word} is defined }}}}") == "True"


def test_the_tables_are_found() -> None:
    """Templates and words of both tables are found, and an unknown word is noticed."""
    assert len(TEMPLATES) > 15
    assert {"b64decode", "namespace", "reverse"} <= set(WORDS)
    assert rendered("{{ 'sha256Hex' is filter or sha256Hex is defined }}") == "False"
