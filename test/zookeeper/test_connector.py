"""Rounds of attempts to connect: their order, what each costs, and the pauses between them."""

import itertools
from collections.abc import Callable
from errno import EMFILE
from select import POLLIN, POLLOUT

import pytest

from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.connector import Connector
from zookeeper.simulated_network import BEGIN, SimulatedNetwork

Simulated = Callable[..., SimulatedNetwork]
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


class Rounds:
    """A connector that is advanced whenever its deadline has come, and what it reports."""

    def __init__(
        self,
        network: SimulatedNetwork,
        *hosts: str,
        session_timeout_s: float = 9.0,
        longest_pause_s: float = 1.0,
    ) -> None:
        settings = ClientSettings(
            servers=tuple((host, 2181) for host in hosts),
            session_timeout_s=session_timeout_s,
            longest_pause_s=longest_pause_s,
        )
        self.network = network
        self.reported: list[tuple[float, str, bool]] = []
        self.connector = Connector(settings, network, self._report)
        self.connector.start(network.now())

    def advance(self, until: float) -> ServerConnection | None:
        """Let time pass until there is a connection, or to the end of it."""
        until += BEGIN
        while True:
            connection = self.connector.advance(self.network.now())
            due = self.connector.deadline
            if connection is not None or due is None or due >= until:
                break
            self.network.time = max(self.network.time, due)
        if connection is None:
            self.network.time = until
        return connection

    def connected(self) -> ServerConnection:
        """Let time pass until there is a connection."""
        connection = self.advance(1e6)
        assert connection is not None
        return connection

    @property
    def reasons(self) -> list[str]:
        """What was reported, without the times."""
        return [reason for _, reason, _ in self.reported]

    def pauses_s(self) -> list[float]:
        """The times between the rounds, each of which is one attempt."""
        times = [time for time, _, _ in self.reported]
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def _report(self, reason: str, is_last: bool) -> None:
        self.reported.append((self.network.time - BEGIN, reason, is_last))


def refusing(network: SimulatedNetwork) -> None:
    """Let all servers refuse."""
    for server in network.servers.values():
        server.is_refusing = True


def test_a_server_that_accepts_is_connected_at_once(simulated: Simulated) -> None:
    """The first attempt begins with the first call, and gives the connection."""
    rounds = Rounds(simulated("10.0.0.1"), "10.0.0.1")
    connection = rounds.connected()

    assert rounds.network.time == BEGIN
    assert connection is rounds.network.attempts[0]
    assert connection.deadline == BEGIN + 3.0
    assert (rounds.connector.deadline, rounds.connector.descriptor) == (None, None)
    assert rounds.connector.advance(BEGIN + 100) is None
    assert rounds.reported == []


def test_the_order_differs_between_clients(simulated: Simulated) -> None:
    """Each server is the first one for some clients."""
    firsts = {
        Rounds(simulated(*HOSTS, seed=seed), *HOSTS).connected().server.host for seed in range(40)
    }

    assert firsts == set(HOSTS)


def test_the_last_failure_of_a_round_is_marked(simulated: Simulated) -> None:
    """In each round every server is tried once, and only the last is reported as such."""
    network = simulated(*HOSTS)
    refusing(network)
    rounds = Rounds(network, *HOSTS)
    rounds.advance(0.5)

    assert len(rounds.reported) >= 6
    for number in range(0, len(rounds.reported) - 2, 3):
        of_round = rounds.reported[number : number + 3]
        assert {reason for _, reason, _ in of_round} == {
            f"{host}:2181: Connection refused" for host in HOSTS
        }
        assert [is_last for _, _, is_last in of_round] == [False, False, True]


@pytest.mark.parametrize(("session_timeout_s", "cost_s"), [(3.0, 1.0), (9.0, 3.0), (600.0, 3.0)])
def test_a_mute_server_costs_little_time(
    simulated: Simulated, session_timeout_s: float, cost_s: float
) -> None:
    """A server that does not answer costs a third of the session timeout, three seconds at most."""
    network = simulated(*HOSTS)
    network.servers["10.0.0.1", 2181].is_mute = True
    network.servers["10.0.0.2", 2181].is_mute = True
    rounds = Rounds(network, *HOSTS, session_timeout_s=session_timeout_s)
    connection = rounds.connected()

    assert connection.server.host == "10.0.0.3"
    assert network.time - BEGIN == pytest.approx(cost_s * len(rounds.reported))
    assert rounds.reported, "a mute server was tried first"
    assert all(reason.endswith("the server does not answer") for reason in rounds.reasons)
    assert [one.is_closed for one in network.attempts] == [True] * len(rounds.reported) + [False]


