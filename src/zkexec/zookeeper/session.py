"""One session with the ensemble: one client of kazoo, and the requests that are owed an answer.

The rules of this file:

- A dropped session posts nothing any more: its lock makes sure of that, also for what was about
  to be posted while it was dropped.
- What was asked for on one connection is never sent on the next one.
- Each request is answered once.  When the connection is lost, the answers that are owed come
  before the word of the loss.
- kazoo's recipes are not used, and neither is its chroot, which its own requests do not know.
- `stop()` of kazoo can block for long, so only threads of its own ever call it.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.serialization import Exists
from kazoo.protocol.states import KazooState, KeeperState

from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
    SessionClosed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    GroupRequest,
    PublishStatus,
    ReadRecord,
)
from zkexec.core.rollout.group_events import GroupRequestFailed, GroupTouched
from zkexec.core.snapshot import Problem
from zkexec.frozen import replace
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.connecting import SHORTAGES, KazooLog, Sockets, shortage_in_words
from zkexec.zookeeper.link import Dialogue, Link, RefusedError
from zkexec.zookeeper.snapshot_reader import SnapshotReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from kazoo.handlers.threading import AsyncResult

    from zkexec.core.events import Event
    from zkexec.core.rollout.group_events import GroupPart
    from zkexec.core.snapshot import Znode
    from zkexec.group.member_node import Enrolment
    from zkexec.group.member_profile import MemberProfile
    from zkexec.group.store import Group
    from zkexec.zookeeper.ensemble import Ensemble
    from zkexec.zookeeper.link import Steps

    _Failure = type[ReadFailed | GroupRequestFailed]

_LONGEST_HANDSHAKE_S = 3.0


class Session:
    """One client of kazoo, from its start to its end, and the requests that it owes an answer."""

    def __init__(self, ensemble: Ensemble) -> None:
        """Make the client; nothing runs before `start()`."""
        self._ensemble = ensemble
        self._lock = threading.Lock()
        self._dropped = False
        self._closed = False
        self._link: Link | None = None
        self._group: tuple[Group, Enrolment] | None = None
        self._owed: dict[tuple[_Failure, int], None] = {}
        limit_s = min(_LONGEST_HANDSHAKE_S, ensemble.session_timeout_s / 3)
        self._sockets = Sockets(limit_s, self)
        self._log = KazooLog(ensemble.servers, self._sockets, ensemble.verbose)
        self._client = Client(
            ensemble.servers,
            self._sockets,
            self._log,
            longest_pause_s=ensemble.longest_pause_s,
            timeout=ensemble.session_timeout_s,
            **ensemble.client_options,
        )
        self._client.add_listener(self._state_changed)

    def start(self) -> None:
        """Begin to connect, in kazoo's threads.

        If this host has no thread or descriptor to spare, that is told as the end of the session.
        """
        try:
            self._client.start_async()
        except SHORTAGES as error:
            with self._lock:
                self._closed = True
            self._sockets.dismiss()
            self._client.close()
            reason = f"the client cannot run: {shortage_in_words(error)}"
            self._post(ConnectFailed(f"{self._client.named}: {reason}", is_last=True))
            self._post(SessionClosed(reason))

    def end(self, timeout_s: float, *, waiting: bool) -> None:
        """Post nothing any more and end the session at the server, if there is a connection.

        After `timeout_s` (without a connection: at once) whatever kazoo waits for is broken off;
        `waiting` waits for the end of a connected session, but no longer than that.
        """
        with self._lock:
            self._dropped = True
            connected = self._link is not None
            self._link = None
            self._owed.clear()
        stopping = self._stop_aside(timeout_s if connected else 0.0)
        if stopping is not None and connected and waiting:
            stopping.join(timeout_s)

    def _stop_aside(self, grace_s: float) -> threading.Thread | None:
        """Stop the client in a thread of its own; None if there is no thread to spare for that."""
        hang_up = threading.Timer(grace_s, self._sockets.hang_up)
        hang_up.daemon = True

        def stop() -> None:
            try:
                self._client.stop()
            except Exception as error:  # noqa: BLE001
                # kazoo gives up waiting after a while; its threads are waited for below.
                self._log.last_reason = str(error)
            self._sockets.join()
            self._client.close()
            hang_up.cancel()

        thread = threading.Thread(target=stop, name="zkexec-kazoo-stop", daemon=True)
        try:
            thread.start()
        except SHORTAGES:
            # The client's own threads end it, without a farewell to the server.
            self._client.stop_by_itself()
            self._sockets.hang_up()
            return None
        try:
            hang_up.start()
        except SHORTAGES:
            self._sockets.hang_up()
        return thread

    def read(self, number: int) -> None:
        """Ask for a read, or refuse it where there is no connection."""
        link = self._owe(ReadFailed, number)
        if link is not None:
            answer = partial(self._answer_read, number)
            self._later(partial(link.start, SnapshotReader(link, self._ensemble.names, answer)))

    def rearm(self) -> None:
        """Arm all watches again, if there is a connection, and look at what none is set on."""
        link = self._link
        if link is not None:
            self._later(link.rearm)
            self._later(partial(self._look_at_own_node, link))

    def _look_at_own_node(self, link: Link) -> None:
        with self._lock:
            group = self._group if self._link is link else None
        if group is not None:
            link.start(Dialogue(link, group[1].look(), lambda _: None))

    def request(self, action: GroupRequest) -> None:
        """Ask for something of the group, or refuse it where there is no connection."""
        number = 0 if isinstance(action, PublishStatus) else action.number
        link = (
            self._link
            if isinstance(action, PublishStatus)
            else self._owe(GroupRequestFailed, number)
        )
        if link is not None:
            self._later(partial(self._begin, link, action, number))

    def _begin(self, link: Link, action: GroupRequest, number: int) -> None:
        with self._lock:
            group = self._group if self._link is link else None
        if group is not None:
            answer = partial(self._answer_request, number)
            link.start(Dialogue(link, _steps(*group, action), answer))

    def converse(self, steps: Callable[[Link], Steps], answer: Callable[[Any], None]) -> None:
        """Have a dialogue of somebody else's, which is answered at most once.

        Where the connection is lost before its end it is not answered: the loss itself is told.
        """
        link = self._link
        if link is not None:
            self._later(lambda: link.start(Dialogue(link, steps(link), partial(_in_words, answer))))

    def _owe(self, failure: _Failure, number: int) -> Link | None:
        """Owe an answer on the present connection; where there is none, refuse and return None."""
        with self._lock:
            if self._link is not None:
                self._owed[failure, number] = None
            elif not self._dropped:
                self._ensemble.post(failure(number, "there is no connection"))
            return self._link

    def _answer_read(self, number: int, result: Mapping[str, Znode] | str) -> None:
        if isinstance(result, str):
            self._answer(ReadFailed, number, ReadFailed(number, result))
            return
        event = ZnodesRead(number, result, self._client.last_zxid)
        answer = partial(self._answer, ReadFailed, number)
        chroot, link = self._ensemble.chroot, self._link
        is_missing = any(znode.problem is Problem.MISSING for znode in result.values())
        if chroot and is_missing and link is not None:
            look = link.send(Exists(chroot, None))
            look.rawlink(lambda look: answer(_with_chroot(event, look)))
        else:
            answer(event)

    def _answer_request(self, number: int, result: Event | RefusedError | str | None) -> None:
        if isinstance(result, RefusedError | str):
            is_refused = isinstance(result, RefusedError)
            result = GroupRequestFailed(number, str(result), is_refused)
        self._answer(GroupRequestFailed, number, result)

    def _answer(self, failure: _Failure, number: int, event: Event | None) -> None:
        with self._lock:
            if (failure, number) in self._owed and event is not None:
                del self._owed[failure, number]
                self._ensemble.post(event)

    def send(self, link: Link, request: object) -> AsyncResult:
        """Send a request, but only as long as this connection lasts.

        kazoo's own way of sending would keep it for the next connection, and it may wait while
        it wakes the thread that sends, which must not be done under our lock.
        """
        result = self._client.handler.async_result()
        with self._lock:
            lasts = self._link is link
            if lasts:
                self._client.put(request, result)
        if lasts:
            self._client.wake()
        else:
            result.set_exception(ConnectionLoss())
        return result

    def expect(self, link: Link, paths: Sequence[str]) -> None:
        """Have watches of these znodes call the link, as long as this connection lasts."""
        with self._lock:
            if self._link is link:
                self._client.expect(paths, link.fired)

    def _later(self, do: Callable[[], None]) -> None:
        self._sockets.completion_queue.put(do)

    def znode_touched(self, path: str) -> None:
        """Tell that the watch of a mirrored znode has fired."""
        self._post(ZnodeTouched(self._ensemble.names[path]))

    def group_touched(self, link: Link, part: GroupPart) -> None:
        """Tell that a watch of the group has fired, as long as this connection lasts."""
        with self._lock:
            if self._link is link:
                self._ensemble.post(GroupTouched(part))

    def _post(self, event: Event) -> None:
        with self._lock:
            if not self._dropped:
                self._ensemble.post(event)

    def _state_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._sockets.when_established(self._connected)
        elif self._client.client_state == KeeperState.EXPIRED_SESSION:
            self._sockets.attempt_is_over()
            self._unlink(SessionLost("the session has expired"))
        elif state == KazooState.SUSPENDED:
            self._unlink(SessionSuspended(self._log.last_reason or "the connection was lost"))
            # What was sent since kazoo let go of what was on its way would be sent late.
            self._client.let_go()

    def _connected(self) -> None:
        number = self._client.client_id[0]
        paths = list(self._ensemble.names)
        link = Link(self._ensemble.manner, paths[0] if len(paths) > 1 else "", self)
        place = self._ensemble.group
        group = None if place is None else self._meet(place, link, number)
        with self._lock:
            if self._dropped:
                return
            self._link, self._group = link, group
            self._ensemble.post(SessionConnected(number, self._client.granted_s))

    def _meet(self, place: MemberProfile, link: Link, number: int) -> tuple[Group, Enrolment]:
        # Nothing of a group is imported where there is none.
        from zkexec.group.member_node import Enrolment  # noqa: PLC0415
        from zkexec.group.store import Group, Paths  # noqa: PLC0415

        paths = Paths(self._ensemble.chroot, place.base)
        group = Group(place, paths, link, time.time)
        return group, Enrolment(group, number, self._later)

    def _unlink(self, event: SessionSuspended | SessionLost | SessionClosed) -> None:
        event = replace(event, zxid=self._client.last_zxid)
        with self._lock:
            self._link = None
            owed, self._owed = self._owed, {}
            if not self._dropped:
                for failure, number in owed:
                    self._ensemble.post(failure(number, "the connection was lost"))
                self._ensemble.post(event)

    def connect_failed(self, reason: str, is_last: bool) -> None:
        """Tell of one attempt that failed, and whether it was the last of its round."""
        self._post(ConnectFailed(reason, is_last))

    def thread_ended(self, reason: str) -> None:
        """Tell that the client has given up, which it has when a thread of it is gone."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            reason = reason or self._log.last_reason or "the client has stopped"
            self._unlink(SessionClosed(reason))


def _steps(group: Group, enrolment: Enrolment, action: GroupRequest) -> Steps:
    match action:
        case Enrol():
            return enrolment.enrol(action)
        case PublishStatus(status):
            return enrolment.show(status)
        case ReadRecord():
            return group.read(action)
        case CommitRecord():
            return group.commit(action, enrolment.write)
        case _:
            return group.queue(action, enrolment.write)


def _with_chroot(read: ZnodesRead, look: AsyncResult) -> ZnodesRead:
    """Tell of znodes that are missing where the whole chroot is."""
    if not look.successful() or look.value is not None:
        return read
    znodes = {
        path: replace(znode, problem=Problem.NO_CHROOT)
        if znode.problem is Problem.MISSING
        else znode
        for path, znode in read.znodes.items()
    }
    return replace(read, znodes=znodes)


def _in_words(answer: Callable[[Any], None], result: object) -> None:
    answer(str(result) if isinstance(result, RefusedError) else result)
