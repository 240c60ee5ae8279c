"""A member's own node: making it, showing a card in it, and hearing of what others do to it.

The rules of this file:

- The node belongs to one living process.  One that an own earlier session left behind, or an
  earlier process at the same place, is replaced, and so is one that lasts and belongs to nobody;
  any other is never touched.
- A card is written only over the version that was written last, so that a write of another is
  noticed, if not before; at most one is on its way, and of those that wait only the newest is
  written.
- The own node is watched for its end alone, by a request for the children that it never has: the
  own writes do not make such a watch fire, so it is armed once for each connection.
  What another writes into it is looked for whenever the watches are armed again.
- A card that goes along with something else never stands in its way.
- A process whose member ID another one has makes a node of another name, that only it can have: so
  people see it.  That node goes when the process gets the ID; whether there is one is the core's to
  know, as an answer can be lost.
- All of this runs on the client's completion thread, so nothing here needs a lock.
"""

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.protocol.serialization import (
    Create,
    Delete,
    Exists,
    GetChildren2,
    GetData,
    SetData,
    Transaction,
)
from kazoo.protocol.states import EventType, WatchedEvent

from zkexec import __version__
from zkexec.core.rollout.group_actions import Enrol
from zkexec.core.rollout.group_events import Enrolled, EnrolmentOccupied, GroupPart
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen
from zkexec.group import record_codec
from zkexec.group.member_codec import StatusFacts, decode_status, encode_status
from zkexec.group.store import EPHEMERAL, LARGEST_COMMIT, Group, first_error, is_left_over
from zkexec.process.procfs import read, read_process
from zkexec.zookeeper.link import Dialogue, RefusedError, Steps

_TRIES = 5
_ALL_BITS = 2**64 - 1
_HAS_CHANGED = (NodeExistsError, NoNodeError, BadVersionError)
"""What a request gets where the node is not as it was a moment ago."""


