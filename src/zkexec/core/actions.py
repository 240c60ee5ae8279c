"""What to do, in the imperative: everything that the core ever asks for.

The order of actions in a list is binding.  An action that can fail is answered by an event
of its own, and the core asks for what depends on it only after that answer; so no list ever
goes on past a failure.  A request to the group may be answered by GroupRequestFailed instead.
The answers to an action are handled before anything else that has happened meanwhile.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from zkexec.core.events import ExitStatus
from zkexec.core.snapshot import Snapshot, short_digest
from zkexec.frozen import frozen


class Action:
    """Something to be done outside the core."""

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
    """Say something to the operator; the narrator has the words for each topic."""

    topic: str
    fields: Mapping[str, object] = {}


@frozen()
class OpenSession(Action):
    """Connect with a new client; an earlier one is dropped and never heard of again."""


@frozen()
class ReadZnodes(Action):
    """Set the missing watches and read all mirrored znodes → ZnodesRead or ReadFailed."""

    number: int


@frozen()
class RearmWatches(Action):
    """Arm all watches again, also those of the group: a server may have dropped one silently.

    Nothing answers it.  What was missed is touched: ZnodeTouched, GroupTouched.
    """


@frozen()
class LoadCachedFiles(Action):
    """Read the files at the targets → CachedFilesFound or CachedFilesMissing."""


@frozen()
class StageFiles(Action):
    """Write and sync what differs, out of everyone's sight → FilesStaged or FilesFailed."""

    snapshot: Snapshot


@frozen()
class InstallFiles(Action):
    """Put what is staged in its places → FilesInstalled or FilesFailed."""


@frozen()
class DiscardFiles(Action):
    """Forget what is staged; nothing of it stays on disk."""


@frozen()
class StartCommand(Action):
    """Start the command → CommandStarted or StartFailed, and later CommandExited."""

    generation: int


@frozen()
class SignalProcessGroup(Action):
    """Pass a signal on, once, to the processes that share the child's process group."""

    signal: int


@frozen()
class SignalProcessTree(Action):
    """Signal every process that descends from the child or lives in its session.

    What is stopped is woken, as it could not answer otherwise.
    """

    signal: int


@frozen()
class InspectProcessTree(Action):
    """Count what is left of the child's tree → ProcessTreeInspected."""

    generation: int


@frozen()
class RunHealthCheck(Action):
    """Start the health check → HealthCheckFinished, always, also where it cannot be started."""

    generation: int


@frozen()
class KillHealthCheck(Action):
    """End the running health check with everything it started → HealthCheckFinished."""


@frozen()
class RunAlert(Action):
    """Start the alert command → AlertFinished, always."""

    event: AlertEvent
    reason: str
    exit_status: int | None = None


@frozen()
class KillAlert(Action):
    """End the running alert with everything it started → AlertFinished."""


@frozen()
class EndProcess(Action):
    """End zkexec: with this exit status, or by this signal.  Always the last action."""

    ending: ExitStatus


def notes_on_files(topic: str, paths: Iterable[str], snapshot: Snapshot) -> list[Action]:
    """Name each file with its size in bytes and a short digest, and never with its content."""
    contents = {path: snapshot.files[path] for path in paths}
    return [
        Note(topic, {"path": path, "size": len(content), "sha256": short_digest(content)})
        for path, content in contents.items()
    ]
