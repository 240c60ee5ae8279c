"""What a member shows in its queue node, so that another one can admit it."""

from zkexec.frozen import frozen


@frozen()
class QueuedMember:
    """A waiting member: the version that it wants, its zone, and the token of its next turn."""

    member: str
    token: str
    digest: str
    zone: str = ""


@frozen()
class QueueNode:
    """A queue node: its number, the version of the znode, and who waits there."""

    number: int
    version: int
    queued: QueuedMember


PREFIX = "q-"
DIGITS = 10


def queue_name(number: int) -> str:
    """Return the name of a queue node; the ensemble appends the number, with ten digits."""
    return f"{PREFIX}{number:0{DIGITS}d}"


def queue_number(name: str) -> int | None:
    """Return the number of a queue node; None if no member can have made a node of this name."""
    digits = name.removeprefix(PREFIX)
    is_number = len(digits) == DIGITS and digits.isascii() and digits.isdigit()
    return int(digits) if name.startswith(PREFIX) and is_number else None
