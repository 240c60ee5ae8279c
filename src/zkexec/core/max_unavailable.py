"""How many members of a group may be down at a time, and whose word that is.

The width is a decision of the group: of what its living members ask for, the smallest counts.
"""

from zkexec.frozen import frozen


@frozen()
class MaxUnavailable:
    """A number of members, or a percentage of those alive."""

    amount: int = 1
    percent: bool = False

    def of(self, population: int) -> int:
        """The number of members it allows; never less than one, or nothing would ever move."""
        return max(1, population * self.amount // 100) if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


@frozen()
class AgreedMaxUnavailable:
    """The width in force, and the member that asked for it."""

    limit: MaxUnavailable
    by: str


def agreed(
    known: AgreedMaxUnavailable | None,
    asked: AgreedMaxUnavailable,
    population: int,
    asker_lives: bool,
) -> AgreedMaxUnavailable:
    """The width after a member has asked for its own; `asker_lives` is about the known one's."""
    if known is None or known.by == asked.by or not asker_lives:
        return asked
    smaller = asked.limit.of(population) < known.limit.of(population)
    return asked if smaller else known
