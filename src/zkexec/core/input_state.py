"""How surely a member knows what the mirrored znodes hold, and how new that can be at most.

An ensemble that was wiped, or restored from a dump, begins another history: transactions are
numbered from below again.  In one history no revision is above what was read later, so one that
is above belongs to another, and is never compared with what is read now.
"""

from zkexec.frozen import frozen

UNLIMITED = 2**63 - 1
"""Stands for the newest transaction where nothing is known of it."""


@frozen()
class InputState:
    """What the reads on the present connection have shown.

    `is_answered`: one was answered, be it by an error.  `is_current`: one has shown the znodes.
    `is_whole`: each of them had content to offer.  `is_lost`: of what is wanted, something is in
    no znode any more, and in no file either.  `newest`: no revision of this history is above;
    `history` counts those that there were.
    """

    is_answered: bool = True
    is_current: bool = True
    is_whole: bool = True
    is_lost: bool = False
    newest: int = UNLIMITED
    history: int = 0


NOTHING_READ = InputState(is_answered=False, is_current=False, is_whole=False)
"""On a connection on which no read was answered yet."""
