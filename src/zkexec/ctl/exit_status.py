"""The exit statuses of zkexecctl, and the error that ends a subcommand with one of them.

The file is short because everything in ctl/ imports it, and it imports nothing.
"""

DONE = 0
NO = 1
"""The answer is no: a rollout failed, is paused, held or superseded, or it was refused."""
WRONG_USAGE = 2
TIMED_OUT = 3
CANNOT_WORK = 125
"""The cluster cannot be reached, or a permission is missing."""

STATUSES: tuple[tuple[int, str], ...] = (
    (DONE, "done; the answer is yes"),
    (NO, "the answer is no: a rollout failed, is paused, held or superseded, or it was refused"),
    (WRONG_USAGE, "wrong usage; nothing was done"),
    (TIMED_OUT, "the rollout was not over within --timeout"),
    (CANNOT_WORK, "zkexecctl could not do its work (cluster unreachable, permission missing)"),
)
"""What `zkexecctl --help` shows."""

WRONG_USAGE_STATUS, TIMED_OUT_STATUS, _CANNOT_WORK_STATUS = STATUSES[2:]


def statuses(done: str, no: str, *others: tuple[int, str]) -> tuple[tuple[int, str], ...]:
    """List the exit statuses of a subcommand, with those that all subcommands share."""
    return ((DONE, done), (NO, no), WRONG_USAGE_STATUS, *others, _CANNOT_WORK_STATUS)


class SubcommandError(Exception):
    """Why a subcommand ends without having done its work: one line and the exit status."""

    def __init__(self, message: str, status: int = NO) -> None:
        super().__init__(message)
        self.status = status
