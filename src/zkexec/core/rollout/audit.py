"""What operators did to a group: kept in its record, so that everybody can see who and why."""

from zkexec.frozen import value

MOST_DEEDS = 10
"""So many are kept, the newest last."""


@value()
class Deed:
    """One verb of an operator; `subject` is the member that it was about, or "".

    `at` is in seconds of the epoch.  The token is random: by it an operator whose reply was lost
    finds out that the deed was done.
    """

    verb: str
    by: str
    reason: str
    token: str
    subject: str = ""
    at: float = 0.0
