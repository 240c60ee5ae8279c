"""The part of the settings that the core needs."""

from enum import Enum

from zkexec.core.snapshot import Mirror
from zkexec.frozen import frozen


@frozen()
class MaxUnavailable:
    """A number of members, or a percentage of the living ones."""

    amount: int = 1
    percent: bool = False

    def of(self, population: int) -> int:
        """Return the number of members that it allows: at least one, or no rollout would move."""
        return max(1, population * self.amount // 100) if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


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


@frozen(kw_only=True)
class Policy:
    """The settings by which a member decides.  Times are in seconds; None is "none".

    `in_group` is true with `--lock`.  `restart_path` is the path of the znode by which an operator
    requests a rolling restart of the group.  `min_healthy_s` is None if the option is not given.
    """

    mirrors: tuple[Mirror, ...] = ()
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
    raises_alerts: bool = False
    alert_interval_s: float = 0.0
    alert_recovery: bool = False
    in_group: bool = False
    restart_path: str = ""
    max_unavailable: MaxUnavailable = MaxUnavailable()
    min_healthy_s: float | None = None
    on_failure: OnFailure = OnFailure.PAUSE
    rearm_s: float | None = None
    """The interval at which all watches are armed again."""

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The paths of the mirrored znodes, each once."""
        return tuple(dict.fromkeys(mirror.zk_path for mirror in self.mirrors))

    @property
    def followed(self) -> tuple[str, ...]:
        """The paths of all znodes that are read together, with the znode of restarts."""
        extra = [self.restart_path] if self.restart_path else []
        return tuple(dict.fromkeys([*self.mirrored, *extra]))

    @property
    def success_s(self) -> float:
        """How long a new command must be healthy, or without health checks run, to succeed."""
        if self.min_healthy_s is not None:
            return self.min_healthy_s
        return 0.0 if self.checks_health else ALIVE_S

    @property
    def grace_s(self) -> float:
        """The grace period: a living member in flight ends its turn within this time."""
        return self.kill_timeout_s + self.health_delay_s + self.success_s
