"""What one text on the command line of zkexecctl may be, where zkexec knows no such text.

Every function takes what an operator wrote and returns the value, or raises a ValueError as in
`cli.converters`: its message continues a sentence that begins with the text.
"""

import re
from collections.abc import Callable

from zkexec.znode_paths import check_zk_path

LONGEST_TEXT = 1000
STDIN = "-"


def line(text: str) -> str:
    """Read a text for the record: a reason, a message, a name."""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_TEXT:
        raise ValueError(f"is not one printable line of at most {LONGEST_TEXT} characters")
    return text


def number(text: str) -> int:
    """Read the number of a content in a history."""
    if not _is_number(text):
        raise ValueError("is not a number such as 3")
    return int(text)


def number_between(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of numbers between two bounds, both included."""

    def parse(text: str) -> int:
        if not _is_number(text) or not least <= int(text) <= most:
            raise ValueError(f"is not a number from {least} to {most}")
        return int(text)

    return parse


def pair(text: str) -> tuple[str, str]:
    """Read ZK_PATH=FILE, split at the first `=`."""
    zk_path, equals, file = text.partition("=")
    if not zk_path or not equals or not file:
        raise ValueError("is not of the form ZK_PATH=FILE")
    return check_zk_path(zk_path), file


def numbered_path(text: str) -> tuple[str, tuple[int, ...]]:
    """Read ZK_PATH or ZK_PATH@N, split at the last @ that only digits follow."""
    numbered = re.fullmatch(r"(.*)@([0-9]+)", text, re.DOTALL)
    if numbered is None:
        return check_zk_path(text), ()
    return check_zk_path(numbered[1]), (number(numbered[2]),)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