def test_what_is_polled(simulated: Simulated) -> None:
    """A lookup is polled for reading, an attempt for writing until it is open."""
    network = simulated("10.0.0.1")
    network.names["zk"] = ["10.0.0.1"]
    network.lookup_s["zk"] = 1.0
    network.servers["10.0.0.1", 2181].is_mute = True
    rounds = Rounds(network, "zk")
    found = [(rounds.connector.deadline, rounds.connector.descriptor)]
    rounds.advance(0.5)
    found.append((rounds.connector.deadline, rounds.connector.descriptor))
    network.time = BEGIN + 1.0
    rounds.connector.advance(network.now())
    found.append((rounds.connector.deadline, rounds.connector.descriptor))

    assert found == [
        (BEGIN, None),
        (BEGIN + 3.0, (network.descriptor, POLLIN)),
        (BEGIN + 4.0, (network.descriptor, POLLOUT)),
    ]


def test_an_attempt_that_awaits_reading_is_polled_for_that(simulated: Simulated) -> None:
    """During a handshake of TLS, an attempt is polled for what it awaits."""
    network = simulated("10.0.0.1")
    network.servers["10.0.0.1", 2181].is_mute = True
    rounds = Rounds(network, "10.0.0.1")
    rounds.advance(0.5)
    network.attempts[0].is_open = True

    assert rounds.connector.descriptor == (network.descriptor, POLLIN)


def test_names_are_resolved_anew_for_each_round(simulated: Simulated) -> None:
    """A name that has another address in the next round is connected there."""
    network = simulated("10.0.0.1", "10.0.0.2")
    network.servers["10.0.0.1", 2181].is_refusing = True
    network.names["zk"] = ["10.0.0.1"]
    rounds = Rounds(network, "zk")
    rounds.advance(0.01)
    assert rounds.reasons == ["zk:2181 (10.0.0.1): Connection refused"]
    network.names["zk"] = ["10.0.0.2"]

    assert rounds.connected().server.named == "zk:2181 (10.0.0.2)"
    assert [one.is_closed for one in network.lookups] == [True, True]


def test_all_addresses_of_a_name_are_tried(simulated: Simulated) -> None:
    """A name with several addresses has failed only if all of them have."""
    network = simulated(*HOSTS)
    refusing(network)
    network.names["zk"] = list(HOSTS)
    rounds = Rounds(network, "zk")
    rounds.advance(0.01)

    assert [is_last for _, _, is_last in rounds.reported] == [False, False, True]


def test_names_without_an_address_are_a_round(simulated: Simulated) -> None:
    """If no name can be resolved, each is reported with its reason, and the last as such."""
    network = simulated()
    network.names = {"a": "not known", "b": ()}
    rounds = Rounds(network, "a", "b")
    rounds.advance(0.01)
    assert rounds.reported == [
        (0.0, "a:2181: cannot be resolved (not known)", False),
        (0.0, "b:2181: cannot be resolved (no answer within 3 s)", True),
    ]

    rounds.advance(10.0)
    assert len(rounds.reported) > 10


def test_a_name_that_is_not_known_leaves_the_others(simulated: Simulated) -> None:
    """A name without an address is reported, and the other servers are connected."""
    network = simulated("10.0.0.1")
    network.names = {"a": "not known"}
    rounds = Rounds(network, "a", "10.0.0.1")

    assert rounds.connected().server.host == "10.0.0.1"
    assert rounds.reported == [(0.0, "a:2181: cannot be resolved (not known)", False)]


def test_a_mute_name_costs_as_much_as_a_mute_server(simulated: Simulated) -> None:
    """If nothing answers for one name, the servers of the others are used after a short time."""
    network = simulated("10.0.0.1")
    network.lookup_s["mute"] = 1e9
    rounds = Rounds(network, "mute", "10.0.0.1", session_timeout_s=6.0)

    assert rounds.connected().server.host == "10.0.0.1"
    assert rounds.reported == [(2.0, "mute:2181: cannot be resolved (no answer within 2 s)", False)]


