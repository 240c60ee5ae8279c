"""The thread that reads the cluster for the web page: a mistake in it ends no server."""

from queue import SimpleQueue

from support.group_samples import call
from support.waiting import DEADLINE_S, until
from support.zookeeper import Server
from zkexec.ctl.web.cluster_thread import ClusterThread
from zkexec.ctl.web.cluster_views import Fragments, View
from zkexec.ctl.web.live_subjects import Subject


def test_after_a_mistake_it_connects_again(zookeeper: Server) -> None:
    """A mistake is reported, requests meanwhile do no harm, and the next connection has views."""
    lines: list[str] = []
    views: SimpleQueue[tuple[Subject, View]] = SimpleQueue()

    def make_fragments(_: View) -> Fragments:
        if not lines:
            raise KeyError("a mistake")
        return {}

    thread = ClusterThread(
        call(zookeeper.hosts).connection,
        lines.append,
        make_fragments,
        last_view=lambda _: None,
        on_view=lambda *both: views.put(both),
        on_connection=lambda: None,
    )
    thread.keep_live(frozenset({None}))
    thread.start()
    until(lambda: lines, "the mistake is reported")
    until(lambda: thread.connection.error.startswith("internal error"), "the page can show it")
    thread.keep_live(frozenset({None}))
    subject, view = views.get(timeout=DEADLINE_S)
    thread.stop(DEADLINE_S)

    assert lines == ["internal error: KeyError: 'a mistake'"]
    assert subject is None
    assert view.connection.error == ""
