"""The connection of one member, on which a test plays faults: a proxy before each server.

A request is recognised by its opcode and its paths.  One that makes a queue node is a join; one
that makes or changes an entry of a member in flight, or the decisions, is a commit; a commit that
deletes queue nodes is an admission.
"""

import threading
from collections.abc import Callable, Sequence

from support.proxy import Proxy, Request, Treatment, Way, pass_all

CREATE, DELETE, SET, TRANSACTION, CREATE_TOLD = 1, 2, 5, 14, 15
WRITES = frozenset({CREATE, DELETE, SET, TRANSACTION, CREATE_TOLD})
# A reply that is kept back has been sent long before that.
_CUT_AFTER_S = 0.25

Kind = Callable[[Request], bool]


def is_write(request: Request) -> bool:
    """Whether a request changes anything."""
    return request.opcode in WRITES


def is_join(request: Request) -> bool:
    """Whether a request makes a queue node."""
    makes = request.opcode in (CREATE, CREATE_TOLD, TRANSACTION)
    return makes and b"/queue/q-" in request.body and not is_commit(request)


def is_delete(request: Request) -> bool:
    """Whether a request deletes one node."""
    return request.opcode == DELETE


def is_transaction(request: Request) -> bool:
    """Whether a request is a transaction."""
    return request.opcode == TRANSACTION


def is_admission(request: Request) -> bool:
    """Whether a request admits members: their queue nodes go."""
    return is_commit(request) and b"/queue/q-" in request.body


def is_commit(request: Request) -> bool:
    """Whether a request changes the group's record."""
    is_of_record = b"/state" in request.body or b"/in_flight/" in request.body
    return is_transaction(request) and is_of_record


def is_later_commit(request: Request) -> bool:
    """Whether a request changes the group's record otherwise than by an admission."""
    return is_commit(request) and not is_admission(request)


class Link:
    """The proxies of one member, of which all do the same; `hosts` is for its `--cluster`."""

    def __init__(self, ports: Sequence[int]) -> None:
        """Pass everything on to the servers at these ports at first."""
        self._proxies = [Proxy(port) for port in ports]
        self.hosts = ",".join(proxy.hosts for proxy in self._proxies)
        self.sent: list[Request] = []
        """All writes of the member so far."""
        self._hook: Callable[[Request], Treatment] = pass_all
        for proxy in self._proxies:
            proxy.on_request = self._see

    def _see(self, request: Request) -> Treatment:
        if is_write(request):
            self.sent.append(request)
        return self._hook(request)

    def lose_reply(self, kind: Kind, *, skip: int = 0, cut: bool = True) -> threading.Event:
        """Keep back the reply to one request of this kind, after `skip` others; set when done.

        With `cut`, the connection breaks soon after, as it does where a reply is really lost;
        without, nothing else happens.
        """
        return self._once(kind, skip, lambda: self._keep_back(cut=cut))

    def on(self, kind: Kind, act: Callable[[], None]) -> threading.Event:
        """Do something when the next request of this kind comes, before it is passed on."""

        def pass_on() -> Treatment:
            act()
            return Treatment.PASS_ON

        return self._once(kind, 0, pass_on)

    def _once(self, kind: Kind, skip: int, act: Callable[[], Treatment]) -> threading.Event:
        done = threading.Event()
        left = [skip]

        def see(request: Request) -> Treatment:
            if done.is_set() or not kind(request):
                return Treatment.PASS_ON
            left[0] -= 1
            if left[0] >= 0:
                return Treatment.PASS_ON
            done.set()
            return act()

        self._hook = see
        return done

    def _keep_back(self, *, cut: bool) -> Treatment:
        if cut:
            timer = threading.Timer(_CUT_AFTER_S, self.cut)
            timer.daemon = True
            timer.start()
        return Treatment.LOSE_REPLY

    def black_hole(self, *ways: Way) -> None:
        """Swallow everything from now on, on these ways (both if none is named)."""
        for proxy in self._proxies:
            proxy.black_hole(*ways)

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        for proxy in self._proxies:
            proxy.cut()

    def refuse(self) -> None:
        """Reset every connection and take no new ones."""
        for proxy in self._proxies:
            proxy.refuse()

    def heal(self) -> None:
        """Pass everything on again."""
        for proxy in self._proxies:
            proxy.heal()

    def close(self) -> None:
        """Stop for good."""
        for proxy in self._proxies:
            proxy.close()
