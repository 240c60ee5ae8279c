"""What an operator reads about an approval: what it did to the hold, and what else keeps members.

The other messages are checked with the operations that print them.
"""

import re

import pytest

from support.steering_samples import CRASH, HELD, HOLD, PAUSED, THEN
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.ctl.command import steer_messages
from zkexec.frozen import replace

ENTRY = AuditEntry("approve", "bob@dale", "fine", "t1", at=THEN)
SINCE = r"by ann@hill since 2020-09-1\S+ \S+ \S+"


def held(amount: int, *, percent: bool = False, members: int = 20) -> RolloutRecord:
    """Make a record with a hold after this many of the living members."""
    hold = replace(HOLD, after=MaxUnavailable(amount, percent))
    return replace(HELD, hold=hold, population=Population(members))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            held(1),
            RolloutRecord(),
            f"approved: all members follow; it was held after 1 member {SINCE}: more cache",
        ),
        (
            RolloutRecord(hold=replace(HOLD, after=MaxUnavailable(5, percent=True), reason="")),
            RolloutRecord(),
            f"approved: all members follow; it was held after 5% of the members {SINCE}",
        ),
        (
            held(2),
            held(50, percent=True),
            (
                r"approved: members follow until 50% of the members \(10 of 20\) have the new "
                f"version; it was 2 members, held {SINCE}: more cache"
            ),
        ),
        (RolloutRecord(), RolloutRecord(), "approved: all members follow"),
        (
            RolloutRecord(),
            held(3),
            "approved: members follow until 3 members have the new version",
        ),
        (
            RolloutRecord(),
            replace(PAUSED, versions=CRASH),
            (
                f"approved: all members follow; but paused {SINCE}: lunch; but version d1 failed "
                r"on m1 \(exit status 3\)"
            ),
        ),
    ],
)
def test_an_approval_is_reported(
    before: RolloutRecord, after: RolloutRecord, expected: str
) -> None:
    """The message has the new limit, the hold as it was, and what still keeps members."""
    message = steer_messages.done(ENTRY, before, after, alive=20)

    assert re.fullmatch(expected, message)


@pytest.mark.parametrize(
    ("objection", "record", "expected"),
    [
        (Objection.NOT_HELD, RolloutRecord(), "not held"),
        (
            Objection.NOT_HELD,
            RolloutRecord(audit=(ENTRY,)),
            r"not held since bob@dale \(2020-09-1\S+ \S+ \S+\) has approved it",
        ),
        (
            Objection.SMALLER,
            held(2),
            (
                f"held after 2 members {SINCE}: more cache; a hold can only be raised: write a "
                "larger --hold=N, or leave it out to let all members follow"
            ),
        ),
        (
            Objection.NOT_HELD,
            RolloutRecord(audit=(ENTRY, replace(ENTRY, operation="undo", by="eve@sea"))),
            r"not held since eve@sea \(2020-09-1\S+ \S+ \S+\) has undone the push",
        ),
        (
            Objection.SAME,
            held(2),
            (
                f"it is 2 already: held after 2 members {SINCE}: more cache; write a larger "
                "--hold=N, or leave it out to let all members follow"
            ),
        ),
        (
            Objection.SMALLER,
            held(50, percent=True),
            rf"held after 50% of the members \(10 of 20\) {SINCE}: more cache; .*",
        ),
    ],
)
def test_a_refused_approval_gets_a_reason(
    objection: Objection, record: RolloutRecord, expected: str
) -> None:
    """The message has the hold as it is, or the operator who has ended it."""
    assert re.fullmatch(expected, steer_messages.objected(objection, record, ENTRY))
