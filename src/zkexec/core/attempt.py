"""What is installed on this host, what was tried, and with which result."""

from zkexec.core.snapshot import UNLIMITED, Snapshot, plan
from zkexec.frozen import replace


class Attempt:
    """The present configuration and the last attempt at another.

    `applied` is what is installed, `seen` the last snapshot that was compared with it, `tried` the
    last that a turn was used for, `good` the last on which this process has seen its command
    healthy.  `stopped` is true from the stop of a command until the next one is known good.
    `failed` is the reason why `failing` failed, `trouble` why files could not be written; both are
    "" if there is none.
    """

    def __init__(self) -> None:
        """Begin with nothing installed and nothing tried."""
        self.applied = Snapshot({})
        self.seen: Snapshot | None = None
        self.tried: Snapshot | None = None
        self.good: Snapshot | None = None
        self.stopped = False
        self.reverting = False
        self.failing: Snapshot | None = None
        self.failed = ""
        self.trouble = ""

    @property
    def reverted(self) -> bool:
        """Whether a good snapshot is installed instead of one that failed."""
        return self.failing is not None and self.applied != self.failing

    @property
    def reason(self) -> str:
        """Why the wanted version does not run; "" if there is no such reason."""
        return self.failed or self.trouble

    def is_new(self, wanted: Snapshot) -> bool:
        """Whether this was not compared yet; the same bytes are new if they failed before."""
        if self.seen is None or wanted != self.seen:
            return True
        return self.failing is not None and wanted.zxid > self.seen.zxid

    def is_retry(self, wanted: Snapshot) -> bool:
        """Whether these are the bytes that failed, pushed once more."""
        if self.failing is None or wanted != self.failing:
            return False
        return wanted.zxid > self.failing.zxid

    def is_in_place(self, wanted: Snapshot) -> bool:
        """Whether this is installed and has not failed."""
        is_held_against = self.failing is not None and self.applied == self.failing
        return not is_held_against and not plan(self.applied, wanted)

    def was_tried(self, granted: Snapshot) -> bool:
        """Whether a turn that was granted for this has been used for it already."""
        return self.tried is not None and granted == self.tried and not self.is_retry(granted)

    def disown(self) -> None:
        """Mark what was seen and tried as part of an earlier history, whatever its zxid."""
        self.seen = self.seen and replace(self.seen, zxid=UNLIMITED)
        self.tried = self.tried and replace(self.tried, zxid=UNLIMITED)
        self.failing = self.failing and replace(self.failing, zxid=UNLIMITED)

    def date(self, newest: int) -> None:
        """Give what was seen and tried in an earlier history the zxid of what is read now.

        Only what is written from now on is newer: that is what makes a retry.
        """
        if self.seen is not None and self.seen.zxid > newest:
            self.seen = replace(self.seen, zxid=newest)
        if self.tried is not None and self.tried.zxid > newest:
            self.tried = replace(self.tried, zxid=newest)
        if self.failing is not None and self.failing.zxid > newest:
            self.failing = replace(self.failing, zxid=newest)

    def install(self, snapshot: Snapshot) -> None:
        """Note what is installed now; anything but a revert is a new attempt."""
        self.applied = snapshot
        self.trouble = ""
        if not (self.reverting and snapshot == self.good):
            self.start_over(snapshot)

    def fail(self, reason: str) -> Snapshot:
        """Take note that what is being tried has failed; return what that is."""
        self.failing = self.tried or self.applied
        self.failed = reason
        return self.failing

    def recover(self) -> None:
        """Forget the failure."""
        self.failing, self.failed = None, ""
        if self.reverting:
            self.reverting, self.trouble = False, ""

    def start_over(self, snapshot: Snapshot) -> None:
        """Try what is installed, as if it had never failed."""
        self.seen = self.tried = snapshot
        self.recover()
        self.trouble = ""
