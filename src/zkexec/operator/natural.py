"""The order in which a person counts: web2 before web10."""

import re


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """A key by which names are sorted; the numbers in them count as numbers."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return (*((text, int(digits or -1)) for text, digits in parts), (name, 0))
