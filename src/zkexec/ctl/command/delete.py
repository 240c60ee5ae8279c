"""`zkexecctl delete`: remove the znodes of a group, or a znode or tree with its history.

A NAME that begins with a slash looks like a ZK_PATH.  It is that of a group if the znodes of one
are there; a znode that is both a group and has a content is deleted only with `--group`.
"""

from functools import partial

from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, NewDialogue, connect
from zkexec.ctl.command.change_display import shortened
from zkexec.ctl.command.steer_messages import author_of
from zkexec.ctl.command.znode_deletion import delete_path
from zkexec.ctl.exit_status import DONE, NO, WRONG_USAGE, SubcommandError
from zkexec.ctl.group_deletion import GroupDeletion, GroupZnodesFound, removals
from zkexec.ctl.history.tree_content import is_tree
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.terminal.console import Console
from zkexec.group.paths import Paths
from zkexec.znode_paths import group_path

_TRIES = 100
_OWN = "/zkexec/"


def run(invocation: Invocation, console: Console) -> int:
    """Delete the group, znode or tree of the invocation."""
    if not (invocation.yes or invocation.dry_run) and (stream := console.missing_terminal):
        raise SubcommandError(
            f"{stream} is not a terminal: add --yes to delete without confirmation", WRONG_USAGE
        )
    with connect(invocation.connection, console) as cluster:
        lock = invocation.lock or _group_at(invocation, cluster)
        if not lock:
            return delete_path(invocation, console, cluster)
        if invocation.force:
            raise SubcommandError(
                f"--force: {lock} is a group, which is deleted only if it has no members",
                WRONG_USAGE,
            )
        return _GroupDelete(lock, invocation, console, cluster).run()


def _group_at(invocation: Invocation, cluster: ClusterConnection) -> str:
    """Return the path as the NAME of a group, if it is one; raise an error if it is both."""
    (path,) = invocation.paths
    if invocation.group:
        return path
    if is_tree(path):
        return ""
    found: GroupZnodesFound | None = cluster.run(
        GroupDeletion(Paths(cluster.chroot, group_path(path))).survey
    )
    if found is None or not found.is_group:
        if path.startswith(_OWN):
            raise SubcommandError(
                f"{path}: is a znode of zkexec itself: delete a group by its name, as in "
                "zkexecctl delete NAME"
            )
        return ""
    if found.has_content:
        raise SubcommandError(
            f"{path}: is a group, and also a znode with a content: add --group to delete the "
            "znodes of the group; without them, the znode can be deleted"
        )
    return path


