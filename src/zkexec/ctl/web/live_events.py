"""The stream of changes to an open page: server-sent events, each with the parts that have changed.

A browser that is slow gets fewer and larger changes: it is sent the next one after it has taken the
last one.  So no more than one is in memory for each.
"""

from collections.abc import AsyncIterator, Callable

from zkexec.ctl.web.cluster_views import View
from zkexec.ctl.web.live_subjects import Subject
from zkexec.ctl.web.view_board import ViewBoard
from zkexec.frozen import replace

KEEP_ALIVE_S = 15.0
"""A comment is sent this often, so that proxies keep the connection."""
RETRY_MS = 2000
"""After this time a browser connects again."""

_KEEP_ALIVE = b": \n\n"
_LOGIN = b"event: login\ndata: \n\n"


async def live_events(
    board: ViewBoard, subject: Subject, shown: str, may_read: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield the changes of a subject to a browser that shows these fragments.

    It ends with the server, and when the browser `may_read` no more.
    """
    async with board.live(subject):
        view = await board.view(subject)
        yield f"retry: {RETRY_MS}\n\n".encode()
        if view.fingerprint != shown:
            nothing: View = replace(view, fragments={})
            yield _event(board.changes(subject, nothing, view), view)
        while not board.is_closed:
            newest = await board.newer(subject, view, KEEP_ALIVE_S)
            if not may_read():
                yield _LOGIN
                return
            text = "" if newest is view else board.changes(subject, view, newest)
            if text:
                yield _event(text, newest)
            elif newest is view:
                yield _KEEP_ALIVE
            view = newest


def _event(text: str, view: View) -> bytes:
    return f"id: {view.fingerprint}\nevent: fragments\ndata: {text or '{}'}\n\n".encode()
