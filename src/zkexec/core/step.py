"""The steps of applying a change, and what is known of the commands that four of them run."""

from zkexec.enumeration import Enum
from zkexec.frozen import frozen


class Step(Enum):
    """A part of applying a change; the value is the word for people, and that of ZKEXEC_STEP."""

    RENDER = "render"
    STAGE = "stage"
    CHECK = "check"
    PRE_STOP = "pre-stop"
    STOP = "stop"
    INSTALL = "install"
    RELOAD = "reload"
    START = "start"
    HEALTH = "health"
    POST_HEALTHY = "post-healthy"


STEP_COMMANDS = (Step.CHECK, Step.PRE_STOP, Step.RELOAD, Step.POST_HEALTHY)
"""The steps that are commands of the operator: `--check`, the hooks, and `--reload`."""

_FAILED = {
    Step.RENDER.value: "failed in its rendering",
    Step.CHECK.value: "failed in its check",
    Step.PRE_STOP.value: "failed in its pre-stop command",
    Step.RELOAD.value: "failed in its reload",
    Step.POST_HEALTHY.value: "failed in its post-healthy command",
}


def failed_in(step: str) -> str:
    """Write that a version failed, and in which step if the reason of the failure does not say so.

    The reason of a step that is a command of the operator is only how this command ended.
    """
    return _FAILED.get(step, "failed")


@frozen()
class StepOutcome:
    """How the command of a step ended.

    `reason` describes a failure in words, and `printed` are the last lines of its output; both are
    "" after a success.  `is_of_host` is true if the failure says nothing about the configuration:
    the command could not be started, or the copies for a check could not be written, or it exited
    with status 126 or 127.
    """

    passed: bool
    reason: str = ""
    is_of_host: bool = False
    printed: str = ""

    @property
    def text(self) -> str:
        """The reason, with what was printed."""
        return f"{self.reason}: {self.printed}" if self.printed else self.reason
