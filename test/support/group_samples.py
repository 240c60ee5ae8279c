"""Groups without members: values of what zkexecctl reads, and znodes written by hand.

A zxid here is also the time of the write, in seconds after `START`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kazoo.client import KazooClient

from support.record_znodes_samples import write_record
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed, Population
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import EntryPhase, Hold, InFlightEntry, Pause, RolloutRecord
from zkexec.core.rollout.version import scope_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.turn import MemberStatus
from zkexec.ctl.arguments import ClusterOptions, Invocation
from zkexec.ctl.history.content_history import HistoryEntry
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.input_writes import InputWrites
from zkexec.ctl.status.member_row import LastWrite, MemberZnode
from zkexec.frozen import replace
from zkexec.group.entry_codec import encode_queued
from zkexec.group.member_codec import StatusFacts, encode_status
from zkexec.group.record_codec import encode
from zkexec.group.version_codec import MemberFailure
from zkexec.znode_paths import group_path

START = 1_800_000_000.0
OLD, NEW = "a" * 64, "b" * 64
PATH = "/app/first"


def facts(name: str = "m", since: float = 0.0, paths: Iterable[str] = (PATH,)) -> StatusFacts:
    """The facts beside a member status."""
    return StatusFacts(f"host-of-{name}", 4711, "1.0", "place", "1", START + since, tuple(paths))


def on(digest: str, zxid: int, since: float = 0.0, **changes: Any) -> MemberZnode:
    """A member that runs the wanted version; `changes` are fields of its status."""
    at = START + zxid
    status = MemberStatus("running", digest, digest, "healthy", "", zxid, at, at)
    return MemberZnode(replace(status, **changes), facts(since=since), START)


def duplicate(of: str, zxid: int = 20) -> MemberZnode:
    """A member that runs the newest, and whose ID another process has."""
    seen = on(NEW, zxid)
    return replace(
        seen, facts=replace(seen.facts or facts(), duplicate_of=of, lock_file_id="elsewhere")
    )


def sharing(seen: MemberZnode, *members: str) -> MemberZnode:
    """The same member, which has found that others write to one of its files."""
    shared = tuple((member, "/etc/app.conf") for member in members)
    return replace(seen, facts=replace(seen.facts or facts(), shared=shared))


def waiting(zxid: int = 20) -> MemberZnode:
    """A member that runs the old content and has seen the new one."""
    at = START + zxid
    return on(OLD, zxid, phase="waiting", wanted=NEW, running_at=START + 10, wanted_at=at)


def entry(phase: EntryPhase = EntryPhase.RESTARTING, since: float = 21.0) -> InFlightEntry:
    """A turn for the new content."""
    return InFlightEntry("token", NEW, 20, phase, START + since)


def failed_on(
    *members: str,
    zxid: int = 20,
    reason: str = "the command ended (exit status 3)",
    step: str = "",
) -> dict[str, VersionState]:
    """The versions of a record in which the new content has failed."""
    state = VersionState(zxid, "", failed_by=members, reason=reason, at=START + 22, step=step)
    return {NEW: state}


def of_two_scopes() -> dict[str, VersionState]:
    """A failed version of some inputs, and a newer one of others that is known good."""
    failed = failed_on("m1", reason="no licence")[NEW]
    good = VersionState(30, scope_of(("/db",)), known_good=True)
    return {NEW: replace(failed, scope=scope_of((PATH,))), "c" * 64: good}


def group_status(members: Mapping[str, MemberZnode], zxid: int = 20, **changes: Any) -> GroupStatus:
    """A group whose znode was written last with this revision."""
    record = {
        key: changes.pop(key) for key in list(changes) if key in RolloutRecord.__annotations__
    }
    zones = Counter(znode.facts.zone for znode in members.values() if znode.facts)
    record.setdefault("population", Population(len(members), zones))
    znodes = changes.pop("znodes", {PATH: LastWrite(zxid, START + zxid)})
    known: dict[str, Any] = {
        "name": "web",
        "base": "/zkexec/web",
        "record": RolloutRecord(**record),
        "members": dict(members),
        "writes": InputWrites(changes.pop("histories", {}), znodes, changes.pop("parts", {})),
        **changes,
    }
    return GroupStatus(**known)


def pushed(
    revision: int, zxid: int, by: str = "alice", message: str = "", **changes: Any
) -> HistoryEntry:
    """An entry of a history; its push was this transaction."""
    known = {"digest": "0" * 64, "size": 1, "at": START + zxid, **changes}
    return HistoryEntry(revision=revision, by=by, message=message, zxid=zxid, **known)


def held_in_zones() -> GroupStatus:
    """A held group with a tolerated failure, whose members are in two zones."""
    state = VersionState(20, "", known_good=True, succeeded=10, failed_by=("m1",))
    members = {
        "m1": on(OLD, 20, phase="failed", wanted=NEW, reason="no licence"),
        "m2": on(NEW, 20),
        "m10": waiting(),
    }
    zones = {"m1": "west", "m2": "east", "m10": "west"}
    return group_status(
        {
            name: replace(seen, facts=replace(seen.facts or facts(), zone=zones[name]))
            for name, seen in members.items()
        },
        versions={NEW: state},
        failures={NEW: {"m1": MemberFailure("no licence", "check", START + 22, 20)}},
        max_failed=AgreedMaxFailed(MaxFailed(5), "m2"),
        hold=Hold(MaxUnavailable(11), "anna", "more cache", (OLD,), START + 20),
        zone="west",
        in_flight={"m1": entry(EntryPhase.FAILED)},
        queue=("m10",),
    )


def paused(at: float = 30.0) -> Pause:
    """An operator's pause."""
    return Pause("anna", "the night is for sleeping", START + at)


