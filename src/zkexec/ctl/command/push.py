"""`zkexecctl push`, and what `undo` shares with it: show what changes, ask, write all or nothing.

Every content is read once, so that what was shown and checked is what is written.  Everything
that can be known to be wrong is found before anything is written.
"""

import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from zkexec.cli.converters import HISTORY
from zkexec.core.rollout.record import AuditEntry
from zkexec.ctl.arguments import STDIN, Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.command import push_check
from zkexec.ctl.command.change_display import question, shortened, show_change
from zkexec.ctl.command.held_again import held_again
from zkexec.ctl.command.pushed_folder import PushedFolder, is_skipped, read_folder
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO, WRONG_USAGE, SubcommandError
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import PathHistory, PushAuthor, digest_of
from zkexec.ctl.history.failed_push import FailedPush
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_history
from zkexec.ctl.history.hold_write import HoldEnd, HoldWrite, left_of_push
from zkexec.ctl.history.push_transaction import PushResult, PushTransaction
from zkexec.ctl.history.tree_content import contains, decode, encode, is_tree
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.hold_phrases import approval, held_text, members_text
from zkexec.ctl.status.input_users import lost_inputs
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.text_diff import short_digest, size_text
from zkexec.group.paths import LARGEST_COMMIT


def run(invocation: Invocation, console: Console) -> int:
    """Push files and folders to the znodes and trees of the invocation."""
    check_usable(invocation, console)
    sources = {path: _read(path, file, console) for path, file in invocation.pairs}
    with connect(invocation.connection, console, creates_chroot=True) as cluster:
        push = Push(invocation, console, cluster)
        changes = [_change(push.read(path), sources[path], file) for path, file in invocation.pairs]
        return push.carry_out(changes)


def _read(path: str, file: str, console: Console) -> bytes | PushedFolder:
    if not is_tree(path):
        return _read_file(path, file)
    folder = read_folder(path, file)
    if folder.skipped:
        console.report(f"{file}: skipped names with a dot: {shortened(folder.skipped)}")
    return folder


def check_usable(invocation: Invocation, console: Console) -> None:
    """Raise SubcommandError if a path cannot be pushed to, or confirmation is not possible."""
    # A push to a znode of zkexec itself is refused as an argument.
    for path in invocation.paths:
        if path == HISTORY or path.startswith(f"{HISTORY}/"):
            raise SubcommandError(
                f"ZK_PATH: {path} is part of the history in {HISTORY}: choose another znode",
                WRONG_USAGE,
            )
    if invocation.yes or invocation.dry_run:
        return
    if any(file == STDIN for _, file in invocation.pairs):
        raise SubcommandError(
            "the content comes from stdin: add --yes to push without confirmation", WRONG_USAGE
        )
    if stream := console.missing_terminal:
        raise SubcommandError(
            f"{stream} is not a terminal: add --yes to push without confirmation", WRONG_USAGE
        )


def _change(history: PathHistory, content: bytes | PushedFolder, file: str) -> ContentChange:
    source = "the standard input" if file == STDIN else file
    if isinstance(content, PushedFolder):
        present = {} if history.tree is None else history.tree.contents
        kept = {path: present[path] for path in present if is_skipped(path)}
        content = encode({**kept, **content.znodes})
    return ContentChange(history=history, content=content, source=source)


