"""The order in which a person counts: web2 before web10."""

import re


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """A key by which names are sorted; the numbers in them count as numbers, however long."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return (*((text, *_number(digits)) for text, digits in parts), (name, 0, ""))


def _number(digits: str) -> tuple[int, str]:
    """Of two numbers the one with more digits is the larger; no number is smaller than any."""
    if not digits:
        return -1, ""
    significant = digits.lstrip("0")
    return len(significant), significant
