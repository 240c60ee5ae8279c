"""What the page of all groups shows, computed from the numbers of each group."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from zkexec.core.rollout.version import short
from zkexec.ctl.status.group_status import GroupState, counting_order
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.render import summary_reason
from zkexec.ctl.web.cluster_views import OverviewView
from zkexec.ctl.web.page_marks import TONES, Mark, MarkCount, MeterPart, meter
from zkexec.frozen import frozen

_URGENT = (
    *(GroupState.FAILED, GroupState.UNREADABLE, GroupState.PAUSED, GroupState.HELD),
    *(GroupState.ROLLING, GroupState.COMPLETE, GroupState.EMPTY, GroupState.GONE),
)
"""The states in the order of the page: those that need attention first."""


@frozen(kw_only=True)
class GroupRow:
    """One group in the list."""

    summary: GroupSummary
    reason: str = ""
    push: InputWrite | None = None

    @property
    def state(self) -> GroupState:
        """The state of the group, as far as its numbers show it."""
        return self.summary.state

    @property
    def tone(self) -> str:
        """The class of its state in the style sheet."""
        return TONES[self.state]

    @property
    def newest(self) -> str:
        """The newest version that the record knows; "" if it knows none."""
        newest = self.summary.newest
        return short(newest[0]) if newest else ""

    @property
    def counts(self) -> tuple[MarkCount, ...]:
        """How many members are up to date, have a turn, and wait; none if that is not known."""
        summary = self.summary
        if summary.error:
            return ()
        rest = max(0, summary.alive - summary.in_flight - summary.waiting)
        turn = Mark.FAILED if self.state is GroupState.FAILED else Mark.IN_ITS_TURN
        found = (
            MarkCount(Mark.UP_TO_DATE, rest),
            MarkCount(turn, summary.in_flight),
            MarkCount(Mark.WAITING, summary.waiting),
        )
        return tuple(one for one in found if one.count)

    @property
    def meter(self) -> tuple[MeterPart, ...]:
        """The parts of the bar."""
        return meter(self.counts)

    @property
    def up_to_date_count(self) -> int:
        """How many members neither have a turn nor wait for one."""
        return sum(one.count for one in self.counts if one.mark is Mark.UP_TO_DATE)

    @property
    def total(self) -> int:
        """How many members there are, as far as the numbers show it."""
        return sum(one.count for one in self.counts)


class OverviewPage:
    """The numbers of all groups, and what the page prints of them."""

    def __init__(self, view: OverviewView, groups: Sequence[GroupSummary]) -> None:
        self._view = view
        self._groups = groups

    @cached_property
    def rows(self) -> tuple[GroupRow, ...]:
        """The groups, those that need attention first."""
        rows = [
            GroupRow(
                summary=group,
                reason=summary_reason(group, self._view.read_at),
                push=self._view.pushes.get(group.name),
            )
            for group in self._groups
        ]
        return tuple(
            sorted(
                rows,
                key=lambda row: (
                    _URGENT.index(row.state),
                    not row.summary.unavailable,
                    counting_order(row.summary.name),
                ),
            )
        )

    @property
    def states(self) -> Mapping[GroupState, int]:
        """How many groups are in which state, the most urgent first."""
        found = {state: sum(row.state is state for row in self.rows) for state in _URGENT}
        return {state: count for state, count in found.items() if count}
