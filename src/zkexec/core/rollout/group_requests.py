"""Send one request to the group at a time: its number, its answer, and when to try again."""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.group_events import ANSWERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


RETRY_S = 1.0
"""Pause before a request that failed on a living connection is repeated."""

REFUSED_S = 10.0
"""Pause after a refusal that lasts: no watch reports that a permission was given."""


class GroupRequests:
    """The request that is on its way."""

    def __init__(self) -> None:
        self._number = 0
        self._awaited: Action | None = None
        self._retry_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When the next attempt is due."""
        return self._retry_at if self._awaited is None else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is awaited: no answer, and not the end of a pause."""
        return self._awaited is None and self._retry_at is None

    def is_free(self, now: float) -> bool:
        """Whether the next request may be sent."""
        return self._awaited is None and (self._retry_at is None or now >= self._retry_at)

    def send(self, build: Callable[[int], Action]) -> list[Action]:
        """Number a request and expect its answer."""
        self._number += 1
        self._awaited = build(self._number)
        self._retry_at = None
        return [self._awaited]

    def answered(self, event: Event) -> Action | None:
        """Return the request that this event answers; None if it answers none, or an old one."""
        if self._awaited is None or not isinstance(event, ANSWERS) or event.number != self._number:
            return None
        request, self._awaited = self._awaited, None
        return request

    def pause(self, now: float, pause_s: float = RETRY_S) -> None:
        """Send nothing for a while."""
        self._retry_at = now + pause_s

    def end_pause(self) -> None:
        """Allow the next request at once: there is something new to try."""
        self._retry_at = None

    def forget(self) -> None:
        """Expect no answer any more: the connection is gone or new."""
        self._awaited = self._retry_at = None
