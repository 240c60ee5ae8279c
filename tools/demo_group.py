"""The group of the demo: its members, each a real zkexec, and where they stand.

The rules of this file:

- Where a member stands is read from the znodes of the group, as anybody can read them: the
  members' cards, the record, the queue.  Nothing is asked of the members, nothing is guessed.
- It is looked at a few times a second; what is over sooner may go unseen.
- In a cluster of the user's own, the znodes of the group are removed at the end.  They are
  lasting, so a sudden death of the demo leaves them.
"""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from kazoo.exceptions import NoNodeError

from demo_screen import Row
from demo_stage import DemoError, Stage
from e2e.wrapped import DEADLINE_S, Wrapped
from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Mirror, Snapshot
from zkexec.core.turn import MemberStatus
from zkexec.group.member_codec import decode_status
from zkexec.group.record_codec import decode
from zkexec.group.store import Paths
from zkexec.zookeeper.connect_string import base_of

_LOOK_S = 0.05
_FILE = "/nap"


class Sight(NamedTuple):
    """The group at one moment: the cards of those who are there, the record, the queue."""

    statuses: dict[str, MemberStatus]
    record: RolloutRecord
    queue: list[str]


class Group:
    """Five members, and the znode that they mirror."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.znode = _FILE if stage.is_throwaway else f"{stage.znode}-nap"
        self.lock = "demo" if stage.is_throwaway else f"{stage.znode}-group"
        self._paths = Paths("", base_of(self.lock))
        self._contents: dict[str, str] = {}
        self._running: dict[str, Wrapped] = {}
        self._names = [f"member-{number}" for number in range(1, 6)]

    def start(self, content: str, command: str) -> None:
        """Start all members with this command line, of which that of the first is shown.

        In it, N stands for a member's number.
        """
        self._stage.create_znode(self.znode, self._known(content))
        if not self._stage.is_throwaway:
            self._stage.belongings.give_back(self._remove_znodes)
        for number, name in enumerate(self._names, 1):
            start = self._stage.start if number == 1 else self._stage.start_unseen
            self._running[name] = start(command.replace("N", str(number)))

    def push(self, content: str) -> None:
        """Give the mirrored znode another content."""
        self._stage.set_znode(self.znode, self._known(content))

    def watch_until(self, is_reached: Callable[[Sight], bool]) -> None:
        """Show where the members stand, and each change, until the group is where it should be."""
        give_up_at = time.monotonic() + DEADLINE_S
        met: set[str] = set()
        while True:
            sight = self._look()
            self._stage.screen.picture([self._row(name, sight) for name in self._names])
            if is_reached(sight):
                return
            if missing := met - sight.statuses.keys():
                raise DemoError(f"{', '.join(sorted(missing))} ended, which was not to be expected")
            if time.monotonic() > give_up_at:
                raise DemoError("the group does not get where it should")
            met |= sight.statuses.keys()
            time.sleep(_LOOK_S)

    def all_run(self, content: str) -> Callable[[Sight], bool]:
        """Whether each member runs on this content, proven."""
        digest = self._digest(content)

        def is_reached(sight: Sight) -> bool:
            version_state = sight.record.versions.get(digest)
            here = [status for status in sight.statuses.values() if status.running == digest]
            settled = [status for status in here if status.phase == "running"]
            return (
                len(settled) == len(self._names)
                and version_state is not None
                and version_state.known_good
            )

        return is_reached

    def one_failed(self, sight: Sight) -> bool:
        """Whether one member has failed and all others stand in the queue."""
        failed = [e for e in sight.record.in_flight.values() if e.phase is EntryPhase.FAILED]
        return len(failed) == 1 and len(sight.queue) == len(self._names) - 1

    def show_failure(self) -> None:
        """Show what the member that failed says of it."""
        for name in self._look().record.in_flight:
            self._stage.screen.log(self._running[name].wait_for_line("restart failed"))

    def end(self) -> None:
        """Send TERM to all, and wait for the end of each."""
        for zkexec in self._running.values():
            zkexec.send(signal.SIGTERM)
        for zkexec in self._running.values():
            zkexec.end()

    def _look(self) -> Sight:
        paths = self._paths
        statuses = {name: self._content(paths.member(name)) for name in self._names}
        tickets = sorted(self._children(paths.queue), key=lambda name: name[-10:])
        queue = [self._content(f"{paths.queue}/{ticket}").decode() for ticket in tickets]
        return Sight(
            statuses={
                name: decode_status(status)[0] for name, status in statuses.items() if status
            },
            record=decode(self._content(paths.state)),
            queue=[name for name in queue if name],
        )

    def _row(self, name: str, sight: Sight) -> Row:
        status = sight.statuses.get(name)
        phase = status.phase if status else ""
        runs = self._contents.get(status.running, "") if status else ""
        entry = sight.record.in_flight.get(name)
        remark = ""
        if entry is not None:
            remark = "has the turn"
            if entry.phase is EntryPhase.FAILED:
                remark = "has failed, and keeps the turn"
        elif name in sight.queue:
            place = sight.queue.index(name)
            remark = f"behind {sight.queue[place - 1]}" if place else "next in the queue"
        return Row(f"{name}  {phase:<10}{runs and f'on {runs}':<10}{remark}".rstrip(), bool(entry))

    def _known(self, content: str) -> str:
        self._contents[self._digest(content)] = content
        return content

    def _digest(self, content: str) -> str:
        """The name by which the group knows this content."""
        mirror = Mirror(_FILE, self.znode)
        return version_of(Snapshot({_FILE: content.encode()}), [mirror]).digest

    def _content(self, path: str) -> bytes:
        """The bytes of a znode; none where it is not there."""
        try:
            content: bytes = self._stage.client.get(path)[0]
        except NoNodeError:
            return b""
        return content

    def _children(self, path: str) -> list[str]:
        try:
            names: list[str] = self._stage.client.get_children(path)
        except NoNodeError:
            return []
        return names

    def _remove_znodes(self) -> None:
        if self._stage.client.connected:
            self._stage.client.delete(self._paths.base, recursive=True)
