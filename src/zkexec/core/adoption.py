"""What is known of a command that an earlier core has started."""

from zkexec.core.events import ExitStatus
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import frozen

CANNOT_WORK = 125
"""The exit status of zkexec if it could not do its work."""


@frozen(kw_only=True)
class AdoptedCommand:
    """A command that was started, and what is under way for it.

    `applied` is the content of the files that it was started on.  `ending` is None while it runs.
    `stopping` says that its process tree was told to end.  `check_result` is how zkexec ends once
    no command runs, None if as the command does.  `check` is the generation that
    a running health check was started for, None if none runs; `check_due` is when the next one
    is due, None if that is not known, and `check_is_late` that the running one has had its time.
    `alerting` says whether an alert runs.  `asked_until` and
    `passed_on` are the signals by which somebody may have asked the command to end, see `Child`.
    Times are those of the loop's clock, in seconds.
    """

    generation: int
    applied: Snapshot
    ending: ExitStatus | None = None
    stopping: bool = False
    check_result: ExitStatus | None = None
    check: int | None = None
    check_due: float | None = None
    check_is_late: bool = False
    alerting: bool = False
    asked_until: float | None = None
    passed_on: frozenset[int] = frozenset()
