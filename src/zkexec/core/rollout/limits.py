"""The limits of a group: how many members may be in flight, and on how many a version may fail.

Each member has its own, from its options.  The smallest value of a living member is in force.
"""

from __future__ import annotations

from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen()
class AgreedMaxUnavailable:
    """The max unavailable in force, and the member that requested it."""

    limit: MaxUnavailable
    by: str


@frozen()
class AgreedMaxFailed:
    """The max failed in force, and the member that requested it."""

    limit: MaxFailed
    by: str


@frozen()
class Population:
    """How many members are alive: in the group, and in each zone of which it matters."""

    members: int = 0
    zones: Mapping[str, int] = {}

    def allowed_by(self, limit: MaxUnavailable, zone: str) -> int:
        """Return a max unavailable as a number, if the members in flight are of this zone."""
        return limit.of(self.members, self.zones.get(zone, 0))


def agreed_max_unavailable(
    known: AgreedMaxUnavailable | None,
    requested: AgreedMaxUnavailable,
    population: Population,
    zone: str,
    *,
    is_requester_alive: bool,
) -> AgreedMaxUnavailable:
    """Return the max unavailable after another request: of two living members, the smaller one.

    `zone` is that of the member that requests it.  `is_requester_alive` is about the member that
    requested the known one.
    """
    if known is None or known.by == requested.by or not is_requester_alive:
        return requested
    own = population.allowed_by(requested.limit, zone)
    return requested if own < population.allowed_by(known.limit, zone) else known


def agreed_max_failed(
    known: AgreedMaxFailed | None,
    requested: AgreedMaxFailed,
    population: Population,
    *,
    is_requester_alive: bool,
) -> AgreedMaxFailed:
    """Return the max failed after another request, by the same rule."""
    if known is None or known.by == requested.by or not is_requester_alive:
        return requested
    is_smaller = requested.limit.of(population.members) < known.limit.of(population.members)
    return requested if is_smaller else known