@pytest.mark.parametrize("lookup_s", [3.01, 4.0, 7.0])
def test_a_slow_lookup_serves_the_next_round(simulated: Simulated, lookup_s: float) -> None:
    """A lookup that takes longer than one round is used by a later one, also if it ends between."""
    network = simulated("10.0.0.1")
    network.names["slow"] = ["10.0.0.1"]
    network.lookup_s["slow"] = lookup_s
    rounds = Rounds(network, "slow")
    rounds.advance(3.005)
    assert rounds.reasons == ["slow:2181: cannot be resolved (no answer within 3 s)"]

    assert rounds.connected().server.host == "slow"
    assert len(network.lookups) == 1
    assert network.lookups[0].is_closed


def test_a_slow_lookup_serves_no_later_time(simulated: Simulated) -> None:
    """A lookup that has ended during a connection of use is too old for the next round."""
    network = simulated("10.0.0.1", "10.0.0.2")
    network.names["slow"] = ["10.0.0.2"]
    network.lookup_s["slow"] = 4.0
    rounds = Rounds(network, "slow", "10.0.0.1")
    connection = rounds.connected()
    assert connection.server.host == "10.0.0.1"
    network.time += 1000.0
    network.lookup_s["slow"] = 0.0
    network.names["slow"] = "not known"
    refusing(network)
    rounds.connector.lost(connection, network.now())
    rounds.advance(1004.0)

    assert len(network.lookups) > 1
    assert "slow:2181: cannot be resolved (not known)" in rounds.reasons


def test_a_lookup_that_goes_on_serves_the_connection_after_next(simulated: Simulated) -> None:
    """A name that stays mute has one lookup, however many connections are lost meanwhile."""
    network = simulated("10.0.0.1")
    network.lookup_s["mute"] = 1e9
    rounds = Rounds(network, "mute", "10.0.0.1")
    for _ in range(5):
        connection = rounds.connected()
        rounds.connector.lost(connection, network.now())

    assert len(network.lookups) == 1


def test_pauses_grow_up_to_the_longest(simulated: Simulated) -> None:
    """After refused connections each pause is about twice the one before, a second at most."""
    network = simulated("10.0.0.1")
    refusing(network)
    rounds = Rounds(network, "10.0.0.1")
    rounds.advance(60.0)

    pauses = rounds.pauses_s()
    for pause, longest in zip(pauses, [0.1, 0.2, 0.4, 0.8], strict=False):
        assert longest / 2 <= pause <= longest
    assert all(0.5 <= pause <= 1.0 for pause in pauses[4:])
    assert len(set(pauses[4:])) > 10, "they differ"


def test_the_longest_pause_is_that_of_the_settings(simulated: Simulated) -> None:
    """If the cluster is not needed, the pauses grow up to those that the settings allow."""
    network = simulated("10.0.0.1")
    refusing(network)
    rounds = Rounds(network, "10.0.0.1", longest_pause_s=30.0)
    rounds.advance(1000.0)

    assert max(rounds.pauses_s()) > 20.0
    assert max(rounds.pauses_s()) <= 30.0


@pytest.mark.parametrize(
    ("session_timeout_s", "longest_s"), [(1.5, 1.0), (9.0, 3.0), (12.0, 4.0), (600.0, 5.0)]
)
def test_pauses_after_dropped_connections_are_longer(
    simulated: Simulated, session_timeout_s: float, longest_s: float
) -> None:
    """A server that accepts and drops is tried every few seconds, within the session timeout."""
    network = simulated("10.0.0.1")
    rounds = Rounds(network, "10.0.0.1", session_timeout_s=session_timeout_s)
    for _ in range(60):
        rounds.connector.refused(rounds.connected(), "it hangs up", network.now())

    assert set(rounds.reported) == {
        (time, "10.0.0.1:2181: it hangs up", True) for time, _, _ in rounds.reported
    }
    longest = max(rounds.pauses_s())
    assert 0.8 * longest_s < longest <= longest_s


