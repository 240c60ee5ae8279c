"""When the next attempt at a restart is due: changes close together are one change.

A change counts as settled when nothing newer came for the settle time; a stream that never
pauses is acted on all the same after ten settle times, so that it cannot hold off a restart
for ever.
"""

STREAM_LIMIT = 10


class Debounce:
    """The quiet that has to follow a change before it is acted on."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._latest: float | None = None
        self.deadline: float | None = None

    def changed(self, now: float) -> None:
        """Something newer came: wait for quiet again, but not past the stream's limit."""
        if self._latest is None:
            self._latest = now + STREAM_LIMIT * self._settle_s
        self.deadline = min(now + self._settle_s, self._latest)

    def try_again(self, pause_s: float, now: float) -> None:
        """The attempt failed; unless something newer comes, the next is after this pause."""
        self._latest = None
        self.deadline = now + pause_s

    def end(self) -> None:
        """No attempt is due: it is being made, or there is nothing to change."""
        self._latest = self.deadline = None
