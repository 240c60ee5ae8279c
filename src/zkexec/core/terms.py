"""The terms under which a member decides: the part of the settings that the core needs."""

from dataclasses import dataclass
from enum import Enum

from zkexec.core.snapshot import Mirror


class StartPolicy(Enum):
    """`--start`: what the first start demands of the ensemble."""

    FRESH = "fresh"
    WAIT = "wait"
    CACHED = "cached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator agreed to.  Times in seconds; None is "none"."""

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