class _GroupDelete:
    """The deletion of one group."""

    def __init__(
        self, lock: str, invocation: Invocation, console: Console, cluster: ClusterConnection
    ) -> None:
        self._lock = lock
        self._invocation = invocation
        self._console = console
        self._cluster = cluster
        self._deletion = GroupDeletion(Paths(cluster.chroot, group_path(lock)))

    def run(self) -> int:
        found = self._survey()
        if found is None or not (found.znodes or self._is_empty(found)):
            raise SubcommandError(f"{self._lock}: {self._no_group(found)}")
        self._refuse_if_used(found)
        for line in _contents(self._lock, found):
            self._console.paragraph(line)
        if self._invocation.dry_run:
            self._console.out("dry run: nothing was deleted")
            return DONE
        if not (self._invocation.yes or self._console.ask("Delete this group?")):
            self._console.report("nothing was deleted")
            return NO
        self._end(found)
        try:
            self._remove_rest(len(found.znodes))
        except SubcommandError as error:
            ended = f"deleted {self._by}, but " if found.is_begun else ""
            raise SubcommandError(f"{self._lock}: {ended}{error}", error.status) from None
        return DONE

    @property
    def _by(self) -> str:
        """Who deletes it, and why."""
        why = self._invocation.message
        return f"by {self._invocation.by}" + (f": {why}" if why else "")

    def _survey(self) -> GroupZnodesFound | None:
        found: GroupZnodesFound | None = self._cluster.run(self._deletion.survey)
        return found

    def _is_empty(self, found: GroupZnodesFound) -> bool:
        """Return whether only the znode of the group itself is left."""
        is_free = not (found.others or found.has_content)
        return is_free and not self._lock.startswith("/")

    def _no_group(self, found: GroupZnodesFound | None) -> str:
        if found is None:
            return f"there is no such group ({group_path(self._lock)} does not exist)"
        if found.others and not self._lock.startswith("/"):
            below = shortened([f"{self._lock}/{name}" for name in found.others])
            return f"there is no such group, only what is below its path: {below}"
        return "there is no such group, only a znode with this path"

    def _refuse_if_used(self, found: GroupZnodesFound) -> None:
        """Raise SubcommandError if a member is alive, or has a turn."""
        lock, why = self._lock, ""
        if found.members:
            alive = shortened(found.members)
            why = f"{len(found.members)} alive: {alive}; stop them before the group is deleted"
        elif found.in_flight:
            words = self._invocation.connection.words
            commands = [printed_command(words, "forget", lock, name) for name in found.in_flight]
            why = f"in flight: {shortened(found.in_flight)}; if they do not come back: " + (
                shortened(commands)
            )
        elif found.of_sessions:
            paths = shortened(found.of_sessions)
            why = f"znodes of living sessions: {paths}; wait until these have ended"
        if why:
            raise SubcommandError(f"{lock}: {why}; nothing was deleted")

    def _end(self, found: GroupZnodesFound) -> None:
        """Delete what makes it a group, as it was shown to the operator or as it is by now."""
        for _ in range(_TRIES):
            if self._cluster.run(partial(self._deletion.end, found)):
                return
            now = self._survey()
            if now is None or not now.is_begun:
                return
            self._refuse_if_used(now)
            if now.record.audit != found.record.audit:
                who = author_of(now.record.audit[-1]) if now.record.audit else "another operator"
                raise SubcommandError(
                    f"{self._lock}: was changed by {who} since it was shown; nothing was deleted"
                )
            found = now
        raise SubcommandError(f"{self._lock}: others keep changing it")

    def _remove_rest(self, count: int) -> None:
        """Delete what is left, and report what was deleted."""
        deletion = self._deletion
        for _ in range(_TRIES):
            found = self._survey()
            is_empty = found is not None and self._is_empty(found)
            is_left = deletion.may_not_delete_base
            if found is None or not (found.znodes or (is_empty and not is_left)):
                self._console.paragraph(
                    f"{self._lock}: deleted {self._by} ({_znodes(count)}){self._left(found)}"
                )
                return
            if found.members or "state" in _own_names(found):
                raise SubcommandError(
                    "a member has started since; what was left of the old group is part of the "
                    "new one"
                )
            for batch in removals(found):
                if not self._run(partial(deletion.remove, batch)):
                    break
        raise SubcommandError("others keep changing what is left of it")

    def _run(self, dialogue: NewDialogue) -> bool:
        """Run a step after the end of the group; an error has what to type once it is mended."""
        try:
            is_done: bool = self._cluster.run(dialogue)
        except SubcommandError as error:
            option = ["--group"] if self._invocation.group else []
            words = self._invocation.connection.words
            again = printed_command(words, "delete", self._lock, *option)
            raise SubcommandError(
                f"znodes of it are left: {error}; once this is mended: {again}", error.status
            ) from None
        return is_done

    def _left(self, found: GroupZnodesFound | None) -> str:
        """Write what is left at the path of the group; "" if nothing is."""
        if found is None:
            return ""
        base = _base(found)
        no_permission = f"; left, as there is no permission to delete it (d): {base}"
        text = no_permission if self._deletion.may_not_delete_base else ""
        return text + (f"; not of the group, and left: {_beside(found)}" if found.others else "")


def _own_names(found: GroupZnodesFound) -> set[str]:
    return {path.removeprefix(f"{found.paths.base}/") for path in found.znodes}


def _beside(found: GroupZnodesFound) -> str:
    """Write which znodes below the path are not those of the group."""
    return shortened([f"{_base(found)}/{name}" for name in found.others])


def _contents(lock: str, found: GroupZnodesFound) -> list[str]:
    """Write what goes with the group."""
    lines = [f"{lock}: no member is alive; {_znodes(len(found.znodes))} below {_base(found)}"]
    if found.error:
        lines.append(f"the record cannot be read: {found.error}")
    return [*lines, *_record_lines(found.record)]


def _record_lines(record: RolloutRecord) -> list[str]:
    lines = [f"versions in the record: {len(record.versions)}"]
    return [*lines, *(f"audit entry: {_audit_text(entry)}" for entry in record.audit)]


def _audit_text(entry: AuditEntry) -> str:
    about = f" {entry.member}" if entry.member else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.operation}{about} by {author_of(entry)}{reason}"


def _base(found: GroupZnodesFound) -> str:
    return found.paths.shown(found.paths.base)


def _znodes(count: int) -> str:
    return "1 znode" if count == 1 else f"{count} znodes"
