"""A cluster that forgot everything: the client is ahead of the server and has to begin again."""

from support.mirrored_host import MirroredHost
from support.posted_events import connected_client
from support.sandbox import Sandbox
from support.zookeeper import Server


def test_a_cluster_that_was_wiped_is_followed(own_zookeeper: Server, sandbox: Sandbox) -> None:
    """A wiped and refilled server refuses the old client; after a minute a new one follows it."""
    with connected_client(own_zookeeper.hosts) as client:
        host = MirroredHost(sandbox, client, "", own_zookeeper.hosts)
        host.create(a=b"one", b=b"one")
        # The client has to have seen a transaction that the new server will not reach.
        for number in range(100):
            client.set("/b", str(number).encode())
        run = host.wrap(names="a b")
        first = host.born()

    own_zookeeper.stop()
    run.until("the command keeps running")
    own_zookeeper.wipe()
    own_zookeeper.start()
    with connected_client(own_zookeeper.hosts) as host.client:
        host.create(a=b"two", b=b"99")
        host.only(first)

        run.until("opening a new session", deadline_s=120)
        assert host.born(2).files == {"a": "two", "b": "99"}
        assert run.end() == 0
