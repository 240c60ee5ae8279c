"""What the server knows at one moment, as values: they go from the thread that reads to all others.

A view never changes.  A newer one has the next number, and what is made of a view (JSON, parts of
a page) is made once, however many browsers show it.
"""

from collections.abc import Hashable, Mapping
from functools import cached_property
from hashlib import sha256

from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.status_json import status_json
from zkexec.frozen import frozen, replace

OUTDATED_S = 90.0
"""A status that was read longer ago, when the connection was lost, can have changed since.

What an open page shows is read again at least every minute.
"""


@frozen()
class Connection:
    """Whether the cluster answers: since when it does not, in seconds of the epoch, and why.

    `disconnected_since` is None while it does.
    """

    hosts: str
    disconnected_since: float | None = None
    error: str = ""


@frozen()
class ReadFailure:
    """Why a subject cannot be read although the cluster answers: since when, and the reason."""

    since: float
    reason: str


@frozen()
class Fragment:
    """A part of a page that is replaced as a whole: its HTML.

    `key` decides whether it has changed.  It is the HTML itself, or something smaller that leaves
    out what browsers keep up to date by themselves.
    """

    html: str
    key: Hashable


Fragments = Mapping[str, Fragment]
"""The parts of a page, by the IDs of their elements."""


@frozen()
class SeenChange:
    """A change that this server has seen itself, as one line; `at` is in seconds of the epoch."""

    at: float
    text: str


@frozen(kw_only=True)
class OverviewView:
    """All groups, as far as numbers go; None if they could not be read yet.

    If there is a `failure`, they are those of the last reading that succeeded.  `pushes` are those
    behind the newest versions, by the names of the groups, if they are known.
    """

    connection: Connection
    read_at: float
    summaries: tuple[GroupSummary, ...] | None = None
    pushes: Mapping[str, InputWrite] = {}
    failure: ReadFailure | None = None
    fragments: Mapping[str, Fragment] = {}

    @cached_property
    def fingerprint(self) -> str:
        """What a browser that shows these fragments names them by."""
        return fingerprint_of(self.fragments)


@frozen(kw_only=True)
class GroupView:
    """One group: its status, None if it could not be read yet; the rest is about this status.

    If there is a `failure`, it is the status of the last reading that succeeded.
    """

    name: str
    connection: Connection
    read_at: float
    status: GroupStatus | None = None
    seen: tuple[SeenChange, ...] = ()
    failure: ReadFailure | None = None
    fragments: Mapping[str, Fragment] = {}

    @cached_property
    def json(self) -> bytes:
        """The status as `zkexecctl status --json` writes it, made once."""
        groups = () if self.status is None else (self.status,)
        # A program must not take an old status for the present one, whatever the reason.
        text = status_json(groups, self.read_at, self.unreadable_since)
        return f"{text}\n".encode()

    @property
    def unreadable_since(self) -> float | None:
        """Since when the group cannot be read, in seconds of the epoch; None if it can."""
        failed_since = None if self.failure is None else self.failure.since
        return self.connection.disconnected_since or failed_since

    @property
    def is_outdated(self) -> bool:
        """Whether the status may be another one than that of the last moment it could be read."""
        since = self.unreadable_since
        return since is not None and self.read_at < since - OUTDATED_S

    @cached_property
    def fingerprint(self) -> str:
        """What a browser that shows these fragments names them by."""
        return fingerprint_of(self.fragments)


View = OverviewView | GroupView


def with_fragments(view: View, fragments: Fragments) -> View:
    """Return the view with these parts of its page."""
    return replace(view, fragments=fragments)


def fingerprint_of(fragments: Fragments) -> str:
    """Name what a set of fragments shows."""
    digest = sha256()
    for name, fragment in fragments.items():
        digest.update(f"{name}\0{fragment.key!r}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def changed_fragments(before: Fragments, after: Fragments) -> dict[str, str]:
    """Return the HTML of the fragments that differ; none goes as long as its page is open."""
    return {
        name: fragment.html
        for name, fragment in after.items()
        if name not in before or before[name].key != fragment.key
    }
