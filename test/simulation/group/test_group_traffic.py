"""What taking turns costs the servers, counted request by request in groups without faults."""

from simulation.group.measure import measure
from zkexec.core.policy import MaxUnavailable

MOST_REQUESTS = 12
MOST_CONFLICTS = 0.05
MOST_WATCHES = 6
LARGEST_RECORD = 2000
TURN_S = 2.5


def test_a_turn_costs_the_same_in_a_small_and_in_a_large_group() -> None:
    """I15: a member sends few requests, and reads as much in a group of any size."""
    small, large = (measure(size, MaxUnavailable(1), TURN_S) for size in (10, 60))
    assert max(small.requests, large.requests) <= MOST_REQUESTS
    assert large.bytes_per_member <= 1.1 * small.bytes_per_member


def test_many_members_in_flight_do_not_cost_more() -> None:
    """I15 and I16: with many in flight there are no conflicts, and few requests and watches."""
    row = measure(100, MaxUnavailable(25), TURN_S)
    assert row.requests <= MOST_REQUESTS
    assert row.conflicts <= MOST_CONFLICTS
    assert row.watches <= MOST_WATCHES
    assert row.largest_record <= LARGEST_RECORD
    assert row.rollout_s <= 1.25 * row.ideal_s
