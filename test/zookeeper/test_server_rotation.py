"""Which server is tried next, and the pauses between the rounds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.zookeeper.server_rotation import (
    BackOff,
    ServerAddress,
    ServerRotation,
    attempt_limit_s,
)

SERVERS = (("a", 2181), ("b", 2181), ("a", 2182), ("a", 2181))
ADDRESSES = {"a": ["10.0.0.1", "10.0.0.2"], "b": ["10.0.0.3"]}
ALL = {
    *(ServerAddress("a", "10.0.0.1", 2181), ServerAddress("a", "10.0.0.2", 2181)),
    *(ServerAddress("a", "10.0.0.1", 2182), ServerAddress("a", "10.0.0.2", 2182)),
    ServerAddress("b", "10.0.0.3", 2181),
}


def taken(rotation: ServerRotation) -> list[ServerAddress]:
    """All servers of a round, in the order in which they are tried."""
    servers = []
    while (server := rotation.take()) is not None:
        servers.append(server)
        assert rotation.is_last == (len(servers) == len(ALL))
    return servers


@examples(50)
@given(st.randoms(use_true_random=False))
def test_each_address_is_tried_once_a_round(chance: random.Random) -> None:
    """Every address of every server is tried once, and the last one is known as such."""
    servers = taken(ServerRotation(SERVERS, ADDRESSES, chance.random))

    assert len(servers) == len(ALL)
    assert set(servers) == ALL


def test_the_order_is_random() -> None:
    """Clients begin with different servers, each about equally often."""
    chance = random.Random(1)
    firsts = [ServerRotation(SERVERS, ADDRESSES, chance.random).take() for _ in range(500)]

    assert {server for server in ALL if firsts.count(server) > 50} == ALL


def test_a_name_without_an_address_is_left_out() -> None:
    """A round without any address is over at once."""
    rotation = ServerRotation(SERVERS, {"b": []}, lambda: 0.5)

    assert rotation.take() is None
    assert rotation.is_last


def test_a_server_is_named_for_a_person() -> None:
    """A server is named as it was given, with its address if that is another one."""
    assert ServerAddress("zk1", "10.0.0.1", 2181).named == "zk1:2181 (10.0.0.1)"
    assert ServerAddress("10.0.0.1", "10.0.0.1", 2181).named == "10.0.0.1:2181"
    assert ServerAddress("::1", "::1", 2181).named == "[::1]:2181"


@pytest.mark.parametrize(("session_timeout_s", "limit_s"), [(3.0, 1.0), (9.0, 3.0), (60.0, 3.0)])
def test_no_server_costs_much_time(session_timeout_s: float, limit_s: float) -> None:
    """An attempt takes a third of the session timeout at most, and never over three seconds."""
    assert attempt_limit_s(session_timeout_s) == limit_s


@examples(50)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(ALL, key=repr)))
def test_the_server_that_was_lost_comes_last(chance: random.Random, lost: ServerAddress) -> None:
    """Whatever chance has in store, a server that was lost is tried after all others."""
    servers = taken(ServerRotation(SERVERS, ADDRESSES, chance.random, lost))

    assert servers[-1] == lost
    assert set(servers) == ALL


def test_pauses_grow_until_a_connection_succeeds() -> None:
    """Each pause is twice as long as the one before, up to the limit, until a success."""
    pauses = BackOff(0.1, lambda: 1.0)
    assert [pauses.pause_s(1.0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert [pauses.pause_s(3.0) for _ in range(3)] == [2.0, 3.0, 3.0]

    pauses.succeeded()
    assert pauses.pause_s(3.0) == 0.1


def test_a_first_pause_respects_the_limit() -> None:
    """If the first pause would be longer than the longest one, that is taken."""
    pauses = BackOff(5.0, lambda: 1.0)

    assert [pauses.pause_s(1.0) for _ in range(3)] == [1.0, 1.0, 1.0]


@examples(100)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8))
def test_pauses_differ_between_clients(chances: list[float]) -> None:
    """A pause is between half of its length and all of it, as chance has it."""
    rest = iter(chances)
    pauses = BackOff(0.1, lambda: next(rest))

    for number, chance in enumerate(chances):
        full_s = min(0.1 * 2**number, 1.0)
        assert pauses.pause_s(1.0) == pytest.approx(full_s / 2 + full_s / 2 * chance)
