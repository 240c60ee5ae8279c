"""The parts of a member, which those share that act on several of them."""

from zkexec.core.alerts import Alerts
from zkexec.core.command import Command
from zkexec.core.command_health import CommandHealth
from zkexec.core.inputs import Inputs
from zkexec.core.policy import Policy
from zkexec.core.restart import Restart
from zkexec.core.step_commands import StepCommands
from zkexec.core.traffic import Traffic
from zkexec.core.turn import Turn
from zkexec.frozen import frozen


@frozen()
class Parts:
    """One of each; they live as long as their member."""

    policy: Policy
    turn: Turn
    inputs: Inputs
    command: Command
    health: CommandHealth
    alerts: Alerts
    steps: StepCommands
    traffic: Traffic
    restart: Restart
