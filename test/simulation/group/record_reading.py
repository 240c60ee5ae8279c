"""One reading of the record by one process, in as many messages as the shell needs for it.

First the record; then at once all that it makes worth knowing: who of those in flight is alive, but
for those whose end a watch would report, the requester of max unavailable, and their number.
"""

from functools import partial
from typing import TYPE_CHECKING

from simulation.group.connection import Connection, Kind
from simulation.group.tree import MEMBERS, STATE
from zkexec.core.rollout.group_actions import ReadRecord
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.core.rollout.record import RolloutRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.group.group_requests import GroupRequests


class RecordReading:
    """What is asked, message by message, and what is known by then."""

    def __init__(self, requests: "GroupRequests", request: ReadRecord) -> None:
        """Ask nothing yet."""
        self._requests = requests
        self._request = request
        self._record = RolloutRecord()
        self._version = self._population = 0

    def begin(self) -> None:
        """Read the record."""
        self._requests.ask_group(self._request.number, Kind.READ, self._look, self._found)

    def _look(self, connection: Connection) -> tuple[Connection, RolloutRecord, int, int]:
        tree = connection.server.tree
        if self._request.watch:
            self._requests.watch(connection, STATE, GroupPart.RECORD)
        node = tree.nodes.get(STATE)
        record = RolloutRecord() if node is None else node.content.clamped_to(node.mzxid)
        self._requests.world.count_record(record, self._requests.process)
        version = -1 if node is None else node.version
        return connection, record, version, len(tree.children[MEMBERS])

    def _found(self, answer: tuple[Connection, RolloutRecord, int, int]) -> None:
        connection, self._record, self._version, counted = answer
        count = partial(self._requests.world.count, "requests", self._requests.process)
        if self._is_counted:
            self._population = counted
            count()
        living = self._requests.living
        names = self._names
        alive = frozenset(name for name in names if (connection, MEMBERS + name) in living)
        if unknown := [name for name in names if name not in alive]:
            count(len(unknown) - 1)

            def found_alive(found: frozenset[str]) -> None:
                if self._request.watch:
                    living.update((connection, MEMBERS + name) for name in found & self._flying)
                self._tell(alive | found)

            run = partial(self._look_at_members, unknown)
            self._requests.ask_group(self._request.number, Kind.READ, run, found_alive)
        else:
            self._tell(alive)

    @property
    def _flying(self) -> frozenset[str]:
        return frozenset(self._record.in_flight if self._request.watch else ())

    @property
    def _names(self) -> list[str]:
        known = self._record.max_unavailable
        requesters = [known.by] if known and known.limit != self._request.requested else []
        return sorted({*self._flying, *requesters})

    @property
    def _is_counted(self) -> bool:
        asks, known = self._request.requested, self._record.max_unavailable
        return asks is None or asks.percent or (known is not None and known.limit.percent)

    def _look_at_members(self, names: "Sequence[str]", connection: Connection) -> frozenset[str]:
        for name in sorted(self._flying.intersection(names)):
            self._requests.watch(connection, MEMBERS + name, GroupPart.IN_FLIGHT)
        nodes = connection.server.tree.nodes
        return frozenset(name for name in names if MEMBERS + name in nodes)

    def _tell(self, alive: frozenset[str]) -> None:
        read = RecordRead(
            self._request.number, self._record, self._version, alive, self._population
        )
        self._requests.post(read)
