"""Which write has made a version: the revision of a digest, if it is proven.

A version is identified by a digest of all inputs, and no history knows it.  But the record knows
the zxid of each version, and a member those of the versions that it runs and wants.
"""

from collections.abc import Mapping, Sequence

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import contents_of, is_same_contents, scope_of
from zkexec.ctl.status.input_writes import InputWrite, InputWrites
from zkexec.ctl.status.member_row import LastWrite, MemberRow
from zkexec.ctl.status.progress import Progress, RestartRequest


class VersionWrites:
    """The writes behind the versions of one group."""

    def __init__(
        self, record: RolloutRecord, writes: InputWrites, progress: Sequence[Progress]
    ) -> None:
        """`progress` is that of each set of inputs."""
        self._writes = writes
        self._known: dict[str, InputWrite] = {}
        """The write of each version that is known to the group, by the digest of its contents."""
        for one in progress:
            if one.digest and one.write is not None:
                self._note(one.digest, one.write)
            scope = scope_of(one.inputs)
            for digest, state in record.versions.items():
                if state.scope == scope:
                    self._note(digest, writes.at(state.zxid, one.inputs))

    def running(self, row: MemberRow) -> str:
        """Return the label of what a member runs; "" if it is not proven."""
        return self._label(row.status.running, row.status.running_zxid, row)

    def running_at(self, row: MemberRow) -> float:
        """Return when what a member runs was written: that of its label, if it has one.

        A later push of the same contents names the version, and the member is not restarted.
        """
        write = self._write(row.status.running, row.status.running_zxid, row)
        return write.at if write is not None and write.at else row.status.running_at

    def wanted(self, row: MemberRow) -> str:
        """Return the label of what a member wants; "" if it is not proven."""
        zxid = row.status.zxid if row.wanted == row.status.wanted else 0
        return self._label(row.wanted, zxid, row)

    def _label(self, digest: str, zxid: int, row: MemberRow) -> str:
        write = self._write(digest, zxid, row)
        return write.label if write is not None else ""

    def _write(self, digest: str, zxid: int, row: MemberRow) -> InputWrite | None:
        if not digest:
            return None
        contents = contents_of(digest)
        if contents not in self._known:
            inputs = row.znode.facts.inputs if row.znode.facts else ()
            self._note(digest, self._writes.at(zxid, inputs))
        return self._known.get(contents)

    def _note(self, digest: str, write: InputWrite | None) -> None:
        if write is not None and write.label:
            self._known.setdefault(contents_of(digest), write)


def previous_of(
    record: RolloutRecord, progress: Progress, writes: InputWrites
) -> tuple[str, InputWrite | None]:
    """Return the last version before this one that is known good, and the write that made it."""
    scope = scope_of(progress.inputs)
    older = {
        digest: state.zxid
        for digest, state in record.versions.items()
        if state.known_good and state.scope == scope and state.zxid < progress.zxid
        if not is_same_contents(digest, progress.digest)
    }
    if not older:
        return "", None
    digest = max(older, key=older.__getitem__)
    return digest, writes.at(older[digest], progress.inputs)


def request_of(record: RolloutRecord, restart: LastWrite) -> RestartRequest:
    """Return what an operator has requested by the znode of restarts."""
    name, _, token = restart.request.partition(" ")
    entry = next((one for one in record.audit if token and one.token == token), None)
    # A restart is named by its token; a retry keeps the name of the restart before it.
    operation = "restart" if token.startswith(name) else "retry"
    if entry is None:
        return RestartRequest(operation, "", "", restart.at)
    return RestartRequest(operation, entry.by, entry.reason, restart.at)


def last_push(progress: Sequence[Progress]) -> InputWrite | None:
    """Return the newest write of all inputs."""
    writes = [one.write for one in progress if one.write is not None]
    return max(writes, key=lambda write: write.zxid, default=None)


def serving_others(rows: Sequence[MemberRow], digest: str) -> Mapping[str, int]:
    """Return how many members serve each version that has other contents than this one."""
    found: dict[str, int] = {}
    for row in rows:
        running = row.status.running
        if row.is_serving and running and not is_same_contents(running, digest):
            found[running] = found.get(running, 0) + 1
    return found