class Enrolment:
    """The own node on one connection; nothing is known of it before it was made anew or seen."""

    def __init__(
        self, group: Group, session: int, later: Callable[[Callable[[], None]], None]
    ) -> None:
        """`session` is kazoo's number of it; `later` runs something on the completion thread."""
        self._group = group
        self._session = session
        self._later = later
        self._path = group.paths.member(group.place.member_id)
        self._duplicate_path = group.paths.member(group.place.duplicate_id)
        self._version: int | None = None
        self._newest: MemberStatus | None = None
        self._is_writing = False

    def enrol(self, request: Enrol) -> Steps:
        """Make what the group needs, and the own node."""
        # What a write still on its way has to say is no longer of interest.
        self._version = self._newest = None
        paths, demand = self._group.paths, self._group.paths.demand
        yield from self._group.sync()
        for _ in range(_TRIES):
            state, queue, made = yield [
                Exists(paths.state, None),
                Exists(paths.queue, None),
                self._create(request.status),
            ]
            if isinstance(made, NoNodeError) or None in (
                demand(paths.state, state),
                demand(paths.queue, queue),
            ):
                yield from self._make_parents()
            if isinstance(made, NodeExistsError):
                made = yield from self._take_over(self._path, self._content(request.status))
            if isinstance(made, _Holder):
                yield from self._be_duplicate(request.status)
                return EnrolmentOccupied(request.number, made.name)
            if not isinstance(made, _HAS_CHANGED):
                self._version = 0 if isinstance(made, str) else demand(self._path, made).version
                if request.may_be_duplicate:
                    yield from self._be_no_duplicate()
                yield from self._watch()
                yield from self._write_waiting()
                return Enrolled(request.number)
        raise RefusedError(f"{paths.shown(self._path)}: others change it all the time")

    def show(self, status: MemberStatus) -> Steps:
        """Write the card as soon as nothing else is being written."""
        self._newest = status
        yield from self._write_waiting()
        return None

    def _write_waiting(self) -> Steps:
        if self._is_writing:
            return None
        self._is_writing = True
        try:
            while self._newest is not None and (version := self._version) is not None:
                content, self._newest = self._content(self._newest), None
                (written,) = yield [SetData(self._path, content, version)]
                if self._version is None:
                    return None
                if isinstance(written, Exception):
                    self._has_lost_it()
                    return None
                self._version = written.version
        finally:
            self._is_writing = False
        return None

    def write(self, operations: Sequence[Any], status: MemberStatus | None) -> Steps:
        """Do these operations in one transaction, and show the card with them if that can be."""
        version, with_card = self._version, []
        if status is not None and version is not None:
            with_card = [*operations, SetData(self._path, self._content(status), version)]
            if self._is_writing or len(Transaction(with_card).serialize()) > LARGEST_COMMIT:
                self._newest, with_card = status, []
                self._go_on_writing()
        if not with_card:
            (results,) = yield [Transaction(operations)]
            return results
        self._is_writing, self._newest = True, None
        try:
            (results,) = yield [Transaction(with_card)]
        finally:
            self._is_writing = False
        refused = None if isinstance(results, Exception) else first_error(results)
        if refused is not None and refused[0] == len(operations):
            self._has_lost_it()
            (results,) = yield [Transaction(operations)]
            return results
        if refused is None and not isinstance(results, Exception):
            self._version = None if self._version is None else results[-1].version
        self._go_on_writing()
        return results

    def _go_on_writing(self) -> None:
        """Write what waits, aside from what else is being written."""
        link = self._group.link
        if self._newest is not None and not self._is_writing:
            link.start(Dialogue(link, self._write_waiting(), lambda _: None))

    def _make_parents(self) -> Steps:
        paths = self._group.paths
        yield from self._make(paths.members, b"")
        yield from self._make(paths.queue, b"")
        yield from self._make(paths.restart, b"")
        yield from self._make(
            paths.state, record_codec.encode(RolloutRecord(), self._group.clock())
        )
        return None

    def _make(self, path: str, content: bytes) -> Steps:
        """Make a lasting znode, and those above it only where they are missing.

        One may lack the permission to make what is there already.  The chroot is never made: where
        it is gone, all that the members go by is, and that has to show.
        """
        paths = self._group.paths
        acl = self._group.acl if path.startswith(paths.base) else self._group.acl_above
        create = Create(path, content, acl, 0)
        (made,) = yield [create]
        if isinstance(made, NoNodeError):
            above = path.rpartition("/")[0]
            if above == paths.chroot:
                raise paths.without_chroot()
            yield from self._make(above, b"")
            (made,) = yield [create]
        if not isinstance(made, NodeExistsError):
            paths.demand(path, made)
        return None

    def _be_duplicate(self, status: MemberStatus) -> Steps:
        """Show the card in a node of another name, also where it is there already."""
        path = self._duplicate_path
        content = self._content(status, duplicate_of=self._group.place.member_id)
        made = yield from self._take_over(path, content)
        if isinstance(made, NoNodeError):
            (made,) = yield [Create(path, content, self._group.acl, EPHEMERAL)]
        if not isinstance(made, _HAS_CHANGED):
            self._group.paths.demand(path, made)
        return None

    def _be_no_duplicate(self) -> Steps:
        (gone,) = yield [Delete(self._duplicate_path, -1)]
        if not isinstance(gone, NoNodeError):
            self._group.paths.demand(self._duplicate_path, gone)
        return None

    def _take_over(self, path: str, new: bytes) -> Generator[Any, Any, Any]:
        """Write this into a node that is ours already, or was an earlier process's of ours."""
        (found,) = yield [GetData(path, None)]
        if isinstance(found, Exception):
            return found
        content, stat = found
        if stat.ephemeralOwner == self._session:
            if content == new:
                return stat
            (written,) = yield [SetData(path, new, stat.version)]
            return written
        holder = _holder(content or b"", stat.ephemeralOwner)
        is_ours = holder.place == self._group.place.place and not _lives(holder.pid)
        if not is_ours and not is_left_over(stat):
            return holder
        create = Create(path, new, self._group.acl, EPHEMERAL)
        replace = [Delete(path, stat.version), create]
        (results,) = yield [Transaction(replace)]
        if isinstance(results, Exception):
            return results
        refused = first_error(results)
        return refused[1] if refused else path

    def _watch(self) -> Steps:
        watches = self._group.link.watches
        watches.expect_children(self._path)
        (found,) = yield [GetChildren2(self._path, self._fired)]
        if isinstance(found, Exception):
            watches.children_refused(self._path)
        else:
            watches.children_seen(self._path, found[1].pzxid)
        if self._version is None:
            return None
        seen = (-1, 0)
        if not isinstance(found, Exception):
            seen = (found[1].version, found[1].ephemeralOwner)
        if seen != (self._version, self._session):
            self._has_lost_it()
        return None

    def _fired(self, event: WatchedEvent) -> None:
        self._group.link.watches.fired(event)
        self._later(partial(self._touched, event.type))

    def _touched(self, kind: str) -> None:
        # One without a path only tells that the watch is gone.
        if self._version is not None and kind != EventType.NONE:
            self._has_lost_it()

    def look(self) -> Steps:
        """See whether somebody else has written the own node: no watch tells of that."""
        version = self._settled_version()
        if version is None:
            return None
        (found,) = yield [Exists(self._path, None)]
        if self._settled_version() != version or isinstance(found, Exception):
            return None
        if found is None or (found.version, found.ephemeralOwner) != (version, self._session):
            self._has_lost_it()
        return None

    def _settled_version(self) -> int | None:
        """The version of the own node, as long as no write of it is on its way."""
        return None if self._is_writing else self._version

    def _has_lost_it(self) -> None:
        self._version = self._newest = None
        self._group.link.group_touched(GroupPart.OWN_NODE)

    def _create(self, status: MemberStatus) -> Create:
        return Create(self._path, self._content(status), self._group.acl, EPHEMERAL)

    def _content(self, status: MemberStatus, duplicate_of: str = "") -> bytes:
        place = self._group.place
        facts = StatusFacts(
            host=os.uname().nodename,
            pid=os.getpid(),
            version=__version__,
            place=place.place,
            max_unavailable=place.width_text,
            since=place.since.entered(status.phase, status.running, self._group.clock()),
            paths=place.paths,
            duplicate_of=duplicate_of,
            shared=place.shared,
        )
        return encode_status(status, facts)


@frozen()
class _Holder:
    """Who has the node: in words, and place and pid of the process, None where it tells none."""

    name: str
    place: str | None
    pid: int = 0


def _holder(content: bytes, session: int) -> _Holder:
    try:
        _, facts = decode_status(content)
    except ValueError:
        return _Holder(f"session {session & _ALL_BITS:#x}, without a readable card", None)
    return _Holder(f"{facts.host}, pid {facts.pid}", facts.place or None, facts.pid)


def _lives(pid: int) -> bool:
    """Whether another zkexec of this host has this pid.

    systemd can remove the folder of a service in which a process of another service still holds
    the lock of its name, and the place would be the same.  A process that was killed may not be
    reaped yet, and its pid may be another program's by now.
    """
    if pid in (0, os.getpid()):
        return False
    process = read_process(pid)
    if process is not None:
        return process.alive and b"zkexec" in read(f"/proc/{pid}/cmdline")
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
