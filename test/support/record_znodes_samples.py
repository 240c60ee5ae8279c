"""The record of a group, written into its znodes by hand, and read from them.

What is written replaces everything that was there before, as no commit of a member does.
"""

from collections.abc import Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.group.entry_codec import encode_entry
from zkexec.group.paths import Paths
from zkexec.group.record_codec import encode
from zkexec.group.record_znodes import RecordZnodes, decisions_in
from zkexec.group.version_codec import (
    SUCCEEDED,
    encode_failure,
    encode_summary,
    failure_names,
    lost_name,
)
from zkexec.zookeeper.values import Stat


def write_record(
    client: KazooClient,
    base: str,
    record: RolloutRecord,
    now: float,
    acl: Sequence[Any] | None = None,
) -> None:
    """Let this be the record, with all entries, failures, lost turns and successes."""
    paths = Paths("", base)
    for path in (paths.in_flight, paths.versions, paths.unavailable):
        client.delete(path, recursive=True)
        client.create(path, b"", acl)
    for name, entry in record.in_flight.items():
        client.create(paths.entry(name), encode_entry(entry, now), acl)
    for digest, state in record.versions.items():
        _write_version(client, paths.version(digest), state, now, acl)
    for name in record.unavailable:
        client.create(paths.unavailable_member(name), b"", acl, ephemeral=True)
    client.set(paths.state, encode(record, now))


def _write_version(
    client: KazooClient, path: str, state: VersionState, now: float, acl: Sequence[Any] | None
) -> None:
    client.create(path, encode_summary(state, next(iter(state.failed_by), ""), now), acl)
    client.create(f"{path}/{SUCCEEDED}", b"", acl)
    for _ in range(state.succeeded):
        client.set(f"{path}/{SUCCEEDED}", b"")
    for name in failure_names(state):
        client.create(f"{path}/{name}", encode_failure(state, now), acl)
    for number in range(state.lost_turns):
        client.create(f"{path}/{lost_name(str(number))}", b"", acl)


def read_record(client: KazooClient, base: str) -> RolloutRecord:
    """The record that the znodes contain, without the numbers that are in no znode."""
    paths = Paths("", base)
    state = _read(client, paths.state)
    decisions = decisions_in(paths, state)
    found = {paths.state: state}
    names = {}
    for name in client.get_children(paths.in_flight):
        found[paths.entry(name)] = _read(client, paths.entry(name))
    for digest in decisions.versions:
        path = paths.version(digest)
        found[path], found[f"{path}/{SUCCEEDED}"] = (
            _read(client, path),
            _read(client, f"{path}/{SUCCEEDED}"),
        )
        names[path] = client.get_children(path)
    znodes = RecordZnodes(paths, "", decisions, (), found, names)
    record = znodes.record(client.get_children(paths.in_flight))
    return replace(record, in_flight_count=0)


def _read(client: KazooClient, path: str) -> tuple[bytes, Stat] | None:
    try:
        content, stat = client.get(path)
    except NoNodeError:
        return None
    return content, Stat(
        czxid=stat.czxid, mzxid=stat.mzxid, version=stat.version, num_children=stat.numChildren
    )
