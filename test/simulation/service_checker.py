"""What the service manager gets to know has to be true of the command that runs."""

from simulation.bystander import Bystander, CoreLost, HandledEvent, Violation
from zkexec.core import events
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Notify
from zkexec.core.service_state import ServiceState, report_on, state_after


class ServiceIsAsReported:
    """The service is ready only once a command was healthy, and ends if zkexec does."""

    def __init__(self) -> None:
        """Begin before the start."""
        self._state = ServiceState.STARTING
        self._is_healthy = False

    def see_core(self, core: object, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare what the core reports after an event with what the host knows."""
        if bystander.policy.notify is not Notify.ZKEXEC:
            return
        self._see_health(moment, bystander)
        if not isinstance(core, Member):
            return
        before, found = self._state, report_on(core)
        self._state = state = state_after(before, found.state)
        is_first = before in (ServiceState.STARTING, ServiceState.AWAITING)
        if is_first and state is ServiceState.READY:
            if not bystander.generation:
                raise Violation("ready without a command")
            if bystander.policy.checks_health and not self._is_healthy:
                raise Violation("ready without a successful health check")
        is_over = moment.phase in (Phase.EXITING, Phase.DONE)
        if is_over is not (state is ServiceState.ENDING):
            raise Violation(f"{state.value} in the phase {moment.phase.value}")

    def _see_health(self, moment: HandledEvent, bystander: Bystander) -> None:
        if isinstance(moment.event, CoreLost | events.CommandStarted):
            self._is_healthy = False
        if bystander.check_counts and not bystander.is_kept:
            self._is_healthy = bystander.check_passed
