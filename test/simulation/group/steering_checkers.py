"""The promises to operators: a pause applies, and one member tries a restart first."""

from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.command_model import CommandModel
from simulation.group.process import Process
from zkexec.core.input_options import Mirror
from zkexec.core.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.group.world import World

Configuration = tuple[tuple[tuple[str, bytes], ...], str]
"""Contents by their znodes, and the name of a restart: what a command runs."""


def configuration_of(files: Snapshot, mirrors: "Sequence[Mirror]") -> Configuration:
    """Return what a command runs that is started on these files, independently of the core."""
    if files.digest:
        # Members may make different files of the same version.
        return ((files.digest, b""),), files.restart
    contents = {(mirror.zk_path, files.files[mirror.local_path]) for mirror in mirrors}
    return tuple(sorted(contents)), files.restart


class ObeysThePause(Checker):
    """While a group is paused, no member is admitted or readmitted."""

    def record(self, change: RecordChange) -> None:
        """Check which members are admitted."""
        if change.before.paused is not None and change.admitted:
            raise Violation(f"{change.author} was admitted although the group is paused")


class KeepsOperatorsChanges(Checker):
    """No member changes what operators have written into the record."""

    def record(self, change: RecordChange) -> None:
        """Compare the pause, the hold and the audit entries."""
        before, after = change.before, change.after
        kept = (after.paused, after.hold, after.audit)
        if change.audit_entry is None and (before.paused, before.hold, before.audit) != kept:
            raise Violation(f"{change.author} has changed what an operator did")
        if change.audit_entry is not None and change.admitted:
            raise Violation(f"to {change.audit_entry.operation} has admitted {change.admitted}")


class TriesRestartsAlone(Checker):
    """I3, also for requested restarts: one member restarts before the others.

    The digest in the record does not matter here, only what commands were started on.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any trial."""
        super().__init__(world)
        self._known_good: dict[Configuration, None] = {}
        self._tried: dict[Configuration, dict[str, None]] = {}
        self._losses: dict[Configuration, int] = {}
        self._trying: dict[str, Configuration] = {}
        self._retries: dict[str, str] = {}
        """The members that may try a version again, and which one."""
        self._unused: dict[str, None] = {}
        """The versions whose retry was released before anything was stopped."""

    def record(self, change: RecordChange) -> None:
        """Count the lost turns, and note which members may try again."""
        for name, entry in change.admitted:
            self._lose(name)
            self._keep_unused(name)
            state = change.before.versions.get(entry.digest)
            is_retry = state is None or (state.failed_by and entry.zxid > state.zxid)
            if is_retry or entry.digest in self._unused:
                self._unused.pop(entry.digest, None)
                self._retries[name] = entry.digest
        for name, _ in change.left:
            self._lose(name)
            self._keep_unused(name)

    def _keep_unused(self, name: str) -> None:
        digest = self._retries.pop(name, "")
        if digest:
            self._unused[digest] = None

    def history_began(self) -> None:
        """Begin without any trial."""
        self._tried.clear()
        self._losses.clear()
        self._trying.clear()

    def _lose(self, name: str) -> None:
        configuration = self._trying.pop(name, None)
        if configuration is not None:
            self._losses[configuration] = self._losses.get(configuration, 0) + 1

    def kill(self, process: Process, command: CommandModel) -> None:
        """Count the members that are restarted on it."""
        del command
        name, staged = process.host.name, process.host.staged
        if name not in self.world.truth.in_flight or staged is None:
            return
        configuration = configuration_of(staged, process.policy.inputs.mirrors)
        if name in self._retries:
            del self._retries[name]
            self._tried.pop(configuration, None)
        if configuration in self._known_good:
            return
        self._trying[name] = configuration
        tried = self._tried.setdefault(configuration, {})
        tried[name] = None
        if len(tried) > 1 + self._losses.get(configuration, 0):
            raise Violation(f"{list(tried)} were restarted for {configuration}, which is untried")

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note what was healthy."""
        self._known_good[configuration_of(command.files, process.policy.inputs.mirrors)] = None
