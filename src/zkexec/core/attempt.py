"""What is in place on this host, what was tried, and how that went."""

from zkexec.core.snapshot import UNLIMITED, Snapshot, plan
from zkexec.frozen import replace


class Attempt:
    """The present configuration and the last attempt at another.

    `seen` is what was last looked at for news, `tried` what a turn was last used for, `good` the
    last content on which a child of this run was healthy.  `stopped` is true from the stop of a
    child until the next one is proven.  `failed` says why `failing` did not prove itself,
    `trouble` why files could not be written; "" stands for neither.
    """

    def __init__(self) -> None:
        """Nothing is in place, and nothing was tried."""
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
        """Whether a good content stands in the place of one that failed."""
        return self.failing is not None and self.applied != self.failing

    @property
    def reason(self) -> str:
        """Why the wanted configuration does not run, "" where there is no such reason."""
        return self.failed or self.trouble

    def is_new(self, wanted: Snapshot) -> bool:
        """Whether this was not looked at yet; the same bytes are news where they failed before."""
        if self.seen is None or wanted != self.seen:
            return True
        return self.failing is not None and wanted.zxid > self.seen.zxid

    def is_retry(self, wanted: Snapshot) -> bool:
        """Whether these are the bytes that failed, pushed once more."""
        if self.failing is None or wanted != self.failing:
            return False
        return wanted.zxid > self.failing.zxid

    def is_in_place(self, wanted: Snapshot) -> bool:
        """Whether nothing stands between this and what is in place, not even a failure of it."""
        is_held_against = self.failing is not None and self.applied == self.failing
        return not is_held_against and not plan(self.applied, wanted)

    def was_tried(self, granted: Snapshot) -> bool:
        """Whether a turn that was granted for this has been used for it already."""
        return self.tried is not None and granted == self.tried and not self.is_retry(granted)

    def disown(self) -> None:
        """Take what was looked at or tried for that of another history, whatever its revision."""
        self.seen = self.seen and replace(self.seen, zxid=UNLIMITED)
        self.tried = self.tried and replace(self.tried, zxid=UNLIMITED)
        self.failing = self.failing and replace(self.failing, zxid=UNLIMITED)

    def date(self, newest: int) -> None:
        """Take what was looked at or tried in another history for as new as what is read now.

        Only what is written from now on is newer: that is what makes a retry.
        """
        if self.seen is not None and self.seen.zxid > newest:
            self.seen = replace(self.seen, zxid=newest)
        if self.tried is not None and self.tried.zxid > newest:
            self.tried = replace(self.tried, zxid=newest)
        if self.failing is not None and self.failing.zxid > newest:
            self.failing = replace(self.failing, zxid=newest)

    def install(self, snapshot: Snapshot) -> None:
        """Take note of what is in place now; anything but a reverting is a new attempt."""
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
        """Hold nothing against what is in place, and nothing against putting it back."""
        self.failing, self.failed = None, ""
        if self.reverting:
            self.reverting, self.trouble = False, ""

    def start_over(self, snapshot: Snapshot) -> None:
        """Try what is in place, with nothing held against it."""
        self.seen = self.tried = snapshot
        self.recover()
        self.trouble = ""
