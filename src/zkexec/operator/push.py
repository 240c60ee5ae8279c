"""The verbs push and undo: show what changes, ask, and write it, all or nothing.

The rules of this file:

- Every content is read once: what was shown and checked is what is written.
- Nothing is written before everything that can be known to be wrong is known to be right.
"""

import os
import sys
from collections.abc import Sequence

from zkexec.cli.converters import HISTORY
from zkexec.group.store import LARGEST_COMMIT
from zkexec.operator import audience, checking
from zkexec.operator.call import Call
from zkexec.operator.cluster import Cluster, opened
from zkexec.operator.commit import Change, Commit, Pushed
from zkexec.operator.console import Console, clean
from zkexec.operator.contents import Stamp, Znode, digest_of, short, size_text
from zkexec.operator.difference import difference
from zkexec.operator.keeping import Places, entry_of, look, recall
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO, WRONG_USAGE, OperatorError
from zkexec.operator.owners import Owners

_STDIN = "-"


def run(call: Call, console: Console) -> int:
    """Push files, or earlier contents, to the znodes of the call."""
    _demand_usable(call, console)
    files = [(path, _read(path, file), file) for path, file in call.pairs]
    with opened(call.connection, console) as cluster:
        return _Push(call, console, cluster).run(files)


class _Push:
    """One push, from what it finds to what it leaves."""

    def __init__(self, call: Call, console: Console, cluster: Cluster) -> None:
        self._call = call
        self._console = console
        self._cluster = cluster
        self._places = Places.below(cluster.chroot)
        self._owners = Owners(call.connection.access)

    def run(self, files: Sequence[tuple[str, bytes, str]]) -> int:
        wanted = [self._change(*each) for each in files] or [
            self._undoing(path) for path in self._call.paths
        ]
        changes = [change for change in wanted if change.znode.content != change.content]
        unchanged = [change.znode for change in wanted if change.znode.content == change.content]
        stamp = Stamp(
            by=self._call.by, at=0.0, message=self._call.message, token=os.urandom(8).hex()
        )
        commit = Commit(changes, unchanged, stamp, self._places, self._owners)
        commit.check_sizes()
        if not self._call.dry_run:
            commit.demand_known_owners()
        self._show(wanted, commit)
        self._show_group([change.znode.path for change in wanted])
        if not changes:
            self._console.out("nothing to push")
            return self._follow(wanted, Pushed(0, {}))
        if self._call.check is not None:
            contents = {change.znode.path: change.content for change in wanted}
            checking.check(self._call.check, contents, os.environ)
        if self._call.dry_run:
            self._console.out("dry run: nothing was pushed")
            return DONE
        if not self._is_agreed(len(changes)):
            self._console.err("zkexecctl: nothing was pushed")
            return NO
        return self._follow(wanted, self._commit(commit))

    def _change(self, path: str, content: bytes, file: str) -> Change:
        source = "the standard input" if file == _STDIN else file
        return Change(znode=self._look(path), content=content, source=source)

    def _undoing(self, path: str) -> Change:
        znode = self._look(path)
        number = self._call.to
        target = znode.before() if number is None else entry_of(znode, number)
        if target is None:
            there = znode.content is not None or znode.entries
            what = "nothing earlier in its history" if there else "there is no such znode"
            raise OperatorError(f"{path}: {what}")
        content: bytes = self._cluster.ask(recall(self._places, path, target))
        source = f"@{target.number}"
        return Change(znode=znode, content=content, source=source, restores=target.origin)

    def _look(self, path: str) -> Znode:
        writing = not self._call.dry_run
        znode: Znode = self._cluster.ask(look(self._places, path, writing=writing))
        return znode

    def _show(self, wanted: Sequence[Change], commit: Commit) -> None:
        for change in wanted:
            znode, path = change.znode, change.znode.path
            if znode.content == change.content:
                self._console.out(clean(f"{path}: same content"))
                continue
            if znode.content is None:
                self._console.out(clean(f"{path}: new znode"))
            names = (znode.label, f"{path} ({change.source})")
            for style, line in difference(znode.content, change.content, names):
                self._console.out(self._console.paint(style, line) if style else line)
            if not change.content:
                self._note(f"{path}: empty content, which members take only with --allow-empty")
            if znode.is_foreign and not commit.is_keepable(znode):
                self._note(f"{path}: the content set by another tool is too large to be kept")

    def _show_group(self, paths: Sequence[str]) -> None:
        if not self._call.lock:
            return
        sight = audience.look_at(self._cluster, self._call.lock)
        self._console.out(clean(audience.told(sight)))
        if self._call.wait:
            audience.demand_mirrored(sight, paths)

    def _is_agreed(self, count: int) -> bool:
        what = "this znode" if count == 1 else f"these {count} znodes"
        return self._call.yes or self._console.ask(f"Push {what}?")

    def _commit(self, commit: Commit) -> Pushed:
        try:
            pushed: Pushed = self._cluster.ask(commit.steps)
        except OperatorError as error:
            if not commit.is_unknown:
                raise
            raise OperatorError(
                f"{error}; whether it was pushed is not known, see zkexecctl history", CANNOT_WORK
            ) from None
        for path, entry in pushed.entries.items():
            told = f"({size_text(entry.size)}, sha256 {short(entry.digest)})"
            self._console.out(clean(f"{path}: pushed as @{entry.number} {told}"))
        return pushed

    def _follow(self, wanted: Sequence[Change], pushed: Pushed) -> int:
        if not self._call.wait or self._call.dry_run:
            return DONE
        # Most pushes need nothing of it.
        from zkexec.operator import waiting  # noqa: PLC0415
        from zkexec.operator.superseding import Held  # noqa: PLC0415

        call, zxids = self._call, dict.fromkeys(pushed.entries, pushed.zxid)
        held = {
            znode.path: Held(zxids.get(znode.path, znode.mzxid), digest_of(change.content))
            for change in wanted
            for znode in [change.znode]
        }
        status: int = waiting.follow(self._cluster, call.lock, call.timeout_s, self._console, held)
        return status

    def _note(self, text: str) -> None:
        self._console.err(f"zkexecctl: {clean(text)}")


def _demand_usable(call: Call, console: Console) -> None:
    for path in (*call.paths, *(path for path, _ in call.pairs)):
        if path == HISTORY or path.startswith(f"{HISTORY}/"):
            raise OperatorError(
                f"ZK_PATH: expected a znode outside of {HISTORY}, got {path}", WRONG_USAGE
            )
    if call.yes or call.dry_run:
        return
    if any(file == _STDIN for _, file in call.pairs):
        raise OperatorError("--yes: expected where FILE is -, as nobody can be asked", WRONG_USAGE)
    if not console.can_ask:
        raise OperatorError("--yes: expected without a terminal to ask on", WRONG_USAGE)


def _read(path: str, name: str) -> bytes:
    """Read a file once, or the standard input, but no more than a server would take."""
    most = LARGEST_COMMIT
    try:
        if name == _STDIN:
            content = b"" if sys.stdin is None else sys.stdin.buffer.read(most + 1)
            size = ""
        else:
            with open(name, "rb") as file:
                content = file.read(most + 1)
                whole = os.fstat(file.fileno()).st_size
                size = f"{whole} bytes, " if whole > most else ""
    except OSError as error:
        raise OperatorError(
            f"{path}={name}: expected a file that can be read ({error.strerror})", WRONG_USAGE
        ) from None
    if len(content) > most:
        raise OperatorError(
            f"{path}={name}: {size}more than the {most} that a server takes at once"
        )
    return content
