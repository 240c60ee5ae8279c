"""The metrics of groups for Prometheus: a table of names, and the numbers of each group.

While the cluster is away, all but `zkexec_cluster_connected` are absent: an old number would be a
lie.  No label contains a digest, since each push would begin new series.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from zkexec.core.rollout.record import EntryPhase
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import MemberRow

CONNECTED = "zkexec_cluster_connected", "Whether the cluster answers"
STATE = "zkexec_group_state", "1 for the state that the group is in, 0 for all others"

Number = float | None
"""The value of a metric; None if there is none."""


def _written_at(group: GroupStatus) -> Number:
    newest = max((one.written_at for one in group.progress), default=0.0)
    return newest or None


def _failed_count(group: GroupStatus) -> Number:
    return sum(row.turn_phase is EntryPhase.FAILED for row in group.rows)


GROUP_METRICS: tuple[tuple[str, str, Callable[[GroupStatus], Number]], ...] = (
    (
        "zkexec_group_members",
        "Members, the missing ones included",
        lambda group: len(group.rows),
    ),
    (
        "zkexec_group_up_to_date",
        "Members that run the newest version of their inputs and wait for nothing",
        lambda group: group.up_to_date_count,
    ),
    ("zkexec_group_serving", "Members that serve", lambda group: group.serving_count),
    (
        "zkexec_group_in_flight",
        "Members that have a turn, or had one when they went missing",
        lambda group: len(group.in_flight),
    ),
    ("zkexec_group_waiting", "Members that wait for a turn", lambda group: len(group.waiting)),
    (
        "zkexec_group_missing",
        "Members that went missing in their turn",
        lambda group: len(group.missing),
    ),
    ("zkexec_group_failed", "Members whose change failed in their turn", _failed_count),
    (
        "zkexec_group_max_unavailable",
        "How many members may be in flight at once",
        lambda group: group.record.max_in_flight(group.record.zone),
    ),
    (
        "zkexec_group_written_timestamp_seconds",
        "When an input of the group was written last",
        _written_at,
    ),
)
"""The metrics of a group that is readable."""


def _health(row: MemberRow) -> Number:
    return {"healthy": 1.0, "unhealthy": 0.0}.get(row.status.health)


def _in_flight_since(row: MemberRow, group: GroupStatus) -> Number:
    entry = group.record.in_flight.get(row.name)
    return entry.since or None if entry else None


MEMBER_METRICS: tuple[tuple[str, str, Callable[[MemberRow, GroupStatus], Number]], ...] = (
    (
        "zkexec_member_healthy",
        "Whether the last health check of the member succeeded; absent before the first one",
        lambda row, _: _health(row),
    ),
    (
        "zkexec_member_up_to_date",
        "Whether the member runs the newest version of its inputs and waits for nothing",
        lambda row, _: float(row.is_up_to_date),
    ),
    (
        "zkexec_member_in_flight_since_timestamp_seconds",
        "When the member was admitted; absent if it has no turn",
        _in_flight_since,
    ),
)
"""The metrics of a member."""


class GroupMetrics(Collector):
    """The metrics of some groups at one moment."""

    def __init__(self, groups: Sequence[GroupStatus] | None, *, has_members: bool) -> None:
        """`groups` is None while the cluster is away; `has_members` if single members count."""
        self.groups = groups
        self.has_members = has_members

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return one family after the other."""
        name, meaning = CONNECTED
        yield GaugeMetricFamily(name, meaning, value=float(self.groups is not None))
        if self.groups is not None:
            yield self._states(self.groups)
            readable = [group for group in self.groups if not group.error]
            yield from self._of_groups(readable)
            if self.has_members:
                yield from self._of_members(readable)

    @staticmethod
    def _states(groups: Sequence[GroupStatus]) -> GaugeMetricFamily:
        name, meaning = STATE
        family = GaugeMetricFamily(name, meaning, labels=("group", "state"))
        for group in groups:
            present = group.state
            for state in GroupState:
                family.add_metric((_label(group.name), state.value), float(state is present))
        return family

    @staticmethod
    def _of_groups(groups: Sequence[GroupStatus]) -> Iterable[GaugeMetricFamily]:
        for name, meaning, count in GROUP_METRICS:
            family = GaugeMetricFamily(name, meaning, labels=("group",))
            for group in groups:
                if (value := count(group)) is not None:
                    family.add_metric((_label(group.name),), float(value))
            yield family

    @staticmethod
    def _of_members(groups: Sequence[GroupStatus]) -> Iterable[GaugeMetricFamily]:
        for name, meaning, measure in MEMBER_METRICS:
            family = GaugeMetricFamily(name, meaning, labels=("group", "member"))
            for group in groups:
                label = _label(group.name)
                for row in group.rows:
                    if (value := measure(row, group)) is not None:
                        family.add_metric((label, _label(row.name)), float(value))
            yield family

    def encoded(self, accept: str) -> tuple[bytes, str]:
        """Return the text of the metrics in the format that a client accepts, and its type."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type


def _label(text: str) -> str:
    """Return a text that can be written in UTF-8, whatever a znode is called."""
    return text.encode("utf-8", "backslashreplace").decode()
