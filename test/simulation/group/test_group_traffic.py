"""What taking turns costs the servers, counted message by message in groups without faults."""

from simulation.group.measure import measure
from zkexec.core.policy import MaxUnavailable

MOST_REQUESTS = 14


def test_a_turn_costs_the_same_in_a_small_and_in_a_large_group() -> None:
    """A member sends few requests in a rollout, and a hand-over reads as much in any group."""
    small, large = measure(10, MaxUnavailable(1)), measure(60, MaxUnavailable(1))
    assert max(small.requests, large.requests) <= MOST_REQUESTS
    assert large.bytes_per_hand_over <= 1.05 * small.bytes_per_hand_over
