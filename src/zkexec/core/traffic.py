"""Whether the command takes part in traffic: what pre-stop takes out and post-healthy puts in.

A command that was started is out until post-healthy has begun; without post-healthy it is in at
once.  A command that was taken out is stopped soon, or put in again.
"""

from zkexec.core.actions import Action, Note
from zkexec.core.command import AdoptedCommand
from zkexec.core.policy import Policy
from zkexec.core.step import Step, StepOutcome
from zkexec.core.step_commands import StepCommands
from zkexec.enumeration import Enum

JOIN_AGAIN_S = 1.0
"""Pause after a post-healthy that failed."""
STOP_WITHIN_S = 10.0
"""If the stop is not permitted within this time after pre-stop, the command is put in again."""


class Place(Enum):
    """Where the command is, as far as the hooks know."""

    NEW = "new"
    """It was started, and post-healthy was not run yet."""
    IN = "in"
    """It takes part, or may do so, since the last post-healthy has begun."""
    LEAVING = "leaving"
    """Pre-stop has begun."""
    OUT = "out"
    """Pre-stop has ended."""
    LEFT = "left"
    """Post-healthy has failed until the turn had failed, and is not repeated."""


class Traffic:
    """The hooks of the present command."""

    def __init__(self, policy: Policy, steps: StepCommands) -> None:
        self._policy = policy
        self._steps = steps
        self._place = Place.IN
        self._join_at: float | None = None
        """When the next post-healthy is due."""
        self._awaits_join = False
        self._give_up_at: float | None = None
        self._alert_at: float | None = None
        self._stop_by: float | None = None
        self.reason = ""
        """Why the last post-healthy failed; "" if it did not."""

    @property
    def has_joined(self) -> bool:
        """Whether nothing is left that post-healthy has to do."""
        return not self._awaits_join

    @property
    def trouble(self) -> str:
        """Why the command is not in traffic, "" if nothing is known against it."""
        return f"not back in traffic: {self.reason}" if self.reason else ""

    @property
    def needs_drain(self) -> bool:
        """Whether pre-stop has to run before the command is stopped."""
        return self._policy.runs(Step.PRE_STOP) and self._place in (Place.IN, Place.LEAVING)

    @property
    def is_drained(self) -> bool:
        """Whether pre-stop has begun, and nothing has put the command in again."""
        return self._place in (Place.LEAVING, Place.OUT)

    @property
    def deadline(self) -> float | None:
        """When `expire` or `take_missed` has something to do."""
        due = [self._stop_by]
        if not self._is_busy:
            due += [self._join_at, self._give_up_at, self._alert_at]
        return min((at for at in due if at is not None), default=None)

    def started(self) -> None:
        """A command was started: it joins once it is healthy."""
        self.ended()
        self._awaits_join = self._policy.runs(Step.POST_HEALTHY)
        self._place = Place.NEW if self._awaits_join else Place.IN

    def take_over(self, adopted: AdoptedCommand) -> None:
        """Go on with a command of an earlier core."""
        if adopted.has_to_join:
            self.started()

    def ended(self) -> None:
        """The command is gone, or being stopped: nothing is left to put in."""
        self._join_at = self._give_up_at = self._alert_at = self._stop_by = None
        self._awaits_join = False
        self.reason = ""

    def healthy(self, now: float) -> None:
        """The command is healthy, so that post-healthy may begin."""
        is_due = self._join_at is None and not self._is_joining
        if self._awaits_join and is_due and self._place in (Place.NEW, Place.IN):
            self._join_at = now

    @property
    def _is_busy(self) -> bool:
        """Whether a hook runs; a pre-stop that is being killed can still have an effect."""
        return self._is_joining or self._steps.is_busy(Step.PRE_STOP)

    @property
    def _is_joining(self) -> bool:
        return self._steps.is_busy(Step.POST_HEALTHY)

    def limit(self, until: float) -> None:
        """Begin no post-healthy after this time: the turn has failed then."""
        if self._awaits_join:
            self._give_up_at = until

    def take_missed(self, now: float) -> str:
        """Return once why the command did not join in time; "" if it did, or still can."""
        if self._give_up_at is None or now < self._give_up_at or self._is_busy:
            return ""
        self._give_up_at = None
        if self._join_at is None:
            return ""  # it was not healthy, which is judged elsewhere
        self._join_at = None
        self._place = Place.LEFT
        return f"not back in traffic: {self.reason or 'no post-healthy could begin in time'}"

    def drain(self, now: float, event: str) -> list[Action]:
        """Begin to take the command out."""
        self._place = Place.LEAVING
        self._join_at = self._stop_by = None
        return [
            *self._steps.drop(Step.POST_HEALTHY),
            *self._steps.start(Step.PRE_STOP, now, event=event),
        ]

    def drained(self, now: float) -> None:
        """Pre-stop has ended: the stop follows soon, or none does."""
        self._place = Place.OUT
        self._stop_by = now + STOP_WITHIN_S

    def is_stop_late(self, now: float) -> bool:
        """Whether the stop should have come by now."""
        return self._stop_by is not None and now >= self._stop_by

    def rejoin(self, now: float) -> list[Action]:
        """Put the command in again, as it is not stopped after all."""
        self._place = Place.IN
        self._stop_by = None
        self._awaits_join = self._policy.runs(Step.POST_HEALTHY)
        self._join_at = now if self._awaits_join else None
        return [Note("undrained")] if self._awaits_join else []

    def expire(self, now: float) -> list[Action]:
        """Start the post-healthy that is due."""
        if self._join_at is None or now < self._join_at or self._is_busy:
            return []
        if self._give_up_at is not None and now >= self._give_up_at:
            return []
        self._join_at = None
        self._place = Place.IN
        if self._give_up_at is None and not self.reason:
            self._alert_at = now + self._policy.health_delay_s
        return self._steps.start(Step.POST_HEALTHY, now)

    def take_alert(self, now: float) -> str:
        """Return once why the command is not in, if that lasts; "" if there is no reason to."""
        if self._alert_at is None or now < self._alert_at or self._is_busy:
            return ""
        self._alert_at = None
        return self.trouble

    def joined(self, outcome: StepOutcome, now: float) -> None:
        """Post-healthy has ended: it is repeated after a pause until it succeeds."""
        self.reason = outcome.text
        if outcome.passed:
            self.reason = ""
            self._awaits_join = False
            self._join_at = self._give_up_at = self._alert_at = None
        else:
            self._join_at = now + JOIN_AGAIN_S
