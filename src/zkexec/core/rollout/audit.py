"""What operators did to a group: kept in its record, so that everybody can see who and why."""

from zkexec.frozen import frozen

MOST_AUDIT_ENTRIES = 10
"""So many are kept, the newest last."""


@frozen()
class AuditEntry:
    """One verb of an operator; `member` is the member that it was about, or "".

    `at` is in seconds of the epoch.  The token is random: by it an operator whose reply was lost
    finds out that the deed was done.
    """

    verb: str
    by: str
    reason: str
    token: str
    member: str = ""
    at: float = 0.0