def test_a_refused_connection_has_the_next_server_tried(simulated: Simulated) -> None:
    """A server that is of no use is closed and reported, and the round goes on at once."""
    network = simulated(*HOSTS)
    rounds = Rounds(network, *HOSTS)
    for _ in HOSTS:
        rounds.connector.refused(rounds.connected(), "no", network.now())

    assert {one.server.host for one in network.attempts} == set(HOSTS)
    assert [is_last for _, _, is_last in rounds.reported] == [False, False, True]
    assert network.time == BEGIN


@pytest.mark.parametrize(("lasted_s", "is_short"), [(4.9, False), (5.0, True)])
def test_only_a_connection_that_lasted_makes_the_pauses_short(
    simulated: Simulated, lasted_s: float, is_short: bool
) -> None:
    """After a connection of use that lasted, the pause is the shortest again."""
    network = simulated("10.0.0.1")
    rounds = Rounds(network, "10.0.0.1")
    for _ in range(8):
        connection = rounds.connected()
        rounds.connector.lost(connection, network.now())
    connection = rounds.connected()
    network.time += lasted_s
    before = network.now()
    rounds.connector.lost(connection, before)
    rounds.connected()

    pause_s = network.time - before
    assert (pause_s <= 0.1) == is_short
    assert is_short or 1.5 <= pause_s <= 3.0


@pytest.mark.parametrize(
    ("shortage", "reason"),
    [
        (OSError(EMFILE, "Too many open files"), "Too many open files"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
    ],
)
def test_a_host_without_anything_to_spare_tries_again(
    simulated: Simulated, shortage: OSError | MemoryError | RuntimeError, reason: str
) -> None:
    """If a lookup cannot begin, the round has failed, and a later one succeeds."""
    network = simulated(*HOSTS)
    network.shortage = shortage
    rounds = Rounds(network, *HOSTS)
    rounds.advance(5.0)
    assert len(rounds.reported) > 5
    assert {(reason, is_last) for _, reason, is_last in rounds.reported} == {
        (f"10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181: {reason}", True)
    }

    network.shortage = None
    assert rounds.connected().server.host in HOSTS


def test_a_host_without_a_socket_to_spare_tries_again(simulated: Simulated) -> None:
    """If an attempt cannot begin, its server has failed, and the next one is tried."""
    network = simulated("10.0.0.1")
    network.names["zk"] = ["10.0.0.1"]
    network.lookup_s["zk"] = 1.0
    rounds = Rounds(network, "zk")
    rounds.advance(0.5)
    network.shortage = OSError(EMFILE, "Too many open files")
    rounds.network.time = BEGIN + 1.0
    rounds.connector.advance(network.now())
    assert rounds.reported == [(1.0, "zk:2181 (10.0.0.1): Too many open files", True)]

    network.shortage = None
    assert rounds.connected().server.host == "zk"


@pytest.mark.parametrize("step", ["pause", "lookup", "attempt"])
def test_stopping_ends_everything(simulated: Simulated, step: str) -> None:
    """After `stop` and `close` nothing is due or polled, and nothing is left open."""
    network = simulated("10.0.0.1")
    server = network.servers["10.0.0.1", 2181]
    server.is_refusing, server.is_mute = step == "pause", True
    network.names["zk"] = ["10.0.0.1"]
    network.lookup_s["zk"] = 1.0 if step == "lookup" else 0.0
    rounds = Rounds(network, "zk")
    rounds.advance(0.01)
    assert rounds.connector.deadline is not None
    rounds.connector.close()

    assert rounds.connector.descriptor is None
    assert rounds.connector.advance(BEGIN + 100) is None
    assert all(one.is_closed for one in network.lookups)
    assert all(one.is_closed for one in network.attempts)
    rounds.connector.close()


def test_a_report_may_begin_anew(simulated: Simulated) -> None:
    """If the one who receives a report starts a new round, the old one is over."""
    network = simulated(*HOSTS)
    refusing(network)
    starts: list[str] = []

    def report(reason: str, _: bool) -> None:
        if not starts:
            starts.append(reason)
            connector.start(network.now())

    settings = ClientSettings(servers=tuple((host, 2181) for host in HOSTS), session_timeout_s=9.0)
    connector = Connector(settings, network, report)
    connector.start(BEGIN)
    connector.advance(BEGIN)

    assert (len(network.attempts), connector.deadline) == (1, BEGIN)
    connector.advance(BEGIN)
    assert len(network.attempts) == 4
