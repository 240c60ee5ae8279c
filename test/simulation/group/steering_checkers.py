"""The promises to operators: a pause is heeded, a restart is tried by one member first."""

from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.child import Child
from simulation.group.process import Process
from zkexec.core.snapshot import Mirror, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.group.world import World

Aim = tuple[tuple[tuple[str, bytes], ...], str]
"""Contents by their znodes, and the name of a restart."""


def aim_of(files: Snapshot, mirrors: "Sequence[Mirror]") -> Aim:
    """What a child runs that is started on these files, in words of our own."""
    contents = {(mirror.zk_path, files.files[mirror.local_path]) for mirror in mirrors}
    return tuple(sorted(contents)), files.restart


class HeedsThePause(Checker):
    """A paused group admits nobody, and goes on to nothing newer."""

    def record(self, change: RecordChange) -> None:
        """Look at who is admitted."""
        if change.before.paused is not None and change.admitted:
            raise Violation(f"{change.author} was admitted although the group is paused")


class FollowsOperators(Checker):
    """What operators have written into the record is theirs: no member changes it."""

    def record(self, change: RecordChange) -> None:
        """Compare what is not the members' business."""
        before, after = change.before, change.after
        if change.audit_entry is None and (before.paused, before.audit) != (
            after.paused,
            after.audit,
        ):
            raise Violation(f"{change.author} has changed what an operator did")
        if change.audit_entry is not None and change.admitted:
            raise Violation(f"to {change.audit_entry.verb} has admitted {change.admitted}")


class TriesRestartsAlone(Checker):
    """I3, for restarts that were asked for as well: nobody else restarts before one has proven it.

    What the record calls it does not matter here, only what children were started on.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any trial."""
        super().__init__(world)
        self._known_good: dict[Aim, None] = {}
        self._tried: dict[Aim, dict[str, None]] = {}
        self._losses: dict[Aim, int] = {}
        self._trying: dict[str, Aim] = {}
        self._begins_anew: dict[str, str] = {}
        """Who may try what anew, as nobody has yet."""
        self._unused: dict[str, None] = {}
        """What somebody was to try anew, who has given the turn back without stopping anything."""

    def record(self, change: RecordChange) -> None:
        """Count who is lost, and learn who may begin anew."""
        for name, entry in change.admitted:
            self._lose(name)
            self._keep_unused(name)
            version_state = change.before.versions.get(entry.digest)
            is_anew = version_state is None or (
                version_state.failed_by and entry.zxid > version_state.zxid
            )
            if is_anew or entry.digest in self._unused:
                self._unused.pop(entry.digest, None)
                self._begins_anew[name] = entry.digest
        for name, _ in change.left:
            self._lose(name)
            self._keep_unused(name)

    def _keep_unused(self, name: str) -> None:
        digest = self._begins_anew.pop(name, "")
        if digest:
            self._unused[digest] = None

    def began_anew(self) -> None:
        """Begin without any trial."""
        self._tried.clear()
        self._losses.clear()
        self._trying.clear()

    def _lose(self, name: str) -> None:
        aim = self._trying.pop(name, None)
        if aim is not None:
            self._losses[aim] = self._losses.get(aim, 0) + 1

    def kill(self, process: Process, child: Child) -> None:
        """Count who is restarted for it."""
        del child
        name, staged = process.host.name, process.host.staged
        if name not in self.world.truth.in_flight or staged is None:
            return
        aim = aim_of(staged, process.policy.mirrors)
        if name in self._begins_anew:
            del self._begins_anew[name]
            self._tried.pop(aim, None)
        if aim in self._known_good:
            return
        self._trying[name] = aim
        tried = self._tried.setdefault(aim, {})
        tried[name] = None
        if len(tried) > 1 + self._losses.get(aim, 0):
            raise Violation(f"{list(tried)} were restarted for {aim}, unproven")

    def known_good(self, process: Process, child: Child) -> None:
        """Take note of what was healthy."""
        self._known_good[aim_of(child.files, process.policy.mirrors)] = None
