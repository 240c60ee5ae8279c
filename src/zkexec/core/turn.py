"""A member's turn to restart: who may take its child down, and when.

A turn is asked for when the wanted configuration differs from the applied one, is held from
the grant until the new child has proven itself, and is released then.  Without `--lock`
nobody else is in the queue: the turn is granted at once, and a child that has come to life has
proven all that it is asked to prove.
"""

from typing import Protocol

from zkexec.core.snapshot import Snapshot


class Turn(Protocol):
    """What a member needs to know of its turn."""

    @property
    def held(self) -> bool:
        """Whether the child may be taken down now."""

    def ask(self, wanted: Snapshot) -> None:
        """Queue for a restart to this snapshot; asked again, the newest counts."""

    def release(self) -> None:
        """Leave the queue, or give the turn back: done, or no longer needed."""


class FreeTurn:
    """The turn of a member without `--lock`: nobody to wait for."""

    def __init__(self) -> None:
        self._wanted: Snapshot | None = None

    @property
    def held(self) -> bool:
        """True as soon as it was asked for."""
        return self._wanted is not None

    def ask(self, wanted: Snapshot) -> None:
        """Take the turn at once."""
        self._wanted = wanted

    def release(self) -> None:
        """Give the turn back."""
        self._wanted = None
