"""What an Ensemble posts, collected for a test that waits for one thing after the other."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from kazoo.client import KazooClient

from zkexec.core.events import (
    Event,
    ReadFailed,
    SessionConnected,
    SessionSuspended,
    ZnodesRead,
)
from zkexec.core.snapshot import Znode
from zkexec.shell.ensemble import Ensemble

DEADLINE_S = 30.0
Opener = Callable[..., AbstractContextManager[tuple[Ensemble, "News"]]]
"""Opens an Ensemble: `opened(*paths, chroot=...)`; it is connected and ready to read."""
_E = TypeVar("_E", bound=Event)


class News:
    """All events so far, and a mark up to which the test has looked at them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._mark = 0
        self._came = threading.Condition()
        self._reads = 0

    def post(self, event: Event) -> None:
        """Take an event, from any thread."""
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    def next(self, kind: type[_E], **fields: object) -> _E:
        """The next event of this kind with these fields; what came before it is passed over."""
        end = time.monotonic() + DEADLINE_S
        with self._came:
            while True:
                for index in range(self._mark, len(self.events)):
                    event = self.events[index]
                    if isinstance(event, kind) and all(
                        getattr(event, name) == value for name, value in fields.items()
                    ):
                        self._mark = index + 1
                        return event
                if not self._came.wait(end - time.monotonic()):
                    raise TimeoutError(f"no {kind.__name__} {fields} in {self.events[-50:]}")

    def since_mark(self, kind: type[_E]) -> list[_E]:
        """The events of this kind that came after the one looked at last."""
        with self._came:
            return [event for event in self.events[self._mark :] if isinstance(event, kind)]

    def answer(self, ensemble: Ensemble) -> ZnodesRead | ReadFailed:
        """Ask for a read with a fresh number, and return its answer."""
        self._reads += 1
        number = self._reads
        with self._came:
            asked = len(self.events)
        ensemble.read(number)
        end = time.monotonic() + DEADLINE_S
        with self._came:
            while True:
                for event in self.events[asked:]:
                    if isinstance(event, ZnodesRead | ReadFailed) and event.number == number:
                        return event
                if not self._came.wait(end - time.monotonic()):
                    raise TimeoutError(f"read {number} was not answered: {self.events[-50:]}")

    def read(self, ensemble: Ensemble) -> dict[str, Znode]:
        """The znodes, where the read has to succeed."""
        answer = self.answer(ensemble)
        if isinstance(answer, ReadFailed):
            raise AssertionError(f"the read failed: {answer.reason}")
        return dict(answer.znodes)

    def contents(self, ensemble: Ensemble) -> dict[str, bytes]:
        """The contents by path, where the read has to succeed."""
        return {path: znode.content for path, znode in self.read(ensemble).items()}


def address(hosts: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"."""
    host, _, port = hosts.rpartition(":")
    return host, int(port)


@contextmanager
def operator(hosts: str) -> Iterator[KazooClient]:
    """A plain client for a few writes, whose session is gone afterwards."""
    client = KazooClient(hosts=hosts, timeout=30.0)
    client.start(timeout=DEADLINE_S)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def ensemble_of(
    *hosts: str, paths: tuple[str, ...] = (), chroot: str = "", session_timeout_s: float = 10.0
) -> Iterator[tuple[Ensemble, News]]:
    """An Ensemble on these servers, opened, and its news; closed in the end."""
    news = News()
    ensemble = Ensemble(
        servers=[address(each) for each in hosts],
        chroot=chroot,
        session_timeout_s=session_timeout_s,
        paths=paths,
        post=news.post,
    )
    ensemble.open()
    try:
        yield ensemble, news
    finally:
        ensemble.close(5.0)


def opener(hosts: str, *, old: bool) -> Opener:
    """Opens Ensembles on these hosts; `old` ones refuse the multi-read at the first read."""

    @contextmanager
    def opened(*paths: str, chroot: str = "") -> Iterator[tuple[Ensemble, News]]:
        with ensemble_of(hosts, paths=paths, chroot=chroot) as (ensemble, news):
            news.next(SessionConnected)
            if old:
                assert isinstance(news.answer(ensemble), ReadFailed)
                news.next(SessionSuspended)
                news.next(SessionConnected)
            yield ensemble, news

    return opened
