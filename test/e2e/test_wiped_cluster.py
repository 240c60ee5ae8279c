"""A cluster that forgot everything: the client is ahead of the server and has to begin again."""

from e2e.scene import Scene
from e2e.stage import Stage
from news import operator
from zookeeper import Server


def test_a_cluster_that_was_wiped_is_followed(own_zookeeper: Server, stage: Stage) -> None:
    """A wiped and refilled server refuses the old client; after a minute a new one follows it."""
    with operator(own_zookeeper.hosts) as client:
        scene = Scene(stage, client, "", own_zookeeper.hosts)
        scene.create(a=b"one", b=b"one")
        # The client has to have seen a transaction that the new server will not reach.
        for number in range(100):
            client.set("/b", str(number).encode())
        run = scene.wrap(names="a b")
        first = scene.born()

    own_zookeeper.stop()
    run.line("the command is left alone")
    own_zookeeper.wipe()
    own_zookeeper.start()
    with operator(own_zookeeper.hosts) as scene.client:
        scene.create(a=b"two", b=b"99")
        scene.only(first)

        run.line("beginning again with a new session", patience_s=120)
        assert scene.born(2).files == {"a": "two", "b": "99"}
        assert run.end() == 0
