"""What the service manager, such as systemd, has to know of a member with `--notify zkexec`.

`report_on` derives it from the parts of a member.  `state_after` decides what a report means after
the one before: a service that was ready once never starts again.  Only a member whose service
manager is notified needs this module.
"""

from zkexec.core.actions import Note
from zkexec.core.caretaker import Caretaker
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.startup import note_of_problems
from zkexec.core.step import Step
from zkexec.core.turn import MemberStatus
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

CLOSE_S = 5.0
"""How long the end of zkexec lasts at most when no command runs and no alert does."""
SHORTEST_ALERT_S = 5.0
"""At the end, a running alert has at least this time."""

_APPLYING = (Phase.DRAINING, Phase.RELOADING, Phase.STOPPING, Phase.VERIFYING)
_AWAITING = (Phase.LOADING, Phase.WAITING, Phase.FAILED, Phase.BLOCKED)
_ENDING = (Phase.EXITING, Phase.DONE)


class ServiceState(Enum):
    """What the service does now, in the terms of a service manager."""

    STARTING = "starting"
    """No command was ready yet, and the time until one is has a limit."""
    AWAITING = "awaiting"
    """The same without a limit: it waits for znodes, a turn, or a repair."""
    READY = "ready"
    APPLYING = "applying"
    """The command is taken out of traffic, stopped, started, or reloads, and has to be healthy."""
    ENDING = "ending"


@frozen()
class ServiceReport:
    """The state of a service; `limit_s` is how long it lasts at most, if it has a limit.

    `awaited` is what the member waits for, as it was logged, None if there is nothing to add.
    """

    state: ServiceState
    status: MemberStatus
    awaited: Note | None = None
    limit_s: float = 0.0


def report_on(member: Member) -> ServiceReport:
    """Report on a member after an event."""
    policy = member.parts.policy
    state = _state_of(member)
    limits = {
        ServiceState.STARTING: policy.grace_s,
        ServiceState.APPLYING: policy.grace_s,
        ServiceState.ENDING: ending_limit_s(policy),
    }
    awaited = None
    if member.phase is Phase.LOADING:
        awaited = _awaited_at_first(member)
    elif member.phase is Phase.WAITING:
        awaited = member.parts.turn.awaited
    return ServiceReport(state, member.status, awaited, limits.get(state, 0.0))


def _awaited_at_first(member: Member) -> Note | None:
    """Return what a first start waits for, None if it is about to be made."""
    inputs, turn = member.inputs, member.parts.turn
    if inputs.problems:
        return note_of_problems(inputs.problems)
    if not inputs.connected:
        return Note("cluster-awaited", {"reason": inputs.last_trouble or "no answer yet"})
    return Note("group-trouble", {"reason": turn.error}) if turn.error else None


def report_on_caretaker(caretaker: Caretaker, error: Note, policy: Policy) -> ServiceReport:
    """Report on a command that is kept after an error inside zkexec; `error` is the line of it."""
    if caretaker.is_ending:
        return ServiceReport(ServiceState.ENDING, MemberStatus(""), error, ending_limit_s(policy))
    return ServiceReport(ServiceState.AWAITING, MemberStatus(""), error)


def _state_of(member: Member) -> ServiceState:
    if member.phase in _ENDING:
        return ServiceState.ENDING
    if member.phase in _APPLYING:
        return ServiceState.APPLYING
    if _is_ready(member):
        return ServiceState.READY
    return ServiceState.AWAITING if member.phase in _AWAITING else ServiceState.STARTING


def _is_ready(member: Member) -> bool:
    """Whether the command runs, is healthy if there are health checks, and is in traffic."""
    parts = member.parts
    is_healthy = parts.health.known == "healthy" or not parts.policy.checks_health
    return parts.command.present and is_healthy and parts.traffic.has_joined


def state_after(before: ServiceState, found: ServiceState) -> ServiceState:
    """Return the state of the service if this one was found after the one before."""
    was_ready = before in (ServiceState.READY, ServiceState.APPLYING)
    if was_ready and found in (ServiceState.STARTING, ServiceState.AWAITING):
        return ServiceState.READY
    if not was_ready and found is ServiceState.APPLYING:
        return ServiceState.STARTING
    return found


def ending_limit_s(policy: Policy) -> float:
    """Return how long zkexec needs at most for its end, from the signal that requests it."""
    alert_s = max(policy.kill_timeout_s, SHORTEST_ALERT_S) if policy.raises_alerts else 0.0
    drain_s = policy.step_limits.get(Step.PRE_STOP, 0.0)
    return drain_s + policy.kill_timeout_s + alert_s + CLOSE_S
