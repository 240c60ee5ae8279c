"""A member's way to the cluster, on which faults are played: a proxy before each server.

The rules of this file:

- What is done to a Link is done to all of its proxies, and so is what the member sends shown
  to one hook, whichever server it goes to.
- A request is known by its opcode and by the paths in it: a queue node is made by a transaction
  without the record, a turn is admitted by one that deletes that node, and ends by one that does
  not.
"""

import threading
from collections.abc import Callable, Sequence

from proxy import Fate, Proxy, Request, Way, pass_all

CREATE, DELETE, SET, TRANSACTION, CREATE_TOLD = 1, 2, 5, 14, 15
WRITES = frozenset({CREATE, DELETE, SET, TRANSACTION, CREATE_TOLD})
# A reply that is kept back has been sent long before that.
_CUT_AFTER_S = 0.25

Kind = Callable[[Request], bool]


def is_write(request: Request) -> bool:
    """Whether a request changes anything."""
    return request.opcode in WRITES


def is_join(request: Request) -> bool:
    """Whether a request makes a node in the queue; the record stays as it is."""
    return is_transaction(request) and b"/queue/" in request.body and not is_commit(request)


def is_delete(request: Request) -> bool:
    """Whether a request deletes one node."""
    return request.opcode == DELETE


def is_transaction(request: Request) -> bool:
    """Whether a request is a transaction."""
    return request.opcode == TRANSACTION


def is_admission(request: Request) -> bool:
    """Whether a request takes a turn: the record changes, and the queue node goes."""
    return is_commit(request) and b"/queue/" in request.body


def is_commit(request: Request) -> bool:
    """Whether a request changes the group's record."""
    return is_transaction(request) and b"/state" in request.body


def is_later_commit(request: Request) -> bool:
    """Whether a request changes the group's record otherwise than by an admission."""
    return is_commit(request) and not is_admission(request)


class Link:
    """The way of one member; `hosts` is what its `--cluster` is given."""

    def __init__(self, ports: Sequence[int]) -> None:
        """Pass everything on to the servers at these ports until told otherwise."""
        self._proxies = [Proxy(port) for port in ports]
        self.hosts = ",".join(proxy.hosts for proxy in self._proxies)
        self.sent: list[Request] = []
        """All writes of the member so far."""
        self._hook: Callable[[Request], Fate] = pass_all
        for proxy in self._proxies:
            proxy.on_request = self._see

    def _see(self, request: Request) -> Fate:
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

        def pass_on() -> Fate:
            act()
            return Fate.PASS_ON

        return self._once(kind, 0, pass_on)

    def _once(self, kind: Kind, skip: int, act: Callable[[], Fate]) -> threading.Event:
        done = threading.Event()
        left = [skip]

        def see(request: Request) -> Fate:
            if done.is_set() or not kind(request):
                return Fate.PASS_ON
            left[0] -= 1
            if left[0] >= 0:
                return Fate.PASS_ON
            done.set()
            return act()

        self._hook = see
        return done

    def _keep_back(self, *, cut: bool) -> Fate:
        if cut:
            timer = threading.Timer(_CUT_AFTER_S, self.cut)
            timer.daemon = True
            timer.start()
        return Fate.LOSE_REPLY

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