class Push:
    """One push or undo, from reading the histories to following the rollout."""

    def __init__(
        self, invocation: Invocation, console: Console, cluster: ClusterConnection
    ) -> None:
        self.paths = HistoryPaths.below(cluster.chroot)
        self._invocation = invocation
        self._console = console
        self._cluster = cluster
        token, after = os.urandom(8).hex(), invocation.hold
        self._author = PushAuthor(
            by=invocation.by,
            at=0.0,
            message=invocation.message,
            token=token,
            held_after="" if after is None else str(after),
        )
        self._hold: HoldWrite | None = None
        self._hold_end: HoldEnd | None = None
        if after is not None:
            audit_entry = AuditEntry("hold", invocation.by, invocation.message, token)
            self._hold = HoldWrite(invocation.lock, cluster.chroot, audit_entry, after)

    def read(self, path: str) -> PathHistory:
        """Read a path with its history; fail if it may not be written."""
        dialogue = read_history(self.paths, path, writing=not self._invocation.dry_run)
        history: PathHistory = self._cluster.run(dialogue)
        return history

    def carry_out(self, wanted: Sequence[ContentChange]) -> int:
        """Show, check, confirm and write these changes; return the exit status."""
        invocation = self._invocation
        group = self._read_group()
        self._hold_end = self._ended_hold(group, wanted)
        transaction = self._transaction(wanted, group.inputs if group else ())
        self._check(transaction)
        self._show_chroot()
        for change in wanted:
            show_change(change, self._console, is_kept=transaction.can_keep(change.history))
        if group is not None:
            self._show_group(group)
            self._check_group(group, wanted)
        needed = [change for change in wanted if change.is_needed]
        if not needed:
            is_held = self._hold is not None
            self._console.out("nothing to push" + ", and so nothing to hold" * is_held)
            return self._follow(wanted, PushResult(0, {}))
        if invocation.check is not None:
            contents = {change.path: change.content for change in wanted}
            push_check.check(invocation.check, contents, os.environ)
        for change in needed:
            self._warn_of_lost_inputs(change, group)
        if invocation.dry_run:
            self._console.out("dry run: nothing was pushed")
            return DONE
        if not (invocation.yes or self._console.ask(question(needed))):
            self._console.report("nothing was pushed")
            return NO
        result = self._write(transaction)
        if self._hold is not None:
            self._show_hold(self._hold)
        self._show_hold_end(self._hold_end)
        if invocation.subcommand == "undo" and not invocation.lock:
            self._warn_of_hold(needed)
        return self._follow(wanted, result)

    def _warn_of_lost_inputs(self, change: ContentChange, group: GroupStatus | None) -> None:
        """Warn of members that have an input of their own in what is removed from a tree."""
        tree = change.history.tree
        if tree is None or not is_tree(change.path):
            return
        before = {_whole(change.path, path) for path in tree.contents}
        after = {_whole(change.path, path) for path in decode(change.content)}
        if before <= after:
            return
        try:
            groups = GroupReader(self._cluster, live=False).read()
        except SubcommandError:
            # Without the permission to list the groups, only the own one is known.
            groups = () if group is None else (group,)
        for line in lost_inputs(change.path, before, after, groups):
            self._console.report(f"warning: {line}")

    def _show_chroot(self) -> None:
        """Show that the chroot is created as well; only a person can confirm this."""
        if not self._cluster.lacks_chroot:
            return
        chroot = self._cluster.chroot
        if self._invocation.yes:
            raise SubcommandError(
                f"--cluster: the chroot {chroot} does not exist, and --yes does not create it: "
                f"push without --yes and confirm, or create it with zkCli.sh create {chroot}",
                CANNOT_WORK,
            )
        self._console.paragraph(
            f"the chroot {chroot} does not exist: this push creates it, with what is missing above"
        )

    def _check(self, transaction: PushTransaction) -> None:
        """Raise SubcommandError if the transaction is not possible."""
        is_written = not self._invocation.dry_run
        if self._hold is not None:
            self._cluster.run(partial(self._hold.check, writing=is_written))
        transaction.check_sizes()
        if is_written:
            transaction.check_acls()

    def _check_group(self, group: GroupStatus, wanted: Sequence[ContentChange]) -> None:
        """Refuse to wait for what no member sees, and to hold it."""
        paths = [change.path for change in wanted]
        if self._invocation.wait:
            _check_inputs(group, paths)
        if self._invocation.hold is not None:
            self._check_held(group, paths)
        if self._hold is not None:
            self._hold.again = held_again([one for one in wanted if one.is_needed], group)

    def _check_held(self, group: GroupStatus, paths: Sequence[str]) -> None:
        """Refuse a hold that would hold nothing; warn of each path that it does not hold."""
        others = [path for path in paths if not _is_input(path, group)]
        if not group.inputs or not others:
            return
        for path in others:
            self._console.report(
                f"warning: the hold does not apply to {path}, which is not an input of any living "
                f"member of {group.name}"
            )
        if len(others) == len(paths):
            every = GroupReader(self._cluster, live=False).read()
            having = sorted(one.name for one in every if any(_is_input(p, one) for p in paths))
            elsewhere = f"; an input in the groups {', '.join(having)}" if having else ""
            raise SubcommandError(
                f"--hold: {group.name} has none of these paths as an input: its inputs are "
                f"{', '.join(sorted(group.inputs))}{elsewhere}; nothing was pushed"
            )

    def _show_group(self, group: GroupStatus) -> None:
        """Show the state of the group, and warn of a hold that it has already."""
        self._console.paragraph(_group_summary(group, time.time()))
        if group.record.hold is None:
            return
        held = f"warning: {group.name} is {held_text(group.record.hold)}"
        if self._hold_end is not None:
            consequence = "this undo ends the hold"
        elif self._hold is None:
            consequence = (
                "the hold applies to this push as well, unless its contents were known good then; "
                f"{approval(group.name, group.connection_words)}"
            )
        else:
            consequence = "the hold of this push replaces that one"
        self._console.report(f"{held}; {consequence}")

    def _transaction(
        self, wanted: Sequence[ContentChange], inputs: Collection[str]
    ) -> PushTransaction:
        acl = HistoryAcl(self._invocation.connection.access)
        hold = self._hold or self._hold_end
        return PushTransaction(wanted, self._author, self.paths, acl, inputs, hold)

    def _ended_hold(
        self, group: GroupStatus | None, wanted: Sequence[ContentChange]
    ) -> HoldEnd | None:
        """Return the end of the group's hold, if this is the undo of all of the push with it.

        Without the permission to end it, the undo is possible all the same, and the hold stays.
        """
        hold = None if group is None else group.record.hold
        is_undo = self._invocation.subcommand == "undo" and self._hold is None
        if group is None or hold is None or not hold.token or not is_undo:
            return None
        undone = [change.history for change in wanted if change.is_needed]
        if not any(one.origin and one.origin.token == hold.token for one in undone):
            return None
        paths = [history.path for history in undone]
        for path in sorted(group.inputs):
            is_undone = any(path == one or contains(one, path) for one in paths)
            if not is_undone and left_of_push(hold.token, undone, self._history(path)):
                return None
        found = self._end_of(hold.token, self._invocation.message)
        is_possible = self._invocation.dry_run or self._cluster.run(found.is_permitted)
        return found if is_possible else None

    def _end_of(self, token: str, message: str) -> HoldEnd:
        audit_entry = AuditEntry("undo", self._invocation.by, message, os.urandom(8).hex())
        return HoldEnd(self._invocation.lock, self._cluster.chroot, audit_entry, token)

    def _history(self, path: str) -> PathHistory:
        history: PathHistory = self._cluster.run(read_history(self.paths, path))
        return history

    def _read_group(self) -> GroupStatus | None:
        if not self._invocation.lock:
            return None
        (group,) = GroupReader(self._cluster, self._invocation.lock, live=False).read()
        return group

    def _write(self, transaction: PushTransaction) -> PushResult:
        try:
            result: PushResult = self._cluster.run(transaction.steps)
        except SubcommandError as error:
            if not transaction.is_unknown:
                raise
            raise SubcommandError(
                f"{error}; it may have been pushed: check with zkexecctl history", CANNOT_WORK
            ) from None
        for path, entry in result.entries.items():
            content = f"{size_text(entry.size)}, sha256 {short_digest(entry.digest)}"
            self._console.paragraph(f"{path}: pushed as @{entry.revision} ({content})")
        return result

    def _show_hold(self, hold: HoldWrite) -> None:
        """Show the hold that was written, and which one it has replaced."""
        lock, after = self._invocation.lock, self._invocation.hold
        if after is None:
            return
        replaced = f", instead of {members_text(hold.replaced.after)}" if hold.replaced else ""
        text = f"{lock}: to be held after {members_text(after)}{replaced}"
        # With --wait the end of the wait names the way on, when the hold has been reached.
        words = self._invocation.connection.words
        way_on = "" if self._invocation.wait else f"; {approval(lock, words)}"
        self._console.paragraph(f"{text}{way_on}")

    def _show_hold_end(self, end: HoldEnd | None) -> None:
        """Show which hold was ended with the push that was undone."""
        if end is not None and end.ended is not None:
            lock, was = self._invocation.lock, held_text(end.ended)
            self._console.paragraph(f"{lock}: the hold of the push has ended; it was {was}")

    def _warn_of_hold(self, undone: Sequence[ContentChange]) -> None:
        """Warn that the hold of a push stays, as its group is not known."""
        for origin in (change.history.origin for change in undone):
            if origin is not None and origin.held_after:
                self._console.report(
                    f"warning: @{origin.revision} was pushed with a hold, which this undo does not "
                    "end without --lock NAME; to remove it: zkexecctl approve NAME"
                )
                return

    def _follow(self, wanted: Sequence[ContentChange], result: PushResult) -> int:
        invocation = self._invocation
        if not invocation.wait or invocation.dry_run:
            return DONE
        # Most pushes do not need these modules.
        from zkexec.ctl.command import wait  # noqa: PLC0415
        from zkexec.ctl.history.pushed_contents import PushedContent  # noqa: PLC0415

        zxids = dict.fromkeys(result.entries, result.zxid)
        pushed = {
            change.path: PushedContent(
                zxids.get(change.path, change.history.mzxid), digest_of(change.content)
            )
            for change in wanted
        }
        push = wait.FollowedPush(pushed, self._hold is not None, invocation.undo_on_failure)
        try:
            outcome = wait.follow(
                self._cluster, invocation.lock, invocation.timeout_s, self._console, push
            )
        except KeyboardInterrupt:
            left = ", and is not undone if it fails" if invocation.undo_on_failure else ""
            self._console.report(f"interrupted: the rollout goes on{left}")
            raise
        if outcome.failure and invocation.undo_on_failure:
            words = invocation.connection.words
            self._undo(FailedPush(invocation.lock, wanted, result, outcome.failure, words))
        return outcome.status

    def _undo(self, failed: FailedPush) -> None:
        """Push what the paths contained before, and report what was done or why it was not.

        The exit status does not depend on it: the push has failed in any case.
        """
        end = None
        try:
            undone = failed.undone_by([self.read(change.path) for change in failed.changes])
            if self._hold is not None and failed.is_undone_by(undone):
                end = self._end_of(self._hold.token, failed.message)
            if any(change.is_needed for change in undone):
                self._push_back(undone, failed.message, end)
        except SubcommandError as error:
            self._console.report(f"the push is not undone: {error}")
        else:
            self._show_hold_end(end)
            is_held = self._hold is not None and not (end is not None and end.ended)
            for line in failed.report(undone, has_hold=is_held):
                self._console.report(line)

    def _push_back(
        self, wanted: Sequence[ContentChange], message: str, end: HoldEnd | None
    ) -> None:
        """Push these changes without a question, and without a hold of their own."""
        group = self._read_group()
        author = PushAuthor(
            by=self._invocation.by, at=0.0, message=message, token=os.urandom(8).hex()
        )
        acl = HistoryAcl(self._invocation.connection.access)
        inputs = group.inputs if group else ()
        transaction = PushTransaction(wanted, author, self.paths, acl, inputs, end)
        transaction.check_sizes()
        transaction.check_acls()
        self._write(transaction)


