"""Both kinds of a member's cluster agree: the same script gives the same events.

Most seeds of the simulations have a model in the place of the product's session.  Here that model
is compared with the session, so that what it assumes of the client is known to be true.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from simulation.clock import Clock
from simulation.cluster_model import ClusterModel
from simulation.ensemble_model import EnsembleModel
from simulation.wire.wire_cluster import WireCluster
from zkexec.core.events import (
    ConnectFailed,
    Event,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Problem

PATHS = ("/a", "/b")
POLICY = Policy(
    inputs=InputOptions(mirrors=tuple(Mirror(f"/file{path}", path) for path in PATHS)),
    session_timeout_s=10.0,
)
STEP_S, SHORT_STEP_S = 30.0, 2.0

Step = Callable[["Listener"], None]


@dataclass
class Seen:
    """What has happened in one step: to the session, to znodes, and what was read last.

    The order of two watches that fire at once, and how often something was read, are left open.
    """

    session: list[str]
    touched: set[str]
    read: str


class Listener:
    """The least that a core does: it reads after a connection and after each change."""

    def __init__(self, make_cluster: Callable[..., ClusterModel], seed: int) -> None:
        """Connect."""
        self.clock = Clock()
        self.cluster = make_cluster(self.clock, Random(seed), PATHS, self._take)
        self.seen = Seen([], set(), "")
        self._number = 0
        self._reading = self._is_stale = False
        self._sessions: list[int] = []
        self.cluster.open_session()

    def run(self, step: Step, lasts_s: float) -> Seen:
        """Let a step of the script happen, and all that follows from it → what was seen."""
        self.seen = Seen([], set(), "")
        step(self)
        until = self.clock.now + lasts_s
        while (entry := self.clock.next_entry) is not None and entry <= until:
            self.clock.run_entry()
        self.clock.advance(until)
        return self.seen

    def _take(self, event: Event) -> None:
        match event:
            case SessionConnected(session):
                is_known = session in self._sessions
                self._sessions.append(session)
                self.seen.session.append(
                    f"connected with {'the same' if is_known else 'a new'} session"
                )
                self._read()
            case SessionSuspended():
                self._reading = False
                self.seen.session.append("connection lost")
            case SessionLost():
                self.seen.session.append("session lost")
            case ConnectFailed():
                pass
            case ZnodeTouched(path):
                self.seen.touched.add(path)
                self._is_stale = self._reading
                if not self._reading:
                    self._read()
            case ZnodesRead(number) if number == self._number:
                self._finish(event)

    def _read(self) -> None:
        self._number += 1
        self._reading, self._is_stale = True, False
        self.cluster.read(self._number)

    def _finish(self, event: ZnodesRead) -> None:
        self._reading = False
        assert self.cluster.reads[event.number] == self.cluster.present
        if self._is_stale:
            self._read()
            return
        found = [f"{p} {z.problem.value if z.problem else z.content!r} version {z.version}"
                 for p, z in sorted(event.znodes.items())]  # fmt: skip
        self.seen.read = ", ".join(found)


def write(**contents: bytes | Problem) -> Step:
    """Write some znodes in one transaction."""
    changes = {f"/{name}": content for name, content in contents.items()}
    return lambda listener: listener.cluster.write(changes)


def suspend(outage_s: float, *, expires: bool) -> Step:
    """Break the connection for a while."""
    return lambda listener: listener.cluster.suspend(outage_s, expires=expires)


def rearm(listener: Listener) -> None:
    """Set all watches again."""
    listener.cluster.rearm()


def refuse(listener: Listener) -> None:
    """Refuse the session for ever, and break its connection."""
    listener.cluster.refuse_client()
    listener.cluster.suspend(1.0, expires=False)


def renew(listener: Listener) -> None:
    """Begin with a new session."""
    listener.cluster.open_session()


def cut_off(listener: Listener) -> None:
    """Take the way to the servers away, and break the connection."""
    listener.cluster.reachable = False
    listener.cluster.suspend(1.0, expires=False)


def return_to_reach(listener: Listener) -> None:
    """Give the way to the servers back."""
    listener.cluster.reachable = True


def nothing(_: Listener) -> None:
    """Let time pass."""


STEPS: dict[str, Step] = {
    "begin": nothing,
    "create": write(a=b"1", b=b"1"),
    "write one": write(a=b"2"),
    "write both": write(a=b"3", b=b"3"),
    "write the same": write(a=b"3"),
    "delete one": write(b=Problem.MISSING),
    "arm again": rearm,
    "create it again": write(b=b"4"),
    "break the connection": suspend(1.0, expires=False),
    "write after that": write(a=b"5"),
    "break it for long": suspend(8.0, expires=True),
    "write in the new session": write(b=b"6"),
    "cut it off": cut_off,
    "write meanwhile": write(a=b"7"),
    "bring it back": return_to_reach,
    "refuse the session": refuse,
    "renew it": renew,
    "write at the end": write(a=b"8", b=b"8"),
}

SHORT = ("cut it off", "write meanwhile")
"""Steps that together last no longer than the session."""


@pytest.mark.parametrize("seed", range(5))
def test_the_model_and_the_session_report_the_same(seed: int) -> None:
    """Each step of a script has the same consequences for the core with either kind."""
    model = Listener(EnsembleModel, seed)
    session = Listener(partial(WireCluster, POLICY), seed)
    assert isinstance(session.cluster, WireCluster)
    # What an old server does to the first read, and a black hole, is the session's alone.
    session.cluster.servers.lacks_multi_read = False
    session.cluster.black_holes = 0.0
    for name, step in STEPS.items():
        lasts_s = SHORT_STEP_S if name in SHORT else STEP_S
        assert session.run(step, lasts_s) == model.run(step, lasts_s), name
        assert session.cluster.state == model.cluster.state, name
