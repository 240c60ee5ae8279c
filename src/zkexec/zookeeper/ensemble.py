"""The ensemble as the core sees it: one session at a time, reads of all znodes, and the group.

The rules of this file:

- Nothing is ever written to the ensemble but the znodes of the group, where there is one.
- Everything that happens is posted as an event of the core, from kazoo's threads (a refused
  request from the caller's own); `post` must not block, not raise and not call back.
- Watches are hints: a ZnodeTouched or GroupTouched calls for a read that is asked for after it.
  A read that was on its way by then may or may not have seen the change.
- Nothing is posted of a session that was dropped for a new one.
"""

from __future__ import annotations

from zkexec.core.events import ReadFailed
from zkexec.core.rollout.group_actions import GroupRequest, PublishStatus
from zkexec.core.rollout.group_events import GroupRequestFailed
from zkexec.zookeeper import kazoo_import  # noqa: F401 - Before anything else imports kazoo.
from zkexec.zookeeper.link import Manner
from zkexec.zookeeper.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from zkexec.core.events import Event
    from zkexec.group.member_profile import MemberProfile
    from zkexec.zookeeper.link import Link, Steps

LONGEST_PAUSE_S = 1.0
_FAREWELL_S = 1.0


class Ensemble:
    """The servers, and what is wanted of them; at most one session is alive at a time."""

    def __init__(
        self,
        *,
        servers: Sequence[tuple[str, int]],
        chroot: str,
        session_timeout_s: float,
        paths: Sequence[str],
        post: Callable[[Event], None],
    ) -> None:
        """Connect to nothing yet.

        `paths` are absolute, below `chroot` ("" or "/" for none).  ValueError where a path has
        no UTF-8 form.
        """
        self.verbose: Callable[[str], None] | None = None
        """Takes kazoo's log lines, from its threads; set it before `open()`."""
        self.client_options: Mapping[str, object] = {}
        """What kazoo's client is told beside the rest, who we are above all; the same holds."""
        self.group: MemberProfile | None = None
        """The group whose requests are taken, and our place in it; the same holds."""
        self.longest_pause_s = LONGEST_PAUSE_S
        """The longest pause between two rounds of connecting; the same holds."""
        self.session_timeout_s = session_timeout_s
        self.servers = tuple(servers)
        self.chroot = chroot.rstrip("/")
        self.names = {self.chroot + path.rstrip("/") or "/": path for path in paths}
        for path in self.names:
            path.encode()
        self.post = post
        self.manner = Manner()
        self._session: Session | None = None

    def open(self) -> None:
        """Begin to connect with a new client; an earlier one is dropped and told no more of."""
        if self._session is not None:
            self._session.end(_FAREWELL_S, waiting=False)
        self._session = Session(self)
        self._session.start()

    def read(self, number: int) -> None:
        """Arm the missing watches and read all znodes → ZnodesRead or ReadFailed, just one.

        Nothing is answered after another `open()` or `close()`.  Returns at once.
        """
        if self._session is None:
            self.post(ReadFailed(number, "there is no session"))
        else:
            self._session.read(number)

    def rearm(self) -> None:
        """Arm all watches again: what was missed is told as touched.  There is no other answer."""
        if self._session is not None:
            self._session.rearm()

    def request(self, action: GroupRequest) -> None:
        """Ask for something of the group → its answer or GroupRequestFailed, just one.

        A PublishStatus has no answer.  The rest is as for `read`.  ValueError without a group.
        """
        if self.group is None:
            raise ValueError(f"without a group there is nobody to ask: {action}")
        if self._session is not None:
            self._session.request(action)
        elif not isinstance(action, PublishStatus):
            self.post(GroupRequestFailed(action.number, "there is no session"))

    def converse(self, steps: Callable[[Link], Steps], answer: Callable[[Any], None]) -> None:
        """Have any dialogue with the servers, on the present connection and on no other.

        `answer` is called on a thread of kazoo's and at most once: with what the generator returns,
        or with words (a str) where it did not come to its end.  It is not called where the loss
        of the connection is posted, or where there is none.
        """
        if self._session is not None:
            self._session.converse(steps, answer)

    def close(self, timeout_s: float) -> None:
        """End the session, waiting for that at most `timeout_s`, and not at all if unconnected.

        Nothing is posted any more.  Never raises.
        """
        session, self._session = self._session, None
        if session is not None:
            session.end(timeout_s, waiting=True)
