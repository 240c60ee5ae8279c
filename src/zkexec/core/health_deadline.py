"""Whether a new child has proven itself: healthy for long enough, before its time is over.

With a health check the child has `--health-delay` to become healthy, and has to stay so for
`--min-healthy`.  Without one it has to live for that long.  A trial that was lost goes on being
watched: a child that becomes healthy after all has proven itself, too.
"""

from zkexec.core.policy import Policy


class HealthDeadline:
    """The proof of one generation of the child."""

    def __init__(self, policy: Policy, now: float, *, limited: bool) -> None:
        """Begin with a child that was started now; only a limited trial can be lost."""
        self._policy = policy
        self._lost_at = now + policy.health_delay_s if limited and policy.checks_health else None
        self._proven_at = None if policy.checks_health else now + policy.success_s
        self._trouble = "no health check has ended"

    @property
    def deadline(self) -> float | None:
        """When it is decided, one way or the other, if nothing happens before."""
        return self._lost_at if self._proven_at is None else self._proven_at

    def checked(self, healthy: bool, reason: str, now: float) -> None:
        """Take in a result of the health check."""
        if not healthy:
            self._proven_at = None
            self._trouble = reason
        elif self._proven_at is None:
            self._proven_at = now + self._policy.success_s

    def is_known_good(self, now: float) -> bool:
        """Whether the child was healthy for long enough."""
        return self._proven_at is not None and now >= self._proven_at

    def is_lost(self, now: float) -> bool:
        """Whether the time is over and the child is not even on its way to be proven."""
        return self._proven_at is None and self._lost_at is not None and now >= self._lost_at

    def lose(self) -> str:
        """Set no limit any more; return in words why the trial is lost."""
        self._lost_at = None
        return f"not healthy within {self._policy.health_delay_s:g} s: {self._trouble}"