def call(hosts: str, **changes: Any) -> Invocation:
    """A command line on this cluster."""
    host, _, port = hosts.partition("/")[0].partition(":")
    connection = ClusterOptions(
        hosts_text=hosts, servers=((host, int(port)),), connect_timeout_s=20.0
    )
    return Invocation(**{"subcommand": "status", "connection": connection, **changes})


class GroupZnodes:
    """A group on a real server whose znodes are written by the test."""

    def __init__(self, client: KazooClient, lock: str, path: str) -> None:
        """Use the znode at `path` as the input; it is created with some content."""
        self.client = client
        self.lock = lock
        self.path = path
        self.base = group_path(lock)
        self.zxid = 0
        for name in ("members", "queue", "in_flight", "unavailable", "versions", "restart"):
            client.ensure_path(f"{self.base}/{name}")
        client.create(f"{self.base}/state", encode(RolloutRecord(), START))
        client.create(path, b"first")
        self.push(b"again")

    def push(self, content: bytes) -> None:
        """Write the input."""
        self.zxid = self.client.set(self.path, content).mzxid

    def decide(self, record: RolloutRecord) -> None:
        """Write the record, into all its znodes."""
        write_record(self.client, self.base, record, START)

    def show(self, name: str, digest: str = OLD, **changes: Any) -> None:
        """Write a member's status; by default it is up to date."""
        paths = changes.pop("paths", (self.path,))
        status = MemberStatus("running", digest, digest, "healthy", "", self.zxid, START, START)
        content = encode_status(replace(status, **changes), facts(name, paths=paths))
        self.write(name, content)

    def write(self, name: str, content: bytes) -> None:
        """Write any bytes into a member's node."""
        path = f"{self.base}/members/{name}"
        if self.client.exists(path):
            self.client.set(path, content)
        else:
            self.client.create(path, content, ephemeral=True)

    def queue(self, name: str) -> str:
        """Put a member into the queue."""
        return self.queue_node(encode_queued(QueuedMember(name, "token", NEW)))

    def queue_node(self, content: bytes, *, ephemeral: bool = True) -> str:
        """Put any bytes into the queue."""
        path = f"{self.base}/queue/q-"
        made: str = self.client.create(path, content, ephemeral=ephemeral, sequence=True)
        return made

    def remove(self) -> None:
        """Take the whole group away."""
        self.client.delete(self.base, recursive=True)


def parsed(line: str) -> dict[str, Any]:
    """A line of JSON."""
    found: dict[str, Any] = json.loads(line)
    return found
