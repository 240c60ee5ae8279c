"""What the parts of a member make of an event: the facts by which its phase changes.

An event says what happened outside.  A fact says what that means for this member, and carries what
a phase needs to know about it.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.events import ExitStatus
from zkexec.core.policy import ChangeAction
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step
from zkexec.core.turn import Keeping
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias


class Fact:
    """Something that the phase of a member can depend on."""

    __slots__ = ()


Found: TypeAlias = "Sequence[Action | Fact]"
"""What a part has found: actions, and among them facts, in the order in which they count."""


@frozen()
class CommandBegan(Fact):
    """The command of this generation runs, and no group waits for its health.

    `due` is what is to be applied at once, None if that is nothing.
    """

    generation: int
    due: Snapshot | None = None


@frozen()
class CommandLost(Fact):
    """The command exited, or could not be started, and zkexec does not end with it.

    `good` is what is to be put back after a config failure, None for nothing.
    """

    reason: str
    installed: Snapshot
    good: Snapshot | None
    step: Step = Step.START


@frozen()
class BecameKnownGood(Fact):
    """The command was healthy for long enough on these files."""

    generation: int
    installed: Snapshot


@frozen()
class HealthDeadlineMissed(Fact):
    """The command was not healthy, or not back in traffic, in time.

    `good` is what is to be put back, None for nothing.
    """

    reason: str
    installed: Snapshot
    good: Snapshot | None
    step: Step = Step.HEALTH


@frozen()
class TurnUnfinished(Fact):
    """The turn of this member lasts until the running command is known good on these files."""

    generation: int
    installed: Snapshot


@frozen()
class StartBlocked(Fact):
    """There is nothing that the first start may run."""


@frozen()
class ChangeFound(Fact):
    """Something else than what is installed is wanted, and has to settle."""


@frozen()
class ChangeUndone(Fact):
    """What is installed is wanted again; `generation` is that of the command, 0 if none runs."""

    generation: int
    wanted: Snapshot


@frozen()
class AttemptDue(Fact):
    """The settle time, or the pause after an attempt, is over."""


@frozen()
class HostTrouble(Fact):
    """A step could not be done on this host, which says nothing about the configuration.

    `staged` is what it was for, None if that is not known.
    """

    reason: str
    staged: Snapshot | None
    installed: Snapshot
    step: Step = Step.STAGE


@frozen()
class CheckDue(Fact):
    """The files are staged, and a check has to examine them before anything else."""


@frozen()
class CheckPassed(Fact):
    """The check has nothing against the staged files."""


@frozen()
class CheckDropped(Fact):
    """What is being checked is not wanted any more."""


@frozen()
class CheckFailed(Fact):
    """The check has refused the staged files, or a template of this version has an error.

    Nothing was stopped or installed for it.
    """

    reason: str
    staged: Snapshot
    installed: Snapshot
    step: Step = Step.CHECK


@frozen()
class DrainPermitted(Fact):
    """The turn allows to take the command out of traffic now, before it is stopped."""


@frozen()
class DrainEnded(Fact):
    """The command is out of traffic."""


@frozen()
class ReloadPermitted(Fact):
    """The files are staged, and the turn allows to install them beside the running command.

    `loaded` is what the command runs on now.
    """

    action: ChangeAction
    loaded: Snapshot


@frozen()
class FilesReplaced(Fact):
    """The staged files are at their targets, and the running command is to load them."""

    snapshot: Snapshot


@frozen()
class ReloadRefused(Fact):
    """`--reload` failed on the installed files; `loaded` is what the command runs on still."""

    reason: str
    installed: Snapshot
    loaded: Snapshot


@frozen()
class FilesPutBack(Fact):
    """After a refused reload, the files are again those that the command runs on."""


@frozen()
class StopPermitted(Fact):
    """The files are staged, and the turn allows to stop the command now."""


@frozen()
class NewFilesInstalled(Fact):
    """The staged files are at their targets, and no command runs."""

    snapshot: Snapshot


@frozen()
class OldFilesKept(Fact):
    """The command was stopped for something that is not wanted any more."""

    installed: Snapshot


@frozen()
class EndBegan(Fact):
    """zkexec ends; `status` is how, None if as the command ended, `keeping` what of the turn."""

    keeping: Keeping
    status: ExitStatus | None = None


@frozen()
class EndReached(Fact):
    """Nothing is left that the end waits for."""
