"""What the core asks the runtime to do, in the imperative.

The order of actions in a list is binding.  An action that can fail is answered by an event of its
own, and the core waits for the answer before it requests what depends on it.  So no list continues
past a failure.  A request to the group may be answered by GroupRequestFailed instead.  The answers
to an action are handled before any other event.
"""

from __future__ import annotations

from zkexec.core.events import ExitStatus
from zkexec.core.snapshot import Snapshot, short_digest
from zkexec.core.step import Step
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Action:
    """Something that is to be done outside the core."""

    __slots__ = ()


class AlertEvent(Enum):
    """The value of ZKEXEC_EVENT in an alert's environment."""

    ZKEXEC_FAILED = "zkexec-failed"
    COMMAND_FAILED = "command-failed"
    HEALTH_FAILED = "health-failed"
    RESTART_FAILED = "restart-failed"
    RECOVERED = "recovered"


@frozen()
class Note(Action):
    """Log something; `log_messages` has the text for each topic."""

    topic: str
    fields: Mapping[str, object] = {}


@frozen()
class OpenSession(Action):
    """Connect with a new client; an earlier one is dropped and reports nothing any more."""


@frozen()
class ReadZnodes(Action):
    """Set the missing watches and read all inputs → ZnodesRead or ReadFailed."""

    number: int


@frozen()
class RearmWatches(Action):
    """Arm all watches again, also those of the group: a server may have dropped one silently.

    It has no answer.  Changes that were missed follow as ZnodeTouched and GroupTouched.
    """


@frozen()
class LoadCachedFiles(Action):
    """Read the files at the targets → CachedFilesFound or CachedFilesMissing."""


@frozen()
class StageFiles(Action):
    """Write and sync what differs where no reader sees it → FilesStaged or FilesFailed."""

    snapshot: Snapshot


@frozen()
class InstallFiles(Action):
    """Move the staged files to their targets → FilesInstalled or FilesFailed."""


@frozen()
class DiscardFiles(Action):
    """Remove the staged files from the disk."""


@frozen()
class CorrectFiles(Action):
    """Give the files on disk the modes and owners that options name; there is no answer."""


@frozen()
class RememberState(Action):
    """Write into the state file which version is installed; there is no answer.

    Nothing differs from what was installed last but the digest and `was_healthy`: whether the
    command of this host was healthy on it.
    """

    snapshot: Snapshot
    was_healthy: bool


@frozen(hidden=("templates", "values"))
class RenderTemplates(Action):
    """Render all templates in a process of its own → RenderFinished, always.

    `templates` are the target, the name for messages, and the text of each; `values` the contents
    of the trees that they may read, by root and by path below it.
    """

    number: int
    templates: Sequence[tuple[str, str, bytes]]
    values: Mapping[str, Mapping[str, bytes]]


@frozen(hidden=("variables",))
class StartCommand(Action):
    """Start the command → CommandStarted or StartFailed, and later CommandExited.

    `variables` are those from inputs, which its health check, its reload and its hooks get as well.
    """

    generation: int
    variables: Mapping[str, bytes] = {}


@frozen()
class SignalProcessGroup(Action):
    """Pass a signal on, once, to the processes in the command's process group."""

    signal: int


@frozen()
class SignalProcessTree(Action):
    """Signal every process that descends from the command or is in its session.

    A stopped process is continued, as it could not react otherwise.
    """

    signal: int


@frozen()
class InspectProcessTree(Action):
    """Count the processes that are left of the process tree → ProcessTreeInspected."""

    generation: int


@frozen()
class RunHealthCheck(Action):
    """Start the health check → HealthCheckFinished, always, even if it cannot be started."""

    generation: int


@frozen()
class KillHealthCheck(Action):
    """End the running health check and all that it started → HealthCheckFinished."""


@frozen(kw_only=True)
class RunStep(Action):
    """Start the command of a step → StepFinished, always, even if it cannot be started.

    `number` comes back in the answer.  `snapshot` is what a check examines: copies of all its
    targets, which nobody else can read, are made before and removed afterwards.  `event` is the
    ZKEXEC_EVENT of a pre-stop: `restart` or `end`.  The command of a step does not run twice at
    once; those of two steps can.
    """

    step: Step
    number: int
    snapshot: Snapshot | None = None
    event: str = ""


@frozen()
class KillStep(Action):
    """End the running command of this step and all that it started → StepFinished."""

    step: Step


@frozen()
class SignalCommand(Action):
    """Signal the command's own process, and no other of its tree; it has no answer."""

    signal: int


@frozen()
class RunAlert(Action):
    """Start the alert command → AlertFinished, always."""

    event: AlertEvent
    reason: str
    exit_status: int | None = None
    step: Step | None = None


@frozen()
class KillAlert(Action):
    """End the running alert and all that it started → AlertFinished."""


@frozen()
class EndProcess(Action):
    """End zkexec: with this exit status, or by this signal.  Always the last action."""

    ending: ExitStatus


_REMOVALS = {"changed": "changed-removal", "installed": "installed-removal"}
"""The topic about a file that is removed, for each topic about a file."""


def notes_on_files(topic: str, paths: Iterable[str], snapshot: Snapshot) -> list[Action]:
    """Log each file with its size in bytes and a short digest, and never with its content.

    A path that is in no tree any more is that of a file that is removed.
    """
    return [_note_on_file(topic, path, snapshot.files.get(path)) for path in paths]


def _note_on_file(topic: str, path: str, content: bytes | None) -> Note:
    if content is None:
        return Note(_REMOVALS[topic], {"path": path})
    return Note(topic, {"path": path, "size": len(content), "sha256": short_digest(content)})