def _group_summary(group: GroupStatus, now: float) -> str:
    """Write the state of the group before the push in one line."""
    parts = [phrases.headline(group, now)]
    if group.state not in (GroupState.GONE, GroupState.EMPTY):
        parts.append(f"{len(group.members)} alive")
    parts += [phrases.pause(group, now), phrases.failure(group, now)]
    return "; ".join(part for part in parts if part)


def _whole(tree: str, path: str) -> str:
    """Return the path of a znode in a tree, "" for its root."""
    return f"{tree}{path}" if path else tree.rstrip("/")


def _check_inputs(group: GroupStatus, paths: Iterable[str]) -> None:
    """Raise SubcommandError if no member of the group would see a push to one of these paths."""
    for path in paths:
        if not _is_input(path, group):
            others = ", ".join(sorted(group.inputs))
            hint = f"their inputs are {others}" if others else "no inputs are known"
            raise SubcommandError(
                f"--wait: {path} is not an input of any living member of {group.name} ({hint}); "
                "nothing was pushed"
            )


def _is_input(path: str, group: GroupStatus) -> bool:
    """Return whether a path, or a tree that it is part of, is an input of a living member."""
    return path in group.inputs or any(contains(one, path) for one in group.inputs)


def _read_file(path: str, name: str) -> bytes:
    """Read a file or stdin once, but no more than a server would take."""
    most = LARGEST_COMMIT
    try:
        if name == STDIN:
            content = b"" if sys.stdin is None else sys.stdin.buffer.read(most + 1)
            size = ""
        else:
            with open(name, "rb") as file:
                content = file.read(most + 1)
                whole = os.fstat(file.fileno()).st_size
                size = f"{whole} bytes, " if whole > most else ""
    except IsADirectoryError:
        raise SubcommandError(
            f"{path}={name}: {name} is a folder: to push a tree, write {path}/={name}/", WRONG_USAGE
        ) from None
    except OSError as error:
        raise SubcommandError(
            f"{path}={name}: cannot read the file: {error.strerror}", WRONG_USAGE
        ) from None
    if len(content) > most:
        raise SubcommandError(
            f"{path}={name}: {size}more than the {most} that a server takes at once"
        )
    return content
