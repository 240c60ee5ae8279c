"""A zkexec that makes a mistake: its first arguments select where it raises an exception.

    faulty_zkexec.py KIND NAME HOW TRIP [zkexec's arguments]

KIND is `event` (the core raises when it is given an event of this class), `caretaker` (the same,
and the caretaker fails as well), `action` (the executor raises when it is to perform an action of
this class), or `done` (it raises after it has performed it).  HOW is `once` or `always`.  Nothing
is raised before the file TRIP exists.  Then an event of the class is posted, or the core is made to
request the action.  If HOW begins with `natural-`, the mistake waits for an event or action that
comes by itself.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from zkexec.core import actions, events
from zkexec.core.caretaker import Caretaker
from zkexec.core.member import Member
from zkexec.core.rollout import group_events
from zkexec.main import main as zkexec
from zkexec.runtime import loop
from zkexec.runtime.executor import Executor

KIND, NAME, HOW, TRIP = sys.argv[1:5]
sys.argv[1:5] = []
POLL_S = 0.01


class MistakeError(Exception):
    """The mistake."""


def sample(owner: Any) -> Any:
    """Make a value of this class; what is in it does not matter."""
    return owner(*[None for _ in owner.__annotations__])


class Fault:
    """When to raise."""

    def __init__(self) -> None:
        """Begin without having raised."""
        self.raised = 0
        self.posted: Any = None
        self.run: Any = None

    def strike(self, kind: str, thing: object) -> None:
        """Raise, if this is the place and the time."""
        wanted = "event" if KIND == "caretaker" else KIND
        if (kind, type(thing).__name__) != (wanted, NAME) or not os.path.exists(TRIP):
            return
        if self.raised and not HOW.endswith("always"):
            return
        self.raised += 1
        raise MistakeError("a mistake of the test")

    def provoke(self) -> None:
        """Wait for the trip, and have the event, or the action, come up."""
        while not os.path.exists(TRIP):
            time.sleep(POLL_S)
        known = {**vars(events), **vars(group_events), **vars(actions)}
        self.posted = events.Tick() if KIND != "event" else sample(known[NAME])
        self.run._inbox.post(self.posted)  # noqa: SLF001 -- no other code needs it

    def asked(self, event: object) -> list[Any]:
        """The action that is to go wrong, as the answer to the event that was posted for it."""
        if KIND == "event" or event is not self.posted or self.posted is None:
            return []
        self.posted = None
        return [sample(getattr(actions, NAME))]


def main() -> None:
    """Put the mistake in, and be zkexec."""
    fault = Fault()
    handle, perform, begin = Member.handle, Executor.perform, loop.MainLoop.__init__

    def wrong_handle(self: Any, event: Any, now: float) -> list[Any]:
        fault.strike("event", event)
        return fault.asked(event) or handle(self, event, now)

    def wrong_perform(self: Any, action: Any) -> Sequence[Any]:
        fault.strike("action", action)
        answers = perform(self, action)
        fault.strike("done", action)
        return answers

    def seen(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        fault.run = self
        if not HOW.startswith("natural-"):
            # Not before all signals are blocked, which are the main thread's business.
            threading.Thread(target=fault.provoke, daemon=True).start()

    def wrong_caretaker(*_: object) -> None:
        raise MistakeError("a mistake of the caretaker")

    if KIND == "caretaker":
        Caretaker.__init__ = wrong_caretaker  # type: ignore[method-assign,assignment]
    Member.handle = wrong_handle  # type: ignore[method-assign]
    Executor.perform = wrong_perform  # type: ignore[method-assign]
    loop.MainLoop.__init__ = seen  # type: ignore[method-assign,assignment]
    loop.FIRST_RETRY_S = 0.2
    zkexec()


if __name__ == "__main__":
    main()
