"""Which server is tried next, and how long to wait before the next round of attempts.

Pure values: the addresses are resolved elsewhere, and `chance` gives the random numbers.
"""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Chance = Callable[[], float]
    """Gives a random number from 0 up to 1, as `random.random` does."""

LONGEST_ATTEMPT_S = 3.0


@frozen()
class ServerAddress:
    """One address of a server: the name that it was given, and what that was resolved to."""

    host: str
    address: str
    port: int

    @property
    def named(self) -> str:
        """The server for a person: as it was given, and its address if that differs."""
        name = f"{_bracketed(self.host)}:{self.port}"
        return name if self.host == self.address else f"{name} ({self.address})"


def attempt_limit_s(session_timeout_s: float) -> float:
    """Compute how long one server may take to be connected, however slow or mute it is."""
    return min(LONGEST_ATTEMPT_S, session_timeout_s / 3)


class ServerRotation:
    """The servers of one round of attempts, each tried once, in random order.

    All addresses of a name are tried, as a name can be that of the whole ensemble.  The server that
    was lost comes last: if it is mute, the attempt could take what is left of the session.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        addresses: Mapping[str, Sequence[str]],
        chance: Chance,
        lost: ServerAddress | None = None,
    ) -> None:
        """Begin a round: `addresses` has what each name was resolved to, if it was."""
        found = dict.fromkeys(
            ServerAddress(host, address, port)
            for host, port in servers
            for address in addresses.get(host, ())
        )
        known = list(found)
        ordered = sorted((server != lost, chance(), number) for number, server in enumerate(known))
        self._left = [known[number] for *_, number in ordered]

    def take(self) -> ServerAddress | None:
        """Take the server to try now; None if all of the round were tried."""
        return self._left.pop() if self._left else None

    @property
    def is_last(self) -> bool:
        """Whether no server is left after the one that was taken."""
        return not self._left


class BackOff:
    """The pauses between rounds: each is longer than the one before, up to a limit, and varied.

    A connection that is accepted and dropped again is no success.  So only one that has answered
    and lasted makes the pauses short again.
    """

    def __init__(self, first_s: float, chance: Chance) -> None:
        self._first_s = first_s
        self._chance = chance
        self._next_s = first_s

    def pause_s(self, longest_s: float) -> float:
        """Compute the pause after a round that failed: between half of it and all of it."""
        pause_s = min(self._next_s, longest_s)
        self._next_s = 2 * pause_s
        return pause_s * (1 + self._chance()) / 2

    def succeeded(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
