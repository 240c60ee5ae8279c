"""What the core may rely on: each event of a session is compared with what was requested of it.

The core forgives much, as it numbers its requests.  So the checkers of the core would often miss
a session that breaks a promise; here it is noticed.
"""

from simulation.servers.link import Link
from zkexec.core import events
from zkexec.core.events import Event
from zkexec.core.rollout.group_events import ANSWERS
from zkexec.core.snapshot import Problem, Znode

GROUP, INPUTS = "group", "inputs"

Request = tuple[str, int]
"""Of what it is, and its number."""


class ContractViolation(Exception):
    """A session did what it must not do; the text begins with the rule in short."""


class SessionContract:
    """The promises of one session to its core, from one `open()` to `close()`."""

    def __init__(self) -> None:
        """Begin before the session is opened."""
        self.loses_watches = False
        """Whether the servers drop watches, so that a change may go unreported."""
        self._is_open = self._is_connected = False
        self.session = 0
        """The session of which the core knows, 0 for none."""
        self._unanswered: dict[Request, int] = {}
        """Each request, and how many events had been posted by then."""
        self._posted = 0
        self._touched: dict[str, int] = {}
        """Which event was the last that reported a change of a znode."""
        self._known: dict[str, Znode] = {}
        self._known_since = 0
        """What was read last on this connection, and as of which event."""

    def opened(self) -> None:
        """Note that a new session begins, in place of any other."""
        self._is_open, self._is_connected = True, False
        self.session = 0
        self._unanswered.clear()
        self._known.clear()

    def closed(self) -> None:
        """Note that the session is over for the core."""
        self._is_open = False

    def requested(self, of: str, number: int) -> None:
        """Note a request that has to be answered."""
        self._unanswered[of, number] = self._posted

    def posted(self, event: Event, wire: Link | None) -> None:
        """Check an event, and the connection on which it was posted."""
        if not self._is_open:
            raise ContractViolation("silence: an event after the end of the session")
        self._posted += 1
        match event:
            case events.SessionConnected(session):
                self._connected(session)
            case events.SessionSuspended():
                self._demand(self._is_connected, "connections: a loss without a connection")
                self._lost()
            case events.SessionLost():
                self._demand(not self._is_connected, "connections: an expiry before the loss")
                self._lost()
                self.session = 0
            case events.ZnodeTouched(path):
                self._touched[path] = self._posted
            case events.ZnodesRead(number):
                self._read(event, self._answered(INPUTS, number), wire)
            case events.ReadFailed(number):
                self._answered(INPUTS, number)
            case _ if isinstance(event, ANSWERS):
                self._answered(GROUP, event.number)

    def _connected(self, session: int) -> None:
        self._demand(not self._is_connected, "connections: a second one before the loss")
        self._demand(self.session in (0, session), "expiry: another session without a loss")
        self._is_connected, self.session = True, session
        self._known.clear()

    def _lost(self) -> None:
        self._demand(not self._unanswered, "order: a loss before its requests have failed")
        self._is_connected = False

    def _answered(self, of: str, number: int) -> int:
        self._demand((of, number) in self._unanswered, "answers: one to no request")
        return self._unanswered.pop((of, number))

    def _read(self, read: events.ZnodesRead, requested_at: int, wire: Link | None) -> None:
        self._demand(self._is_connected and wire is not None, "answers: one without a connection")
        assert wire is not None
        self._demand(read.zxid >= wire.began_at, "age: a read that is older than its connection")
        for path, znode in read.znodes.items():
            before = self._known.get(path)
            if before is None or self.loses_watches or _is_same(before, znode):
                continue
            is_touched = self._touched.get(path, 0) > self._known_since
            self._demand(is_touched, f"watches: {path} has changed before its watch has fired")
        self._known, self._known_since = dict(read.znodes), requested_at

    @staticmethod
    def _demand(holds: bool, rule: str) -> None:
        if not holds:
            raise ContractViolation(rule)


def _is_same(before: Znode, after: Znode) -> bool:
    """Whether nothing has changed that a watch reports: a permission is no such thing."""
    if Problem.FORBIDDEN in (before.problem, after.problem):
        return True
    return (before.mzxid, before.problem) == (after.mzxid, after.problem)
