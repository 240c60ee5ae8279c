"""The part of the settings that the core needs."""

from __future__ import annotations

from zkexec.core.input_options import InputOptions
from zkexec.core.snapshot import MOST_VARIABLES_BYTES, Plan
from zkexec.core.step import Step
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@frozen()
class MaxUnavailable:
    """A number of members, or a percentage of the living ones, of the group or of one zone."""

    amount: int = 1
    percent: bool = False
    per_zone: bool = False

    def of(self, population: int, zone_population: int = 0) -> int:
        """Return the number of members that it allows: at least one, or no rollout would move.

        `population` is how many members are alive, `zone_population` how many of them are in the
        zone that is open.
        """
        if not self.percent:
            return self.amount
        counted = zone_population if self.per_zone else population
        return max(1, counted * self.amount // 100)

    def __str__(self) -> str:
        percent = f"{self.amount}%/zone" if self.per_zone else f"{self.amount}%"
        return percent if self.percent else str(self.amount)


@frozen()
class MaxFailed:
    """How many members a version may fail on without a pause, once ten have succeeded."""

    amount: int = 0
    percent: bool = False

    def of(self, population: int) -> int:
        """Return the number of members, rounded down."""
        return population * self.amount // 100 if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


RELOADED_S = 2.0
"""With health checks, a command that was not restarted has to be healthy this long, by default: for
a moment the old configuration may still answer."""
ALIVE_S = 1.0
"""Without health checks, a command that runs this long is healthy, by default."""


class StartPolicy(Enum):
    """`--start`: what the first start requires of the ensemble."""

    FRESH = "fresh"
    WAIT = "wait"
    CACHED = "cached"


class OnFailure(Enum):
    """`--on-failure`: what a member runs after a config failure."""

    PAUSE = "pause"
    REVERT = "revert"


class ChangeAction(Enum):
    """`--on-change`: how a change is applied; the later ones are the stronger ones."""

    NONE = "none"
    RELOAD = "reload"
    RESTART = "restart"


class Notify(Enum):
    """`--notify`: which process reports to the service manager, such as systemd."""

    COMMAND = "command"
    ZKEXEC = "zkexec"


@frozen()
class ActionRule:
    """One `--on-change`: the action for a target, or for all if `path` is "".

    `path` is absolute, and means everything below as well; if it ends with a slash, only that.
    """

    path: str
    action: ChangeAction

    def covers(self, target: str) -> bool:
        """Whether this target is meant."""
        below = f"{self.path.rstrip('/')}/"
        return not self.path or target == self.path or target.startswith(below)


@frozen(kw_only=True)
class Policy:
    """The settings by which a member decides.  Times are in seconds; None is "none".

    `in_group` is true with `--lock`.  `restart_path` is the path of the znode by which an operator
    requests a rolling restart of the group.  `min_healthy_s` is None if the option is not given.
    `zone` is "" without `--zone`.
    """

    inputs: InputOptions = InputOptions()
    start: StartPolicy = StartPolicy.FRESH
    allow_empty: bool = False
    connect_timeout_s: float = 30.0
    session_timeout_s: float = 10.0
    settle_s: float = 0.1
    kill_signal: int = 15
    kill_timeout_s: float = 30.0
    checks_health: bool = False
    health_delay_s: float = 30.0
    health_interval_s: float = 30.0
    health_timeout_s: float | None = None
    notify: Notify = Notify.COMMAND
    raises_alerts: bool = False
    alert_interval_s: float = 0.0
    alert_recovery: bool = False
    in_group: bool = False
    restart_path: str = ""
    max_unavailable: MaxUnavailable = MaxUnavailable()
    max_failed: MaxFailed = MaxFailed()
    zone: str = ""
    min_healthy_s: float | None = None
    on_failure: OnFailure = OnFailure.PAUSE
    on_change: tuple[ActionRule, ...] = ()
    reload_signal: int = 1
    step_limits: Mapping[Step, float] = {}
    """The time limits of the commands of steps; the command of another step is not configured."""
    most_variables_bytes: int = MOST_VARIABLES_BYTES
    """How much the variables from inputs can take, so that the kernel starts the command."""
    rearm_s: float | None = None
    """The interval at which all watches are armed again."""

    @property
    def followed(self) -> tuple[str, ...]:
        """The paths of all single znodes that are read together, with the znode of restarts."""
        extra = [self.restart_path] if self.restart_path else []
        return tuple(dict.fromkeys([*self.inputs.znodes, *extra]))

    @property
    def follows_any(self) -> bool:
        """Whether anything is read from the cluster but what concerns the group."""
        return bool(self.followed or self.inputs.trees or self.inputs.templates)

    def runs(self, step: Step) -> bool:
        """Whether there is a command for this step."""
        return step in self.step_limits

    def action_for(self, changes: Plan) -> ChangeAction:
        """Return the strongest action of all that changed.

        A requested restart restarts, and so does a change of a variable, or another attempt at the
        same files.
        """
        if changes.restarts or changes.variables or not changes.changed:
            return ChangeAction.RESTART
        actions = [self._action_of(target) for target in changes.changed]
        return max(actions, key=list(ChangeAction).index)

    def _action_of(self, target: str) -> ChangeAction:
        """Return the action of the longest path that matches; of two equal ones, of the last."""
        matching = [rule for rule in self.on_change if rule.covers(target)]
        if not matching:
            return ChangeAction.RESTART
        return max(reversed(matching), key=lambda rule: len(rule.path)).action

    @property
    def success_s(self) -> float:
        """How long a new command must be healthy, or without health checks run, to succeed."""
        if self.min_healthy_s is not None:
            return self.min_healthy_s
        return 0.0 if self.checks_health else ALIVE_S

    @property
    def reload_success_s(self) -> float:
        """The same for a command that was not restarted."""
        is_default = self.min_healthy_s is None and self.checks_health
        return RELOADED_S if is_default else self.success_s

    @property
    def grace_s(self) -> float:
        """The grace period: a living member in flight ends its turn within this time."""
        limits = sum(self.step_limits.values())
        reloads = any(rule.action is not ChangeAction.RESTART for rule in self.on_change)
        success_s = self.reload_success_s if reloads else self.success_s
        return self.kill_timeout_s + self.health_delay_s + success_s + limits
