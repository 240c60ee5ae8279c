"""How many members of a group may be down at a time, and whose word that is.

The width is a decision of the group: of what its living members ask for, the smallest counts.
"""

from zkexec.frozen import value


@value()
class Width:
    """A number of members, or a percentage of those alive."""

    amount: int = 1
    percent: bool = False

    def of(self, population: int) -> int:
        """The number of members it allows; never less than one, or nothing would ever move."""
        return max(1, population * self.amount // 100) if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


@value()
class GroupWidth:
    """The width in force, and the member that asked for it."""

    width: Width
    by: str


def agreed(
    known: GroupWidth | None, asked: GroupWidth, population: int, asker_lives: bool
) -> GroupWidth:
    """The width after a member has asked for its own; `asker_lives` is about the known one's."""
    if known is None or known.by == asked.by or not asker_lives:
        return asked
    smaller = asked.width.of(population) < known.width.of(population)
    return asked if smaller else known
