"""A group whose znodes a test writes by hand, for the operations that steer it.

What an operation has left behind is read from the znodes, and never from what zkexecctl prints.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kazoo.client import KazooClient

from support.record_znodes_samples import read_record, write_record
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AuditEntry,
    EntryPhase,
    Hold,
    InFlightEntry,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.member_row import MemberZnode
from zkexec.group.member_codec import encode_status
from zkexec.group.record_codec import encode
from zkexec.znode_paths import group_path

THEN = 1_600_000_000.0
"""A time at which all of this happened, in 2020."""
WHY = "--reason=the database moves"
FLIGHT = {"m1": InFlightEntry("t1", "d1", 5, EntryPhase.RESTARTING, THEN)}
CRASH = {"d1": VersionState(5, "s", failed_by=("m1",), reason="exit status 3", at=THEN)}
PAUSED = RolloutRecord(paused=Pause("ann@hill", "lunch", THEN))
FLYING = RolloutRecord(in_flight=FLIGHT, versions={"d1": VersionState(5, "s")}, last_admitted=7)
FAILED = RolloutRecord(
    in_flight={"m1": InFlightEntry("t1", "d1", 5, EntryPhase.FAILED, THEN)},
    versions=CRASH,
    last_admitted=7,
)
HOLD = Hold(MaxUnavailable(2), "ann@hill", "more cache", ("d1",), THEN)
HELD = RolloutRecord(hold=HOLD)
OPERATIONS: Mapping[str, tuple[RolloutRecord, tuple[str, ...]]] = {
    "pause": (FLYING, ()),
    "resume": (PAUSED, ()),
    "approve": (HELD, ()),
    "retry": (FAILED, ()),
    "restart": (RolloutRecord(), ()),
    "forget": (FLYING, ("m1",)),
}
"""Each operation with a record on which it can be done, and the words behind NAME."""


def command(operation: str, lock: str, by: str = "bob@dale") -> list[str]:
    """The arguments of an operation that can be done on its record."""
    return [operation, lock, *OPERATIONS[operation][1], WHY, f"--by={by}"]


class Group:
    """The znodes of one group; `base` is their path, with the chroot."""

    def __init__(
        self, client: KazooClient, base: str, acl: Sequence[Any] | None = None, asked: bytes = b""
    ) -> None:
        self.client = client
        self.base = base
        self.state = f"{base}/state"
        self.restart = f"{base}/restart"
        self._acl = acl
        lasting = ("members", "queue", "in_flight", "unavailable", "versions", "zones")
        for name, content in (*((name, b"") for name in lasting), ("restart", asked)):
            client.create(f"{base}/{name}", content, acl, makepath=True)
        client.create(self.state, encode(RolloutRecord(), THEN), acl)

    @classmethod
    def named(cls, client: KazooClient, lock: str, chroot: str = "") -> "Group":
        """The group that `--lock` names, below a chroot."""
        return cls(client, chroot + group_path(lock))

    def write(self, record: RolloutRecord) -> None:
        """Let this be the record."""
        write_record(self.client, self.base, record, THEN, self._acl)

    def record(self) -> RolloutRecord:
        """The record that the znode contains."""
        return read_record(self.client, self.base)

    def audit_entry(self, operation: str) -> AuditEntry:
        """The newest audit entry, which has to be of this operation and of these minutes."""
        audit_entry = self.record().audit[-1]
        assert audit_entry.operation == operation
        assert abs(audit_entry.at - time.time()) < 600
        return audit_entry

    def asked(self) -> list[str]:
        """The words in the znode of restarts."""
        return str(self.client.get(self.restart)[0].decode()).split()

    def live(self, names: Iterable[str]) -> None:
        """Let these members be alive."""
        for name in names:
            self.client.create(f"{self.base}/members/{name}", b"", self._acl, ephemeral=True)

    def status(self, name: str, seen: MemberZnode) -> None:
        """Let this member be alive and show this."""
        assert seen.status
        assert seen.facts
        path, content = f"{self.base}/members/{name}", encode_status(seen.status, seen.facts)
        if self.client.exists(path):
            self.client.set(path, content)
        else:
            self.client.create(path, content, self._acl, ephemeral=True)

    def znodes(self) -> dict[str, tuple[bytes, int]]:
        """All that is there: content and time of the last change by path."""
        found: dict[str, tuple[bytes, int]] = {}
        paths = [self.base]
        for path in paths:
            content, stat = self.client.get(path)
            found[path] = (content, stat.mzxid)
            paths += [f"{path}/{child}" for child in self.client.get_children(path)]
        return found


def one_line(text: str) -> str:
    """The only line of a text, which no terminal could take for anything else."""
    assert text.endswith("\n"), repr(text)
    line = text[:-1]
    assert line.isprintable(), repr(line)
    return line
