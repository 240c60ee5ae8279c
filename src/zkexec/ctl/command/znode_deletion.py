"""Delete a znode or a tree with its history: show what goes, ask, and delete it."""

import os
from collections.abc import Sequence
from functools import partial

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.command.change_display import shortened
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO, SubcommandError
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory, PushAuthor
from zkexec.ctl.history.deletion_transaction import (
    DeletionTransaction,
    KeptHistory,
    delete_history,
    histories_of,
)
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_history, read_tree
from zkexec.ctl.history.tree_content import contains, is_tree, listed
from zkexec.ctl.history.tree_state import TreeState
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.input_users import users_of
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.text_diff import content_summary, size_text
from zkexec.ctl.terminal.tree_diff import files_text
from zkexec.zookeeper.errors import NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue

_MOST_FILES = 20


def delete_path(invocation: Invocation, console: Console, cluster: ClusterConnection) -> int:
    """Delete the znode or tree of the invocation."""
    (path,) = invocation.paths
    return _PathDelete(path, invocation, console, cluster).run()


class _PathDelete:
    """The deletion of one path."""

    def __init__(
        self, path: str, invocation: Invocation, console: Console, cluster: ClusterConnection
    ) -> None:
        self._path = path
        self._invocation = invocation
        self._console = console
        self._cluster = cluster
        self._paths = HistoryPaths.below(cluster.chroot)

    def run(self) -> int:
        shown: PathHistory = self._cluster.run(
            read_history(self._paths, self._path, writing=not self._invocation.dry_run)
        )
        histories: list[KeptHistory] = self._cluster.run(
            lambda: histories_of(self._paths, self._path)
        )
        if shown.content is None and not histories:
            raise SubcommandError(f"{self._path}: there is no such znode")
        groups = GroupReader(self._cluster, live=False).read() if shown.content is not None else ()
        transaction = self._transaction(shown, groups)
        self._check(shown, transaction)
        self._show(shown, histories)
        is_refused = self._show_users(groups)
        if is_refused and not self._invocation.force:
            raise SubcommandError(
                f"{self._path}: living members need it; nothing was deleted: add --force to delete "
                "it anyway, or stop these members first"
            )
        if self._invocation.dry_run:
            self._console.out("dry run: nothing was deleted")
            return DONE
        if not (self._invocation.yes or self._console.ask(self._question(shown))):
            self._console.report("nothing was deleted")
            return NO
        return self._delete(shown, transaction, histories)

    def _transaction(
        self, shown: PathHistory, groups: Sequence[GroupStatus]
    ) -> DeletionTransaction:
        invocation = self._invocation
        author = PushAuthor(
            by=invocation.by, at=0.0, message=invocation.message, token=os.urandom(8).hex()
        )
        inputs = frozenset(path for group in groups for path in group.inputs)
        acl = HistoryAcl(invocation.connection.access)
        return DeletionTransaction(shown, author, self._paths, acl, inputs)

    def _check(self, shown: PathHistory, transaction: DeletionTransaction) -> None:
        """Raise SubcommandError if the path cannot be deleted by itself."""
        if shown.content is None:
            return
        names_below = partial(_names_below, self._paths, self._path)
        below = [] if is_tree(self._path) else self._cluster.run(names_below)
        if below:
            raise SubcommandError(
                f"{self._path}: there are znodes below it ({shortened(below)}): to delete the "
                f"whole tree, write {self._path}/"
            )
        transaction.check()

    def _show(self, shown: PathHistory, histories: Sequence[KeptHistory]) -> None:
        path, out = self._path, self._console.paragraph
        if shown.content is None:
            out(f"{path}: there is no such znode, only what is left of its history")
        elif shown.tree is not None:
            files = listed(shown.tree.contents)
            out(f"{path}: {files_text(dict(files))}{_pushed(shown)}")
            for file, content in files[:_MOST_FILES]:
                out(f"  {file} ({size_text(len(content))})")
            if len(files) > _MOST_FILES:
                out(f"  and {len(files) - _MOST_FILES} more")
        else:
            out(f"{path}: {content_summary(shown.content)}{_pushed(shown)}")
        for one in histories:
            out(f"history of {one.path}: {_contents_text(one)}")

    def _show_users(self, groups: Sequence[GroupStatus]) -> bool:
        """Show which members have the path as an input; return whether they cannot do without."""
        users = users_of(self._path, groups, self._is_left_without)
        for one in users:
            self._console.paragraph(one.text)
        return any(one.losing for one in users)

    def _is_left_without(self, tree: str, path: str) -> bool:
        """Return whether a tree around the path has no content without it."""
        if not is_tree(tree) or not contains(tree, path):
            return False
        state: TreeState = self._cluster.run(read_tree(self._paths, tree))
        gone = f"{path.rstrip('/')}/"
        return not any(
            content and not f"{tree}{below}/".replace("//", "/").startswith(gone)
            for below, content in state.contents.items()
        )

    def _question(self, shown: PathHistory) -> str:
        if shown.content is None:
            return "Delete what is left of the history?"
        return f"Delete this {'tree' if is_tree(self._path) else 'znode'} and its history?"

    def _delete(
        self,
        shown: PathHistory,
        transaction: DeletionTransaction,
        histories: Sequence[KeptHistory],
    ) -> int:
        """Delete it and the histories, and report what was deleted."""
        if shown.content is not None:
            for tree in self._write(transaction):
                self._console.paragraph(f"{tree}: has an entry for this in its history")
        kept: list[str] = []
        for index, one in enumerate(histories):
            try:
                if not self._cluster.run(partial(delete_history, self._paths, one)):
                    kept.append(one.path)
            except SubcommandError as error:
                left = [*kept, *(each.path for each in histories[index:])]
                if shown.content is None and len(left) == len(histories):
                    raise
                raise self._cut_off(len(histories) - len(left), left, error) from None
        self._console.paragraph(self._report(len(histories) - len(kept)))
        if kept:
            raise SubcommandError(
                f"pushed again since it was shown, so its history is left: {shortened(kept)}"
            )
        return DONE

    def _report(self, count: int) -> str:
        """Write that it was deleted, with this many histories."""
        why = f": {self._invocation.message}" if self._invocation.message else ""
        what = f"{count} {'history' if count == 1 else 'histories'}"
        return f"{self._path}: deleted by {self._invocation.by}{why} ({what})"

    def _cut_off(self, count: int, left: Sequence[str], error: SubcommandError) -> SubcommandError:
        """Return what to raise if it is gone, but not all histories are."""
        again = printed_command(self._invocation.connection.words, "delete", self._path)
        return SubcommandError(
            f"{self._report(count)}, but its history is left ({shortened(left)}): {error}; "
            f"once this is mended: {again}",
            error.status,
        )

    def _write(self, transaction: DeletionTransaction) -> tuple[str, ...]:
        try:
            trees: tuple[str, ...] = self._cluster.run(transaction.steps)
        except SubcommandError as error:
            if not transaction.is_unknown:
                raise
            raise SubcommandError(
                f"{error}; it may have been deleted: check with zkexecctl show", CANNOT_WORK
            ) from None
        return trees


def _names_below(paths: HistoryPaths, path: str) -> Dialogue:
    """List the names below a znode → sorted."""
    request = Children(paths.znode(path))
    (found,) = yield [request]
    return [] if isinstance(found, NoNodeError) else sorted(paths.demand(request, found)[0])


def _pushed(shown: PathHistory) -> str:
    """Write who has pushed the present content, and why."""
    entry: HistoryEntry | None = shown.present
    if entry is None:
        return ", set by another tool"
    why = f": {entry.message}" if entry.message else ""
    return f", pushed as @{entry.revision} by {entry.by or 'unknown'}{why}"


def _contents_text(history: KeptHistory) -> str:
    count = len(history.names)
    return f"{count} content{'' if count == 1 else 's'}"
