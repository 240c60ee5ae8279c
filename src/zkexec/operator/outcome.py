"""How a command of the operator ends."""

DONE = 0
NO = 1
"""The answer is no: a rollout failed, is paused or was superseded, or something is not as it was
expected."""
WRONG_USAGE = 2
TIMED_OUT = 3
CANNOT_WORK = 125
"""The cluster cannot be reached, or gives no permission."""


class OperatorError(Exception):
    """Why a command ends without having done its work: one line for a person, and the status."""

    def __init__(self, message: str, status: int = NO) -> None:
        super().__init__(message)
        self.status = status
